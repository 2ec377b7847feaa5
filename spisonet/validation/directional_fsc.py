"""FSC of the half maps by direction, before and after a correction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet.analysis.fsc3d import estimate_fsc3d, summarise_fsc3d
from spisonet.geometry.sphere import geodesic_sphere

if TYPE_CHECKING:
    from spisonet.analysis.fsc3d import Fsc3d, Fsc3dMetrics
    from spisonet.analysis.half_maps import HalfMaps
    from spisonet.validation.finished_run import FinishedRun

CONE_DEGREES = 20.0


@dataclass(frozen=True)
class DirectionalFsc:
    """3D FSC of two half maps and its summary."""

    fsc3d: Fsc3d
    metrics: Fsc3dMetrics

    @property
    def numbers(self) -> dict[str, Any]:
        """The summary, for a JSON file."""
        directional = self.metrics.directional_0143_angstrom
        return {
            "resolution_0143_angstrom": self.metrics.resolution_0143_angstrom,
            "best_direction_0143_angstrom": float(directional.min()),
            "worst_direction_0143_angstrom": float(directional.max()),
            "sphericity": self.metrics.sphericity,
            "cfar": self.metrics.cfar,
            "axes_xyz": np.round(geodesic_sphere().axes_zyx[:, ::-1], 4).tolist(),
            "directional_0143_angstrom": np.round(directional, 3).tolist(),
        }


def directional_fsc_of_run(run: FinishedRun) -> dict[str, DirectionalFsc] | None:
    """Compute the directional FSC of the half maps ``before`` and ``after``; None for a single map."""
    if run.config.i2 is None:
        return None
    pairs = {"before": run.half_maps, "after": run.corrected_maps}
    return {when: _directional_fsc(maps, run.limit_angstrom, run.workers) for when, maps in pairs.items()}


def _directional_fsc(maps: HalfMaps, limit_angstrom: float, workers: int) -> DirectionalFsc:
    assert maps.half2 is not None
    mask = None if maps.mask is None else maps.mask.data
    voxel_size = maps.half1.voxel_size_angstrom
    halves = maps.half1.data, maps.half2.data
    fsc3d = estimate_fsc3d(*halves, mask, voxel_size, limit_angstrom, CONE_DEGREES, workers)
    return DirectionalFsc(fsc3d, summarise_fsc3d(fsc3d))
