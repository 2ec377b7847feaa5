"""Training objective for tomograms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from spisonet.io.tomograms import open_tomogram
from spisonet.learning.spectra import WedgeWeight, frequency_points_rfft
from spisonet.tomography.normalisation import normalise
from spisonet.tomography.objective import TomogramObjective
from spisonet.tomography.subvolume_centres import subvolume_centres
from spisonet.tomography.tomogram import Tomogram
from spisonet.tomography.training_method import TrainingMethod
from spisonet.tomography.training_set import TrainingSet
from tests.tomography.simulation import (
    CPU,
    write_halves,
    write_mrc,
)


def halves_of(folder: Path, name: str = "t") -> tuple:
    return tuple(open_tomogram(folder / kind / f"{name}.mrc") for kind in ("even", "odd"))


def test_hidden_parts_are_as_noisy_as_visible_ones(tmp_path):
    """In a turned, filled copy the input's noise is that of a measurement, also where it was filled."""
    write_halves(tmp_path, "t", noise=10.0, shape=(48, 48, 48), n=1)
    tomogram = normalise(Tomogram("t", halves_of(tmp_path), (-60, 60), None, None, 1))
    centres = subvolume_centres(tomogram, 16, np.random.default_rng(0))
    objective = TomogramObjective(
        TrainingSet((tomogram,), (centres,), 1e9, 0, CPU), TrainingMethod(True, 16), 100
    )
    objective.begin_epoch(0)
    objective.refresh(torch.zeros_like)  # as a network that predicts nothing
    inputs: list[torch.Tensor] = []

    def record(crops: torch.Tensor) -> torch.Tensor:
        inputs.append(crops)
        return crops

    rng = np.random.default_rng(0)
    for _ in range(30):
        objective.loss(record, 8, rng)
    power = torch.fft.rfftn(torch.cat(inputs), dim=(-3, -2, -1)).abs().square().mean(dim=0)
    radius = frequency_points_rfft(16, CPU).norm(dim=-1)
    chosen = (radius > 0.15) & (radius < 0.35) & (WedgeWeight(-60, 60).at(frequency_points_rfft(16, CPU)) > 0)
    deviation = power[chosen].mean().sqrt() / 16**1.5 * tomogram.deviation
    assert deviation == pytest.approx(10.0, rel=0.1)


def test_tomograms_that_do_not_fit_are_looked_at_in_parts(tmp_path):
    write_halves(tmp_path, "t", shape=(32, 96, 96), n=5)
    tomogram = normalise(Tomogram("t", halves_of(tmp_path), (-60, 60), None, None, 1))
    centres = subvolume_centres(tomogram, 8, np.random.default_rng(0))
    small = TrainingSet((tomogram,), (centres,), 4 * 12 * 2 * 60**3, 0, CPU)
    parts = [small.draw_regions(number, 8) for number in (0, 1, 0)]
    assert parts[0] == parts[2] != parts[1]
    assert sum(part.n_voxels(tomogram, 8) for part in parts[0]) <= 2 * 60**3
    objective = TomogramObjective(small, TrainingMethod(True, 8), 1000)
    objective.begin_epoch(0)
    objective.refresh(torch.clone)
    inputs: list[torch.Tensor] = []

    def record(crops: torch.Tensor) -> torch.Tensor:
        inputs.append(crops)
        return crops

    assert torch.isfinite(objective.loss(record, 64, np.random.default_rng(0)))
    # No crop reaches beyond the part into nothing.
    assert torch.cat(inputs).abs().flatten(1).median(dim=1).values.min() > 0.05


def test_filling_costs_no_more_than_half_of_training(tmp_path):
    """Also for large tomograms and short epochs, and everything is filled anew every few hundred crops."""
    volume = open_tomogram(write_mrc(tmp_path / "t.mrc", np.zeros((64, 128, 128), np.float32)))
    tomogram = Tomogram("t", (volume, volume), (-60, 60), None, None, 20, deviation=1.0)
    centres = subvolume_centres(tomogram, 16, np.random.default_rng(0))
    training_set = TrainingSet((tomogram,), (centres,), 1e9, 0, CPU)
    objective = TomogramObjective(training_set, TrainingMethod(True, 16), 20)
    filled = 0

    def predict(volumes: torch.Tensor) -> torch.Tensor:
        nonlocal filled
        filled += volumes.numel()
        return volumes

    epochs, updates, batch = 60, 5, 4
    for epoch in range(epochs):
        objective.begin_epoch(epoch)
        for step in range(updates):
            if step % objective.refresh_interval(batch) == 0:
                objective.refresh(predict)
    trained = 3 * epochs * updates * batch * 16**3
    assert 0.1 * trained < filled < 0.5 * trained
