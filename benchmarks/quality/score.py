"""Agreement of a corrected map with the truth, by Fourier region."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spisonet.geometry.sphere import fibonacci_hemisphere

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from simulate import Simulated

LOWEST_RESOLUTION = 25.0  # Å
HARDLY_MEASURED = 0.3  # FSC expected between the half maps
MISSING, SAMPLED = 0.2, 0.6  # sampling density relative to even views
CONE_DEGREES = 30.0
MIN_COEFFICIENTS = 8  # per shell
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
    axis = np.arange(n) - n // 2
    k = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"))[::-1]  # x, y, z
    radius = np.sqrt((k**2).sum(axis=0))
    shell = np.rint(radius).astype(int)
    last = min(n // 2, int(n * voxel_size / resolution))
    first = max(2, int(n * voxel_size / LOWEST_RESOLUTION))
    band = (shell >= first) & (shell <= last)
    blank = case.ssnr / (1 + case.ssnr) < HARDLY_MEASURED
    sampled = case.sampling > SAMPLED

    def transform(volume: NDArray[np.float32]) -> NDArray[np.complex128]:
        return np.fft.fftshift(np.fft.fftn((volume - volume.mean()) * case.region))

    def sums(values: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.bincount(shell.ravel(), values.ravel(), n * 2)

    found, truth = transform(corrected), transform(case.truth)
    cross = np.real(found * np.conj(truth))
    power1, power2 = np.abs(found) ** 2, np.abs(truth) ** 2

    def correlation(members: NDArray[np.bool_]) -> float:
        members = members & band
        counts, c, p1, p2 = (sums(members * v) for v in (np.ones_like(cross), cross, power1, power2))
        enough = counts >= MIN_COEFFICIENTS
        return float(np.mean(c[enough] / np.sqrt(p1[enough] * p2[enough] + 1e-20)))

    cosine = np.cos(np.radians(CONE_DEGREES))
    cones = [np.abs(np.tensordot(a, k, 1)) >= cosine * np.maximum(radius, 1e-6) for a in _cone_axes()]
    scale2 = power2[band & sampled].sum() / power1[band & sampled].sum()
    matched = np.sqrt(sums(power2) / (sums(power1) + 1e-20))[shell] * found * (shell <= last)
    densities = [np.real(np.fft.ifftn(np.fft.ifftshift(f))) for f in (matched, truth * (shell <= last))]
    inside = case.region > 0.5
    return {
        "blank": correlation(blank),
        "missing": correlation(case.sampling < MISSING),
        "sampled": correlation(sampled),
        "all": correlation(band),
        "worst": min(correlation(cone) for cone in cones),
        "power": float(scale2 * power1[band & blank].sum() / power2[band & blank].sum()),
        "ccmask": float(np.corrcoef(densities[0][inside], densities[1][inside])[0, 1]),
    }


def _cone_axes() -> NDArray[np.float64]:
    """Return z and six directions spread over a hemisphere, ``(7, 3)``, as ``(x, y, z)``."""
    return np.concatenate([[[0, 0, 1]], fibonacci_hemisphere(6)])
