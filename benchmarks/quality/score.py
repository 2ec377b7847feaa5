"""Agreement of a corrected map with the truth of a simulated case, by Fourier region."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.quality.scoring import COARSEST_ANGSTROM, TruthComparison
from spisonet.fourier.grids import frequency_axes_rfft, half_from_centred, radius_rfft, shell_index_rfft
from spisonet.geometry.sphere import fibonacci_hemisphere

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.quality.simulate import Simulated

HARDLY_MEASURED = 0.3  # FSC expected between the half maps
MISSING, SAMPLED = 0.2, 0.6  # sampling density relative to even views
CONE_DEGREES = 30.0
SCORES = ("blank", "missing", "sampled", "all", "worst", "power", "ccmask")


def score(
    corrected: NDArray[np.float32], case: Simulated, voxel_size: float, resolution: float
) -> dict[str, float]:
    """Compare a map with the truth inside the mask, from 25 Å to a resolution.

    Returns
    -------
    dict
        Mean FSC to the truth over the shells, for coefficients that the input hardly measured
        (``blank``), that few views sample (``missing``), that many views sample (``sampled``), for ``all``,
        and for the ``worst`` of seven cones; ``power`` in the blank region relative to the truth, scaled to
        equal power in the sampled region; ``ccmask``, the correlation of densities inside the mask after
        every shell has been scaled to the amplitude of the truth.
    """
    n = corrected.shape[0]
    kz, ky, kx = np.broadcast_arrays(*frequency_axes_rfft((n, n, n)))
    k, radius, shell = np.stack([kx, ky, kz]), radius_rfft((n, n, n)), shell_index_rfft((n, n, n))
    last = min(n // 2, int(n * voxel_size / resolution))
    first = max(2, int(n * voxel_size / COARSEST_ANGSTROM))
    band = (shell >= first) & (shell <= last)
    sampling, ssnr = (half_from_centred(values) for values in (case.sampling, case.ssnr))
    blank, sampled = ssnr / (1 + ssnr) < HARDLY_MEASURED, sampling > SAMPLED
    comparison = TruthComparison(corrected, case.truth, case.region)

    def correlation(region: NDArray[np.bool_]) -> float:
        return comparison.mean_fsc(region, first, last)

    cosine = np.cos(np.radians(CONE_DEGREES))
    cones = [np.abs(np.tensordot(a, k, 1)) >= cosine * np.maximum(radius, 1e-6) for a in _cone_axes()]
    return {
        "blank": correlation(blank),
        "missing": correlation(sampling < MISSING),
        "sampled": correlation(sampled),
        "all": correlation(band),
        "worst": min(correlation(cone) for cone in cones),
        "power": comparison.relative_power(band & blank, band & sampled),
        "ccmask": comparison.correlation_in_mask(last),
    }


def _cone_axes() -> NDArray[np.float64]:
    """Return z and six directions spread over a hemisphere, ``(7, 3)``, as ``(x, y, z)``."""
    return np.concatenate([[[0, 0, 1]], fibonacci_hemisphere(6)])
