"""Network weights and training states on disk: safetensors, nothing that is executed on loading."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from spisonet.errors import SpisonetError
from spisonet.io.atomic import atomic_path
from spisonet.learning.unet import PublishedUNet, UNet

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from spisonet.learning.unet import Network

NETWORKS = {network.architecture: network for network in (UNet, PublishedUNet)}


def save_tensors(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write tensors and JSON-serialisable facts into one safetensors file, atomically.

    Raises
    ------
    SpisonetError
        If the file cannot be written.
    """
    contiguous = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        # Written by us and not by save_file, which makes files that only their owner can read.
        temporary.write_bytes(save(contiguous, metadata={"spisonet": json.dumps(facts)}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and facts written by `save_tensors`.

    Raises
    ------
    SpisonetError
        If the file is missing or is not such a file (a pickled ``.pt``, for instance).
    """
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise SpisonetError(
            f"{path} is not a safetensors file; pickled weights such as .pt are not loaded, "
            "because loading them can run code."
        ) from error
    if "spisonet" not in metadata:
        raise SpisonetError(f"{path} was not written by spisonet.")
    return tensors, json.loads(metadata["spisonet"])


def save_network(path: Path, network: Network, facts: dict[str, Any]) -> None:
    """Write the weights of a trained network, with what is needed to use them again."""
    architecture = {"architecture": network.architecture, "filter_base": network.filter_base}
    save_tensors(path, network.state_dict(), {**facts, **architecture})


def load_network(path: Path, filter_base: int | None = None) -> tuple[Network, dict[str, Any]]:
    """Read network weights, and what else was written with them.

    Parameters
    ----------
    path : Path
        A file written by `save_network`.
    filter_base : int, optional
        The base width that the network should have.

    Raises
    ------
    SpisonetError
        If the file holds another network.
    """
    tensors, facts = load_tensors(path)
    width = facts.get("filter_base")
    if facts.get("architecture") not in NETWORKS or not isinstance(width, int):
        raise SpisonetError(f"{path} does not hold the weights of a spisonet network.")
    if filter_base is not None and width != filter_base:
        raise SpisonetError(
            f"{path} holds a network of base width {width}, not {filter_base}; give --filter_base {width}."
        )
    network = NETWORKS[facts["architecture"]](width)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise SpisonetError(f"{path} holds a network of another shape.") from error
    return network, facts
