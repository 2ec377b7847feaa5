"""The ``check`` command."""

from __future__ import annotations

import logging
import re

import pytest

from spisonet.commands import check
from spisonet.errors import SpisonetError
from spisonet.learning.device_check import Bfloat16Errors, DeviceCheck
from spisonet.learning.device_check_config import CheckConfig


def test_devices_and_their_checks_are_logged(monkeypatch, caplog):
    result = DeviceCheck(0.25, Bfloat16Errors(0.012, 0.034))
    monkeypatch.setattr(check, "check_device", lambda device: result)
    with caplog.at_level(logging.INFO, "spisonet"):
        check.run_check(CheckConfig())
    assert re.search(r"cpu \(.*GiB free\): training works \(250 ms\)", caplog.text)
    assert "cpu: differences between bf16 and float32: prediction 1.2 %, gradients 3.4 %" in caplog.text


def test_wrong_bfloat16_is_a_failure_of_the_device(monkeypatch):
    result = DeviceCheck(0.25, Bfloat16Errors(0.5, 0.034))
    monkeypatch.setattr(check, "check_device", lambda device: result)
    with pytest.raises(SpisonetError, match="Training does not work on cpu"):
        check.run_check(CheckConfig())


def test_a_failed_training_is_a_failure_of_the_device(monkeypatch, caplog):
    def fail(device):
        raise RuntimeError("no kernel image")

    monkeypatch.setattr(check, "check_device", fail)
    with pytest.raises(SpisonetError, match="Training does not work on cpu"):
        check.run_check(CheckConfig())
    assert "cpu: training fails: no kernel image" in caplog.text


@pytest.mark.gpu
def test_a_gpu_trains_and_computes_in_bfloat16(caplog):
    with caplog.at_level(logging.INFO, "spisonet"):
        check.run_check(CheckConfig())
    assert re.search(r"cuda:0 \(.*GiB free\): training works", caplog.text)
    assert "cuda:0: differences between bf16 and float32" in caplog.text
