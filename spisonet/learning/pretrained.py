"""Networks with which the training on a map starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.learning.checkpoint import load_network
from spisonet.learning.training_config import NETWORK_OF_OBJECTIVE

if TYPE_CHECKING:
    from spisonet.learning.unet import Network

PRETRAINED_FILE = Path(__file__).parent / "networks" / "pretrained.safetensors"
DEFAULT_PRETRAINED, NOT_PRETRAINED = "default", "none"
TRAINED_ON, OTHER_STRUCTURES = "trained_on", "simulated half maps of known structures"


@dataclass(frozen=True)
class StartNetwork:
    """A network with which training starts.

    Attributes
    ----------
    network : Network
        The network.
    of_other_structures : bool
        Whether it was trained on simulated maps only, so that it cannot contain the maps to be corrected.
    """

    network: Network
    of_other_structures: bool


def network_file(pretrained: str) -> Path | None:
    """Return the file of the option ``--pretrained``: ``default``, ``none`` (None) or a file."""
    if pretrained == NOT_PRETRAINED:
        return None
    return PRETRAINED_FILE if pretrained == DEFAULT_PRETRAINED else Path(pretrained)


def read_start_network(pretrained: str, objective: str, filter_base: int | None) -> StartNetwork | None:
    """Read the network of the option ``--pretrained``.

    Parameters
    ----------
    pretrained : str
        ``default`` for the network that comes with the program, ``none``, or a file.
    objective : str
        Objective of the training.
    filter_base : int or None
        Expected base width; None for any.

    Raises
    ------
    SpisonetError
        If the file does not contain a network of this objective and width.
    """
    path = network_file(pretrained)
    if path is None:
        return None
    network, metadata = load_network(path, filter_base)
    if network.n_inputs > 1:
        raise SpisonetError(
            f"{path} completes maps before a training (--prior) and is no start for one; give --pretrained "
            "default, none or the network of a training.",
            code="invalid_option",
            field="pretrained",
        )
    if not isinstance(network, NETWORK_OF_OBJECTIVE[objective]):
        raise SpisonetError(
            f"{path} was trained with another objective than {objective}: give its --objective.",
            code="invalid_option",
            field="objective",
        )
    return StartNetwork(network.float(), metadata.get(TRAINED_ON) == OTHER_STRUCTURES)
