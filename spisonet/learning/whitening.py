"""Whitening of maps: division by the shell amplitudes of their signal.

The amplitudes of a map fall by orders of magnitude from coarse to fine resolution, and with the B-factor. A
whitened map has a signal of the same power in every shell, so that a network weights all shells equally and
can be trained on maps of other structures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from spisonet.learning.spectra import apply_filter, rfft3, shell_index_rfft, shell_sums

if TYPE_CHECKING:
    from torch import Tensor

    from spisonet.learning.measurement import Measurement

LOWEST_POWER = 1e-7  # of a shell, relative to the strongest one
INSIDE = 0.5  # of the support, for the scale


@dataclass(frozen=True)
class Whitening:
    """An isotropic filter that gives every shell of the signal the same power, and its inverse.

    Attributes
    ----------
    whitening_rfft, restoring_rfft : Tensor
        ``(z, y, x // 2 + 1)`` filter and inverse; both are 0 outside the band.
    """

    whitening_rfft: Tensor
    restoring_rfft: Tensor

    @classmethod
    def of(cls, measurement: Measurement, completed: Tensor) -> Whitening:
        """Return the whitening of a measurement with a support.

        Parameters
        ----------
        measurement : Measurement
            Its data define the shell amplitudes.
        completed : Tensor
            ``(n_halves, z, y, x)`` maps completed by constraints. Whitened, they get a root mean square of 1
            inside the support.
        """
        amplitude = shell_amplitude_rfft(measurement)
        whitening = whitening_rfft(measurement, amplitude)
        scales = [whitening_scale(measurement, apply_filter(half, whitening)) for half in completed]
        scale = torch.stack(scales).mean()
        return cls(whitening / scale, amplitude * scale)

    def apply(self, volumes: Tensor) -> Tensor:
        """Whiten volumes ``(..., z, y, x)``."""
        return apply_filter(volumes, self.whitening_rfft)

    def restore(self, volumes: Tensor) -> Tensor:
        """Give whitened volumes ``(..., z, y, x)`` their amplitudes."""
        return apply_filter(volumes, self.restoring_rfft)


def whitening_rfft(measurement: Measurement, amplitude_rfft: Tensor) -> Tensor:
    """Return the filter ``(z, y, x // 2 + 1)`` that divides by shell amplitudes within the band."""
    amplitude = amplitude_rfft.clamp(min=1e-30)
    return torch.where(amplitude_rfft > 0, measurement.band_rfft / amplitude, 0.0)


def whitening_scale(measurement: Measurement, whitened: Tensor) -> Tensor:
    """Return the root mean square of a whitened map ``(z, y, x)`` inside the support of a measurement."""
    assert measurement.support is not None
    inside = measurement.support > INSIDE * measurement.support.max()
    return whitened[inside].square().mean().sqrt().clamp(min=1e-30)


def shell_amplitude_rfft(measurement: Measurement) -> Tensor:
    """Amplitude of the signal of each shell ``(z, y, x // 2 + 1)``; 0 outside the band.

    With the noise fraction ``f`` inside the mask, the power of masked data is that of the signal times
    ``1 + f (1 - M) / M``. The mean over a shell is weighted by ``M``, so that measured directions define it.
    """
    weight, fraction = measurement.data_weight_rfft, measurement.noise_fraction_in_mask
    assert measurement.support is not None
    power = torch.stack([rfft3(data * measurement.support).abs().square() for data in measurement.data]).mean(
        0
    )
    signal = power * weight / (weight + fraction * (1 - weight)).clamp(min=1e-6)
    shell = shell_index_rfft(measurement.shape, power.device)
    sums, counts = shell_sums(weight * signal, shell), shell_sums(weight, shell)
    mean = sums / counts.clamp(min=1e-9)
    logarithm = mean.clamp(min=LOWEST_POWER * float(mean.max())).log()
    smooth = torch.nn.functional.avg_pool1d(
        torch.nn.functional.pad(logarithm[None, None], (1, 1), mode="replicate"), 3, stride=1
    )[0, 0]
    smooth[0] = smooth[1]
    return (smooth / 2).exp()[shell] * (measurement.band_rfft > 0)
