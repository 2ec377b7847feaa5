"""Training: the loss decreases, runs resume exactly, and divergence is an error."""

from __future__ import annotations

from unittest.mock import Mock

import numpy as np
import pytest
import torch

from spisonet.anisotropy.training_length import is_too_short
from spisonet.errors import SpisonetError
from spisonet.io.events import progress_to_folder, read_progress
from spisonet.learning import progress
from spisonet.learning.checkpoint import save_tensors
from spisonet.learning.devices import Backend
from spisonet.learning.objectives import EquivarianceObjective, SelfTrainingObjective
from spisonet.learning.process_group import ProcessGroup
from spisonet.learning.trainer import Trainer, TrainingOptions
from spisonet.learning.training_end import MAXIMUM, MIN_CONSTANT_EPOCHS, PLATEAU, reached_end
from spisonet.learning.unet import PublishedUNet, UNet

CPU = torch.device("cpu")
OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory")


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


def trainer_of(objective, chosen: TrainingOptions, width: int = 4, tile_size: int = 64) -> Trainer:
    torch.manual_seed(chosen.seed)
    return Trainer(UNet(width), objective, chosen, CPU, tile_size)


def trainer_for(measurement, chosen: TrainingOptions, width: int = 4, cube_size: int = 16) -> Trainer:
    return trainer_of(SelfTrainingObjective(measurement, cube_size), chosen, width)


def weights_of(trainer: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().ravel() for p in trainer.network.parameters()])


class FakeObjective:
    """An objective whose batches are given subvolumes, with their mean squared prediction as the loss."""

    def __init__(self, subvolumes: torch.Tensor | None = None, interval: int = 0) -> None:
        self.subvolumes = torch.ones(8, 16, 16, 16) if subvolumes is None else subvolumes
        self.interval = interval

    def begin_epoch(self, number):
        pass

    def refresh_interval(self, batch_size):
        return self.interval

    def refresh(self, number, predict):
        raise AssertionError

    def memory_settings(self):
        return {}

    def restore_memory_settings(self, settings):
        pass

    def draw(self, n_subvolumes, rng):
        return self

    def loss(self, network, part):
        return network(self.subvolumes[part]).square().mean()

    n_predictions = 0

    def predict(self, predict):
        return None


class LimitedMemory(FakeObjective):
    """At most `most` subvolumes fit into memory."""

    def __init__(self, most: int = 100, error: Exception = OUT_OF_MEMORY) -> None:
        super().__init__(unlike_subvolumes(4))
        self.most, self.error, self.sizes = most, error, []

    def loss(self, network, part):
        self.sizes.append(part.stop - part.start)
        if self.sizes[-1] > self.most:
            raise self.error
        return super().loss(network, part)


class Diverging(FakeObjective):
    def loss(self, network, part):
        return super().loss(network, part) * float("nan")


class CountedRefreshes(SelfTrainingObjective):
    """Records at which update of a trainer the map is refreshed, and the number of voxels predicted."""

    def __init__(self, measurement, interval: int) -> None:
        super().__init__(measurement, 16)
        self.interval, self.trainer = interval, None
        self.refreshes = []

    def refresh_interval(self, batch_size):
        return self.interval

    def refresh(self, number, predict):
        self.refreshes.append((number, self.trainer.n_updates))
        super().refresh(number, predict)


def unlike_subvolumes(n: int, edge: int = 16) -> torch.Tensor:
    """Noise of different mean and contrast."""
    generator = torch.Generator().manual_seed(1)
    scales = torch.logspace(-1, 1, n)[torch.randperm(n, generator=generator)]
    noise = torch.randn(n, edge, edge, edge, generator=generator)
    return (noise + torch.randn(n, 1, 1, 1, generator=generator)) * scales[:, None, None, None]


def with_random_last_layer(trainer: Trainer) -> Trainer:
    """Give the last layer weights: with zeros only its own gradient would differ from zero."""
    torch.nn.init.normal_(trainer.network.last.weight, generator=torch.Generator().manual_seed(0))
    return trainer


def test_training_lowers_the_loss(measurement_factory, tmp_path):
    measurement = measurement_factory(n=32, noise=0.05)
    chosen = options(epochs=2, subvolumes_per_epoch=240, batch_size=4, learning_rate=2e-3)
    trainer = trainer_for(measurement, chosen, width=8)
    batch = SelfTrainingObjective(measurement, 16).draw(20, np.random.default_rng(0))
    loss_before = batch.loss(lambda volumes: volumes, slice(0, 20)).item()
    trainer.train("test", tmp_path / "checkpoint.safetensors", resume=False)
    assert trainer.epoch_losses[-1] < 0.8 * loss_before
    assert not is_too_short(trainer.loss_reduction)
    assert trainer.loss_reduction == pytest.approx(1 - trainer.epoch_losses[-1] / loss_before, abs=0.2)


def test_a_training_of_a_few_updates_is_too_short(measurement_factory, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    trainer = trainer_for(measurement_factory(), options(epochs=1))
    assert trainer.loss_reduction is None  # not measured, so nothing is said
    assert not is_too_short(trainer.loss_reduction)
    trainer.train("test", path, resume=False)
    assert trainer.loss_reduction < 0.05
    assert is_too_short(trainer.loss_reduction)
    again = trainer_for(measurement_factory(), options(epochs=1))
    again.train("again", path, resume=True)
    assert again.loss_reduction == trainer.loss_reduction


def test_a_resumed_run_ends_with_the_same_network(measurement_factory, tmp_path):
    measurement = measurement_factory()
    whole = trainer_for(measurement, options())
    whole.train("whole", tmp_path / "whole.safetensors", resume=False)

    class StoppedError(Exception):
        pass

    broken = trainer_for(measurement, options())
    original = broken.update

    def stop_in_the_second_epoch() -> torch.Tensor:
        if broken.n_updates == 6:
            raise StoppedError
        return original()

    broken.update = stop_in_the_second_epoch
    with pytest.raises(StoppedError):
        broken.train("broken", tmp_path / "broken.safetensors", resume=False)
    resumed = trainer_for(measurement, options())
    resumed.train("resumed", tmp_path / "broken.safetensors", resume=True)
    assert resumed.epoch_losses == whole.epoch_losses
    for name, value in whole.average.state_dict().items():
        assert torch.equal(resumed.average.state_dict()[name], value), name


@pytest.mark.parametrize("interval", [0, 3])
def test_a_run_stopped_within_an_epoch_continues_from_its_last_checkpoint(
    measurement_factory, tmp_path, caplog, interval
):
    """Within the first epoch, where nothing had been saved, and within a later one: bit-identical."""
    measurement, chosen = measurement_factory(), options()
    whole, _ = counted(measurement, interval, chosen)
    whole.train("whole", None, resume=False)
    for n_updates in (3, 6):
        path = tmp_path / f"{n_updates}.safetensors"
        broken, _ = counted(measurement, interval, chosen)
        broken.seconds_between_checkpoints = 0.0
        original = broken.update

        def update(trainer=broken, limit=n_updates, do=original):
            if trainer.n_updates == limit:
                raise KeyboardInterrupt
            return do()

        broken.update = update
        with pytest.raises(KeyboardInterrupt):
            broken.train("broken", path, resume=False)
        resumed, _ = counted(measurement, interval, chosen)
        with caplog.at_level("INFO", logger="spisonet"):
            resumed.train("resumed", path, resume=True)
        assert f"resumed from epoch {n_updates // 4} of 3, update {n_updates} of 12." in caplog.text
        assert resumed.epoch_losses == whole.epoch_losses
        for name, value in whole.average.state_dict().items():
            assert torch.equal(resumed.average.state_dict()[name], value), name


def test_progress_is_reported_within_an_epoch(measurement_factory, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_EVENTS", 0.0)
    with progress_to_folder(tmp_path):
        trainer_for(measurement_factory(), options(epochs=2)).train("test", None, resume=False)
    events = read_progress(tmp_path)
    assert [(event.done, event.part) for event in events if event.part is not None][:5] == [
        *((0, part) for part in (0.0, 0.25, 0.5, 0.75)),
        (1, 0.0),
    ]
    assert [event.done for event in events if event.part is None] == [1, 2]
    assert events[1].seconds_left > 0
    assert all(-1 < event.loss_reduction < 1 for event in events if event.part is None)


def test_resuming_with_other_options_is_refused(measurement_factory, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    trainer_for(measurement_factory(), options(epochs=1)).train("first", path, resume=False)
    with pytest.raises(SpisonetError, match="other options"):
        trainer_for(measurement_factory(), options(epochs=2)).train("second", path, resume=True)


def test_divergence_is_an_error(tmp_path):
    trainer = trainer_of(Diverging(), options())
    with pytest.raises(SpisonetError, match="loss became nan at update 1"):
        trainer.train("test", tmp_path / "c.safetensors", resume=False)


def test_the_learning_rate_warms_up_and_decays_to_zero():
    chosen = options(epochs=50, subvolumes_per_epoch=20, learning_rate=2.0)
    rates = [chosen.learning_rate_at(update) for update in range(500)]
    assert rates[0] < 0.1
    assert max(rates) > 1.9
    assert rates[-1] < 2e-3
    assert options(published=True).learning_rate_at(100) == 1e-3


def test_the_published_training_does_not_average_weights(measurement_factory, tmp_path):
    measurement = measurement_factory()
    chosen = options(epochs=1, published=True)
    torch.manual_seed(0)
    objective = EquivarianceObjective(measurement, 16, 1.0, 0.5)
    trainer = Trainer(PublishedUNet(4), objective, chosen, CPU, tile_size=64)
    trainer.train("test", tmp_path / "checkpoint.safetensors", resume=False)
    for name, value in trainer.network.state_dict().items():
        assert torch.equal(trainer.average.state_dict()[name], value), name
    assert not trainer.average.training
    again = Trainer(PublishedUNet(4), objective, chosen, CPU, tile_size=64)
    again.train("resumed", tmp_path / "checkpoint.safetensors", resume=True)
    predictions = [t.predict(measurement.data) for t in (trainer, again)]
    torch.testing.assert_close(*predictions)


@pytest.mark.parametrize("n_splits", [2, 4])
def test_parts_of_a_batch_of_unlike_subvolumes_give_the_gradient_of_the_whole(n_splits):
    gradients, statistics = [], []
    for splits in (1, n_splits):
        objective = FakeObjective(unlike_subvolumes(8))
        trainer = with_random_last_layer(trainer_of(objective, options(batch_size=8, n_splits=splits)))
        trainer.compute_gradients()
        gradients.append(torch.cat([p.grad.ravel() for p in trainer.network.parameters()]))
        trainer.update()
        statistics.append(torch.cat([b.ravel().float() for b in trainer.network.buffers()]))
    whole, parts = gradients
    assert torch.nn.functional.cosine_similarity(whole, parts, dim=0) > 0.9999
    assert (whole - parts).norm() < 1e-4 * whole.norm()
    torch.testing.assert_close(*statistics, rtol=1e-4, atol=1e-6)


def test_running_statistics_are_means_over_the_samples_of_all_parts():
    subvolumes = unlike_subvolumes(4)
    trainer = trainer_of(FakeObjective(subvolumes), options(batch_size=4, n_splits=2))
    first = trainer.network.encoders[0]
    with torch.no_grad():
        features = first[0](subvolumes[:, None])
    trainer.update()
    mean, variance = features.mean(dim=(0, 2, 3, 4)), features.var(dim=(2, 3, 4)).mean(dim=0)
    torch.testing.assert_close(first[1].running_mean, 0.1 * mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(first[1].running_var, 0.9 + 0.1 * variance, rtol=1e-4, atol=1e-5)


def test_out_of_memory_means_smaller_parts_of_the_same_batch():
    gradients, statistics = [], []
    for most in (4, 1):
        objective = LimitedMemory(most)
        trainer = with_random_last_layer(trainer_of(objective, options(batch_size=4)))
        trainer.update()
        gradients.append(torch.cat([p.grad.ravel() for p in trainer.network.parameters()]))
        statistics.append(torch.cat([b.ravel().float() for b in trainer.network.buffers()]))
    assert objective.sizes == [4, 2, 1, 1, 1, 1]
    assert (gradients[0] - gradients[1]).norm() < 1e-4 * gradients[0].norm()
    torch.testing.assert_close(*statistics, rtol=1e-4, atol=1e-6)


def counted(measurement, interval: int, chosen: TrainingOptions) -> tuple[Trainer, CountedRefreshes]:
    objective = CountedRefreshes(measurement, interval)
    trainer = trainer_of(objective, chosen)
    objective.trainer = trainer
    return trainer, objective


def test_refreshes_are_spread_evenly_over_all_updates(measurement_factory):
    """Epochs of 4 updates do not restart the count."""
    trainer, objective = counted(measurement_factory(), 6, options(epochs=5))
    trainer.train("test", None, resume=False)
    assert trainer.n_updates == 20
    assert objective.refreshes == [(0, 0), (1, 6), (2, 12)]


@pytest.mark.parametrize("interval", [3, 4, 6, 100])
def test_a_run_resumed_between_refreshes_is_bit_identical(measurement_factory, tmp_path, interval):
    measurement, chosen, path = measurement_factory(), options(epochs=3), tmp_path / "c.safetensors"
    whole, expected = counted(measurement, interval, chosen)
    whole.train("whole", path, resume=False)

    class StoppedError(Exception):
        pass

    def stop():
        if stopped.n_updates == 8:
            raise StoppedError

    stopped, _ = counted(measurement, interval, chosen)
    with pytest.raises(StoppedError):
        stopped.train("stopped", path, resume=False, after_epoch=stop)
    resumed, objective = counted(measurement, interval, chosen)
    resumed.train("resumed", path, resume=True)
    assert [number for number, update in objective.refreshes if update > 8] == [
        number for number, update in expected.refreshes if update > 8
    ]
    for name, value in whole.average.state_dict().items():
        assert torch.equal(resumed.average.state_dict()[name], value), name


@pytest.mark.parametrize("interval", [3, 4])
def test_a_training_continues_on_other_data_and_can_be_resumed(measurement_factory, tmp_path, interval):
    """The map is completed anew for the other data; a resumed continuation is bit-identical."""
    chosen, path = options(epochs=4), tmp_path / "c.safetensors"
    first, _ = counted(measurement_factory(), interval, chosen)
    first.train("first", None, resume=False, first_part=True)
    assert (first.n_updates, first.loss_reduction) == (8, None)
    other = measurement_factory(noise=0.3)

    def stop():
        if trainer.n_updates == 12:
            raise KeyboardInterrupt

    whole, objective = counted(other, interval, chosen)
    whole.continue_from(first.state())
    whole.train("whole", None, resume=False)
    assert objective.refreshes[0][1] == 8
    assert whole.epoch_losses[:2] == first.epoch_losses
    assert whole.n_updates == 16
    assert whole.loss_reduction is not None
    trainer, _ = counted(other, interval, chosen)
    trainer.continue_from(first.state())
    with pytest.raises(KeyboardInterrupt):
        trainer.train("stopped", path, resume=False, after_epoch=stop)
    resumed, _ = counted(other, interval, chosen)
    resumed.continue_from(first.state())
    resumed.train("resumed", path, resume=True)
    assert resumed.epoch_losses == whole.epoch_losses
    assert torch.equal(weights_of(resumed), weights_of(whole))


def test_one_subvolume_that_does_not_fit_is_an_error():
    trainer = trainer_of(LimitedMemory(0), options())
    with pytest.raises(torch.OutOfMemoryError):
        trainer.update()


def test_other_errors_are_not_tried_again():
    objective = LimitedMemory(0, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        trainer_of(objective, options()).update()
    assert objective.sizes == [2]


def test_a_network_that_cannot_be_compiled_trains_uncompiled(measurement_factory):
    measurement = measurement_factory()
    plain, broken = (trainer_for(measurement, options()) for _ in range(2))

    def fail(volumes):
        raise RuntimeError("no compiler")

    broken.compiled = fail
    for trainer in (plain, broken):
        trainer.update()
    assert broken.compiled is None
    assert torch.equal(weights_of(plain), weights_of(broken))


def test_prediction_falls_back_to_smaller_tiles(monkeypatch):
    trainer = trainer_of(FakeObjective(), options(), tile_size=160)
    sizes = []

    def out_of_memory(backend, network, volumes):
        sizes.append(volumes.shape[-1])
        if volumes.shape[-1] > 64:
            raise OUT_OF_MEMORY
        return volumes

    monkeypatch.setattr(Backend, "apply", out_of_memory)
    volumes = torch.randn(1, 100, 100, 100)
    torch.testing.assert_close(trainer.predict(volumes), volumes, rtol=0, atol=1e-5)
    assert sizes[0] == 104
    assert sizes[1] == 72
    assert set(sizes[2:]) == {64}
    assert trainer.tile_size == 64


def test_smaller_tiles_of_one_of_several_processes_are_not_kept(monkeypatch):
    """The others would predict together with it in larger tiles."""
    trainer = Trainer(UNet(4), FakeObjective(), options(), CPU, 96, group=ProcessGroup(count=2))
    out_of_memory = Mock(side_effect=[OUT_OF_MEMORY, torch.zeros(1, 1, 32, 32, 32)])
    monkeypatch.setattr(Backend, "apply", out_of_memory)
    trainer.predict_locally(torch.zeros(1, 32, 32, 32))
    assert out_of_memory.call_count == 2
    assert trainer.tile_size == 96


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
def test_small_subvolumes_are_computed_in_float32_on_a_cpu(edge, precision):
    """With bf16 their gradients would contain uninitialised memory."""
    convolution = torch.nn.Conv3d(1, 1, 1)
    result = Backend(CPU, bfloat16=True).apply(convolution, torch.zeros(1, 1, edge, edge, edge))
    assert result.dtype == precision


def test_a_callback_follows_every_epoch(measurement_factory):
    trainer = trainer_for(measurement_factory(), options(epochs=3))
    seen = []
    trainer.train("test", None, resume=False, after_epoch=lambda: seen.append(len(trainer.epoch_losses)))
    assert seen == [1, 2, 3]


def test_what_follows_an_epoch_is_repeated_when_a_checkpoint_is_continued(tmp_path):
    """The run may have ended between the checkpoint and what followed."""
    path, called = tmp_path / "c.safetensors", []
    trainer_of(FakeObjective(), options(1), 2).train("first", path, resume=False)
    resumed = trainer_of(FakeObjective(), options(1), 2)
    resumed.train("resumed", path, resume=True, after_epoch=lambda: called.append(resumed.n_updates))
    assert called == [options(1).n_updates]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda tensors, _: tensors.pop("optimiser.3.exp_avg"), "its tensors are not those"),
        (lambda tensors, _: tensors.update({"optimiser.-1.step": torch.tensor(1.0)}), "its tensors are not"),
        (
            lambda tensors, _: tensors.update({"optimiser.0.step": torch.zeros(0)}),
            "its tensors are not those",
        ),
        (lambda _, metadata: metadata.update(n_updates=0), "n_updates is 0 after 1 epochs"),
        (lambda _, metadata: metadata.update(tile_size=10**9), "tile_size: input should be less than"),
    ],
)
def test_damaged_states_are_refused_before_training(tmp_path, change, part):
    path = tmp_path / "c.safetensors"
    trainer = trainer_of(FakeObjective(), options(1), 2)
    tensors, metadata = trainer.state()
    for index, parameter in enumerate(trainer.network.parameters()):
        tensors[f"optimiser.{index}.step"] = torch.tensor(1.0)
        for name in ("exp_avg", "exp_avg_sq"):
            tensors[f"optimiser.{index}.{name}"] = torch.zeros_like(parameter)
    metadata |= {"n_updates": options(1).n_updates, "epoch_losses": [1.0]}
    save_tensors(path, tensors, metadata)
    trainer.train("valid", path, resume=True)
    change(tensors, metadata)
    save_tensors(path, tensors, metadata)
    with pytest.raises(SpisonetError, match=part) as error:
        trainer.train("damaged", path, resume=True)
    assert error.value.path == path


def test_the_first_part_is_half_of_the_updates_also_within_an_epoch(measurement_factory):
    measurement, chosen = measurement_factory(), options(epochs=1)
    first = trainer_for(measurement, chosen)
    first.train("first", None, resume=False, first_part=True)
    assert (first.n_updates, first.epoch_losses) == (2, [])
    second = trainer_for(measurement, chosen)
    second.continue_from(first.state())
    second.train("second", None, resume=False)
    assert (second.n_updates, len(second.epoch_losses)) == (4, 1)


def test_a_continuation_within_an_epoch_is_resumed_from_its_first_checkpoint(measurement_factory, tmp_path):
    """Its random numbers are those of the epoch, also if it is stopped before its first update."""
    measurement, chosen, path = measurement_factory(), options(epochs=1), tmp_path / "c.safetensors"
    first = trainer_for(measurement, chosen)
    first.train("first", None, resume=False, first_part=True)
    whole, stopped, resumed = (trainer_for(measurement, chosen) for _ in range(3))
    for trainer in (whole, stopped):
        trainer.continue_from(first.state())
    whole.train("whole", None, resume=False)
    stopped.update = Mock(side_effect=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        stopped.train("stopped", path, resume=False)
    resumed.train("resumed", path, resume=True)
    assert torch.equal(weights_of(resumed), weights_of(whole))


def test_the_training_ends_when_its_score_rises_no_further():
    assert reached_end([0.1], 30) is None
    assert reached_end([0.1, 0.2], 30) is None
    assert reached_end([0.1, 0.1], 30) is None  # too short to tell
    assert reached_end([0.1, 0.2, 0.3, 0.31], 30) is None
    assert reached_end([0.1, 0.2, 0.201, 0.2], 30) == PLATEAU
    assert reached_end([0.1, 0.2, 0.201], 30) is None  # compared with the first half of the epochs
    assert reached_end([0.1, 0.2, 0.3], 6) == MAXIMUM


def test_a_training_of_variable_length_decays_from_its_plateau_and_resumes_exactly(
    measurement_factory, tmp_path
):
    measurement, chosen = measurement_factory(), options(epochs=10, until_plateau=True)
    scores = [0.1, 0.2, 0.3, 0.2]

    def train(trainer: Trainer, path, resume: bool = False, stop_at: int = 0) -> None:
        def after_epoch():
            if len(trainer.epoch_losses) == stop_at:
                raise KeyboardInterrupt

        trainer.train("t", path, resume, after_epoch, score=lambda *_: scores[len(trainer.scores)])

    whole = trainer_for(measurement, chosen)
    train(whole, tmp_path / "whole.safetensors")
    assert (len(whole.epoch_losses), whole.planned_epochs) == (8, 8)
    assert whole.end_record == {"reason": PLATEAU, "epochs": 8, "max_epochs": 10, "scores": scores}
    for stop_at in (3, 4, 6):
        path = tmp_path / f"{stop_at}.safetensors"
        with pytest.raises(KeyboardInterrupt):
            train(trainer_for(measurement, chosen), path, stop_at=stop_at)
        resumed = trainer_for(measurement, chosen)
        train(resumed, path, resume=True)
        assert resumed.end_record == whole.end_record
        assert torch.equal(weights_of(resumed), weights_of(whole))


def test_the_learning_rate_is_constant_until_the_plateau():
    chosen = options(epochs=10, subvolumes_per_epoch=100, until_plateau=True)
    rates = [chosen.learning_rate_at(update, 2) for update in (50, 99, 100, 150, 199)]
    assert rates[:3] == [chosen.learning_rate] * 3
    assert rates[3] == pytest.approx(chosen.learning_rate / 2)
    assert 0 < rates[4] < 0.01 * chosen.learning_rate
    assert chosen.learning_rate_at(450) == chosen.learning_rate  # while the plateau is not known


def test_without_a_score_the_loss_reduction_decides():
    trainer = trainer_of(FakeObjective(), options(epochs=30, until_plateau=True, learning_rate=1e-6))
    trainer.train("t", None, resume=False)
    assert trainer.end_record["reason"] == PLATEAU
    assert len(trainer.epoch_losses) == 2 * MIN_CONSTANT_EPOCHS
