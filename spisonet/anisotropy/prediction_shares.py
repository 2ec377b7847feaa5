"""Shares of predictions in a completed map, measured in a cone that is held out from them.

A prediction is not better than the map completed by constraints because it looks better. A measured cone is
therefore left out of everything that predictions are made of, and its data are compared with them. A network
that is trained on the map is trained without the cone first, and continues on all data when its share is
known: a network that was trained on all data is specific to the directions that they lack, and fails if
another cone is removed from its inputs.

The shares ``b`` minimise the squared error of

    x = x0 + sum over i of b_i (x_i - x0),        b_i >= 0,   sum of b_i <= 1,

in the cone, where ``x0`` is completed by constraints and ``x_i`` by prediction ``i``. The noise of the data
in the cone is independent of all of them. A prediction that does not help gets no share.

The cone is narrower than most unmeasured regions, and has measured neighbours, so that constraints do better
in it. The best shares are therefore doubled, to a sum of at most 1; this factor was found on
simulated half maps (``benchmarks/RESULTS.md``).

References
----------
Breiman (1996) Machine Learning 24, 49-64 (stacked regressions).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.geometry.sphere import fibonacci_hemisphere
from spisonet.learning.spectra import frequency_points_rfft, rfft3
from spisonet.learning.whitening import shell_amplitude_rfft

if TYPE_CHECKING:
    from torch import Tensor

    from spisonet.learning.measurement import Measurement

HALF_ANGLES_DEGREES = (20.0, 15.0, 10.0)  # of the cone: the first that is allowed is used
MAX_HELD_OUT_FRACTION = 0.2  # of the measured weight
CANDIDATES = 300  # directions of the cone
SAMPLES = 50_000  # coefficients by which they are compared
MIN_BAND_PART = 0.3  # of the band: coarser shells of a cone have few coefficients
SHARE_STEPS = 50
NARROW_CONE_FACTOR = 2.0


def held_out_cone(measurement: Measurement) -> Tensor:
    """Return a double cone of well-measured directions, ``(z, y, x // 2 + 1)`` bool.

    Parameters
    ----------
    measurement : Measurement
        With a view weight ``M``. The cone has a half-angle of 20 degrees, or less where it would contain more
        than 20 % of the weight, and the largest mean of it in the outer part of the band.
    """
    points = frequency_points_rfft(measurement.shape, measurement.data.device)
    radius = points.norm(dim=-1)
    directions = points / radius.clamp(min=1e-9)[..., None]
    outer = (radius > measurement.band_fraction / 4) & (measurement.band_rfft > 0.5)
    weight, of_outer = measurement.data_weight_rfft[outer], directions[outer]
    step = max(1, len(weight) // SAMPLES)
    weight, of_outer = weight[::step], of_outer[::step]
    axes = torch.from_numpy(fibonacci_hemisphere(CANDIDATES).astype(np.float32)).to(points.device)
    for half_angle in HALF_ANGLES_DEGREES:
        cosine = math.cos(math.radians(half_angle))
        means = torch.stack([weight[(of_outer @ axis).abs() > cosine].mean() for axis in axes])
        best = axes[int(means.nan_to_num().argmax())]
        held_out = weight[(of_outer @ best).abs() > cosine].sum()
        if held_out <= MAX_HELD_OUT_FRACTION * weight.sum():
            break
    region: Tensor = (directions @ best).abs() > cosine
    return region


def without_region(measurement: Measurement, region: Tensor) -> Measurement:
    """Return the measurement with weights of 0 in a region ``(z, y, x // 2 + 1)`` of Fourier space."""
    views, keep = measurement.view_weight_rfft, (~region).float()
    return replace(
        measurement,
        fsc_weight_rfft=measurement.fsc_weight_rfft * keep,
        view_weight_rfft=None if views is None else views * keep,
        prior=None,
    )


def measure_shares(
    measurement: Measurement, region: Tensor, constrained: Tensor, completed: list[Tensor]
) -> list[float]:
    """Measure the shares of completed maps in a region that was held out from them.

    Parameters
    ----------
    measurement : Measurement
        With the data in the region. The completed maps of one half are compared with the data of the other,
        or of the same half if there is only one.
    region : Tensor
        ``(z, y, x // 2 + 1)`` bool.
    constrained : Tensor
        ``(n_halves, z, y, x)`` maps completed by constraints.
    completed : list of Tensor
        The same, completed by each prediction.

    Returns
    -------
    list of float
        Share in 0..1 of each; the rest is that of `constrained`.
    """
    used, weight = _compared(measurement, region)
    n = len(completed)
    matrix, target = np.zeros((n, n)), np.zeros(n)
    data = rfft3(measurement.data.flip(0))[:, used]
    base = rfft3(constrained)[:, used]
    changes = [rfft3(volumes)[:, used] - base for volumes in completed]
    for i, change in enumerate(changes):
        target[i] = float((weight * (change.conj() * (data - base)).real).sum())
        for j, other in enumerate(changes):
            matrix[i, j] = float((weight * (change.conj() * other).real).sum())
    best = _best_shares(matrix, target)
    total = float(best.sum())
    factor = min(NARROW_CONE_FACTOR, 1 / total) if total > 0 else 1.0
    return [float(share * factor) for share in best]


def held_out_correlation(measurement: Measurement, region: Tensor, completed: Tensor) -> float:
    """Return the correlation of completed maps with the data in a region that was held out from them.

    Parameters
    ----------
    measurement, region
        As for `measure_shares`; the coefficients have the same weights.
    completed : Tensor
        ``(n_halves, z, y, x)`` maps completed without the data in the region.
    """
    used, weight = _compared(measurement, region)
    data = rfft3(measurement.data.flip(0))[:, used]
    found = rfft3(completed)[:, used]
    cross = float((weight * (found.conj() * data).real).sum())
    powers = [float((weight * spectrum.abs().square()).sum()) for spectrum in (found, data)]
    return cross / math.sqrt(powers[0] * powers[1]) if min(powers) > 0 else 0.0


def _compared(measurement: Measurement, region: Tensor) -> tuple[Tensor, Tensor]:
    """Return which coefficients of a region are compared with the data, and their weights."""
    amplitude = shell_amplitude_rfft(measurement)
    radius = frequency_points_rfft(measurement.shape, region.device).norm(dim=-1)
    used = region & (amplitude > 0) & (radius > MIN_BAND_PART * measurement.band_fraction / 2)
    return used, measurement.data_weight_rfft[used] / amplitude[used].square()


def blend(constrained: Tensor, completed: list[Tensor], shares: list[float]) -> Tensor:
    """Return the mean of completed maps ``(n_halves, z, y, x)`` with their shares."""
    result = constrained.clone()
    for volumes, share in zip(completed, shares, strict=True):
        result += share * (volumes - constrained)
    return result


def _best_shares(matrix: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Minimise ``b^T matrix b - 2 target b`` over the shares, by trying all on a grid."""
    axis = np.linspace(0, 1, SHARE_STEPS + 1)
    grid = np.stack(np.meshgrid(*[axis] * len(target), indexing="ij"), axis=-1).reshape(-1, len(target))
    grid = grid[grid.sum(axis=1) <= 1 + 1e-9]
    error = np.einsum("gi,ij,gj->g", grid, matrix, grid) - 2 * grid @ target
    best: np.ndarray = grid[np.argmin(error)]
    return best
