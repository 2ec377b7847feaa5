"""Report section: held-out validation and uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spisonet.figures import captions
from spisonet.figures.directional_fraction import draw_directional_fraction
from spisonet.figures.held_out import draw_held_out
from spisonet.fourier.grids import half_from_centred
from spisonet.io.mrc import read_volume
from spisonet.report.page import paragraph, warning
from spisonet.report.section import Section, beside
from spisonet.validation.records import read_validation
from spisonet.validation.uncertainty import error_fraction_by_direction

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.validation.finished_run import FinishedRun

LIMITATION = (
    "The held-out cones are not the unmeasured region: the recovery estimates that of the unmeasured region, "
    "and is an upper limit if the gap is wider than the cones."
)
START_WEIGHTS = (
    "The trainings started from weights that may have been trained on these maps; the recovery is then too "
    "high."
)
QUANTILES = ("percentile_10", "median", "percentile_90")


def held_out_section(run: FinishedRun, page: Path) -> Section | None:
    """Report the held-out validation of a run; None if it has not been validated."""
    found = read_validation(run)
    if found is None:
        return None
    section = Section("Held-out validation", found)
    section.parts += [paragraph(_method(found)), paragraph(_result(found)), warning(LIMITATION)]
    if found["settings"].get("start_weights"):
        section.parts.append(warning(START_WEIGHTS))
    section.add_figure(beside(page, "held_out"), captions.HELD_OUT, draw_held_out(found["by_resolution"]))
    if "uncertainty" in found:
        _add_uncertainty(section, run, page, found["uncertainty"])
    return section


def _method(found: dict[str, Any]) -> str:
    settings = found["settings"]
    return (
        f"{settings['cones']} measured cone(s) with a half-angle of {settings['half_angle_degrees']:.0f}° "
        "were removed one after the other from all inputs and targets. For each cone a new network was "
        f"trained ({settings['epochs']} epochs of {settings['subvolumes_per_epoch']} subvolumes), and its "
        "result from half map 1 was compared with raw half map 2 inside the cone."
    )


def _result(found: dict[str, Any]) -> str:
    resolution = found["resolution_at_recovery_05_angstrom"]
    extent = f"0.5 or more to {resolution:.1f} Å" if resolution else "below 0.5 at all resolutions"
    return (
        f"Correlation with the signal: {found['recovery']:.2f} (without a network "
        f"{found['recovery_without_network']:.2f}), {extent}. It is the FSC divided by the ceiling that the "
        f"noise of half map 2 sets. The power of the prediction is {found['power_ratio']:.2f} times that of "
        "the signal."
    )


def _add_uncertainty(section: Section, run: FinishedRun, page: Path, found: dict[str, Any]) -> None:
    low, middle, high = (f"{found[f'{name}_in_mask']:.3g}" for name in QUANTILES)
    section.parts.append(
        paragraph(
            f"Uncertainty of every voxel, from the predictions of {found['networks']} networks, calibrated "
            f"in the held-out cones: median {middle} inside the mask, in grey values of the map; 80 % of the "
            f"voxels are between {low} and {high}. {found['script']} colours the map by it in ChimeraX."
        )
    )
    corrected = run.corrected_maps.half1
    relative = read_volume(run.folder / found["fourier_map"], corrected.voxel_size_angstrom)
    fraction = error_fraction_by_direction(half_from_centred(relative.data), corrected, run.limit_angstrom)
    box_angstrom = corrected.box * corrected.voxel_size_angstrom
    section.numbers["uncertainty"] = found | {"by_resolution": fraction.numbers(box_angstrom)}
    section.add_figure(
        beside(page, "uncertainty"),
        captions.UNCERTAINTY,
        draw_directional_fraction(fraction, box_angstrom, "expected error fraction"),
    )
