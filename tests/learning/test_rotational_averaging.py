"""Predictions of rotated copies return to the position of the map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spisonet.geometry.rotations import cube_rotations
from spisonet.learning.objectives import PREDICTION_PASSES, ROTATIONS_PER_PASS, SelfTrainingObjective
from spisonet.learning.rotational_averaging import RotationalAveraging
from spisonet.learning.spectra import FourierWeight, apply_filter, frequency_points_rfft
from spisonet.learning.subvolumes import draw_rotations

CPU = torch.device("cpu")


def identity(volumes: torch.Tensor) -> torch.Tensor:
    return volumes


def off_centre(measurement):
    """The same particle away from the middle of the box."""
    shift = (3, -2, 4)
    data, support = (
        torch.roll(volumes, shift, dims=(-3, -2, -1)) for volumes in (measurement.data, measurement.support)
    )
    return replace(measurement, data=data, support=support)


def error_inside(prediction, expected, measurement) -> float:
    inside = measurement.support > 0
    return float((prediction - expected)[:, inside].norm() / expected[:, inside].norm())


def test_without_a_weight_an_identity_network_returns_the_map(measurement_factory):
    measurement = off_centre(measurement_factory(n=48, noise=0.0))
    data = measurement.data * measurement.support
    everything = FourierWeight(np.ones((48, 48, 25), np.float32), 48, CPU)
    rotations = draw_rotations(3, np.random.default_rng(0), CPU)
    prediction = RotationalAveraging(measurement, everything).predict(identity, data, rotations)
    assert error_inside(prediction, data, measurement) < 0.05


@pytest.mark.parametrize("index", [1, 7, 13])
def test_a_copy_is_filtered_by_the_unrotated_weight(measurement_factory, index):
    """Rotation by R, a filter C(k), and rotation back amount to the filter C(R k)."""
    measurement = measurement_factory(n=48, noise=0.0)
    rotation = cube_rotations()[index]
    weight = FourierWeight(measurement.fsc_weight_rfft.numpy(), 48, CPU)
    averaging = RotationalAveraging(measurement, weight)
    matrix = torch.from_numpy(rotation).float()
    prediction = averaging.predict(identity, measurement.data, matrix[None])
    rotated_weight = weight.at(frequency_points_rfft(48, CPU) @ matrix.T)
    expected = apply_filter(measurement.data, rotated_weight)
    assert error_inside(prediction, expected, measurement) < 0.08
    other = apply_filter(measurement.data, weight.at(frequency_points_rfft(48, CPU)))
    if not np.allclose(np.abs(rotation[2]), [0, 0, 1]):  # the missing cone is about z
        assert error_inside(prediction, other, measurement) > 0.2


def test_the_prediction_averages_rotated_copies_if_both_constraints_are_given(measurement_factory):
    measurement = measurement_factory(n=32)
    sharp = replace(measurement, view_weight_rfft=measurement.fsc_weight_rfft)
    batches = []

    def count(volumes):
        batches.append(len(volumes))
        return volumes

    prediction = SelfTrainingObjective(sharp, 16).predict(count)
    assert batches == [2] + [1] * (2 * PREDICTION_PASSES * ROTATIONS_PER_PASS)
    assert prediction.shape == sharp.data.shape
    batches.clear()
    SelfTrainingObjective(measurement, 16).predict(count)  # with the 3D FSC only, in a single pass
    assert batches == [2]


def test_the_prediction_is_reproducible(measurement_factory):
    measurement = measurement_factory(n=32)
    sharp = replace(measurement, view_weight_rfft=measurement.fsc_weight_rfft)
    predictions = [SelfTrainingObjective(sharp, 16).predict(identity) for _ in range(2)]
    assert torch.equal(*predictions)
