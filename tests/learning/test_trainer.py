"""Training: it learns, resumes exactly, and stops when it diverges."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spisonet.errors import SpisonetError
from spisonet.learning.devices import Backend
from spisonet.learning.objectives import EquivarianceObjective, SelfTrainingObjective
from spisonet.learning.trainer import Trainer, TrainingOptions
from spisonet.learning.unet import PublishedUNet, UNet

CPU = torch.device("cpu")


def options(epochs: int = 3, **changes: object) -> TrainingOptions:
    given = {
        "subvolumes_per_epoch": 8,
        "batch_size": 2,
        "n_splits": 1,
        "learning_rate": 1e-3,
        "seed": 3,
        **changes,
    }
    return TrainingOptions(epochs=epochs, **given)  # type: ignore[arg-type]


def trainer_for(measurement, chosen: TrainingOptions, width: int = 4, cube_size: int = 16) -> Trainer:
    torch.manual_seed(chosen.seed)
    return Trainer(UNet(width), SelfTrainingObjective(measurement, cube_size), chosen, CPU, tile_size=64)


def test_training_lowers_the_loss(measurement_factory, tmp_path):
    measurement = measurement_factory(n=32, noise=0.05)
    chosen = options(epochs=2, subvolumes_per_epoch=240, batch_size=4, learning_rate=2e-3)
    trainer = trainer_for(measurement, chosen, width=8)
    objective = SelfTrainingObjective(measurement, 16)
    loss_before = np.mean([objective.loss(lambda x: x, 4, np.random.default_rng(s)).item() for s in range(5)])
    trainer.train("test", tmp_path / "checkpoint.safetensors", resume=False)
    assert trainer.epoch_losses[-1] < 0.8 * loss_before


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

        def loss(self, network, n_subvolumes, rng):
            return network(torch.ones(n_subvolumes, 16, 16, 16)).mean()

    updated = []
    for n_splits in (1, 3):
        trainer = trainer_for(measurement_factory(), options(batch_size=5, n_splits=n_splits))
        trainer._objective = Constant()
        trainer._update()
        updated.append(torch.cat([p.ravel() for p in trainer._network.parameters()]))
    torch.testing.assert_close(updated[0], updated[1], rtol=1e-5, atol=1e-7)


def test_divergence_stops_with_a_clear_sentence(measurement_factory, tmp_path):
    trainer = trainer_for(measurement_factory(), options())

    class Diverging:
        def begin_epoch(self, number):
            pass

        def refresh_interval(self, batch_size):
            return 0

        def refresh(self, predict):
            raise AssertionError

        def loss(self, network, n_subvolumes, rng):
            return network(torch.zeros(n_subvolumes, 16, 16, 16)).sum() * float("nan")

    trainer._objective = Diverging()
    with pytest.raises(SpisonetError, match="loss became nan at update 1"):
        trainer.train("test", tmp_path / "c.safetensors", resume=False)


def test_rate_warms_up_and_decays_to_zero(measurement_factory):
    trainer = trainer_for(measurement_factory(), options(epochs=50, subvolumes_per_epoch=20))
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


class Hungry:
    """Needs memory for every crop, and records what it was asked for."""

    def __init__(self, most: int, error: Exception) -> None:
        self.most, self.error, self.asked, self.drawn = most, error, [], []

    def loss(self, network, n_subvolumes, rng):
        self.asked.append(n_subvolumes)
        drawn = rng.random()
        if n_subvolumes > self.most:
            raise self.error
        self.drawn.append(drawn)
        return network(torch.ones(n_subvolumes, 16, 16, 16)).mean()


def test_out_of_memory_means_smaller_parts_of_the_same_batch(measurement_factory):
    weights = []
    for most in (4, 1):
        trainer = trainer_for(measurement_factory(), options(batch_size=4))
        hungry = Hungry(most, torch.OutOfMemoryError("CUDA out of memory"))
        trainer._objective = hungry
        trainer._update()
        weights.append(torch.cat([p.ravel() for p in trainer._network.parameters()]))
    assert hungry.asked == [4, 2, 1, 1, 1, 1]
    assert hungry.drawn[0] == np.random.default_rng(options().seed).random()
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-5, atol=1e-7)


def test_one_crop_that_does_not_fit_is_an_error(measurement_factory):
    trainer = trainer_for(measurement_factory(), options(batch_size=2))
    trainer._objective = Hungry(0, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(torch.OutOfMemoryError):
        trainer._update()


def test_other_errors_are_not_tried_again(measurement_factory):
    trainer = trainer_for(measurement_factory(), options(batch_size=2))
    trainer._objective = Hungry(0, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        trainer._update()
    assert trainer._objective.asked == [2]


def test_a_network_that_cannot_be_compiled_trains_uncompiled(measurement_factory):
    measurement = measurement_factory()
    plain, broken = (trainer_for(measurement, options()) for _ in range(2))

    def fail(volumes):
        raise RuntimeError("no compiler")

    broken._compiled = fail
    for trainer in (plain, broken):
        trainer._update()
    assert broken._compiled is None
    for one, other in zip(plain._network.parameters(), broken._network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_prediction_falls_back_to_smaller_tiles(measurement_factory, monkeypatch):
    trainer = trainer_for(measurement_factory(), options())
    trainer._tile_size = 160
    sizes = []

    def hungry(backend, network, volumes):
        sizes.append(volumes.shape[-1])
        if volumes.shape[-1] > 64:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return volumes

    monkeypatch.setattr(Backend, "apply", hungry)
    volumes = torch.randn(1, 100, 100, 100)
    torch.testing.assert_close(trainer.predict(volumes), volumes, rtol=0, atol=1e-5)
    assert sizes[0] == 104
    assert sizes[1] == 72
    assert set(sizes[2:]) == {64}


def test_bfloat16_gives_nearly_the_prediction_of_float32(measurement_factory, tmp_path):
    measurement = measurement_factory(n=32, noise=0.05)
    predictions = []
    for mixed in (False, True):
        chosen = options(epochs=1, subvolumes_per_epoch=80, batch_size=4)
        trainer = trainer_for(measurement, chosen, width=8, cube_size=24)
        trainer.backend = Backend(CPU, bfloat16=mixed)
        trainer.train("test", tmp_path / f"{mixed}.safetensors", resume=False)
        predictions.append(trainer.predict(measurement.weighted_data))
    full, half = predictions
    assert full.dtype == half.dtype == torch.float32
    assert not torch.equal(full, half)
    assert (full - half).norm() < 0.02 * full.norm()
    change = [p - measurement.weighted_data for p in predictions]
    assert torch.nn.functional.cosine_similarity(change[0].ravel(), change[1].ravel(), dim=0) > 0.95


@pytest.mark.parametrize(("edge", "precision"), [(16, torch.float32), (24, torch.bfloat16)])
def test_small_cubes_are_computed_in_float32_on_a_cpu(edge, precision):
    """With bf16 their gradients would hold whatever the memory held before."""
    convolution = torch.nn.Conv3d(1, 1, 1)
    answer = Backend(CPU, bfloat16=True).apply(convolution, torch.zeros(1, 1, edge, edge, edge))
    assert answer.dtype == precision


def test_every_epoch_is_told(measurement_factory, tmp_path):
    trainer = trainer_for(measurement_factory(), options(epochs=3))
    seen = []
    trainer.train("test", None, resume=False, after_epoch=lambda: seen.append(len(trainer.epoch_losses)))
    assert seen == [1, 2, 3]
