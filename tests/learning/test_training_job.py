"""A training job in one process."""

from __future__ import annotations

from functools import partial

import torch

from spisonet.learning.objectives import SelfTrainingObjective
from spisonet.learning.process_group import SINGLE_PROCESS
from spisonet.learning.trainer import TrainingOptions
from spisonet.learning.training_job import TrainingJob, train
from spisonet.learning.unet import UNet

CPU = torch.device("cpu")


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
