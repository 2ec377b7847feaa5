"""Values of the losses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spisonet.learning.objectives import EquivarianceObjective, SelfTrainingObjective
from spisonet.learning.previews import previews_to
from spisonet.learning.spectra import FourierWeight, apply_filter, frequency_points_rfft
from spisonet.learning.subvolumes import draw_rotations

CPU = torch.device("cpu")


def loss_of(objective, network, n_subvolumes: int, seed: int = 0) -> torch.Tensor:
    batch = objective.draw(n_subvolumes, np.random.default_rng(seed))
    return batch.loss(network, slice(0, n_subvolumes))


def identity(volumes: torch.Tensor) -> torch.Tensor:
    return volumes


def complete_measurement(measurement):
    """The same maps with C = 1 everywhere."""
    return replace(measurement, fsc_weight_rfft=torch.ones_like(measurement.fsc_weight_rfft))


def test_a_complete_noiseless_map_has_no_residual(measurement_factory):
    measurement = measurement_factory(noise=0.0)
    complete = torch.where(measurement.band_rfft > 0, 1.0, 0.0)
    objective = SelfTrainingObjective(replace(measurement, fsc_weight_rfft=complete), 16)
    of_complete = loss_of(objective, identity, 8)
    of_incomplete = loss_of(SelfTrainingObjective(measurement, 16), identity, 8)
    assert of_complete < 1e-2 * of_incomplete


def test_the_best_gain_is_the_wiener_factor(measurement_factory):
    """For C = 1 and a network g x, the loss is minimal at g = S / (S + N), here 1 / (1 + 0.5)."""
    measurement = complete_measurement(measurement_factory(n=32))
    signal, *noise = torch.randn(3, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    halves = torch.stack([signal + 0.5**0.5 * n for n in noise])
    data = apply_filter(halves, measurement.band_rfft)
    objective = SelfTrainingObjective(replace(measurement, data=data), 16)
    gain = torch.zeros((), requires_grad=True)
    slopes = []
    for value in (0.0, 1.0):  # the loss is quadratic: two slopes give its minimum
        gain.data.fill_(value)
        gain.grad = None
        loss_of(objective, lambda volumes: gain * volumes, 100).backward()
        slopes.append(gain.grad.item())
    assert slopes[0] / (slopes[0] - slopes[1]) == pytest.approx(1 / 1.5, abs=0.02)


def test_residuals_count_only_where_the_rotated_map_is_measured(measurement_factory):
    """An error in the unmeasured region of the rotated map costs almost nothing; elsewhere it counts."""
    measurement = measurement_factory(n=32, noise=0.0)
    objective = SelfTrainingObjective(measurement, 32)
    weight = FourierWeight(measurement.fsc_weight_rfft.numpy(), 32, CPU)

    def cost(measured: bool) -> float:
        points = frequency_points_rfft(32, CPU)
        # The objective draws its rotations first, so they can be drawn again here.
        rotations = draw_rotations(2, np.random.default_rng(0), CPU)
        rotated_weight = weight.at(torch.einsum("bji,zyxj->bzyxi", rotations, points))
        inside = points.norm(dim=-1) < 0.25
        chosen = inside & (rotated_weight > 0.99 if measured else rotated_weight < 0.01)
        noise = torch.randn(2, 32, 32, 32, generator=torch.Generator().manual_seed(0))
        error = apply_filter(noise, chosen.float())
        without = loss_of(objective, identity, 2)
        with_error = loss_of(objective, lambda volumes: volumes + 3 * error, 2)
        return (with_error - without).item()

    assert abs(cost(measured=False)) < 0.02 * cost(measured=True)


def test_targets_are_measured_data_whatever_the_prediction(measurement_factory):
    measurement = measurement_factory()
    objective = SelfTrainingObjective(measurement, 16)
    losses, reported = [], []
    with previews_to(lambda data, completed: reported.append((data, completed))):
        for level in (0.0, 5.0):
            objective.refresh(0, lambda volumes, level=level: level * torch.ones_like(volumes))
            losses.append(loss_of(objective, torch.zeros_like, 8).item())
    assert losses[0] == losses[1]
    # Whoever wants to look at the map is given it before, and as it is completed with each network.
    assert all(data is measurement.data for data, _ in reported)
    assert not torch.equal(reported[0][1], reported[1][1])


def test_a_single_map_does_not_train_the_network_to_amplify_its_noise(measurement_factory):
    """With a single map the target is C y, not y: a gain that inverts C increases the loss."""
    measurement = measurement_factory(n_halves=1)
    halved = replace(measurement, fsc_weight_rfft=0.5 * measurement.fsc_weight_rfft)
    objective = SelfTrainingObjective(halved, 16)
    weighted, raw = (loss_of(objective, lambda volumes, g=gain: g * volumes, 16) for gain in (2.0, 4.0))
    assert weighted < raw


def test_inputs_have_the_missing_region_of_the_measurement(measurement_factory):
    measurement = measurement_factory(n=32)
    inputs = []

    def record(volumes: torch.Tensor) -> torch.Tensor:
        inputs.append(volumes)
        return volumes

    loss_of(SelfTrainingObjective(measurement, 32), record, 4)
    spectrum = torch.fft.rfftn(inputs[0], dim=(-3, -2, -1)).abs()
    missing = (measurement.fsc_weight_rfft == 0) & (measurement.band_rfft == 1)
    measured = (measurement.fsc_weight_rfft == 1) & (measurement.band_rfft == 1)
    assert spectrum[:, missing].max() < 0.02 * spectrum[:, measured].max()


@pytest.mark.parametrize("seed", [0, 1])
def test_parts_of_a_batch_are_those_of_the_whole(measurement_factory, seed):
    measurement = measurement_factory()
    for objective in (
        SelfTrainingObjective(measurement, 16),
        EquivarianceObjective(measurement, 16, 1.0, 0.5),
    ):
        batch = objective.draw(6, np.random.default_rng(seed))
        whole = batch.loss(identity, slice(0, 6))
        parts = [batch.loss(identity, slice(start, start + 2)) for start in (0, 2, 4)]
        torch.testing.assert_close(torch.stack(parts).mean(), whole, rtol=1e-5, atol=0)


def test_equivariance_losses_are_the_published_sum(measurement_factory):
    """With f = identity and C = 1 only the noise2noise terms remain, |x1 - x2| each."""
    complete = complete_measurement(measurement_factory())
    alpha, beta = 0.7, 0.5
    loss = loss_of(EquivarianceObjective(complete, 16, alpha, beta), identity, 64).item()
    difference = (complete.data[0] - complete.data[1]).abs().mean().item()
    assert loss == pytest.approx(beta * (1 + alpha) * difference, rel=0.1)
    single = EquivarianceObjective(replace(complete, data=complete.data[:1]), 16, alpha, beta)
    assert loss_of(single, identity, 8).item() == pytest.approx(0.0, abs=1e-5)


def test_the_consistency_loss_compares_filtered_predictions_with_the_data(measurement_factory):
    """With f = 0 the loss is |x1| + beta |x2|; the equivariance terms vanish."""
    measurement = measurement_factory(noise=0.0)
    first = measurement.data[0].abs()
    loss = loss_of(EquivarianceObjective(measurement, 24, 1.0, 0.5), torch.zeros_like, 4)
    assert loss.item() == pytest.approx(1.5 * first.mean().item(), rel=1e-4)


def test_equivariance_subvolumes_are_parts_of_the_box(measurement_factory):
    measurement = measurement_factory(n=20)
    numbers = torch.arange(20**3, dtype=torch.float32).reshape(1, 20, 20, 20)
    seen = []

    def record(volumes: torch.Tensor) -> torch.Tensor:
        seen.append(volumes)
        return volumes

    objective = EquivarianceObjective(replace(measurement, data=numbers), 16, 1.0, 0.5)
    loss_of(objective, record, 32)
    for subvolume in seen[0]:
        z, y, x = np.unravel_index(int(subvolume[0, 0, 0]), (20, 20, 20))
        assert torch.equal(subvolume, numbers[0, z : z + 16, y : y + 16, x : x + 16])
