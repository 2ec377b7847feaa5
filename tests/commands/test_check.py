"""The self-test of a device."""

from __future__ import annotations

import logging
import re

import pytest
import torch

from spisonet.commands import check
from spisonet.errors import SpisonetError
from spisonet.learning.config import CheckConfig


def test_bfloat16_is_compared_with_float32(caplog):
    with caplog.at_level(logging.INFO, "spisonet"):
        check._compare_bfloat16(torch.device("cpu"))
    assert "prediction in bf16 differ from float32" in caplog.text
    assert "gradients in bf16 differ from float32" in caplog.text


def test_wrong_bfloat16_is_a_fault_of_the_device(monkeypatch):
    monkeypatch.setattr(check, "computes_in_bfloat16", lambda device: True)
    monkeypatch.setattr(check, "LARGEST_BFLOAT16_ERROR", 1e-9)
    with pytest.raises(SpisonetError, match="Training does not work on cpu"):
        check.run_check(CheckConfig())


@pytest.mark.gpu
def test_a_gpu_trains_and_computes_in_bfloat16(caplog):
    with caplog.at_level(logging.INFO, "spisonet"):
        check.run_check(CheckConfig())
    assert re.search(r"cuda:0 \(.*GiB free\): training works", caplog.text)
    assert "cuda:0: gradients in bf16 differ from float32" in caplog.text
