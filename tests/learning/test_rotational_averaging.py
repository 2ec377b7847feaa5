"""Answers to turned copies come back to where they belong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spisonet.geometry.rotations import cube_rotations
from spisonet.learning.objectives import PREDICTION_PASSES, ROTATIONS_PER_PASS, SelfTrainingObjective
from spisonet.learning.rotational_averaging import RotationalAveraging
from spisonet.learning.spectra import FourierWeight, apply_filter
from spisonet.learning.subvolumes import draw_rotations

CPU = torch.device("cpu")


def identity(volumes: torch.Tensor) -> torch.Tensor:
    return volumes


def off_centre(measurement):
    """The same particle away from the middle of the box, in a tight support, seen evenly."""
    shift = (3, -2, 4)
    roll = {name: torch.roll(getattr(measurement, name), shift, dims=(-3, -2, -1)) for name in ("support",)}
    data = torch.roll(measurement.data, shift, dims=(-3, -2, -1))
    return replace(measurement, data=data, **roll)


def error_inside(answer, expected, measurement) -> float:
    inside = measurement.support > 0
    return float((answer - expected)[:, inside].norm() / expected[:, inside].norm())


def test_without_a_weight_an_identity_network_returns_the_map(measurement_factory):
    measurement = off_centre(measurement_factory(n=48, noise=0.0))
    data = measurement.data * measurement.support
    everything = FourierWeight(np.ones((48, 48, 25), np.float32), 48, CPU)
    rotations = draw_rotations(3, np.random.default_rng(0), CPU)
    answer = RotationalAveraging(measurement, everything).answer(identity, data, rotations)
    assert error_inside(answer, data, measurement) < 0.05


@pytest.mark.parametrize("index", [1, 7, 13])
def test_a_copy_is_filtered_by_the_weight_of_the_copy(measurement_factory, index):
    """Turned by R, filtered by M(k) and turned back is filtered by M(R k)."""
    measurement = measurement_factory(n=48, noise=0.0)
    rotation = cube_rotations()[index]
    weight = FourierWeight(measurement.fsc_weight_rfft.numpy(), 48, CPU)
    copies = RotationalAveraging(measurement, weight)
    matrix = torch.from_numpy(rotation).float()
    answer = copies.predict(identity, measurement.data, matrix[None])
    from spisonet.learning.spectra import frequency_points_rfft

    turned_weight = weight.at(frequency_points_rfft(48, CPU) @ matrix.T)
    expected = apply_filter(measurement.data, turned_weight)
    assert error_inside(answer, expected, measurement) < 0.08
    other = apply_filter(measurement.data, weight.at(frequency_points_rfft(48, CPU)))
    if not np.allclose(np.abs(rotation[2]), [0, 0, 1]):  # the missing cone is about z
        assert error_inside(answer, other, measurement) > 0.2


def test_the_answer_asks_about_the_filled_map(measurement_factory):
    measurement = measurement_factory(n=32)
    sharp = replace(measurement, view_weight_rfft=measurement.fsc_weight_rfft)
    asked = []

    def count(volumes):
        asked.append(len(volumes))
        return volumes

    answer = SelfTrainingObjective(sharp, 16).answer(count)
    assert asked == [2] + [1] * (2 * PREDICTION_PASSES * ROTATIONS_PER_PASS)
    assert answer.shape == sharp.data.shape
    asked.clear()
    SelfTrainingObjective(measurement, 16).answer(count)  # a blunt weight cannot be filled again and again
    assert asked == [2]


def test_the_answer_is_the_same_every_time(measurement_factory):
    measurement = measurement_factory(n=32)
    sharp = replace(measurement, view_weight_rfft=measurement.fsc_weight_rfft)
    answers = [SelfTrainingObjective(sharp, 16).answer(identity) for _ in range(2)]
    assert torch.equal(*answers)
