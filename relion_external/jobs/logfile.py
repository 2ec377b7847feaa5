"""``logfile.pdf``: what a job found, for RELION's *Display*."""

from __future__ import annotations

import json
import shlex
import textwrap
from dataclasses import dataclass
from functools import singledispatch
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import image
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from spisonet import __version__
from spisonet.analysis.config import DiagnoseConfig, Fsc3dConfig, Fsd3dConfig
from spisonet.anisotropy.config import ReconstructConfig
from spisonet.commands.registry import SPISONET
from spisonet.figures.captions import CORRECTION
from spisonet.figures.slices import central_slices, draw_slices
from spisonet.figures.tomograms import middle_slices
from spisonet.fourier.config import AngularWhitenConfig, CombineMapConfig, WhiteningConfig
from spisonet.fourier.grids import rfft3
from spisonet.fourier.shells import shell_counts, shell_sums
from spisonet.io.atomic import atomic_path
from spisonet.io.config import command_words
from spisonet.io.mrc import read_volume
from spisonet.io.run_record import read_job_record
from spisonet.io.tomogram_table import TomogramTable
from spisonet.io.tomograms import open_tomogram
from spisonet.report.config import ReportConfig
from spisonet.report.independence import note_on_independence
from spisonet.report.run_metadata import run_metadata
from spisonet.report.tomograms import INFERRED
from spisonet.tomography.filters_config import DeconvConfig, MakeMaskConfig
from spisonet.tomography.prediction_config import PredictConfig
from spisonet.tomography.training_config import RefineConfig

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.io.config import CommandConfig

A4_INCHES = (11.69, 8.27)
LINE, LABEL_WIDTH = 0.045, 0.24  # of the page
LETTERS_A_LINE = 95
MOST_PAGES = 20  # of tomograms


@dataclass(frozen=True)
class Contents:
    """What a logfile shows.

    Attributes
    ----------
    title : str
        Its heading.
    facts : dict
        Lines of the first page.
    pages : list of Figure
        One figure a page.
    """

    title: str
    facts: dict[str, str]
    pages: list[Figure]


def write_logfile(path: Path, config: CommandConfig) -> None:
    """Write the logfile of a command that has succeeded.

    Parameters
    ----------
    path : Path
        PDF file to write.
    config : CommandConfig
        The command's configuration.
    """
    contents = contents_of(config)
    program = "spisonet.py" if type(config) in SPISONET else "isonet.py"
    contents.facts["Command"] = shlex.join([program, *command_words(config)])
    with atomic_path(path) as temporary, PdfPages(temporary) as pdf:
        for page in (_first_page(contents), *contents.pages):
            pdf.savefig(page)


@singledispatch
def contents_of(config: CommandConfig) -> Contents:
    """Collect what the logfile of a command shows."""
    raise TypeError(type(config))


@contents_of.register
def _(config: Fsc3dConfig) -> Contents:
    found = _json(config.o.with_suffix(".json"))
    best, worst = (found[f"directional_resolution_0143_{end}_angstrom"] for end in ("best", "worst"))
    facts = {
        "Half maps": f"{config.h}, {config.h2}",
        "Mask": str(config.mask or "none"),
        "FSC 0.143": _range(found["resolution_0143_angstrom"], best, worst),
        "Sphericity": f"{found['sphericity']:.3f}",
        "cFAR": f"{found['cfar']:.3f}",
    }
    if found["halves_coupled"]:
        facts["Note"] = "One network has learned from both halves: their FSC is no measure of resolution."
    return Contents("3D FSC of two half maps", facts, [_picture(config.o.with_suffix(".png"))])


@contents_of.register
def _(config: DiagnoseConfig) -> Contents:
    found = _json(config.output_dir / "diagnosis.json")
    reasons = {f"Reason {number}": text for number, text in enumerate(found["reasons"], start=1)}
    facts = {"Half maps": f"{config.h}, {config.h2}", "Strategy": found["recommendation"], **reasons}
    return Contents("Diagnosis", facts, [_picture(config.output_dir / "diagnosis_directions.png")])


@contents_of.register
def _(config: ReconstructConfig) -> Contents:
    return _correction("Anisotropy correction", read_job_record(config.output_dir), config.output_dir)


@contents_of.register
def _(config: ReportConfig) -> Contents:
    assert config.o is not None
    found = _json(config.o.with_suffix(".json"))
    contents = _correction("Report of an anisotropy correction", found["run"], config.folder)
    for when, numbers in found.get("fsc_by_direction", {}).items():
        best, worst = (numbers[f"{end}_direction_0143_angstrom"] for end in ("best", "worst"))
        contents.facts[f"FSC 0.143, {when}"] = (
            f"{_range(numbers['resolution_0143_angstrom'], best, worst)}; cFAR {numbers['cfar']:.2f}"
        )
    pages = [_picture(config.o.parent / name, text) for name, text in found["figures"].items()]
    return Contents(contents.title, contents.facts, pages)


@contents_of.register
def _(config: WhiteningConfig) -> Contents:
    facts = {"Flattened": f"{config.low_res:g} to {config.high_res:g} Å", "Mask": str(config.mask or "none")}
    return _change("Whitening", config.h1, config.o, facts, config.high_res, config.apix)


@contents_of.register
def _(config: AngularWhitenConfig) -> Contents:
    facts = {"Equal power over directions": f"{config.low_res:g} to {config.high_res:g} Å"}
    return _change("Angular whitening", config.in_name, config.out_name, facts, config.high_res, config.apix)


@contents_of.register
def _(config: CombineMapConfig) -> Contents:
    facts = {"Low resolutions": f"{config.low_map}, up to {config.threshold_res:g} Å"}
    return _change("Combined map", config.high_map, config.out_map, facts, config.threshold_res, config.apix)


@contents_of.register
def _(config: Fsd3dConfig) -> Contents:
    density = read_volume(config.o)
    figure = Figure(figsize=A4_INCHES, layout="constrained")
    names = ("kx, ky", "kx, kz", "ky, kz")
    for axis, name, plane in zip(figure.subplots(1, 3), names, central_slices(density.data), strict=True):
        axis.imshow(plane, origin="lower", vmin=0, vmax=1)
        axis.set_title(name)
        axis.set_axis_off()
    figure.suptitle("Fourier sampling relative to the best sampled direction, central slices")
    facts = {"Particles": str(config.star_file), "Symmetry": config.sym.upper()}
    return Contents("Fourier sampling density", facts, [figure])


@contents_of.register
def _(config: DeconvConfig) -> Contents:
    outputs = _noted(config.output_star, "rlnDeconvTomoName")
    return Contents("Deconvolution of tomograms", {"Tomograms": ", ".join(outputs)}, _middles(outputs))


@contents_of.register
def _(config: MakeMaskConfig) -> Contents:
    outputs = _noted(config.output_star, "rlnMaskName")
    return Contents("Masks of tomograms", {"Tomograms": ", ".join(outputs)}, _middles(outputs))


@contents_of.register
def _(config: RefineConfig) -> Contents:
    assert config.output_dir is not None
    outcome = read_job_record(config.output_dir)
    facts = {
        "Tomograms": ", ".join(outcome["tomograms"]),
        "Method": outcome["method"],
        "Training": "{epochs} epochs of {subvolumes_per_epoch} cubes of {cube_size} voxels".format(**outcome),
        "Note": INFERRED,
    }
    names = ["loss.png", *outcome["previews"][-1:]]
    figures = [config.output_dir / name for name in names] + _figures(config.output_dir / "corrected")
    return Contents("Training on tomograms", facts, [_picture(path) for path in figures])


@contents_of.register
def _(config: PredictConfig) -> Contents:
    outcome = read_job_record(config.output_dir)
    facts = {"Tomograms": ", ".join(outcome["corrected"]), "Network": str(config.model), "Note": INFERRED}
    return Contents("Corrected tomograms", facts, [_picture(path) for path in _figures(config.output_dir)])


def _noted(table: Path | None, column: str) -> dict[str, Path]:
    """Files that a command noted in a table, by the names of the tomograms."""
    assert table is not None
    found = ((row.shown, row.path(column)) for row in TomogramTable.read(table).rows)
    return {name: path for name, path in found if path is not None}


def _middles(outputs: dict[str, Path]) -> list[Figure]:
    """Show the central planes of tomograms."""
    pages = []
    for name, path in list(outputs.items())[:MOST_PAGES]:
        figure = Figure(figsize=A4_INCHES, layout="constrained")
        slices = middle_slices((open_tomogram(path, 1.0),))
        for axis, plane, title in zip(figure.subplots(1, 3), slices, ("XY", "XZ", "YZ"), strict=True):
            axis.imshow(plane, cmap="gray", origin="lower")
            axis.set_title(f"{title}, {name}")
            axis.set_axis_off()
        pages.append(figure)
    return pages


def _figures(folder: Path) -> list[Path]:
    return sorted((folder / "figures").glob("*.png"))[:MOST_PAGES]


def _correction(title: str, outcome: dict[str, Any], folder: Path) -> Contents:
    config = ReconstructConfig.model_validate(outcome["config"])
    figures = [folder / name for name in outcome["figures"]]
    facts = run_metadata(config, outcome) | {"Note": note_on_independence(config, outcome)}
    pages = [_picture(path, CORRECTION[path.name]) for path in figures if path.is_file()]
    return Contents(title, facts, pages)


def _change(
    title: str, before: Path, after: Path, facts: dict[str, str], limit: float, apix: float | None
) -> Contents:
    """Show slices and mean amplitudes of a map before and after."""
    volumes = {"before": read_volume(before, apix), "after": read_volume(after, apix)}
    figure = Figure(figsize=A4_INCHES, layout="constrained")
    axis = figure.subplots()
    for name, volume in volumes.items():
        frequency = np.arange(1, volume.box // 2 + 1) / (volume.box * volume.voxel_size_angstrom)
        axis.semilogy(frequency, _mean_amplitudes(volume.data)[1:], label=name)
    axis.set_xlabel("spatial frequency / Å⁻¹")
    axis.set_ylabel("root mean square Fourier amplitude")
    axis.legend()
    slices = draw_slices(volumes, limit)
    return Contents(title, {"Map": str(before), **facts}, [slices, figure])


def _mean_amplitudes(data: NDArray[np.float32]) -> NDArray[np.float64]:
    n = len(data)
    sums = shell_sums(np.abs(rfft3(data)) ** 2, n)
    return np.asarray(np.sqrt(sums / shell_counts(n)))[: n // 2 + 1]


def _first_page(contents: Contents) -> Figure:
    figure = Figure(figsize=A4_INCHES)
    figure.text(0.06, 0.9, contents.title, fontsize=18)
    height = 0.82
    for name, value in contents.facts.items():
        figure.text(0.06, height, name, fontsize=10, color="0.35", va="top")
        lines = textwrap.wrap(value, LETTERS_A_LINE) or [""]
        figure.text(0.06 + LABEL_WIDTH, height, "\n".join(lines), fontsize=10, va="top")
        height -= LINE * (1 + 0.6 * (len(lines) - 1))
    figure.text(0.06, 0.05, f"spisonet {__version__}", fontsize=8, color="0.35")
    return figure


def _picture(path: Path, caption: str = "") -> Figure:
    figure = Figure(figsize=A4_INCHES)
    axis = figure.add_axes((0.04, 0.1, 0.92, 0.86))
    axis.imshow(image.imread(path), interpolation="lanczos")
    axis.set_axis_off()
    figure.text(0.06, 0.03, "\n".join(textwrap.wrap(caption, 130)), fontsize=9)
    return figure


def _range(mean: float, best: float, worst: float) -> str:
    return f"{mean:.2f} Å; by direction {best:.2f} to {worst:.2f} Å"


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
