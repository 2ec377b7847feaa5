"""Training: it learns, resumes exactly, and stops when it diverges."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spisonet.errors import SpisonetError
from spisonet.learning.objectives import EquivarianceObjective, ReplayObjective
from spisonet.learning.spectra import rfft3
from spisonet.learning.trainer import Trainer, TrainingOptions
from spisonet.learning.unet import PublishedUNet, UNet

CPU = torch.device("cpu")


def options(epochs: int = 3, **changes: object) -> TrainingOptions:
    given = {"crops_per_epoch": 8, "batch_size": 2, "n_parts": 1, "learning_rate": 1e-3, "seed": 3, **changes}
    return TrainingOptions(epochs=epochs, **given)  # type: ignore[arg-type]


def trainer_for(measurement, chosen: TrainingOptions, width: int = 4) -> Trainer:
    torch.manual_seed(chosen.seed)
    return Trainer(UNet(width), ReplayObjective(measurement, 16), chosen, CPU, tile_size=64)


def test_training_lowers_the_loss_and_fills_the_gap(measurement_factory, tmp_path):
    measurement = measurement_factory(n=32, noise=0.05)
    chosen = options(epochs=2, crops_per_epoch=240, batch_size=4)
    trainer = trainer_for(measurement, chosen, width=8)
    objective = ReplayObjective(measurement, 16)
    loss_before = np.mean([objective.loss(lambda x: x, 4, np.random.default_rng(s)).item() for s in range(5)])
    trainer.train("test", tmp_path / "checkpoint.safetensors", resume=False)
    assert trainer.epoch_losses[-1] < 0.8 * loss_before
    filled = measurement.fill(trainer.predict(objective.network_input()))
    hidden = (measurement.weight_rfft == 0) & (measurement.band_rfft > 0.5)
    assert rfft3(filled)[:, hidden].abs().square().sum() > 0


def test_resumed_run_ends_with_the_same_network(measurement_factory, tmp_path):
    measurement = measurement_factory()
    whole = trainer_for(measurement, options())
    whole.train("whole", tmp_path / "whole.safetensors", resume=False)

    class StoppedError(Exception):
        pass

    broken = trainer_for(measurement, options())
    updates = 0
    original = broken._update

    def stop_in_the_second_epoch() -> float:
        nonlocal updates
        updates += 1
        if updates == 7:
            raise StoppedError
        return original()

    broken._update = stop_in_the_second_epoch
    with pytest.raises(StoppedError):
        broken.train("broken", tmp_path / "broken.safetensors", resume=False)
    resumed = trainer_for(measurement, options())
    resumed.train("resumed", tmp_path / "broken.safetensors", resume=True)
    assert resumed.epoch_losses == whole.epoch_losses
    for name, value in whole.average.state_dict().items():
        assert torch.equal(resumed.average.state_dict()[name], value), name


def test_resuming_with_other_options_is_refused(measurement_factory, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    trainer_for(measurement_factory(), options(epochs=1)).train("first", path, resume=False)
    with pytest.raises(SpisonetError, match="other options"):
        trainer_for(measurement_factory(), options(epochs=2)).train("second", path, resume=True)


def test_parts_of_a_batch_weigh_as_the_whole(measurement_factory):
    class Constant:
        """The loss is the mean over crops of w: its gradient must not depend on the parts."""

        def loss(self, network, n_crops, rng):
            return network(torch.ones(n_crops, 16, 16, 16)).mean()

    updated = []
    for n_parts in (1, 3):
        trainer = trainer_for(measurement_factory(), options(batch_size=5, n_parts=n_parts))
        trainer._objective = Constant()
        trainer._update()
        updated.append(torch.cat([p.ravel() for p in trainer._network.parameters()]))
    torch.testing.assert_close(updated[0], updated[1], rtol=1e-5, atol=1e-7)


def test_divergence_stops_with_a_clear_sentence(measurement_factory, tmp_path):
    trainer = trainer_for(measurement_factory(), options())

    class Diverging:
        def refresh_interval(self, batch_size):
            return 0

        def refresh(self, predict):
            raise AssertionError

        def loss(self, network, n_crops, rng):
            return network(torch.zeros(n_crops, 16, 16, 16)).sum() * float("nan")

        def network_input(self):
            return torch.zeros(1, 16, 16, 16)

    trainer._objective = Diverging()
    with pytest.raises(SpisonetError, match="loss became nan at update 1"):
        trainer.train("test", tmp_path / "c.safetensors", resume=False)


def test_rate_warms_up_and_decays_to_zero(measurement_factory):
    trainer = trainer_for(measurement_factory(), options(epochs=50, crops_per_epoch=20))
    rates = []
    for update in range(500):
        trainer._n_updates = update
        rates.append(trainer._schedule())
    assert rates[0] < 0.05
    assert max(rates) > 0.95
    assert rates[-1] < 1e-3


def test_the_published_training_neither_averages_nor_decays(measurement_factory, tmp_path):
    measurement = measurement_factory()
    chosen = options(epochs=1, published=True)
    torch.manual_seed(0)
    objective = EquivarianceObjective(measurement, 16, 1.0, 0.5)
    trainer = Trainer(PublishedUNet(4), objective, chosen, CPU, tile_size=64)
    trainer.train("test", tmp_path / "checkpoint.safetensors", resume=False)
    assert {group["lr"] for group in trainer._optimiser.param_groups} == {chosen.learning_rate}
    for name, value in trainer._network.state_dict().items():
        assert torch.equal(trainer.average.state_dict()[name], value), name
    assert not trainer.average.training
    again = Trainer(PublishedUNet(4), objective, chosen, CPU, tile_size=64)
    again.train("resumed", tmp_path / "checkpoint.safetensors", resume=True)
    predictions = [t.predict(measurement.data) for t in (trainer, again)]
    torch.testing.assert_close(*predictions)
