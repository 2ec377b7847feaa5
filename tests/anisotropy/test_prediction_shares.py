"""Shares of predictions, measured in a held-out cone."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from spisonet.anisotropy import learned_completion
from spisonet.anisotropy.learned_completion import PRIOR, CompletionSource
from spisonet.anisotropy.prediction_shares import (
    _best_shares,
    blend,
    held_out_cone,
    held_out_correlation,
    measure_shares,
    without_region,
)
from spisonet.errors import SpisonetError
from spisonet.learning import objectives
from spisonet.learning.memory import Memory
from spisonet.learning.process_group import SINGLE_PROCESS
from spisonet.learning.spectra import frequency_points_rfft
from spisonet.learning.structural_prior import DEFAULT_PRIOR, NO_PRIOR, read_prior_network
from spisonet.learning.training_config import TrainingConfig
from spisonet.learning.training_job import train
from spisonet.learning.unet import WhitenedUNet


@pytest.fixture
def measurement(measurement_factory):
    measurement = measurement_factory(n=40)
    return replace(measurement, view_weight_rfft=measurement.fsc_weight_rfft)


@pytest.fixture
def small_measurement(measurement_factory):
    measurement = measurement_factory(n=24)
    return replace(measurement, view_weight_rfft=measurement.fsc_weight_rfft)


def noisy(measurement, level: float, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(measurement.data.shape, generator=torch.Generator().manual_seed(seed))
    return measurement.data + level * noise * measurement.data.std()


def test_the_held_out_cone_is_measured_and_leaves_most_of_the_data(measurement):
    region = held_out_cone(measurement)
    radius = frequency_points_rfft(measurement.shape, torch.device("cpu")).norm(dim=-1)
    outer = (radius > measurement.band_fraction / 4) & (measurement.band_rfft == 1)
    weight = measurement.data_weight_rfft
    assert weight[outer & region].mean() > weight[outer].mean()
    assert 0.02 < region[outer].float().mean() < 0.25
    rest = without_region(measurement, region)
    assert rest.data_weight_rfft[region].abs().sum() == 0
    assert torch.equal(rest.data_weight_rfft[~region], weight[~region])


def test_a_cone_that_contains_much_of_what_was_measured_is_narrower(measurement):
    weight = measurement.data_weight_rfft
    points = frequency_points_rfft(measurement.shape, weight.device)
    radius = points.norm(dim=-1)
    axial = points[..., 0].abs() > math.cos(math.radians(35)) * radius
    few = replace(measurement, view_weight_rfft=torch.where(axial, weight, 0))
    regions = [held_out_cone(m) & (radius > 0) & (measurement.band_rfft > 0.5) for m in (measurement, few)]
    wide, narrow = (float(region.float().mean()) for region in regions)
    assert narrow < 0.7 * wide
    assert weight[regions[1]].sum() < 0.25 * few.data_weight_rfft.sum()


def test_a_perfect_prediction_gets_everything_and_a_bad_one_nothing(measurement):
    region = held_out_cone(measurement)
    constrained = without_region(measurement, region).complete_by_constraints()
    perfect, worse = measurement.data.flip(0), constrained + noisy(measurement, 3.0) - measurement.data
    shares = measure_shares(measurement, region, constrained, [worse, perfect])
    assert shares[0] < 0.05
    assert shares[1] > 0.9
    assert measure_shares(measurement, region, constrained, [worse])[0] < 0.1


def test_two_predictions_with_independent_errors_share(measurement):
    region = held_out_cone(measurement)
    constrained = torch.zeros_like(measurement.data)
    predictions = [noisy(measurement, 0.05, seed).flip(0) for seed in (1, 2)]
    shares = measure_shares(measurement, region, constrained, predictions)
    assert min(shares) > 0.2
    assert sum(shares) <= 1 + 1e-6


def test_shares_are_the_minimum_of_the_error_and_at_most_one_together():
    np.testing.assert_allclose(_best_shares(np.diag([2.0, 4.0]), np.array([0.8, 1.2])), [0.4, 0.3], atol=0.02)
    assert _best_shares(np.diag([1.0, 1.0]), np.array([3.0, 3.0])).sum() == pytest.approx(1)
    np.testing.assert_array_equal(_best_shares(np.eye(1), np.array([-1.0])), [0.0])


def test_a_mean_with_shares(measurement):
    zero, one = torch.zeros_like(measurement.data), torch.ones_like(measurement.data)
    torch.testing.assert_close(blend(zero, [one, 2 * one], [0.25, 0.5]), 1.25 * one)


def test_the_prior_completes_maps_of_a_measurement(measurement):
    memory = Memory(torch.device("cpu"))
    source = CompletionSource("maps", None, read_prior_network(DEFAULT_PRIOR), None, memory)
    completion, halves = source.learn(measurement)
    assert halves.maps.shape == measurement.data.shape
    assert set(completion.shares) == {PRIOR}
    assert torch.isfinite(halves.recombined(measurement)).all()
    copies = list(completion.rotated(measurement.averaged(), 2, 0))
    assert len(copies) == 2


@pytest.fixture
def trainings(monkeypatch):
    """The trainings of a completion, in order; that with the number `stop_in`, from 1, is interrupted."""
    recorded = SimpleNamespace(jobs=[], stop_in=0)

    def recording_train(job, *args, **options):
        recorded.jobs.append(job)

        def stop(trainer):
            if len(recorded.jobs) == recorded.stop_in and trainer.n_updates % 8 == 4:
                raise KeyboardInterrupt

        return train(job, *args, **options, after_epoch=stop)

    monkeypatch.setattr(learned_completion, "train", recording_train)
    monkeypatch.setattr(objectives, "PREDICTION_PASSES", 1)  # to save time
    monkeypatch.setattr(objectives, "ROTATIONS_PER_PASS", 1)
    return recorded


def completion_source(
    epochs: int, prior=NO_PRIOR, checkpoint=None, resume: bool = False, start=None
) -> CompletionSource:
    training = TrainingConfig("self-training", epochs, 8, 16, 4, 1, 0, 2, 1e-2, None, 1.0, 0.5)
    memory, network = Memory(torch.device("cpu")), read_prior_network(prior)
    return CompletionSource("maps", training, network, start, memory, SINGLE_PROCESS, checkpoint, resume)


def test_the_cone_is_held_out_from_the_first_half_of_the_training_only(small_measurement, trainings):
    measurement = small_measurement
    completion, halves = completion_source(3, DEFAULT_PRIOR).learn(measurement)
    region = held_out_cone(measurement)
    first, second = trainings.jobs
    assert (first.first_part, second.first_part) == (True, False)
    assert first.data.data_weight_rfft[region].abs().sum() == 0
    assert torch.equal(second.data.data_weight_rfft, measurement.data_weight_rfft)
    # The inputs of the network, too: the map is completed by the prior from the data that are left.
    assert not torch.allclose(first.data.prior, second.data.prior)
    assert len(completion.trainer.epoch_losses) == 3
    assert halves.maps.shape == measurement.data.shape


def test_the_recovery_in_the_cone_ends_a_training_of_variable_length(small_measurement, monkeypatch):
    recoveries = iter([0.5] * 4)
    monkeypatch.setattr(learned_completion, "held_out_correlation", lambda *_: next(recoveries))
    source = completion_source(10)
    source = replace(source, training=replace(source.training, until_plateau=True))
    completion, _ = source.learn(small_measurement)
    assert completion.trainer.end_record["scores"] == [0.5] * 4
    assert len(completion.trainer.epoch_losses) == 8  # four without the cone, four with all data


def test_the_correlation_with_held_out_data(measurement):
    region = held_out_cone(measurement)
    found = held_out_correlation(measurement, region, measurement.data.flip(0))
    assert found == pytest.approx(1.0, abs=1e-5)
    assert abs(held_out_correlation(measurement, region, torch.randn_like(measurement.data))) < 0.3


def test_a_resumed_completion_is_bit_identical(small_measurement, trainings, tmp_path):
    """Whether it was stopped before or after the shares were measured."""
    expected, halves = completion_source(4).learn(small_measurement)
    for stop_in in (1, 2):
        path = tmp_path / f"checkpoint{stop_in}.safetensors"
        trainings.jobs, trainings.stop_in = [], stop_in
        with pytest.raises(KeyboardInterrupt):
            completion_source(4, NO_PRIOR, path).learn(small_measurement)
        trainings.stop_in = 0
        resumed, again = completion_source(4, NO_PRIOR, path, resume=True).learn(small_measurement)
        assert resumed.shares == expected.shares
        assert resumed.trainer.epoch_losses == expected.trainer.epoch_losses
        assert torch.equal(again.maps, halves.maps)
        assert torch.equal(again.gain, halves.gain)


def test_a_resumed_training_from_a_pretrained_network_is_bit_identical(
    small_measurement, trainings, tmp_path
):
    start, path = WhitenedUNet(4), tmp_path / "checkpoint.safetensors"
    expected, halves = completion_source(2, start=start).learn(small_measurement)
    trainings.jobs, trainings.stop_in = [], 1
    with pytest.raises(KeyboardInterrupt):
        completion_source(2, NO_PRIOR, path, start=start).learn(small_measurement)
    trainings.stop_in = 0
    resumed, again = completion_source(2, NO_PRIOR, path, resume=True, start=start).learn(small_measurement)
    assert isinstance(resumed.trainer.network, WhitenedUNet)
    assert resumed.shares == expected.shares
    assert torch.equal(again.maps, halves.maps)


def test_the_prior_alone_needs_a_mask_and_a_network(measurement):
    memory = Memory(torch.device("cpu"))
    assert read_prior_network(NO_PRIOR) is None
    with pytest.raises(SpisonetError, match="--method prior"):
        CompletionSource("maps", None, None, None, memory).learn(measurement)
    network = read_prior_network(DEFAULT_PRIOR)
    with pytest.raises(SpisonetError, match="--method prior"):
        CompletionSource("maps", None, network, None, memory).learn(replace(measurement, support=None))
