"""Measured against inferred: how much of a corrected map was measured, by direction, resolution and place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.analysis.directional_power import DirectionalShares, shares_by_direction
from spisonet.fourier.filters import soft_lowpass_weights
from spisonet.fourier.grids import hermitian_multiplicity, irfft3, rfft3, shell_index_rfft
from spisonet.validation.uncertainty import local_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class InferredFraction:
    """Share in 0..1 of a corrected map's power that is inferred.

    Attributes
    ----------
    whole : float
        Of all coefficients up to the limit.
    local : ndarray
        ``(n, n, n)`` around every voxel, within about the resolution limit.
    by_direction : DirectionalShares
        In cones, shell by shell.
    """

    whole: float
    local: NDArray[np.float32]
    by_direction: DirectionalShares


def inferred_fraction(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    kept_rfft: NDArray[np.float32],
    voxel_size_angstrom: float,
    limit_angstrom: float,
) -> InferredFraction:
    """Split a corrected map ``X`` into what was measured, ``K Y``, and the rest ``I``; share out its power.

    ``|X|² = Re(X* K Y) + Re(X* I)``: the two shares add up to the power of the map, which the powers of the
    two parts do not where both are of the same coefficient.

    Parameters
    ----------
    before, after : ndarray
        ``(n, n, n)`` map as it was and as it was corrected.
    kept_rfft : ndarray
        ``(n, n, n // 2 + 1)`` share ``K`` in 0..1 of every coefficient that was kept as measured.
    voxel_size_angstrom, limit_angstrom : float
        Voxel size and resolution limit in Å.
    """
    n = len(before)
    measured = rfft3((before - before.mean()).astype(np.float32)) * kept_rfft
    inferred = rfft3((after - after.mean()).astype(np.float32)) - measured
    # The grey level of the solvent is of no interest, and the edges of the box neither.
    measured[0, 0, 0] = inferred[0, 0, 0] = 0
    last = min(round(n * voxel_size_angstrom / limit_angstrom), n // 2)
    whole = measured + inferred
    power = [(part * whole.conj()).real for part in (inferred, measured)]
    shares = shares_by_direction(power[0], power[1], last)
    inside = shell_index_rfft((n, n, n)) <= last
    sums = [float((p * hermitian_multiplicity(n))[inside].sum(dtype=np.float64)) for p in power]
    band = soft_lowpass_weights(n, last, 1.0)
    part, total = (irfft3((v * band).astype(np.complex64), before.shape) for v in (inferred, whole))
    local, density = (
        local_mean(product, limit_angstrom, voxel_size_angstrom) for product in (part * total, total**2)
    )
    ratio = np.divide(local, density, out=np.zeros_like(local), where=density > 0)
    return InferredFraction(min(max(sums[0] / max(sum(sums), 1e-30), 0.0), 1.0), np.clip(ratio, 0, 1), shares)
