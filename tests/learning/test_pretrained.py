"""The network that comes with the program as a start, and other values of ``--pretrained``."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from spisonet.errors import SpisonetError
from spisonet.learning.checkpoint import load_tensors, save_network
from spisonet.learning.memory import Memory
from spisonet.learning.pretrained import (
    DEFAULT_PRETRAINED,
    MAP_NETWORK_FILE,
    NOT_PRETRAINED,
    OTHER_MAPS,
    OTHER_TOMOGRAMS,
    SAW_OTHERS,
    TOMOGRAM_NETWORK_FILE,
    TOMOGRAMS,
    TRAINED_ON,
    network_file,
    read_start_network,
)
from spisonet.learning.start_config import PRETRAINED_FILTER_BASE
from spisonet.learning.training_config import PRETRAINED_LEARNING_RATE, TrainingConfig
from spisonet.learning.unet import PriorUNet, PublishedUNet, UNet, WhitenedUNet

OBJECTIVE = "self-training"


def training(filter_base: int | None = None) -> TrainingConfig:
    return TrainingConfig(OBJECTIVE, 1, 8, 16, filter_base, 1, 0, None, None, None, 1.0, 0.5)


@pytest.mark.parametrize(
    ("default", "objective", "kind"),
    [(MAP_NETWORK_FILE, OBJECTIVE, WhitenedUNet), (TOMOGRAM_NETWORK_FILE, TOMOGRAMS, UNet)],
)
def test_the_default_network_is_of_other_structures(default, objective, kind):
    start = read_start_network(network_file(DEFAULT_PRETRAINED, default), objective, None)
    assert type(start.network) is kind
    assert start.of_other_structures
    assert start.saw_other_structures
    assert {p.dtype for p in start.network.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("path", "trained_on"), [(MAP_NETWORK_FILE, OTHER_MAPS), (TOMOGRAM_NETWORK_FILE, OTHER_TOMOGRAMS)]
)
def test_the_card_agrees_with_the_file(path, trained_on):
    card = (path.parent / "README.md").read_text(encoding="utf-8")
    tensors, metadata = load_tensors(path)
    section = card.split(f"`{path.name}`", 1)[1].split("\n\n", 1)[0]
    millions = sum(tensor.numel() for tensor in tensors.values()) / 1e6
    assert f"width {metadata['filter_base']}" in section
    assert metadata["filter_base"] == PRETRAINED_FILTER_BASE
    assert f"{millions:.1f} million" in section
    assert metadata[TRAINED_ON] == trained_on
    assert path.stat().st_size < 6e6
    assert len(set(re.findall(r"\b[1-9][A-Z0-9]{3}\b", card))) >= 26


def test_none_is_no_network():
    assert network_file(NOT_PRETRAINED) is None
    assert read_start_network(None, OBJECTIVE, None) is None


def test_a_network_of_a_file_may_be_of_the_maps(tmp_path):
    path = tmp_path / "network.safetensors"
    save_network(path, UNet(4), {})
    start = read_start_network(path, OBJECTIVE, None)
    assert type(start.network) is UNet
    assert not start.of_other_structures


def test_a_training_that_continues_one_from_other_structures_is_known(tmp_path):
    path = tmp_path / "network.safetensors"
    save_network(path, UNet(4), {SAW_OTHERS: True})
    start = read_start_network(path, TOMOGRAMS, None)
    assert start.saw_other_structures
    assert not start.of_other_structures


@pytest.mark.parametrize(
    ("network", "objective", "message"),
    [
        (PublishedUNet(4), OBJECTIVE, "another objective"),
        (PriorUNet(4), OBJECTIVE, "no start for one"),
        (PriorUNet(4), TOMOGRAMS, "no start for one"),
        (WhitenedUNet(4), TOMOGRAMS, "another architecture"),
    ],
)
def test_networks_of_another_kind_are_refused(tmp_path, network, objective, message):
    path = tmp_path / "network.safetensors"
    save_network(path, network, {})
    with pytest.raises(SpisonetError, match=message):
        read_start_network(path, objective, None)


def test_another_width_is_refused():
    with pytest.raises(SpisonetError, match="base width 16, not 4"):
        read_start_network(MAP_NETWORK_FILE, OBJECTIVE, 4)


def test_training_continues_the_kind_and_the_width_of_the_start(measurement_factory):
    measurement, memory = measurement_factory(n=24), Memory(torch.device("cpu"))
    start = WhitenedUNet(4)
    measurement = replace(measurement, view_weight_rfft=measurement.fsc_weight_rfft)
    job = training().training_job("maps", measurement, memory, start=start)
    assert isinstance(job.network, WhitenedUNet)
    assert job.network.filter_base == 4
    assert job.options.learning_rate == pytest.approx(PRETRAINED_LEARNING_RATE)
    assert training(8).training_job("maps", measurement, memory).network.filter_base == 8
