"""FSC of the half maps by direction, before and after a correction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet.analysis.fsc3d import estimate_directional_fsc, summarise_fsc3d
from spisonet.analysis.fsc_metrics import DIRECTION_CONE_DEGREES
from spisonet.geometry.sphere import geodesic_sphere

if TYPE_CHECKING:
    from spisonet.analysis.fsc3d import DirectionalFsc, Fsc3dMetrics
    from spisonet.analysis.half_maps import HalfMaps
    from spisonet.validation.finished_run import FinishedRun


@dataclass(frozen=True)
class SummarisedFsc:
    """FSC of two half maps by direction and its summary."""

    fsc: DirectionalFsc
    metrics: Fsc3dMetrics

    @property
    def numbers(self) -> dict[str, Any]:
        """The summary, for a JSON file; a resolution that is not reached is None."""
        metrics, directional = self.metrics, self.metrics.directional_0143
        uncorrected = metrics.resolution_0143_uncorrected
        return {
            "resolution_0143_angstrom": metrics.resolution_0143.number,
            "resolution_0143_uncorrected_angstrom": None if uncorrected is None else uncorrected.number,
            "best_direction_0143_angstrom": directional.best.number,
            "worst_direction_0143_angstrom": directional.worst.number,
            "finest_resolution_angstrom": self.fsc.box_angstrom / (len(self.fsc.global_fsc) - 1),
            "sphericity": metrics.sphericity,
            "cfar": metrics.cfar,
            "cone_half_angle_degrees": DIRECTION_CONE_DEGREES,
            "axes_xyz": np.round(geodesic_sphere().axes_zyx[:, ::-1], 4).tolist(),
            "directional_0143_angstrom": directional.numbers,
        }


def directional_fsc_of_run(run: FinishedRun) -> dict[str, SummarisedFsc] | None:
    """Compute the directional FSC of the half maps ``before`` and ``after``; None for a single map."""
    if run.config.i2 is None:
        return None
    pairs = {"before": run.half_maps, "after": run.corrected_maps}
    return {when: _summarised_fsc(maps, run) for when, maps in pairs.items()}


def _summarised_fsc(maps: HalfMaps, run: FinishedRun) -> SummarisedFsc:
    assert maps.half2 is not None
    fsc = estimate_directional_fsc(
        maps.half1.data,
        maps.half2.data,
        None if maps.mask is None else maps.mask.data,
        maps.half1.voxel_size_angstrom,
        run.limit_angstrom,
        run.workers,
        beyond_limit=run.limit_is_measured,
    )
    return SummarisedFsc(fsc, summarise_fsc3d(fsc))
