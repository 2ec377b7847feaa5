"""Networks with which a training starts: those that come with the program, and those of earlier runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.learning.checkpoint import load_network
from spisonet.learning.start_config import DEFAULT_PRETRAINED, NOT_PRETRAINED
from spisonet.learning.unet import DenoisedUNet, PublishedUNet, UNet, WhitenedUNet

if TYPE_CHECKING:
    from spisonet.learning.unet import Network

NETWORKS = Path(__file__).parent / "networks"
MAP_NETWORK_FILE = NETWORKS / "pretrained.safetensors"
TOMOGRAM_NETWORK_FILE = NETWORKS / "pretrained_tomograms.safetensors"
TRAINED_ON = "trained_on"
OTHER_MAPS, OTHER_TOMOGRAMS = (f"simulated {data} of known structures" for data in ("half maps", "tomograms"))
SAW_OTHERS = "saw_other_structures"
TOMOGRAMS = "tomograms"
# By objective of the training.
ACCEPTED: dict[str, tuple[type[Network], ...]] = {
    "self-training": (UNet, WhitenedUNet),
    "ei": (PublishedUNet,),
    TOMOGRAMS: (UNet, DenoisedUNet),
}


@dataclass(frozen=True)
class StartNetwork:
    """A network with which training starts.

    Attributes
    ----------
    network : Network
        The network.
    of_other_structures : bool
        Whether it was trained on simulated data only, so that it cannot contain the data to be corrected.
    saw_other_structures : bool
        Whether it was, or its training started from such a network.
    """

    network: Network
    of_other_structures: bool
    saw_other_structures: bool


def network_file(pretrained: str, default: Path = MAP_NETWORK_FILE) -> Path | None:
    """Return the file of the option ``--pretrained``: ``default``, ``none`` (None) or a file."""
    if pretrained == NOT_PRETRAINED:
        return None
    return default if pretrained == DEFAULT_PRETRAINED else Path(pretrained)


def read_start_network(path: Path | None, objective: str, filter_base: int | None) -> StartNetwork | None:
    """Read the network that a training starts from.

    Parameters
    ----------
    path : Path or None
        The file; None for a start from random weights.
    objective : str
        Objective of the training: one of those of ``reconstruct``, or ``tomograms``.
    filter_base : int or None
        Expected base width; None for any.

    Raises
    ------
    SpisonetError
        If the file does not contain a network of this objective and width.
    """
    if path is None:
        return None
    network, metadata = load_network(path, filter_base)
    if type(network) in ACCEPTED[objective]:
        of_others = metadata.get(TRAINED_ON) in (OTHER_MAPS, OTHER_TOMOGRAMS)
        return StartNetwork(network.float(), of_others, of_others or metadata.get(SAW_OTHERS) is True)
    field, reason = "objective", f"was trained with another objective than {objective}: give its --objective."
    if getattr(network, "n_inputs", 1) > 1:
        field, reason = (
            "pretrained",
            (
                "completes maps before a training (--prior) and is no start for one; give --pretrained "
                "default, none or the network of a training."
            ),
        )
    elif isinstance(network, DenoisedUNet):
        field, reason = (
            "pretrained",
            (
                "was trained on tomograms; give --pretrained default, none or the network of a training on "
                "half maps."
            ),
        )
    elif objective == TOMOGRAMS:
        field, reason = "pretrained", "has another architecture: give a network of refine or denoise."
    raise SpisonetError(f"{path} {reason}", code="invalid_option", field=field)
