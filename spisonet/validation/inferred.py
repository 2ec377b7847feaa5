"""Measured against inferred: how much of a corrected map was measured, by direction, resolution and place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.fourier.filters import soft_lowpass_weights
from spisonet.fourier.grids import hermitian_multiplicity, irfft3, rfft3, shell_index_rfft
from spisonet.validation.directions import DirectionalShares, shares_by_direction
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
    """Split a corrected map into what was measured, ``K Y``, and the rest, and compare their power.

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
    power = [(np.abs(part) ** 2).astype(np.float32) for part in (inferred, measured)]
    shares = shares_by_direction(power[0], power[1], last)
    inside = shell_index_rfft((n, n, n)) <= last
    sums = [float((p * hermitian_multiplicity(n))[inside].sum(dtype=np.float64)) for p in power]
    band = soft_lowpass_weights(n, last, 1.0)
    local = [
        local_mean(
            irfft3((part * band).astype(np.complex64), before.shape) ** 2, limit_angstrom, voxel_size_angstrom
        )
        for part in (inferred, measured)
    ]
    whole = local[0] + local[1]
    return InferredFraction(
        sums[0] / max(sum(sums), 1e-30),
        np.divide(local[0], whole, out=np.zeros_like(whole), where=whole > 0),
        shares,
    )
