"""A trained network that denoises tomograms before another one fills their missing wedges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from spisonet.learning.devices import Backend
from spisonet.learning.tiling import predict_volumes
from spisonet.learning.unet import fused

if TYPE_CHECKING:
    from torch import Tensor

    from spisonet.learning.unet import Network


@dataclass(frozen=True)
class Denoiser:
    """A network trained with the method ``n2n``.

    Attributes
    ----------
    network : Network
        The network, on the CPU.
    tile_size : int
        Tile edge of predictions in voxels.
    """

    network: Network
    tile_size: int

    def apply(self, volumes: Tensor) -> Tensor:
        """Denoise volumes ``(n, z, y, x)`` on their device."""
        backend = Backend.fastest(volumes.device)
        network = backend.to_device(fused(self.network))
        with torch.no_grad():
            return predict_volumes(lambda tile: backend.apply(network, tile), volumes, self.tile_size)
