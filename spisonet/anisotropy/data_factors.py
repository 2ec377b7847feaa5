"""Factors of the signal-to-noise ratio of the data in completed maps, measured with the other half map.

A completed map is ``x = M y + q``: data ``y`` at the weight ``M = S / (1 + S)``, with the signal-to-noise
ratio ``S`` of the unmasked half maps, and an inferred part ``q``. That weight is not the best one inside the
mask. There, less noise counts, so that the data deserve more weight. Where a prediction is good, they deserve
less. With ``f S`` in place of ``S`` the map is

    x = (M f y + q) / (1 - M + M f)

Two factors ``f`` minimise the squared error of one half to the data of the other inside the mask: one in
the best measured directions of each shell, one, at most 1, in poorly measured directions. There the half maps
also contain errors that both share.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.learning.spectra import irfft3, rfft3, shell_index_rfft, shell_sums
from spisonet.learning.whitening import shell_amplitude_rfft

if TYPE_CHECKING:
    from torch import Tensor

    from spisonet.learning.measurement import Measurement

# Signal-to-noise ratio of a coefficient relative to the best measured directions of its shell.
POORLY_MEASURED_BELOW, WELL_MEASURED_FROM = 0.2, 0.5
FACTORS = np.geomspace(0.25, 4.0, 9)
WEIGHT_RANGE = (0.02, 0.9)  # of the coefficients that count: with other weights the factor changes little
FIRST_SHELL = 4
FEWEST_COEFFICIENTS = 500
TINY = 1e-12


@dataclass(frozen=True)
class DataFactors:
    """Factors of the signal-to-noise ratio of the data.

    Attributes
    ----------
    well_measured : float
        In 0.25..4, in the best measured directions of each shell.
    poorly_measured : float
        In 0.25..1, where the ratio is below a fifth of that.
    """

    well_measured: float = 1.0
    poorly_measured: float = 1.0

    def rfft(self, measurement: Measurement) -> Tensor:
        """Return the factor of each coefficient, ``(z, y, x // 2 + 1)``."""
        edges = math.log(POORLY_MEASURED_BELOW), math.log(WELL_MEASURED_FROM)
        position = relative_ssnr_rfft(measurement).clamp(min=TINY).log()
        part = ((position - edges[0]) / (edges[1] - edges[0])).clamp(0.0, 1.0)
        low, high = math.log(self.poorly_measured), math.log(self.well_measured)
        return (low + (high - low) * part).exp()

    def as_record(self) -> dict[str, float]:
        """Return the factors by name, for ``job.json``."""
        return {name: round(value, 4) for name, value in asdict(self).items()}

    @staticmethod
    def mean(factors: list[DataFactors]) -> DataFactors:
        """Return the geometric mean."""
        logarithms = np.log([(each.well_measured, each.poorly_measured) for each in factors])
        well, poorly = np.exp(logarithms.mean(axis=0))
        return DataFactors(float(well), float(poorly))


NO_FACTORS = DataFactors()


def relative_ssnr_rfft(measurement: Measurement) -> Tensor:
    """Return the signal-to-noise ratio of each coefficient relative to the best measured ones of its shell.

    Those of a shell have the mean ratio weighted by the ratio itself.
    """
    weight = measurement.data_weight_rfft
    ssnr = weight / (1.0 - weight).clamp(min=1e-4)
    shell = shell_index_rfft(measurement.shape, weight.device)
    best = shell_sums(ssnr.square(), shell) / shell_sums(ssnr, shell).clamp(min=TINY)
    return ssnr / best.clamp(min=TINY)[shell]


def with_factors(measurement: Measurement, completed: Tensor, factors: DataFactors) -> Tensor:
    """Return completed maps ``(n_halves, z, y, x)`` in which the data have factors."""
    if factors == NO_FACTORS:
        return completed
    return _with_factor(measurement, completed, factors.rfft(measurement))


def measure_factors(measurement: Measurement, completed: Tensor) -> DataFactors:
    """Measure the factors of the data in completed maps.

    Parameters
    ----------
    measurement : Measurement
        The measurement. The map that one half was completed to is compared with the data of the other.
    completed : Tensor
        ``(n_halves, z, y, x)`` completed maps, with the gain of their inferred part.

    Returns
    -------
    DataFactors
        1 for a single map, and where too few coefficients count.
    """
    if measurement.n_halves < 2 or measurement.support is None:
        return NO_FACTORS
    weight, amplitude = measurement.data_weight_rfft, shell_amplitude_rfft(measurement)
    shell, relative = shell_index_rfft(measurement.shape, weight.device), relative_ssnr_rfft(measurement)
    counts = (weight > WEIGHT_RANGE[0]) & (amplitude > 0) & (shell >= FIRST_SHELL)
    regions = [
        counts & (relative > WELL_MEASURED_FROM) & (weight < WEIGHT_RANGE[1]),
        counts & (relative < POORLY_MEASURED_BELOW),
    ]
    whitening = torch.where(amplitude > 0, 1.0 / amplitude.clamp(min=TINY).square(), 0.0)
    others = [rfft3(data * measurement.support) for data in measurement.data.flip(0)]
    errors = np.zeros((len(regions), len(FACTORS)))
    for column, factor in enumerate(FACTORS):
        trial = _with_factor(measurement, completed, torch.full_like(weight, float(factor)))
        for volume, other in zip(trial, others, strict=True):
            spectrum = rfft3(volume * measurement.support)
            error = whitening * (spectrum.abs().square() - 2.0 * (spectrum.conj() * other).real)
            errors[:, column] += [float(error[region].double().sum()) for region in regions]
    well, poorly = (
        _minimum(row) if int(region.sum()) >= FEWEST_COEFFICIENTS else 1.0
        for row, region in zip(errors, regions, strict=True)
    )
    return DataFactors(well, min(1.0, poorly))


def _with_factor(measurement: Measurement, completed: Tensor, factor_rfft: Tensor) -> Tensor:
    removed = measurement.data_weight_rfft * (1.0 - factor_rfft)
    halves = zip(completed, measurement.data, strict=True)  # one after the other, to save memory
    return torch.stack(
        [
            irfft3((rfft3(whole) - removed * rfft3(data)) / (1.0 - removed), measurement.shape)
            for whole, data in halves
        ]
    )


def _minimum(errors: np.ndarray) -> float:
    """Return the factor of the smallest error, by a parabola through three logarithms."""
    best = int(errors.argmin())
    if best in (0, len(errors) - 1):
        return float(FACTORS[best])
    before, at, after = errors[best - 1 : best + 2]
    offset = (before - after) / (2.0 * (before - 2.0 * at + after))
    return float(FACTORS[best] * (FACTORS[1] / FACTORS[0]) ** offset)
