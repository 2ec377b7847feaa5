"""Training objective for tomograms: noise of the inputs, regions, and when their wedges are filled."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from spisonet.fourier.filters import RadialCurve
from spisonet.io.tomograms import open_tomogram
from spisonet.learning.refresh_schedule import RefreshSchedule
from spisonet.learning.self_training import FilledMapTraining
from spisonet.learning.spectra import WedgeWeight, frequency_points_rfft
from spisonet.learning.trainer import Trainer, TrainingOptions
from spisonet.learning.unet import UNet
from spisonet.tomography.denoiser import N_PREDICTIONS, Denoiser
from spisonet.tomography.normalisation import normalise
from spisonet.tomography.objective import TomogramObjective
from spisonet.tomography.refine import batch_size_of
from spisonet.tomography.subvolume_centres import subvolume_centres
from spisonet.tomography.tomogram import Tomogram
from spisonet.tomography.training_method import TrainingMethod
from spisonet.tomography.training_set import TrainingSet
from tests.tomography.simulation import CPU, gaussian_noise, halves_of, write_halves, write_mrc


def sampled_inputs(objective: TomogramObjective, n_batches: int, n_subvolumes: int) -> torch.Tensor:
    rng = np.random.default_rng(0)
    batches = [objective.draw(n_subvolumes, rng) for _ in range(n_batches)]
    return torch.cat([batch.sample(slice(0, n_subvolumes)).inputs for batch in batches])


def test_the_filled_wedge_is_as_noisy_as_the_data(tmp_path):
    """The noise of a rotated, filled input is that of a measurement, also in its filled part."""
    write_halves(tmp_path, "t", noise=10.0, shape=(48, 48, 48), n=1)
    tomogram = normalise(Tomogram("t", halves_of(tmp_path), (-60, 60), None, None, 1))
    centres = subvolume_centres(tomogram, 16, np.random.default_rng(0))
    objective = TomogramObjective(TrainingSet((tomogram,), (centres,), 1e9, 0, CPU), TrainingMethod(True, 16))
    objective.begin_epoch(0)
    objective.refresh(0, torch.zeros_like)
    power = torch.fft.rfftn(sampled_inputs(objective, 30, 8), dim=(-3, -2, -1)).abs().square().mean(dim=0)
    radius = frequency_points_rfft(16, CPU).norm(dim=-1)
    chosen = (radius > 0.15) & (radius < 0.35) & (WedgeWeight(-60, 60).at(frequency_points_rfft(16, CPU)) > 0)
    deviation = power[chosen].mean().sqrt() / 16**1.5 * tomogram.deviation
    assert deviation == pytest.approx(10.0, rel=0.1)


def test_tomograms_that_do_not_fit_into_memory_are_trained_on_by_regions(tmp_path):
    write_halves(tmp_path, "t", shape=(32, 96, 96), n=5)
    tomogram = normalise(Tomogram("t", halves_of(tmp_path), (-60, 60), None, None, 1))
    centres = subvolume_centres(tomogram, 8, np.random.default_rng(0))
    small = TrainingSet((tomogram,), (centres,), 4 * 12 * 2 * 60**3, 0, CPU)
    rounds = [small.draw_regions(number, 8) for number in (0, 1, 0)]
    assert rounds[0] == rounds[2] != rounds[1]
    n_voxels = sum(region.n_voxels(tomogram, 8) for region in rounds[0])
    assert n_voxels <= small.max_voxels_per_round(8) <= 2 * 60**3
    objective = TomogramObjective(small, TrainingMethod(True, 8))
    objective.begin_epoch(0)
    objective.refresh(0, torch.clone)
    inputs = sampled_inputs(objective, 1, 64)
    # No subvolume extends beyond its region into zeros.
    assert inputs.abs().flatten(1).median(dim=1).values.min() > 0.05


def blank_training_set(tmp_path, shape: tuple[int, int, int], cube_size: int) -> TrainingSet:
    """A tomogram of zeros with two halves."""
    volume = open_tomogram(write_mrc(tmp_path / "t.mrc", np.zeros(shape, np.float32)))
    tomogram = Tomogram("t", (volume, volume), (-60, 60), None, None, 20, deviation=1.0)
    centres = subvolume_centres(tomogram, cube_size, np.random.default_rng(0))
    return TrainingSet((tomogram,), (centres,), 1e9, 0, CPU)


@pytest.mark.parametrize("shape", [(32, 64, 64), (64, 128, 128), (32, 160, 192)])
@pytest.mark.parametrize("updates_per_epoch", [5, 50])
def test_every_region_is_filled_equally_often_for_a_fifth_of_the_training(tmp_path, shape, updates_per_epoch):
    """Small tomograms, which stay in memory, and large ones, whose regions change with every round."""
    cube_size, batch_size, n_updates = 16, 4, 500
    training_set = blank_training_set(tmp_path, shape, cube_size)
    objective = TomogramObjective(training_set, TrainingMethod(True, cube_size))
    schedule = RefreshSchedule(objective.refresh_interval(batch_size), n_updates)
    assert schedule.interval * batch_size <= 500 + batch_size  # subvolumes between two refreshes
    predicted: Counter[int] = Counter()
    shapes_by_update: dict[int, list[torch.Size]] = {}

    def predict(volumes: torch.Tensor) -> torch.Tensor:
        predicted[update] += volumes.numel()
        shapes_by_update.setdefault(update, []).append(volumes.shape)
        return volumes

    for update in range(n_updates):
        if update % updates_per_epoch == 0:
            objective.begin_epoch(update // updates_per_epoch)
        if schedule.is_due(update):
            objective.refresh(schedule.number(update), predict)
    updates = sorted(predicted)
    assert updates == [number * schedule.interval for number in range(schedule.n_refreshes)]
    assert predicted.total() <= 0.2 * 3 * n_updates * batch_size * cube_size**3
    # The regions of a round are all filled in each of its two refreshes.
    shapes = list(shapes_by_update.values())
    assert all(first == second for first, second in zip(shapes[::2], shapes[1::2], strict=False))


@pytest.mark.parametrize(("shape", "n_denoised"), [((32, 64, 64), 1), ((64, 128, 128), 9)])
def test_denoising_of_new_regions_counts_as_part_of_the_refreshes(tmp_path, shape, n_denoised):
    """Tomograms in memory are denoised once; regions that change in every round, within the fifth."""
    cube_size, batch_size, n_updates = 16, 4, 1200
    predicted: list[int] = []
    denoised: list[int] = []

    class Counted(Denoiser):
        def apply(self, volumes: torch.Tensor) -> torch.Tensor:
            denoised.append(N_PREDICTIONS * volumes.numel())
            return volumes

    def predict(volumes: torch.Tensor) -> torch.Tensor:
        predicted.append(volumes.numel())
        return volumes

    method = TrainingMethod(True, cube_size, denoiser=Counted(UNet(1), 64))
    training_set = blank_training_set(tmp_path, shape, cube_size)
    objective = TomogramObjective(training_set, method)
    schedule = RefreshSchedule(objective.refresh_interval(batch_size), n_updates)
    objective.begin_epoch(0)
    for update in range(n_updates):
        if schedule.is_due(update):
            objective.refresh(schedule.number(update), predict)
    most = 0.2 * 3 * n_updates * batch_size * cube_size**3
    assert sum(predicted) <= most
    if n_denoised == 1:
        assert len(denoised) == 1
    else:
        assert len(denoised) >= n_denoised
        last_round = N_PREDICTIONS * training_set.max_voxels_per_round(
            cube_size
        )  # which may be refreshed once only
        assert sum(predicted) + sum(denoised) <= most + last_round


@pytest.mark.parametrize("is_denoised", [True, False])
def test_denoised_inputs_are_filled_on_the_scale_of_the_prediction(tmp_path, monkeypatch, is_denoised):
    """A denoising network restores CTF amplitudes; without one, predictions are multiplied by the CTF."""
    volume = open_tomogram(write_mrc(tmp_path / "t.mrc", gaussian_noise((32, 32, 32)) - 10))
    tomogram = Tomogram(
        "t", (volume, volume), (-60, 60), None, None, 20, ctf_amplitude=RadialCurve(np.full(3, 0.5))
    )
    centres = subvolume_centres(tomogram, 16, np.random.default_rng(0))

    class Ideal(Denoiser):
        def apply(self, volumes: torch.Tensor) -> torch.Tensor:
            return volumes

    denoiser = Ideal(UNet(1), 64) if is_denoised else None
    completed = []
    monkeypatch.setattr(
        FilledMapTraining, "update_missing_region", lambda _, filled: completed.append(filled)
    )
    method = TrainingMethod(True, 16, denoiser=denoiser)
    objective = TomogramObjective(TrainingSet((tomogram,), (centres,), 1e9, 0, CPU), method)
    objective.refresh(0, torch.clone)
    (filled,) = completed
    wedge = WedgeWeight(-60, 60).at(frequency_points_rfft(tuple(filled.shape[1:]), CPU)) == 0
    power = torch.fft.rfftn(filled[0]).abs().square()
    assert power[wedge].mean() / power[~wedge].mean() == pytest.approx(1.0 if is_denoised else 0.25, rel=0.2)


def test_large_tomograms_have_other_regions_in_every_round(tmp_path):
    training_set = blank_training_set(tmp_path, (64, 128, 128), 16)
    objective = TomogramObjective(training_set, TrainingMethod(True, 16))
    objective.begin_epoch(0)
    drawn = []
    for number in range(4):
        objective.refresh(number, torch.clone)
        batch = objective.draw(16, np.random.default_rng(0))
        drawn.append([source for source, _, _ in batch.pieces])
    assert drawn[0] == drawn[1]
    assert drawn[2] == drawn[3]
    assert not set(drawn[0]) & set(drawn[2])


@pytest.mark.parametrize("fill", [False, True])
def test_subvolumes_in_the_tomograms_axes_are_for_denoising_only(tmp_path, fill):
    objective = TomogramObjective(blank_training_set(tmp_path, (32, 32, 32), 16), TrainingMethod(fill, 16))
    objective.begin_epoch(0)
    objective.refresh(0, torch.clone)
    ((_, subvolumes, _),) = objective.draw(300, np.random.default_rng(0)).pieces
    in_axes = (subvolumes.rotations.diagonal(dim1=1, dim2=2).abs() == 1).all(dim=1)
    assert in_axes.float().mean() == pytest.approx(0.0 if fill else 0.5, abs=0.1)


@pytest.mark.parametrize(
    ("requested", "n_subvolumes", "n_processes", "expected"),
    [
        (None, 9_999, 1, 1),
        (None, 10_000, 1, 2),
        (None, 10**6, 1, 4),
        (None, 10**6, 3, 12),
        (None, 8, 3, 3),
        (None, 30_000, 3, 6),
        (5, 10**6, 1, 5),
        (1, 10**6, 2, 2),
    ],
)
def test_batches_are_small_while_there_are_few_updates(requested, n_subvolumes, n_processes, expected):
    assert batch_size_of(requested, n_subvolumes, n_processes) == expected


def test_added_noise_starts_with_its_epoch(tmp_path):
    training_set = blank_training_set(tmp_path, (32, 32, 32), 16)
    objective = TomogramObjective(training_set, TrainingMethod(False, 16, added_noise=((1, 0.5),)))
    objective.begin_epoch(0)
    objective.refresh(0, torch.clone)
    assert sampled_inputs(objective, 1, 4).abs().max() == 0
    objective.begin_epoch(1)
    assert sampled_inputs(objective, 8, 8).std().item() == pytest.approx(0.5, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "batch_size", "last_update"), [((24, 48, 48), 10, 18), ((24, 160, 160), 40, 24)]
)
def test_a_resumed_training_is_bit_identical(tmp_path, shape, batch_size, last_update):
    """With all of the tomogram in memory, and with regions that change in the third refresh at update 22."""
    write_halves(tmp_path, "t", shape=shape, n=20)
    tomogram = normalise(Tomogram("t", halves_of(tmp_path), (-60, 60), None, None, 1))
    centres = subvolume_centres(tomogram, 16, np.random.default_rng(0))
    training_set = TrainingSet((tomogram,), (centres,), 4 * 12 * 2 * 80**3, 0, CPU)
    method = TrainingMethod(True, 16, added_noise=((1, 0.2),))
    options = TrainingOptions(6, 6 * batch_size, batch_size, n_splits=1, learning_rate=1e-3, seed=0)
    assert TomogramObjective(training_set, method).refresh_interval(batch_size) == 11

    class StoppedError(Exception):
        pass

    def trainer() -> Trainer:
        torch.manual_seed(0)
        return Trainer(UNet(2), TomogramObjective(training_set, method), options, CPU, tile_size=64)

    def stop() -> None:
        if stopped.n_updates == last_update:
            raise StoppedError

    whole, stopped, resumed = trainer(), trainer(), trainer()
    whole.train("whole", None, resume=False)
    with pytest.raises(StoppedError):
        stopped.train("stopped", tmp_path / "c.safetensors", resume=False, after_epoch=stop)
    resumed.train("resumed", tmp_path / "c.safetensors", resume=True)
    for name, value in whole.average.state_dict().items():
        assert torch.equal(resumed.average.state_dict()[name], value), name


@pytest.mark.parametrize("is_due", [True, False])
def test_a_training_resumed_with_other_free_memory_is_bit_identical(tmp_path, is_due):
    """The checkpoint is followed by a refresh of the first run, or is between two of its refreshes."""
    write_halves(tmp_path, "t", shape=(24, 96, 96), n=10)
    tomogram = normalise(Tomogram("t", halves_of(tmp_path), (-60, 60), None, None, 1))
    centres = subvolume_centres(tomogram, 16, np.random.default_rng(0))
    little = TrainingSet((tomogram,), (centres,), 4 * 12 * 2 * 45**3, 0, CPU)
    plenty, method = replace(little, memory_bytes=1e9), TrainingMethod(True, 16)
    intervals = [TomogramObjective(data, method).refresh_interval(4) for data in (little, plenty)]
    assert little.draw_regions(0, 16) != plenty.draw_regions(0, 16)
    assert intervals[0] < intervals[1]
    updates_per_epoch = intervals[0] if is_due else intervals[0] + 3
    options = TrainingOptions(2, 4 * updates_per_epoch, 4, n_splits=1, learning_rate=1e-3, seed=0)

    class StoppedError(Exception):
        pass

    def trainer(training_set: TrainingSet) -> Trainer:
        torch.manual_seed(0)
        return Trainer(UNet(2), TomogramObjective(training_set, method), options, CPU, tile_size=64)

    def stop() -> None:
        raise StoppedError

    whole, stopped, resumed = trainer(little), trainer(little), trainer(plenty)
    whole.train("whole", None, resume=False)
    with pytest.raises(StoppedError):
        stopped.train("stopped", tmp_path / "c.safetensors", resume=False, after_epoch=stop)
    resumed.train("resumed", tmp_path / "c.safetensors", resume=True)
    for name, value in whole.average.state_dict().items():
        assert torch.equal(resumed.average.state_dict()[name], value), name
