"""Network weights and training states on disk, in the safetensors format: loading never executes code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from spisonet.errors import SpisonetError
from spisonet.io.atomic import write_bytes
from spisonet.io.config import LARGEST_BOX, LARGEST_INTEGER, LARGEST_WIDTH
from spisonet.io.json_files import DAMAGED, parse_json
from spisonet.learning.unet import ARCHITECTURES

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from spisonet.learning.unet import Network


class CheckpointRecord(BaseModel):
    """Types of the metadata of a training state; see `Trainer.state`."""

    model_config = ConfigDict(extra="allow", strict=True)

    tile_size: Annotated[int, Field(gt=0, le=LARGEST_BOX)]
    n_splits: Annotated[int, Field(gt=0, le=LARGEST_INTEGER)]
    refresh_interval: Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]
    memory_settings: dict[str, float]
    n_updates: Annotated[int, Field(ge=0)]
    epoch_losses: list[float | None]
    loss_in_epoch: float = 0.0
    random_state: dict[str, Any] | None = None
    loss_reduction: float | None = None
    scores: list[float] = []
    end_reason: str | None = None


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
        If the file is missing, damaged, or in another format (a pickled ``.pt``, for instance).
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
    try:
        metadata = parse_json(header["spisonet"])
    except ValueError as error:
        raise damaged(path, f"its metadata: {error}") from error
    if not isinstance(metadata, dict):
        raise damaged(path, "its metadata are not an object")
    wrong = next((name for name, t in tensors.items() if not torch.isfinite(t.float()).all()), None)
    if wrong is not None:
        raise damaged(path, f"{wrong} contains NaN or infinite values")
    return tensors, metadata


def damaged(path: Path, reason: str) -> SpisonetError:
    """Return the error of a file that cannot be used."""
    return SpisonetError(f"{path} is damaged: {reason}; train the network again.", code=DAMAGED, path=path)


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
    if not isinstance(architecture, str) or not isinstance(width, int) or isinstance(width, bool):
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
    if not 0 < width <= LARGEST_WIDTH:
        raise damaged(path, f"filter_base is {width}")
    with torch.device("meta"):  # shapes without memory
        expected = ARCHITECTURES[architecture](width).state_dict()
    if {k: v.shape for k, v in expected.items()} != {k: v.shape for k, v in tensors.items()}:
        raise SpisonetError(f"{path} contains a network of another shape.")
    network = ARCHITECTURES[architecture](width)
    network.load_state_dict(tensors)
    return network, metadata
