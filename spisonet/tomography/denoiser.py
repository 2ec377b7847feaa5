"""A trained network that denoises tomograms before another one fills their missing wedges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from spisonet.learning.devices import Backend, empty_cache
from spisonet.learning.half_turns import HALF_TURNS, average_over_half_turns
from spisonet.learning.memory import is_out_of_memory
from spisonet.learning.tiling import clip_tile, predict_volumes
from spisonet.learning.unet import fused

if TYPE_CHECKING:
    from torch import Tensor

    from spisonet.learning.unet import Network

N_PREDICTIONS = 1 + len(HALF_TURNS)  # for each volume


@dataclass(frozen=True)
class Denoiser:
    """A network trained with the method ``n2n``.

    Attributes
    ----------
    network : Network
        The network, on the CPU.
    tile_size : int
        Tile edge of predictions in voxels; smaller ones are used if memory requires.
    """

    network: Network
    tile_size: int

    def apply(self, volumes: Tensor) -> Tensor:
        """Denoise volumes ``(n, z, y, x)`` on their device; predictions are averaged over half turns."""
        backend = Backend.fastest(volumes.device)
        network, tile = backend.to_device(fused(self.network)), self.tile_size

        def denoise(part: Tensor) -> Tensor:
            return average_over_half_turns(partial(backend.apply, network), part, HALF_TURNS)

        while True:
            try:
                with torch.no_grad():
                    return predict_volumes(denoise, volumes, tile)
            except (RuntimeError, MemoryError) as error:
                smaller = clip_tile(tile // 2)
                if not (is_out_of_memory(error) and smaller < tile):
                    raise
            tile = smaller
            empty_cache(volumes.device)
