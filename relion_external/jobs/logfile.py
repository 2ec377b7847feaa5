"""``logfile.pdf``: metadata, numbers and figures of a finished job, for RELION's *Display*."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_pdf import PdfPages

from relion_external.config import RescueConfig
from spisonet import __version__
from spisonet.analysis.config import DiagnoseConfig, Fsc3dConfig, Fsd3dConfig
from spisonet.analysis.fsc_metrics import NOT_REACHED
from spisonet.anisotropy.config import ReconstructConfig
from spisonet.commands.registry import command_line
from spisonet.figures.captions import correction_caption
from spisonet.figures.pages import (
    draw_amplitudes_page,
    draw_picture_page,
    draw_sampling_page,
    draw_text_page,
    draw_tomogram_page,
)
from spisonet.figures.slices import draw_slices
from spisonet.figures.style import make_text_drawable
from spisonet.fourier.map_filters_config import AngularWhitenConfig, CombineMapConfig, WhiteningConfig
from spisonet.io.atomic import atomic_path
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

    from matplotlib.figure import Figure

    from spisonet.io.config import CommandConfig

MAX_TOMOGRAM_PAGES = 20
COUPLED_NOTE = "One network was trained on both halves: their FSC does not measure the resolution."
SAMPLING_TITLE = "Fourier sampling density relative to the best sampled direction, central slices"


@dataclass(frozen=True)
class Contents:
    """Contents of a logfile.

    Attributes
    ----------
    title : str
        Heading of the first page.
    metadata : dict
        Names and values on the first page.
    pages : list of Figure
        Further pages.
    """

    title: str
    metadata: dict[str, str]
    pages: list[Figure]


def write_logfile(path: Path, config: CommandConfig) -> None:
    """Write the logfile of a command that has succeeded.

    Parameters
    ----------
    path : Path
        PDF file to write.
    config : CommandConfig
        Configuration of the command.
    """
    contents = contents_of(config)
    rows = contents.metadata | {"Command": command_line(config)}
    with atomic_path(path) as temporary, PdfPages(temporary) as pdf:
        for page in (draw_text_page(contents.title, rows, f"spisonet {__version__}"), *contents.pages):
            make_text_drawable(page)
            pdf.savefig(page)


@singledispatch
def contents_of(config: CommandConfig) -> Contents:
    """Collect the contents of the logfile of a command."""
    raise TypeError(type(config))


@contents_of.register
def _(config: Fsc3dConfig) -> Contents:
    found = _json(config.o.with_suffix(".json"))
    best, worst = (found[f"directional_resolution_0143_{end}_angstrom"] for end in ("best", "worst"))
    metadata = {
        "Half maps": f"{config.h}, {config.h2}",
        "Mask": str(config.mask or "none"),
        "FSC 0.143": _range(found["resolution_0143_angstrom"], best, worst),
        "Sphericity": f"{found['sphericity']:.3f}",
        "cFAR": f"{found['cfar']:.3f}",
    }
    if found["halves_coupled"]:
        metadata["Note"] = COUPLED_NOTE
    return Contents("3D FSC of two half maps", metadata, [draw_picture_page(config.o.with_suffix(".png"))])


@contents_of.register
def _(config: DiagnoseConfig) -> Contents:
    found = _json(config.output_dir / "diagnosis.json")
    reasons = {f"Reason {number}": text for number, text in enumerate(found["reasons"], start=1)}
    metadata = {"Half maps": f"{config.h}, {config.h2}", "Strategy": found["recommendation"], **reasons}
    figures = [config.output_dir / f"diagnosis_{name}.png" for name in ("directions", "pose_drift")]
    return Contents("Diagnosis", metadata, [draw_picture_page(path) for path in figures if path.is_file()])


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
        contents.metadata[f"FSC 0.143, {when}"] = (
            f"{_range(numbers['resolution_0143_angstrom'], best, worst)}; cFAR {numbers['cfar']:.2f}"
        )
    pages = [draw_picture_page(config.o.parent / name, text) for name, text in found["figures"].items()]
    return Contents(contents.title, contents.metadata, pages)


@contents_of.register
def _(config: WhiteningConfig) -> Contents:
    metadata = {
        "Whitened range": f"{config.low_res:g} to {config.high_res:g} Å",
        "Mask": str(config.mask or "none"),
    }
    return _before_and_after("Whitening", config.h1, config.o, metadata, config.high_res, config.apix)


@contents_of.register
def _(config: AngularWhitenConfig) -> Contents:
    metadata = {"Range of equal power over directions": f"{config.low_res:g} to {config.high_res:g} Å"}
    return _before_and_after(
        "Angular whitening", config.in_name, config.out_name, metadata, config.high_res, config.apix
    )


@contents_of.register
def _(config: CombineMapConfig) -> Contents:
    metadata = {"Low resolutions from": f"{config.low_map}, to {config.threshold_res:g} Å"}
    return _before_and_after(
        "Combined map", config.high_map, config.out_map, metadata, config.threshold_res, config.apix
    )


@contents_of.register
def _(config: Fsd3dConfig) -> Contents:
    page = draw_sampling_page(read_volume(config.o).data, SAMPLING_TITLE)
    metadata = {"Particles": str(config.star_file), "Symmetry": config.sym.upper()}
    return Contents("Fourier sampling density", metadata, [page])


@contents_of.register
def _(config: RescueConfig) -> Contents:
    found = _json(config.o / "report.json")
    drift = found["drift"]
    metadata = {
        "Refinement": str(config.job),
        "Result": "poses corrected" if found["is_corrected"] else "no drift of the poses was found",
        "Most likely collective motion": f"{drift['motion_degrees']:.1f}° rms",
        "Rise of the log-likelihood by it": f"{drift['rise_per_particle']:.2f} ± "
        f"{drift['rise_standard_error']:.2f} per particle",
    }
    metadata |= {f"To go on, line {number}": line for number, line in enumerate(found["commands"], start=1)}
    pages = [draw_picture_page(config.o / name, text) for name, text in found["figures"].items()]
    return Contents("Correction of drifted poses", metadata, pages)


@contents_of.register
def _(config: DeconvConfig) -> Contents:
    outputs = _output_files(config.output_star, "rlnDeconvTomoName")
    return Contents("Deconvolution of tomograms", {"Tomograms": ", ".join(outputs)}, _tomogram_pages(outputs))


@contents_of.register
def _(config: MakeMaskConfig) -> Contents:
    outputs = _output_files(config.output_star, "rlnMaskName")
    return Contents("Masks of tomograms", {"Tomograms": ", ".join(outputs)}, _tomogram_pages(outputs))


@contents_of.register
def _(config: RefineConfig) -> Contents:
    assert config.output_dir is not None
    record = read_job_record(config.output_dir)
    metadata = {
        "Tomograms": ", ".join(record["tomograms"]),
        "Method": record["method"],
        "Training": f"{record['epochs']} epochs of {record['subvolumes_per_epoch']} subvolumes of "
        f"{record['cube_size']}³ voxels",
        "Note": INFERRED,
    }
    names = ["loss.png", *record["previews"][-1:]]
    figures = [config.output_dir / name for name in names] + _figure_files(config.output_dir / "corrected")
    return Contents("Training on tomograms", metadata, [draw_picture_page(path) for path in figures])


@contents_of.register
def _(config: PredictConfig) -> Contents:
    record = read_job_record(config.output_dir)
    metadata = {"Tomograms": ", ".join(record["corrected"]), "Network": str(config.model), "Note": INFERRED}
    return Contents(
        "Corrected tomograms",
        metadata,
        [draw_picture_page(path) for path in _figure_files(config.output_dir)],
    )


def _output_files(table: Path | None, column: str) -> dict[str, Path]:
    """Return the output files in a table of tomograms, by the names of the tomograms."""
    assert table is not None
    files = ((row.shown, row.path(column)) for row in TomogramTable.read(table).rows)
    return {name: path for name, path in files if path is not None}


def _tomogram_pages(outputs: dict[str, Path]) -> list[Figure]:
    return [
        draw_tomogram_page(open_tomogram(path, 1.0), name)
        for name, path in list(outputs.items())[:MAX_TOMOGRAM_PAGES]
    ]


def _figure_files(folder: Path) -> list[Path]:
    return sorted((folder / "figures").glob("*.png"))[:MAX_TOMOGRAM_PAGES]


def _correction(title: str, record: dict[str, Any], folder: Path) -> Contents:
    config = ReconstructConfig.model_validate(record["config"])
    figures = [folder / name for name in record["figures"]]
    metadata = run_metadata(config, record) | {"Note": note_on_independence(config, record)}
    pages = [
        draw_picture_page(path, correction_caption(path.name, config.i2 is None))
        for path in figures
        if path.is_file()
    ]
    return Contents(title, metadata, pages)


def _before_and_after(
    title: str, before: Path, after: Path, metadata: dict[str, str], limit: float, apix: float | None
) -> Contents:
    """Show slices and mean amplitudes of a map before and after."""
    volumes = {"before": read_volume(before, apix), "after": read_volume(after, apix)}
    pages = [draw_slices(volumes, limit), draw_amplitudes_page(volumes)]
    return Contents(title, {"Map": str(before), **metadata}, pages)


def _range(overall: float | None, best: float | None, worst: float | None) -> str:
    shown = [NOT_REACHED if value is None else f"{value:.2f} Å" for value in (overall, best, worst)]
    return f"{shown[0]}; best direction {shown[1]}, worst {shown[2]}"


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
