"""The full map: the data of the average, and the inferred parts of both completed halves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spisonet.analysis.normalisation import GreyScale
from spisonet.anisotropy.full_map import AveragedHalves
from spisonet.anisotropy.inferred_gain import CompletedMaps
from spisonet.fourier.grids import rfft3
from spisonet.io.mrc import Volume
from spisonet.learning.measurement import weight_of_half
from spisonet.learning.spectra import apply_filter, shell_index_rfft

CPU = torch.device("cpu")


@pytest.fixture
def averaged(measurement_factory):
    halves = replace(measurement_factory(noise=0.3), support=None, positivity=False)
    measurement = replace(halves, view_weight_rfft=halves.fsc_weight_rfft).averaged()
    volume = Volume(measurement.data[0].numpy(), 1.0)
    return AveragedHalves(volume, GreyScale(0.0, 1.0), measurement)


def completed_by(measurement, predictions):
    """Half maps whose mean is that of the measurement, completed by predictions at the weight of a half."""
    noise = torch.randn(measurement.shape, generator=torch.Generator().manual_seed(1))
    weight = weight_of_half(measurement.data_weight_rfft)
    halves = measurement.data + torch.stack([noise, -noise])
    missing = (1 - weight) * measurement.band_rfft
    return apply_filter(halves, weight) + apply_filter(predictions, missing)


def test_the_data_have_the_weight_of_the_average_and_the_predictions_of_both_halves_the_rest(averaged):
    predictions = torch.randn(2, *averaged.measurement.shape, generator=torch.Generator().manual_seed(0))
    completed = completed_by(averaged.measurement, predictions)
    constrained = CompletedMaps(completed_by(averaged.measurement, torch.zeros_like(predictions)), None)
    band = averaged.measurement.band_rfft.numpy()
    weight = averaged.measurement.data_weight_rfft.numpy()
    data = rfft3(averaged.measurement.data[0].numpy())
    together = averaged.corrected([CompletedMaps(completed, None)], [constrained], CPU)
    expected = weight * data + (1 - weight) * band * rfft3(predictions.mean(dim=0).numpy())
    np.testing.assert_allclose(
        rfft3(together.corrected.filtered), expected, atol=2e-3 * np.abs(expected).max()
    )
    np.testing.assert_allclose(rfft3(together.deconvolved.filtered), weight * data, atol=2e-3)
    # Halves that two networks completed, one each, count alike.
    halves = [CompletedMaps(completed[:1], None), CompletedMaps(completed[1:], None)]
    apart = averaged.corrected(halves, [constrained], CPU)
    np.testing.assert_allclose(apart.corrected.whole, together.corrected.whole, atol=1e-6)


def test_without_networks_the_constraints_complete_it(averaged):
    constrained = CompletedMaps(torch.ones(2, *averaged.measurement.shape), None)
    full = averaged.corrected([], [constrained], CPU)
    assert full.corrected is full.deconvolved


def test_the_inferred_part_gets_the_mean_gain_of_the_halves(averaged):
    shape = averaged.measurement.shape
    halves = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    n_shells = int(shell_index_rfft(shape, CPU).max()) + 1

    def full(*gains):
        maps = [CompletedMaps(half[None], gain) for half, gain in zip(halves, gains, strict=True)]
        return rfft3(averaged.corrected(maps, maps, CPU).corrected.filtered)

    plain, none = full(None, None), full(torch.zeros(n_shells), torch.zeros(n_shells))
    data = averaged.measurement.data_weight_rfft.numpy() * rfft3(averaged.measurement.data[0].numpy())
    tolerance = {"atol": 2e-3 * np.abs(plain).max()}
    np.testing.assert_allclose(none, data, **tolerance)
    halved = full(torch.zeros(n_shells), torch.ones(n_shells))
    np.testing.assert_allclose(halved, (plain + data) / 2, **tolerance)
