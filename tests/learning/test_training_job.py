"""A training job in one process."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
import torch

from spisonet.io.events import progress_to_folder, read_progress
from spisonet.learning.objectives import PREDICTION_PASSES, ROTATIONS_PER_PASS, SelfTrainingObjective
from spisonet.learning.process_group import SINGLE_PROCESS
from spisonet.learning.trainer import TrainingOptions
from spisonet.learning.training_job import TrainingJob, train
from spisonet.learning.unet import UNet

if TYPE_CHECKING:
    from spisonet.learning.measurement import Measurement

CPU = torch.device("cpu")


def with_views(measurement: Measurement) -> Measurement:
    """The same measurement with a view weight, so that rotated copies are predicted."""
    return replace(measurement, view_weight_rfft=measurement.fsc_weight_rfft)


def job(measurement, epochs: int) -> TrainingJob:
    torch.manual_seed(0)
    options = TrainingOptions(epochs, 4, 2, 1, learning_rate=1e-3, seed=0)
    return TrainingJob(
        "test", measurement, partial(SelfTrainingObjective, cube_size=16), UNet(4), options, tile_size=64
    )


def test_without_epochs_the_prediction_is_that_of_the_initial_network(measurement_factory):
    measurement = measurement_factory()
    trainer, prediction = train(job(measurement, 0), CPU, SINGLE_PROCESS, None, resume=False)
    assert trainer.n_updates == 0
    # An untrained network returns its input.
    torch.testing.assert_close(prediction, measurement.weighted_data)


def test_training_returns_the_prediction_and_calls_back_after_every_epoch(measurement_factory, tmp_path):
    measurement = measurement_factory()
    losses = []
    trainer, prediction = train(
        job(measurement, 2),
        CPU,
        SINGLE_PROCESS,
        tmp_path / "checkpoint.safetensors",
        resume=False,
        after_epoch=lambda trainer: losses.append(trainer.epoch_losses[-1]),
    )
    assert trainer.n_updates == 4
    assert losses == trainer.epoch_losses
    expected = SelfTrainingObjective(measurement, 16).predict(trainer.predict)
    torch.testing.assert_close(prediction, expected)


def test_a_finished_training_is_resumed_without_updates(measurement_factory, tmp_path):
    measurement, path = measurement_factory(), tmp_path / "checkpoint.safetensors"
    first, prediction = train(job(measurement, 1), CPU, SINGLE_PROCESS, path, resume=False)
    again, same = train(job(measurement, 1), CPU, SINGLE_PROCESS, path, resume=True)
    assert again.n_updates == first.n_updates
    assert torch.equal(prediction, same)


@pytest.mark.parametrize(
    ("change", "n_maps"),
    [(with_views, 2 * (1 + PREDICTION_PASSES * ROTATIONS_PER_PASS)), (lambda measurement: measurement, 2)],
)
def test_the_prediction_reports_every_map(measurement_factory, tmp_path, change, n_maps):
    measurement = change(measurement_factory(n=16))
    with progress_to_folder(tmp_path):
        train(job(measurement, 1), CPU, SINGLE_PROCESS, None, resume=False)
    events = read_progress(tmp_path)
    training, last = [event for event in events if event.stage == "training"][-1], events[-1]
    assert (last.stage, last.done, last.total) == ("prediction", n_maps, n_maps)
    assert (training.stage, training.done, training.total) == ("training", 1, 1)
    assert training.seconds_left > 0  # the prediction is still to come
