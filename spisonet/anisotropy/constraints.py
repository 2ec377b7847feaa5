"""Correction without a network: the maps completed with mask and positivity constraints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.anisotropy.recombination import CorrectedMap, corrected_maps

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spisonet.analysis.normalisation import GreyScale
    from spisonet.learning.measurement import Measurement


def deconvolve(
    measurement: Measurement, inputs: list[NDArray[np.float32]], scales: list[GreyScale]
) -> list[CorrectedMap]:
    """Correct each map alone, by a directional Wiener filter that is deconvolved under the constraints.

    See `Measurement.complete_by_constraints`.

    Parameters
    ----------
    measurement, inputs, scales
        As for `recombine`.
    """
    return corrected_maps(measurement, measurement.complete_by_constraints(), inputs, scales)
