"""The report of a correction of poses: drift, rounds, views, maps and FSC before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spisonet.figures import captions
from spisonet.figures.fsc3d import draw_comparison
from spisonet.figures.pose_drift import draw_views
from spisonet.figures.surfaces import draw_surfaces
from spisonet.geometry.rotations import view_directions
from spisonet.geometry.view_sampling import symmetric_directions
from spisonet.report.directional_fsc import fsc_table
from spisonet.report.page import paragraph, table
from spisonet.report.section import Section, beside

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from spisonet.misalignment.pose_correction import PoseCorrection
    from spisonet.validation.directional_fsc import SummarisedFsc

INDEPENDENCE = (
    "Half sets are kept. The collective motion, a few numbers for all particles, is common to both; local "
    "refinement compares each particle with the map of its own half set, and the half maps are then "
    "superimposed by a shift."
)


@dataclass(frozen=True)
class PosesBeforeAfter:
    """Poses before and after their correction, and the half maps reconstructed from both.

    Attributes
    ----------
    rotations : dict
        ``(n, 3, 3)`` from the map to the images, by ``before`` and ``after``.
    symmetry : ndarray
        ``(g, 3, 3)`` rotations of the point group.
    maps : dict
        Average ``(n, n, n)`` of the half maps.
    mask : ndarray or None
        ``(n, n, n)``.
    fsc : dict
        FSC of the half maps by direction.
    voxel_size_angstrom : float
        Of the maps.
    """

    rotations: dict[str, NDArray[np.float64]]
    symmetry: NDArray[np.float64]
    maps: dict[str, NDArray[np.float32]]
    mask: NDArray[np.float32] | None
    fsc: dict[str, SummarisedFsc]
    voxel_size_angstrom: float


def rounds_section(correction: PoseCorrection) -> Section:
    """Report the log-likelihood in each round, and whether one of them raised it."""
    rounds = [
        {
            "motion_degrees": done.motion_degrees,
            "log_likelihood_after_motion": done.after_motion.mean,
            "log_likelihood_after_refinement": done.after_refinement.mean,
        }
        for done in correction.rounds
    ]
    numbers: dict[str, Any] = {
        "log_likelihood_before": correction.before.mean,
        "log_likelihood_after": correction.after.mean,
        "rise": correction.rise,
        "rise_standard_error": correction.rise_standard_error,
        "rounds": rounds,
    }
    rows = [["as they were", "", "", f"{correction.before.mean:.2f}"]]
    rows += [
        [
            str(number),
            f"{done['motion_degrees']:.1f}",
            f"{done['log_likelihood_after_motion']:.2f}",
            f"{done['log_likelihood_after_refinement']:.2f}",
        ]
        for number, done in enumerate(rounds, start=1)
    ]
    head = ["round", "collective motion (° rms)", "log-likelihood after it", "after local refinement"]
    rise = (
        f"The log-likelihood per particle rose by {correction.rise:.2f} ± "
        f"{correction.rise_standard_error:.2f} nats. The poses with the highest value are written."
        if correction.is_improved
        else "No round raised the log-likelihood significantly; no poses are written."
    )
    return Section(
        "Correction of the poses", numbers, [paragraph(rise), table(head, rows), paragraph(INDEPENDENCE)]
    )


def before_after_sections(found: PosesBeforeAfter, page: Path) -> list[Section]:
    """Show views, maps and FSC before and after."""
    views = Section("Views")
    mates = {
        f"views {when}": symmetric_directions(view_directions(rotations), found.symmetry)
        for when, rotations in found.rotations.items()
    }
    views.add_figure(beside(page, "views"), captions.VIEWS_BEFORE_AFTER, draw_views(mates))
    maps = Section("Maps")
    limit = found.fsc["before"].metrics.resolution_0143.angstrom
    surfaces = draw_surfaces(
        found.maps["before"], found.maps["after"], found.mask, found.voxel_size_angstrom, limit
    )
    maps.add_figure(beside(page, "surfaces"), captions.POSE_SURFACES, surfaces)
    numbers = {when: fsc.numbers for when, fsc in found.fsc.items()}
    directions = Section("FSC by direction", numbers, [fsc_table(found.fsc)])
    comparison = draw_comparison({when: (fsc.fsc, fsc.metrics) for when, fsc in found.fsc.items()})
    directions.add_figure(beside(page, "directional_fsc"), captions.POSE_FSC, comparison)
    return [views, maps, directions]
