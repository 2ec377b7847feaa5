"""Inputs, targets and weights of filled-map self-training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spisonet.learning.self_training import DrawnBatch, FilledMapTraining, TrainingBatch, fill_unmeasured
from spisonet.learning.spectra import FourierWeight, rfft3

CPU = torch.device("cpu")
N = 16


def drawn(training: FilledMapTraining, n_subvolumes: int, seed: int = 0) -> TrainingBatch:
    return training.draw(n_subvolumes, np.random.default_rng(seed)).sample(slice(0, n_subvolumes))


def constant_weight(value: float) -> FourierWeight:
    return FourierWeight(np.full((N, N, N // 2 + 1), value, np.float32), N, CPU)


def noise_volumes(n_halves: int = 1) -> torch.Tensor:
    return torch.randn(n_halves, N, N, N, generator=torch.Generator().manual_seed(0))


def source(weight: float = 1.0, volumes: torch.Tensor | None = None, **options) -> FilledMapTraining:
    centre = torch.full((1, 3), (N - 1) / 2)
    data = noise_volumes() if volumes is None else volumes
    return FilledMapTraining(data, constant_weight(weight), centre, 8, 0.5, **options)


def test_loss_and_gradient_are_those_of_the_weighted_residual():
    """|W (p - t)|² / n and its derivative by a gain g of p = g x, in double precision."""
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(2, 3, 8, 8, 8))
    weight = rng.uniform(size=(3, 8, 8, 5))
    weight[..., [0, -1]] = 1  # planes that are their own Friedel mates
    transfer = np.full_like(weight, -0.5)
    batch = TrainingBatch(*(torch.from_numpy(a).float() for a in (inputs, targets, weight, transfer)))
    gain = torch.tensor(0.3, requires_grad=True)
    loss = batch.loss(lambda volumes: gain * volumes)
    loss.backward()

    def filtered(volumes):
        return np.fft.irfftn(np.fft.rfftn(volumes, axes=(1, 2, 3)) * weight, s=(8, 8, 8), axes=(1, 2, 3))

    residual = filtered(0.3 * -0.5 * inputs - targets)
    assert loss.item() == pytest.approx(np.mean(residual**2), rel=1e-5)
    expected = 2 * np.mean(residual * filtered(-0.5 * inputs))
    assert gain.grad.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("weight", [1.0, 0.5, 0.25])
def test_the_residual_is_weighted_by_visible_and_missing_parts(weight):
    """C sqrt(C² + w (1 - C)²) for a weight C that is the same in all directions."""
    batch = drawn(source(weight, missing_weight=20.0), 2)
    expected = weight * np.sqrt(weight**2 + 20.0 * (1 - weight) ** 2)
    inside = batch.residual_weight_rfft[..., 0, 0, 0]
    torch.testing.assert_close(inside, torch.full_like(inside, expected))
    assert batch.residual_weight_rfft.max() == pytest.approx(expected, rel=1e-5)


def test_inputs_are_completed_volumes_and_targets_the_data():
    training = source(weight=0.5)
    before = drawn(training, 2)
    training.update_missing_region(3 * noise_volumes())
    after = drawn(training, 2)
    torch.testing.assert_close(after.inputs, 3 * before.inputs)
    assert torch.equal(after.targets, before.targets)
    torch.testing.assert_close(before.inputs, 0.5 * before.targets)
    training.discard_completed()
    assert torch.equal(drawn(training, 2).inputs, before.inputs)


def test_added_noise_has_the_requested_standard_deviation():
    training = source(weight=0.5, volumes=torch.zeros(1, N, N, N))
    training.add_noise(constant_weight(1.0), 0.7)
    inputs = drawn(training, 64).inputs
    assert inputs.std().item() == pytest.approx(0.7, rel=0.02)
    training.add_noise(None)
    assert drawn(training, 2).inputs.abs().max() == 0


def test_the_filled_part_of_an_input_is_as_noisy_as_the_data():
    """Noise of standard deviation 2 in proportion 1 - C of the rotated map, seen through C."""
    training = source(weight=0.25, volumes=torch.zeros(1, N, N, N), noise=constant_weight(2.0))
    inputs = drawn(training, 64).inputs
    assert inputs.std().item() == pytest.approx(2.0 * 0.75 * 0.25, rel=0.1)


def test_an_unmeasured_region_is_filled_with_the_prediction():
    data, prediction = noise_volumes(2)
    weight = (torch.rand(N, N, N // 2 + 1, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    transfer = torch.full_like(weight, -0.5)
    # Planes that are their own Friedel mates are left out of the comparison.
    inner = (slice(None), slice(None), slice(1, N // 2))
    filled = rfft3(fill_unmeasured(data, prediction, weight, transfer))[inner]
    expected = torch.where(weight > 0, rfft3(data), -0.5 * rfft3(prediction))[inner]
    torch.testing.assert_close(filled, expected, rtol=1e-4, atol=1e-3)


def test_batches_of_several_sources_are_computed_in_any_parts():
    sources = [source(noise=constant_weight(1.0)), source(weight=0.5)]
    sources[1].add_noise(constant_weight(1.0), 0.5)
    batch = DrawnBatch.join(
        [one.draw(n, np.random.default_rng(n)) for n, one in zip((1, 3), sources, strict=True)]
    )
    whole = batch.sample(slice(0, 4))
    parts = TrainingBatch.join([batch.sample(slice(0, 2)), batch.sample(slice(2, 4))])
    assert whole.transfer_rfft is None
    for name in ("inputs", "targets", "residual_weight_rfft"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name), rtol=1e-4, atol=1e-5)
