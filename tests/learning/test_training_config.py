"""From options to a training job."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from spisonet.errors import SpisonetError
from spisonet.learning.memory import Memory
from spisonet.learning.training_config import TrainingConfig, check_cube_size, fitting_cube_size
from spisonet.learning.unet import PublishedUNet, UNet

CPU = torch.device("cpu")
CONFIG = TrainingConfig(
    objective="self-training", epochs=2, n_subvolume=20, cube_size=16, filter_base=4, acc_batches=1, seed=5,
    batch_size=None, learning_rate=None, predict_crop_size=None, alpha=1.0, beta=0.5,
)  # fmt: skip


def job(measurement, n_processes: int = 1, **changes):
    return replace(CONFIG, **changes).training_job("half 1", measurement, Memory(CPU), n_processes)


def test_defaults_depend_on_the_objective(measurement_factory):
    measurement = measurement_factory()
    ours, published = job(measurement), job(measurement, objective="ei")
    assert (type(ours.network), type(published.network)) == (UNet, PublishedUNet)
    assert (ours.options.batch_size, published.options.batch_size) == (2, 4)
    assert (ours.options.learning_rate, published.options.learning_rate) == (2e-3, 3e-4)
    assert not ours.options.published
    assert published.options.published
    assert ours.data is measurement


def test_batch_and_learning_rate_grow_with_the_processes(measurement_factory):
    options = job(measurement_factory(), n_processes=4).options
    assert options.batch_size == 8
    assert options.learning_rate == pytest.approx(2e-3 * 2)
    assert job(measurement_factory(), n_processes=4, learning_rate=1e-4).options.learning_rate == 1e-4


def test_a_batch_has_at_most_the_subvolumes_of_an_epoch(measurement_factory):
    assert job(measurement_factory(), batch_size=50).options.batch_size == 20


def test_accumulation_sets_the_number_of_parts(measurement_factory):
    assert job(measurement_factory(), batch_size=8, acc_batches=4).options.n_splits == 4


def test_the_seed_determines_the_initial_weights(measurement_factory):
    measurement = measurement_factory()
    first, same, other = (job(measurement, seed=seed).network for seed in (5, 5, 6))
    weights = [next(network.parameters()) for network in (first, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_training_starts_from_a_given_network(measurement_factory):
    start = UNet(4)
    started = CONFIG.training_job("half 1", measurement_factory(), Memory(CPU), start=start)
    for name, value in start.state_dict().items():
        assert torch.equal(started.network.state_dict()[name], value), name


@pytest.mark.parametrize(("requested", "tile"), [(50, 64), (64, 64), (65, 80), (1, 48)])
def test_tiles_are_at_least_as_large_as_requested(measurement_factory, requested, tile):
    assert job(measurement_factory(), predict_crop_size=requested).tile_size == tile


def test_subvolumes_fit_into_the_box():
    assert fitting_cube_size(64, 100) == 64
    assert fitting_cube_size(64, 45) == 40
    with pytest.raises(SpisonetError, match="at least 16 are required"):
        fitting_cube_size(64, 15)
    with pytest.raises(SpisonetError, match="--cube_size 50 is not a multiple of 8"):
        check_cube_size(50)


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"alpha": 2.0}, "--alpha: no effect with --objective self-training"),
        ({"beta": 0.0, "alpha": 2.0}, "--alpha and --beta: no effect"),
        ({}, ""),
        ({"alpha": 2.0, "objective": "ei"}, ""),
    ],
)
def test_weights_of_losses_that_the_objective_does_not_have_are_reported(caplog, changes, warning):
    replace(CONFIG, **changes).warn_of_unused_options()
    assert len(caplog.records) == (1 if warning else 0)
    assert warning in caplog.text
