"""Checks of a device."""

from __future__ import annotations

import torch

from spisonet.learning.device_check import Bfloat16Errors, check_device, measure_bfloat16_errors

CPU = torch.device("cpu")


def test_bfloat16_differs_from_float32_by_rounding():
    errors = measure_bfloat16_errors(CPU)
    assert 1e-4 < errors.prediction < 0.05
    assert 1e-4 < errors.gradients < 0.1
    assert errors.is_acceptable


def test_errors_beyond_rounding_are_not_acceptable():
    assert not Bfloat16Errors(prediction=0.01, gradients=0.5).is_acceptable
    assert not Bfloat16Errors(prediction=float("nan"), gradients=0.01).is_acceptable
    assert not Bfloat16Errors(prediction=0.01, gradients=float("nan")).is_acceptable


def test_a_cpu_trains():
    assert check_device(CPU).training_seconds > 0
