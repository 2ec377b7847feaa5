"""Weights on disk."""

from __future__ import annotations

import pickle

import pytest
import torch
from safetensors.torch import save_file

from spisonet.errors import SpisonetError
from spisonet.learning.checkpoint import load_network, load_tensors, save_network, save_tensors
from spisonet.learning.unet import PublishedUNet, UNet


@pytest.mark.parametrize("kind", [UNet, PublishedUNet])
def test_network_round_trip(tmp_path, kind):
    network = kind(4)
    save_network(tmp_path / "n.safetensors", network, {"note": "x"})
    loaded, metadata = load_network(tmp_path / "n.safetensors", 4)
    assert isinstance(loaded, kind)
    assert metadata["note"] == "x"
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


def test_metadata_round_trip(tmp_path):
    save_tensors(tmp_path / "t.safetensors", {"a": torch.ones(2)}, {"rng": {"state": 2**120}, "x": [1.5]})
    assert load_tensors(tmp_path / "t.safetensors")[1] == {"rng": {"state": 2**120}, "x": [1.5]}


def test_another_width_is_named(tmp_path):
    save_network(tmp_path / "n.safetensors", UNet(4), {})
    with pytest.raises(SpisonetError, match="base width 4, not 8; give --filter_base 4"):
        load_network(tmp_path / "n.safetensors", 8)


def test_pickle_is_refused_and_not_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    path = tmp_path / "weights.pt"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(SpisonetError, match="not a safetensors file"):
        load_network(path, 4)
    assert not (tmp_path / "executed").exists()


def test_foreign_safetensors_and_missing_files_are_refused(tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(SpisonetError, match="not written by spisonet"):
        load_network(tmp_path / "foreign.safetensors", 4)
    save_tensors(tmp_path / "other.safetensors", {"a": torch.ones(1)}, {})
    with pytest.raises(SpisonetError, match="does not contain the weights"):
        load_network(tmp_path / "other.safetensors", 4)
    with pytest.raises(SpisonetError, match="does not exist"):
        load_network(tmp_path / "none.safetensors", 4)
