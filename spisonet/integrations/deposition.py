"""Files of an EMDB deposition: primary map, unmodified half maps, mask, FSC and the corrected map."""

from __future__ import annotations

import logging
import shutil
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np
from matplotlib.figure import Figure

from relion_external.jobs.map_metadata import POSTPROCESS_FILE, find_map_metadata
from spisonet import __version__
from spisonet.analysis.fsc3d import without_solvent
from spisonet.analysis.fsc_metrics import FSC_THRESHOLD_HALF_MAPS, Resolution, resolution_of
from spisonet.analysis.half_map_fsc import masked_fsc
from spisonet.analysis.half_maps import HalfMaps, checked_half_maps, read_mask
from spisonet.errors import SpisonetError
from spisonet.figures.surfaces import enclosing_level, shaded_surface
from spisonet.fourier.phase_randomisation import PHASE_SEED
from spisonet.io.atomic import atomic_path, prepare_output_folder, write_bytes, write_json, write_text
from spisonet.io.labels import HALVES, read_tokens
from spisonet.io.mrc import COMPRESSIONS, Volume, read_volume, require_same_grid, write_volume
from spisonet.io.star import StarFile
from spisonet.validation.finished_run import FinishedRun
from spisonet.validation.inferred import inferred_fraction_of_full_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.integrations.config import DepositConfig

log = logging.getLogger("spisonet")

FOLDER, TEXT_FILE, RECORD_FILE = "deposit", "README.txt", "deposit.json"
PRIMARY, MASK, FSC, IMAGE = "primary_map.mrc", "mask.mrc", "fsc.xml", "image.png"
HALF, ADDITIONAL = "half_map_{number}.mrc", "additional_map_{number}.mrc"
SHARPENED_MAP = "postprocess.mrc"  # of RELION, not masked
FSC_AXES = {"xaxis": "Resolution (A-1)", "yaxis": "Correlation Coefficient"}  # as in RELION's file
IMAGE_PIXELS = 500  # the archive's size
PICTURE_DPI = 100
TEXT_WIDTH = 100


@dataclass(frozen=True)
class PrimaryMap:
    """The map of a deposition.

    Attributes
    ----------
    volume : Volume
        Densities.
    source : Path or None
        File that it is a copy of; None for the average of the half maps.
    mask : Volume or None
        Mask of the FSC.
    b_factor_square_angstrom : float or None
        B-factor of its sharpening; None without sharpening.
    """

    volume: Volume
    source: Path | None
    mask: Volume | None
    b_factor_square_angstrom: float | None


@dataclass(frozen=True)
class Deposition:
    """What the text of a deposition states.

    Attributes
    ----------
    primary : PrimaryMap
        Primary map.
    fsc : ndarray
        ``(n // 2 + 1,)`` FSC of the uncorrected half maps, corrected for the mask.
    resolution : Resolution
        Where it falls to 0.143.
    primary_level, corrected_level : float
        Recommended contour levels of primary and corrected map.
    unmeasured_fraction, inferred_power_fraction : float or None
        Unmeasured fraction of Fourier space, and inferred fraction of the corrected map's power.
    files : dict
        Meaning of each file by its name.
    """

    primary: PrimaryMap
    fsc: NDArray[np.float64]
    resolution: Resolution
    primary_level: float
    corrected_level: float
    unmeasured_fraction: float
    inferred_power_fraction: float | None
    files: dict[str, str]


def run_deposit(config: DepositConfig) -> None:
    """Write the folder of a deposition.

    Raises
    ------
    SpisonetError
        If the folder is not a finished run of two half maps, if its half maps are themselves corrected maps,
        or if the PostProcess job is not finished or has another grid.
    """
    run = FinishedRun.read(config.folder)
    halves = _uncorrected_halves(run)
    primary = _primary_map(run, halves, config.postprocess)
    corrected = run.full_map
    if corrected is None:
        raise SpisonetError(f"{config.folder} contains no corrected full map; repeat reconstruct.")
    folder = config.output_dir or config.folder / FOLDER
    prepare_output_folder(folder)
    deposition = _measure(run, halves, primary, corrected)
    for source, name in zip((run.config.i1, run.config.i2), _half_names(run), strict=True):
        assert source is not None
        _copy(source, folder / name)
    if primary.mask is not None:
        write_volume(folder / MASK, primary.mask)
    if primary.source is None:
        write_volume(folder / PRIMARY, primary.volume, "spisonet: average of the half maps")
    else:
        _copy(primary.source, folder / PRIMARY)
    _copy(run.folder / run.record["full_map"]["corrected"], folder / ADDITIONAL.format(number=1))
    sharpened = run.record["full_map"].get("sharpened")
    if sharpened is not None:
        _copy(run.folder / sharpened, folder / ADDITIONAL.format(number=2))
    box_angstrom = halves.half1.box * halves.half1.voxel_size_angstrom
    write_bytes(folder / FSC, fsc_xml(deposition.fsc, box_angstrom, primary.mask is not None))
    mask = None if primary.mask is None else primary.mask.data
    _draw_image(folder / IMAGE, primary.volume.data, deposition.primary_level, mask)
    write_json(folder / RECORD_FILE, deposition_record(deposition))
    write_text(folder / TEXT_FILE, deposition_text(run, deposition))
    log.info("Written: %s. Start with %s.", folder, folder / TEXT_FILE)
    log.warning(
        "Do not upload %s as half maps: EMDB requires the half maps of the refinement, unmodified.",
        " or ".join(run.record["corrected_maps"]),
    )


def fsc_xml(fsc: NDArray[np.float64], box_angstrom: float, is_masked: bool) -> bytes:
    """Return an FSC curve in the XML format that EMDB accepts.

    Parameters
    ----------
    fsc : ndarray
        ``(n_shells,)`` from DC.
    box_angstrom : float
        Box edge in Å.
    is_masked : bool
        Whether the curve is corrected for a mask.
    """
    title = "masked-corrected FSC" if is_masked else "unmasked FSC"
    root = ET.Element("fsc", {"title": f"spisonet {title} of the uncorrected half maps", **FSC_AXES})
    for shell, value in enumerate(fsc):
        coordinate = ET.SubElement(root, "coordinate")
        ET.SubElement(coordinate, "x").text = f"{shell / box_angstrom:.6f}"
        ET.SubElement(coordinate, "y").text = f"{value:.6f}"
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return text + b"\n"


def _uncorrected_halves(run: FinishedRun) -> HalfMaps:
    halves = run.half_maps
    if halves.half2 is None:
        raise SpisonetError(f"{run.folder} corrected a single map; EMDB requires two half maps.")
    for path, half in ((run.config.i1, halves.half1), (run.config.i2, halves.half2)):
        if HALVES in read_tokens(half.labels) or halves.coupled:
            raise SpisonetError(
                f"{path} is a corrected map, by its header label; EMDB requires the half maps of the "
                "refinement, unmodified: repeat reconstruct with these."
            )
    return halves


def _half_names(run: FinishedRun) -> list[str]:
    """Return the names of the copies of the half maps; compressed maps stay compressed."""
    endings = [Path(str(path)).suffix for path in (run.config.i1, run.config.i2)]
    endings = [ending if ending in COMPRESSIONS else "" for ending in endings]
    return [HALF.format(number=number) + ending for number, ending in enumerate(endings, start=1)]


def _primary_map(run: FinishedRun, halves: HalfMaps, postprocess: Path | None) -> PrimaryMap:
    if postprocess is None:  # without the low resolutions of a reference, which the run may have used
        half1, half2 = halves.half1, halves.half2
        assert half2 is not None
        average = half1.with_data((half1.data + half2.data) / np.float32(2))
        return PrimaryMap(average, None, halves.mask, None)
    source = postprocess / SHARPENED_MAP
    if not source.is_file() or not (postprocess / POSTPROCESS_FILE).is_file():
        raise SpisonetError(
            f"{postprocess} is not a finished PostProcess job: it lacks {SHARPENED_MAP} or "
            f"{POSTPROCESS_FILE}.",
            field="postprocess",
        )
    metadata = find_map_metadata(source)
    sharpened = read_volume(source)
    require_same_grid(halves.half1, sharpened)
    _require_same_halves(run, metadata.half1, postprocess)
    mask = halves.mask
    if metadata.mask is not None and metadata.mask.is_file():
        mask = read_mask(metadata.mask, halves.half1)
    star = StarFile(postprocess / POSTPROCESS_FILE)
    b_factor = star.value("rlnBfactorUsedForSharpening")
    return PrimaryMap(sharpened, source, mask, None if b_factor is None else float(b_factor))


def _require_same_halves(run: FinishedRun, half1: Path | None, postprocess: Path) -> None:
    """Check that a PostProcess job used the half maps of the run, as far as its file is still there."""
    if half1 is None or not half1.is_file() or half1.samefile(run.config.i1):
        return
    if not np.array_equal(read_volume(half1).data, run.half_maps.half1.data):
        raise SpisonetError(
            f"{postprocess} used {half1}, and the run corrected {run.config.i1}; give the PostProcess job of "
            "the same half maps.",
            field="postprocess",
        )


def _measure(run: FinishedRun, halves: HalfMaps, primary: PrimaryMap, corrected: Volume) -> Deposition:
    checked = checked_half_maps(halves.half1, halves.half2, primary.mask)
    assert checked.half2 is not None
    mask = None if checked.mask is None else checked.mask.data
    maps = [checked.half1.data, checked.half2.data]
    if mask is not None:
        maps = [without_solvent(data, mask) for data in maps]
    fsc = masked_fsc(maps, mask, PHASE_SEED).fsc
    box_angstrom = halves.half1.box * halves.half1.voxel_size_angstrom
    inferred = inferred_fraction_of_full_map(run)
    full = run.record["full_map"]
    files = {
        PRIMARY: "Primary map"
        + (": RELION's sharpened map" if primary.source else ": average of the half maps, not sharpened"),
        **{
            name: f"Half map {number} of the refinement, unmodified ({Path(str(path)).name})"
            for number, (name, path) in enumerate(
                zip(_half_names(run), (run.config.i1, run.config.i2), strict=True), start=1
            )
        },
        **({} if primary.mask is None else {MASK: "Mask of the FSC"}),
        FSC: "FSC of the half maps above",
        ADDITIONAL.format(number=1): f"Additional map: corrected full map ({full['corrected']})",
        **(
            {ADDITIONAL.format(number=2): f"Additional map: corrected and sharpened ({full['sharpened']})"}
            if full.get("sharpened")
            else {}
        ),
        IMAGE: f"Image of the primary map, {IMAGE_PIXELS} x {IMAGE_PIXELS} pixels",
    }
    return Deposition(
        primary,
        fsc,
        resolution_of(fsc, FSC_THRESHOLD_HALF_MAPS, box_angstrom),
        enclosing_level(primary.volume.data, mask),
        enclosing_level(corrected.data, mask),
        float(full.get("unmeasured_fraction") or run.record["unmeasured_fraction"]),
        None if inferred is None else inferred.whole,
        files,
    )


def deposition_record(deposition: Deposition) -> dict[str, object]:
    """Return the numbers of a deposition for ``deposit.json``."""
    return {
        "program": "spisonet",
        "version": __version__,
        "voxel_size_angstrom": deposition.primary.volume.voxel_size_angstrom,
        "resolution_0143_angstrom": deposition.resolution.number,
        "b_factor_square_angstrom": deposition.primary.b_factor_square_angstrom,
        "contour_level_primary_map": deposition.primary_level,
        "contour_level_corrected_map": deposition.corrected_level,
        "unmeasured_fraction": deposition.unmeasured_fraction,
        "inferred_power_fraction": deposition.inferred_power_fraction,
        "files": deposition.files,
    }


def deposition_text(run: FinishedRun, deposition: Deposition) -> str:
    """Return the text that a depositor reads and copies from."""
    width = max(map(len, deposition.files))
    primary = deposition.primary
    sharpening = (
        "none"
        if primary.b_factor_square_angstrom is None
        else f"B-factor {primary.b_factor_square_angstrom:.1f} Å² (RELION PostProcess)"
    )
    inferred = deposition.inferred_power_fraction
    power = "" if inferred is None else f"{100 * inferred:.0f} % of its power is inferred. "
    unmeasured = 100 * deposition.unmeasured_fraction
    details = (
        f"Anisotropy-corrected map. {unmeasured:.0f} % of Fourier space to {run.limit_angstrom:.2f} Å was "
        f"not measured in the half maps (mean of 1 - data weight) and was inferred by spisonet {__version__} "
        f"(method {run.config.method}). {power}Measured Fourier coefficients are kept. The resolution of the "
        "entry refers to the half maps, not to this map."
    )
    warning = (
        f"{', '.join(run.record['corrected_maps'])} as half maps. EMDB recalculates the FSC from the half "
        "maps and requires those of the refinement, unmodified. In unmeasured directions an FSC between "
        "corrected halves does not measure resolution."
    )
    return "\n".join(
        [
            "Files for a deposition in EMDB",
            "",
            *(f"  {name:<{width}}  {meaning}" for name, meaning in deposition.files.items()),
            "",
            "For the form",
            "",
            f"  Voxel size                          {primary.volume.voxel_size_angstrom:.4f} Å",
            f"  Resolution (FSC 0.143)              {deposition.resolution}",
            f"  Sharpening of the primary map       {sharpening}",
            f"  Contour level, primary map          {deposition.primary_level:.4g}",
            f"  Contour level, additional map       {deposition.corrected_level:.4g}",
            f"  Software, additional map            spisonet {__version__}",
            "",
            "Details of the additional map, to copy",
            "",
            *textwrap.wrap(details, TEXT_WIDTH, initial_indent="  ", subsequent_indent="  "),
            "",
            "Do not upload",
            "",
            *textwrap.wrap(warning, TEXT_WIDTH, initial_indent="  ", subsequent_indent="  "),
            "",
        ]
    )


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        try:
            shutil.copyfile(source, temporary)
        except OSError as error:
            raise SpisonetError(f"{source} cannot be copied: {error.strerror}.") from error


def _draw_image(
    path: Path, volume: NDArray[np.float32], level: float, mask: NDArray[np.float32] | None
) -> None:
    inside = volume if mask is None else volume * mask
    edge = IMAGE_PIXELS / PICTURE_DPI
    figure = Figure(figsize=(edge, edge))
    panel = figure.add_axes((0, 0, 1, 1))
    panel.imshow(shaded_surface(inside, level, 1), cmap="gray", vmin=0, vmax=1, origin="lower")
    panel.set_axis_off()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=PICTURE_DPI, format="png")
