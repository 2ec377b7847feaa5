"""What the report says about a run's pictures, its inferred part, and directions that were held out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter

from spisonet.analysis.directional_power import shares_by_direction
from spisonet.figures.surfaces import draw_surfaces
from spisonet.figures.validation import draw_held_out, draw_shares
from spisonet.fourier.grids import half_from_centred, rfft3
from spisonet.io.mrc import read_volume, write_volume
from spisonet.report.page import paragraph, table, warning
from spisonet.report.section import Section, beside
from spisonet.validation import null_tests as null_tests_run
from spisonet.validation import validate
from spisonet.validation.inferred import inferred_fraction

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.validation.finished_run import FinishedRun

INFERRED_FILE = "inferred_fraction.mrc"
CAPTIONS = {
    "slices.png": "Central slices before and after the correction, in the same grey scale.",
    "fourier.png": "Central Fourier slices. Where the measurement weight is 1 the data are kept as measured; "
    "where it is 0 the amplitudes after the correction are inferred.",
    "fsc.png": "Fourier shell correlations. That between corrected halves is no measure of resolution: one "
    "network filled both, or mask and weight filled them alike.",
    "loss.png": "Training loss per epoch.",
}
LARGER = (
    "A hidden cone is not the cone that was not measured: this is an estimate of the recovery there, and an "
    "upper limit for gaps wider than the cone."
)
NULL_TESTS = {
    "noise": "noise alone",
    "phases": "random phases beyond {beyond_angstrom:.1f} Å",
    "deletion": "a domain deleted",
}
QUANTILES = ("percentile_10", "median", "percentile_90")
CHIMERAX = "In ChimeraX: color sample #1 map #2 palette 0,blue:0.5,white:1,red."


def pictures(run: FinishedRun, page: Path) -> Section:
    """Show isosurfaces, slices and Fourier slices before and after."""
    section = Section("Before and after")
    before, after = run.before, run.after
    voxel_size = before.half1.voxel_size_angstrom
    sigma = run.limit_angstrom / voxel_size / 4  # hides nothing but the noise beyond the limit
    maps = [gaussian_filter(half.half1.data, sigma) for half in (before, after)]
    mask = None if before.mask is None else before.mask.data
    section.add_figure(
        beside(page, "surfaces"),
        "Isosurfaces of half map 1 before and after, at levels that enclose the same volume.",
        draw_surfaces(maps[0], maps[1], mask, voxel_size),
    )
    for name in run.outcome["figures"]:
        if (run.folder / name).is_file() and name != "loss.png":
            section.add_figure(run.folder / name, CAPTIONS[name])
    return section


def inferred(run: FinishedRun, page: Path) -> Section | None:
    """Tell how much of the output was measured, by direction, resolution and place; writes the map of it."""
    weight = run.data_weight
    if weight is None:
        return None
    before, after = run.before.half1, run.after.half1
    voxel_size, limit = before.voxel_size_angstrom, run.limit_angstrom
    kept = half_from_centred(read_volume(weight, voxel_size).data)
    found = inferred_fraction(before.data, after.data, kept, voxel_size, limit)
    path = run.folder / INFERRED_FILE
    write_volume(path, before.with_data(found.local), "spisonet: local share of the power that is inferred")
    hidden = run.outcome["unmeasured_fraction"]
    numbers = {
        "of_power": found.whole,
        "of_coefficients": hidden,
        "by_resolution": found.by_direction.numbers(before.box * voxel_size),
        "map": path.name,
    }
    section = Section("Measured and inferred", numbers)
    section.parts.append(
        paragraph(
            f"Of the corrected map's power up to {limit:.2f} Å, {100 * found.whole:.0f} % was inferred and "
            f"the rest measured; {100 * hidden:.0f} % of its Fourier coefficients were not measured. "
            f"{INFERRED_FILE} holds the inferred share around every voxel. {CHIMERAX}"
        )
    )
    section.add_figure(
        beside(page, "inferred"),
        "Share of the output's power that was inferred: by resolution (line: whole shells; grey: cones of 15°"
        " about all directions), and over the hemisphere of directions.",
        draw_shares(found.by_direction, before.box * voxel_size, "inferred share"),
    )
    return section


def held_out(run: FinishedRun, page: Path) -> Section | None:
    """Tell what a validation of this run found, if there was one."""
    found = _record_of(run, run.folder / validate.FOLDER / validate.RECORD)
    if not found:
        return None
    section = Section("Directions that were held out", found)
    settings, reached = found["settings"], found["recovered_half_to_angstrom"]
    cones = f"{settings['cones']} measured cone(s) of {settings['half_angle_degrees']:.0f}°"
    training = f"{settings['epochs']} epochs of {settings['subvolumes_per_epoch']} crops"
    with_network, without = (f"{found[key]:.2f}" for key in ("recovered", "recovered_without_network"))
    end = f"0.5 or more up to {reached:.1f} Å" if reached else "nowhere 0.5 or more"
    section.parts.append(
        paragraph(
            f"{cones} were hidden, one after the other, from all inputs and targets of a new network each "
            f"({training}), and its result from half map 1 compared with the raw half map 2 inside the cone. "
            f"The prediction correlates with the signal there at {with_network} ({without} by data, mask and "
            f"positivity alone), {end}: this recovered fraction is FSC over what half map 2's noise allows. "
            f"The power of the prediction is {found['power_ratio']:.2f} times that of the signal."
        )
    )
    section.parts.append(warning(LARGER))
    if settings.get("start_weights"):
        section.parts.append(
            warning("The networks began with weights that know the cones if they were trained on these maps.")
        )
    section.add_figure(
        beside(page, "held_out"),
        "Held-out cones, mean of all: FSC of the prediction from half map 1 with raw half map 2; the ceiling "
        "is what a perfect prediction would reach.",
        draw_held_out(found["by_resolution"]),
    )
    if "uncertainty" in found:
        _add_uncertainty(section, run, page, found["uncertainty"])
    return section


def _add_uncertainty(section: Section, run: FinishedRun, page: Path, found: dict[str, Any]) -> None:
    low, middle, high = (f"{found[f'{name}_in_mask']:.3g}" for name in QUANTILES)
    section.parts.append(
        paragraph(
            f"Uncertainty of every voxel, from {found['networks']} networks and calibrated on the cones: "
            f"median {middle} inside the mask, in grey values of the map; four fifths are between {low} and "
            f"{high}. {found['script']} colours the map by it in ChimeraX."
        )
    )
    after = run.after.half1
    relative = read_volume(run.folder / found["fourier_map"], after.voxel_size_angstrom)
    error = half_from_centred(relative.data) ** 2
    power = np.abs(rfft3(after.data - after.data.mean())) ** 2
    box_angstrom = after.box * after.voxel_size_angstrom
    last = min(round(box_angstrom / run.limit_angstrom), after.box // 2)
    shares = shares_by_direction(error * power, (1 - error) * power, last)
    section.numbers["uncertainty"] = found | {"by_resolution": shares.numbers(box_angstrom)}
    section.add_figure(
        beside(page, "uncertainty"),
        "Share of the output's power that is expected to be error of inference, by resolution and direction.",
        draw_shares(shares, box_angstrom, "expected error's share"),
    )


def null_tests(run: FinishedRun, page: Path) -> Section | None:
    """Tell what null tests of this run found, if there were some."""
    found = _record_of(run, run.folder / null_tests_run.FOLDER / null_tests_run.RECORD)
    if not found:
        return None
    rows = []
    for name, title in NULL_TESTS.items():
        if numbers := found.get(name):
            said = (
                "FSC {before:.3f} before, {after:.3f} after; {with_original:.3f} with the raw half map 2; "
                "{attempted:.2f} of these shells were corrected"
                if "with_original" in numbers
                else "{after:.1f} standard deviations of the solvent ({original:.1f} with the domain); "
                "{share:.2f} of its pattern"
            ).format(**numbers)
            rows.append([title.format(**numbers), said, numbers["result"]])
    return Section("Null tests", found, [table(["what was corrected", "what appeared", ""], rows)])


def _record_of(run: FinishedRun, path: Path) -> dict[str, Any]:
    """Read a record that belongs to a run, and not to an earlier one in the same folder."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found if found.get("validated_run") == run.outcome["written"] else {}
