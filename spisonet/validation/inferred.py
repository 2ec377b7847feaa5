"""How much of a corrected map is inferred: by direction, by resolution and by place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.analysis.directional_power import DirectionalFractions, fractions_by_direction
from spisonet.fourier.grids import hermitian_multiplicity, irfft3, rfft3, shell_index_rfft
from spisonet.fourier.windows import soft_lowpass_weights
from spisonet.validation.uncertainty import local_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.validation.finished_run import FinishedRun


@dataclass(frozen=True)
class InferredFraction:
    """Fraction in 0..1 of a corrected map's power that is inferred.

    Attributes
    ----------
    whole : float
        Over all coefficients up to the limit.
    local : ndarray
        ``(n, n, n)`` around every voxel, within about the resolution limit.
    by_direction : DirectionalFractions
        In cones, shell by shell.
    """

    whole: float
    local: NDArray[np.float32]
    by_direction: DirectionalFractions


def inferred_fraction_of_run(run: FinishedRun) -> InferredFraction | None:
    """Compute the inferred fraction of a run's first corrected map; None if it wrote no data weight."""
    if run.data_weight_rfft is None:
        return None
    before, after = run.input_maps.half1, run.corrected_maps.half1
    return inferred_fraction(
        before.data, after.data, run.data_weight_rfft, before.voxel_size_angstrom, run.limit_angstrom
    )


def inferred_fraction_of_full_map(run: FinishedRun) -> InferredFraction | None:
    """Compute the inferred fraction of a run's full map; None if it wrote none."""
    before, after, weight = run.average_map, run.full_map, run.full_data_weight_rfft
    if before is None or after is None or weight is None:
        return None
    return inferred_fraction(before.data, after.data, weight, before.voxel_size_angstrom, run.limit_angstrom)


def inferred_fraction(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    data_weight_rfft: NDArray[np.float32],
    voxel_size_angstrom: float,
    limit_angstrom: float,
) -> InferredFraction:
    """Split a corrected map ``X`` into its measured part, ``K Y``, and its inferred part, ``I``.

    The power is divided as ``|X|² = Re(X* K Y) + Re(X* I)``. These two terms add up to the power of the map;
    the powers of the two parts do not where both contribute to the same coefficient.

    Parameters
    ----------
    before, after : ndarray
        ``(n, n, n)`` input map ``Y`` and corrected map ``X``.
    data_weight_rfft : ndarray
        ``(n, n, n // 2 + 1)`` data weight ``K`` in 0..1.
    voxel_size_angstrom, limit_angstrom : float
        Voxel size and resolution limit in Å.
    """
    n = len(before)
    measured = rfft3((before - before.mean()).astype(np.float32)) * data_weight_rfft
    inferred = rfft3((after - after.mean()).astype(np.float32)) - measured
    measured[0, 0, 0] = inferred[0, 0, 0] = 0  # the grey level of the solvent carries no structure
    last = min(round(n * voxel_size_angstrom / limit_angstrom), n // 2)
    whole = measured + inferred
    power = [(part * whole.conj()).real for part in (inferred, measured)]
    by_direction = fractions_by_direction(power[0], power[1], last)
    inside = shell_index_rfft((n, n, n)) <= last
    sums = [float((p * hermitian_multiplicity(n))[inside].sum(dtype=np.float64)) for p in power]
    band = soft_lowpass_weights(n, last, 1.0)
    part, total = (irfft3((v * band).astype(np.complex64), before.shape) for v in (inferred, whole))
    local, density = (
        local_mean(product, limit_angstrom, voxel_size_angstrom) for product in (part * total, total**2)
    )
    ratio = np.divide(local, density, out=np.zeros_like(local), where=density > 0)
    fraction = min(max(sums[0] / max(sum(sums), 1e-30), 0.0), 1.0)
    return InferredFraction(fraction, np.clip(ratio, 0, 1), by_direction)
