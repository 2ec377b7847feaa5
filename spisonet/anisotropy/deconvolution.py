"""The classical baseline: deconvolution by the directional transfer function, without a network.

The directional Wiener filter ``M y`` of data with the signal-to-noise ratio ``S``, ``M = S / (1 + S)``, is
the object as seen through the transfer function M, with noise of power ``M (1 - M) P`` where P is the signal
power of a shell. So its deconvolution, weighted by this noise, is a fit to the data themselves,

    x = argmin over x >= 0 of  ½ Σ_k S |X - Y|² / P  +  Σ_v (x ln(x / m) - x + m),

with the mask as support and with the entropy relative to the mean density m of the particle, in units of its
root mean square. It prefers the flattest non-negative density that explains what was measured, which is as
much as can be said of unmeasured directions without knowing what proteins look like.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.fourier.filters import shell_curve_to_rfft
from spisonet.fourier.shells import shell_sums
from spisonet.learning.spectra import irfft3, rfft3

if TYPE_CHECKING:
    from torch import Tensor

    from spisonet.learning.measurement import Measurement

ITERATIONS = 60
HIGHEST_WEIGHT = 0.9  # better measured is as good as known, and would only slow the rest down
NEWTON_STEPS = 4
NOTHING = 1e-3  # of the particle's root mean square


def deconvolve(measurement: Measurement) -> Tensor:
    """Find the flattest density that explains what was measured, for each half alone.

    Parameters
    ----------
    measurement : Measurement
        Data and weight. Without positivity the penalty is ``½ Σ_v x²``, and the result is a directional
        Wiener filter under the mask.

    Returns
    -------
    Tensor
        ``(n_halves, z, y, x)`` densities, to be put where the measurement knows little (`Measurement.fill`).

    References
    ----------
    Skilling & Bryan (1984) MNRAS 211, 111-124 (maximum entropy). Beck & Teboulle (2009) SIAM J. Imaging
    Sci. 2, 183-202 (the iteration).
    """
    # One after the other, to save memory.
    return torch.stack([_deconvolve_half(measurement, data) for data in measurement.data])


def _deconvolve_half(measurement: Measurement, data: Tensor) -> Tensor:
    weight = measurement.filling_weight_rfft.clamp(max=HIGHEST_WEIGHT)
    spectrum = rfft3(data) / math.sqrt(data.numel())
    precision = weight / (1 - weight) / _signal_power(spectrum, weight)
    precision[0, 0, 0] = 0.0  # the solvent is zero by definition, not by measurement
    precision = torch.where(measurement.band_rfft > 0, precision, 0.0)
    estimate = measurement.constrain(irfft3(rfft3(data) * weight, measurement.shape))
    largest = float(precision.max())
    if largest <= 0:  # nothing was measured
        return estimate
    step = 1 / largest
    gain, known = 1 - step * precision, step * precision * spectrum
    level = _mean_density(measurement, data)
    ahead, momentum = estimate, 1.0
    scale = math.sqrt(data.numel())
    for _ in range(ITERATIONS):
        moved = irfft3(rfft3(ahead) * gain + known * scale, measurement.shape)
        if measurement.positivity:
            moved = most_entropic(moved, step, level)
        else:
            moved = moved / (1 + step)
        following = measurement.constrain(moved)
        next_momentum = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = following + (momentum - 1) / next_momentum * (following - estimate)
        estimate, momentum = following, next_momentum
    return estimate


def _signal_power(spectrum: Tensor, weight: Tensor) -> Tensor:
    """Signal power of every shell, which is that of its well measured coefficients."""
    n = len(spectrum)
    reliable = weight.square().cpu().numpy()
    sums, counts = shell_sums((spectrum.abs() ** 2).cpu().numpy() * reliable, n), shell_sums(reliable, n)
    power = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    floor = np.finfo(np.float32).eps * power.max()
    return torch.from_numpy(shell_curve_to_rfft(np.maximum(power, floor), n)).to(spectrum.device)


def _mean_density(measurement: Measurement, data: Tensor) -> float:
    if measurement.support is None:
        return 1.0
    mean = float((data * measurement.support).sum() / measurement.support.sum())
    return max(mean, NOTHING)


def most_entropic(densities: Tensor, step: float, level: float) -> Tensor:
    """Apply the proximal operator of the negative entropy ``x ln(x / m) - x + m``.

    The minimum over ``x > 0`` of ``(x - v)² / 2 + t (x ln(x / m) - x + m)``, where ``x + t ln(x / m) = v``,
    by Newton's method in ``ln x``.

    Parameters
    ----------
    densities : Tensor
        v.
    step : float
        t > 0.
    level : float
        m > 0.
    """
    # With x = t w the equation is w + ln w = z.
    z = densities / step + math.log(level / step)
    logarithm = torch.where(z > 1, z.clamp(min=1).log(), z - 1)
    for _ in range(NEWTON_STEPS):
        w = logarithm.exp()
        logarithm = logarithm - (w + logarithm - z) / (w + 1)
    return step * logarithm.exp()
