"""Network weights and training states on disk, in the safetensors format: loading never executes code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from spisonet.errors import SpisonetError
from spisonet.io.atomic import write_bytes
from spisonet.learning.unet import ARCHITECTURES

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from spisonet.learning.unet import Network


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write tensors and JSON-serialisable metadata into one safetensors file, atomically.

    Raises
    ------
    SpisonetError
        If the file cannot be written.
    """
    contiguous = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    # Not by save_file, which makes files that only their owner can read.
    write_bytes(path, save(contiguous, metadata={"spisonet": json.dumps(metadata)}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and metadata written by `save_tensors`.

    Raises
    ------
    SpisonetError
        If the file is missing or is in another format (a pickled ``.pt``, for instance).
    """
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist.")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise SpisonetError(
            f"{path} is not a safetensors file; pickled weights such as .pt are not loaded, "
            "because loading them can run code."
        ) from error
    if "spisonet" not in header:
        raise SpisonetError(f"{path} was not written by spisonet.")
    return tensors, json.loads(header["spisonet"])


def save_network(path: Path, network: Network, metadata: dict[str, Any]) -> None:
    """Write the weights of a trained network, with the metadata that prediction needs."""
    architecture = {"architecture": network.architecture, "filter_base": network.filter_base}
    save_tensors(path, network.state_dict(), {**metadata, **architecture})


def load_network(path: Path, filter_base: int | None = None) -> tuple[Network, dict[str, Any]]:
    """Read network weights and their metadata.

    Parameters
    ----------
    path : Path
        A file written by `save_network`.
    filter_base : int, optional
        The expected base width.

    Raises
    ------
    SpisonetError
        If the file contains another network.
    """
    tensors, metadata = load_tensors(path)
    width = metadata.get("filter_base")
    architecture = metadata.get("architecture")
    if architecture is None or not isinstance(width, int):
        raise SpisonetError(f"{path} does not contain the weights of a spisonet network.")
    if architecture not in ARCHITECTURES:
        raise SpisonetError(
            f"{path} contains a network of architecture {architecture}, but this version of spisonet uses "
            f"{' and '.join(ARCHITECTURES)}; train the network again."
        )
    if filter_base is not None and width != filter_base:
        raise SpisonetError(
            f"{path} contains a network of base width {width}, not {filter_base}; give --filter_base {width}."
        )
    network = ARCHITECTURES[architecture](width)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise SpisonetError(f"{path} contains a network of another shape.") from error
    return network, metadata
