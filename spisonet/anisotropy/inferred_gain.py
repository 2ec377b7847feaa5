"""Gain of the inferred part of completed maps, by shell, measured in a cone that is held out from it.

A completed map is ``x = M y + q``: data with their weight, and an inferred part. Constraints and networks
infer phases better than amplitudes. At high resolution positivity creates density of its own where the maps
have hardly any signal left, and in other shells the inferred part is too weak. The gain ``g`` of each shell
minimises the squared error of

    x = M y + g q

in measured directions that were held out from the completion, where ``q`` is compared with data that are
independent of it. An inferred part with the optimal gain has the power FSC² of that of the signal. Without
a correlation to the held-out data the inferred part vanishes, and the data remain.

A gain above 1 also amplifies noise, of which poorly measured directions contain more than a held-out cone. It
is therefore limited to what the two half maps reproduce: ``g FSC`` with the FSC of the inferred parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from spisonet.anisotropy.data_factors import NO_FACTORS, DataFactors, measure_factors, with_factors
from spisonet.anisotropy.prediction_shares import held_out_cone, without_region
from spisonet.learning.spectra import irfft3, rfft3, shell_index_rfft, shell_sums
from spisonet.learning.whitening import shell_amplitude_rfft

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from spisonet.learning.measurement import Measurement

SMOOTHING_SHELLS = 1.0  # standard deviation of the Gaussian that averages over shells
MAX_GAIN = 2.0
TINY = 1e-12


@dataclass(frozen=True)
class CompletedMaps:
    """Completed maps, the gain of their inferred part, and the factors of their data.

    Attributes
    ----------
    maps : Tensor
        ``(n_maps, z, y, x)`` completed maps, at a gain and factors of 1.
    gain : Tensor or None
        ``(n_shells,)`` gain in 0..2 by shell of the box; None if it was not measured.
    factors : DataFactors
        Factors of the signal-to-noise ratio of the data.
    """

    maps: Tensor
    gain: Tensor | None
    factors: DataFactors = NO_FACTORS

    @classmethod
    def measured(
        cls, measurement: Measurement, maps: Tensor, region: Tensor, held_out: Tensor
    ) -> CompletedMaps:
        """Measure gain and factors of completed maps; parameters as for `measure_gain`."""
        gain = measure_gain(measurement, region, held_out, maps)
        return cls(maps, gain, measure_factors(measurement, with_gain(measurement, maps, gain)))

    def recombined(self, measurement: Measurement) -> Tensor:
        """Return the maps with gain and factors, for the measurement that they complete."""
        return with_factors(measurement, with_gain(measurement, self.maps, self.gain), self.factors)

    @property
    def gain_by_shell(self) -> list[float] | None:
        """The gain as numbers, for ``job.json``."""
        return None if self.gain is None else [round(value, 4) for value in self.gain.tolist()]

    def cpu(self) -> CompletedMaps:
        """Return the same in the memory of the CPU."""
        return CompletedMaps(self.maps.cpu(), None if self.gain is None else self.gain.cpu(), self.factors)


def constrained_maps(measurement: Measurement) -> CompletedMaps:
    """Complete the maps of a measurement by mask and positivity constraints only.

    The gain is measured in a held-out cone; without mask or view weight there are neither gain nor factors.
    """
    maps = measurement.complete_by_constraints()
    if not measurement.has_constraints:
        return CompletedMaps(maps, None)
    region = held_out_cone(measurement)
    held_out = without_region(measurement, region).complete_by_constraints()
    return CompletedMaps.measured(measurement, maps, region, held_out)


def measure_gain(measurement: Measurement, region: Tensor, held_out: Tensor, completed: Tensor) -> Tensor:
    """Measure the gain of the inferred part of completed maps.

    Parameters
    ----------
    measurement : Measurement
        The measurement, with the data in the region. The map that one half was completed to is compared with
        the data of the other, or with its own if there is only one.
    region : Tensor
        ``(z, y, x // 2 + 1)`` bool, a region of measured coefficients.
    held_out : Tensor
        ``(n_halves, z, y, x)`` maps completed without the data in the region.
    completed : Tensor
        The same, completed with all data.

    Returns
    -------
    Tensor
        ``(n_shells,)`` gain in 0..2, smoothed over shells; at most 1 for a single map.
    """
    amplitude = shell_amplitude_rfft(measurement)
    inside = region & (amplitude > 0)
    weight = torch.where(inside, measurement.data_weight_rfft / amplitude.clamp(min=TINY).square(), 0.0)
    mean = _mean_over_shells(measurement)
    cross = power = torch.zeros(1, device=weight.device)
    halves = zip(held_out, measurement.data.flip(0), strict=True)  # one after the other, to save memory
    for predicted, data in halves:
        spectrum = rfft3(predicted)
        power = power + mean(weight * spectrum.abs().square())
        cross = cross + mean(weight * (spectrum.conj() * rfft3(data)).real)
    gain = torch.where(power > TINY, cross / power.clamp(min=TINY), 1.0).clamp(0.0, MAX_GAIN)
    limit = torch.ones_like(gain)
    if measurement.n_halves > 1:
        limit = (gain * _reproducible_fraction(measurement, completed, amplitude)).clamp(min=1.0)
    return torch.minimum(gain, limit)


def with_gain(measurement: Measurement, completed: Tensor, gain: Tensor | None) -> Tensor:
    """Return completed maps whose inferred part has a gain.

    Parameters
    ----------
    measurement : Measurement
        The measurement that the maps complete.
    completed : Tensor
        ``(n_halves, z, y, x)``.
    gain : Tensor or None
        ``(n_shells,)`` gain by shell; None for 1.
    """
    if gain is None:
        return completed
    factor = gain.to(completed.device)[shell_index_rfft(measurement.shape, completed.device)]
    kept = (1.0 - factor) * measurement.data_weight_rfft
    halves = zip(completed, measurement.data, strict=True)
    return torch.stack(
        [irfft3(rfft3(whole) * factor + rfft3(data) * kept, measurement.shape) for whole, data in halves]
    )


def _reproducible_fraction(measurement: Measurement, completed: Tensor, amplitude: Tensor) -> Tensor:
    """Return the FSC of the mean of the inferred parts of two halves, ``2 F / (1 + F)``, by shell."""
    unmeasured = 1.0 - measurement.data_weight_rfft
    weight = torch.where(amplitude > 0, unmeasured / amplitude.clamp(min=TINY), 0.0).square()
    first, second = (
        rfft3(whole) - measurement.data_weight_rfft * rfft3(data)
        for whole, data in zip(completed, measurement.data, strict=True)
    )
    mean = _mean_over_shells(measurement)
    power = mean(weight * first.abs().square()) * mean(weight * second.abs().square())
    fsc = (mean(weight * (first.conj() * second).real) / power.clamp(min=TINY).sqrt()).clamp(0.0, 1.0)
    return 2.0 * fsc / (1.0 + fsc)


def _mean_over_shells(measurement: Measurement) -> Callable[[Tensor], Tensor]:
    """Return the function that sums a half spectrum over shells, averaged over neighbouring shells."""
    shell = shell_index_rfft(measurement.shape, measurement.data.device)
    numbers = torch.arange(int(shell.max()) + 1, device=shell.device)
    distance = (numbers[:, None] - numbers[None, :]) / SMOOTHING_SHELLS
    kernel = torch.exp(-0.5 * distance.square())
    kernel /= kernel.sum(dim=1, keepdim=True)
    return lambda values: kernel @ shell_sums(values, shell)
