"""Batches of randomly placed and oriented subvolumes, drawn on the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.geometry.rotations import half_turns, random_rotations
from spisonet.learning.devices import to_device

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True)
class SubvolumeBatch:
    """Positions and orientations of a batch of subvolumes, and the half maps they are drawn from.

    Attributes
    ----------
    rotations : Tensor
        ``(batch, 3, 3)``, acting on ``(x, y, z)``.
    centres : Tensor
        ``(batch, 3)`` volume coordinates ``(x, y, z)``.
    edge : int
        Subvolume edge in voxels.
    inputs, targets : ndarray of int
        ``(batch,)`` index of the half of the input, in ascending order, and of the half of the target (the
        other one, if there are two).
    """

    rotations: Tensor
    centres: Tensor
    edge: int
    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of subvolumes."""
        return len(self.inputs)

    def part(self, part: slice) -> SubvolumeBatch:
        """Return a part of the batch."""
        return SubvolumeBatch(
            self.rotations[part], self.centres[part], self.edge, self.inputs[part], self.targets[part]
        )

    def positions(self) -> Tensor:
        """Return the sampling positions ``(batch, edge, edge, edge, 3)`` in the volume, as ``(x, y, z)``."""
        axis = torch.arange(self.edge, device=self.centres.device, dtype=torch.float32) - (self.edge - 1) / 2
        z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
        offsets = torch.stack([x, y, z], dim=-1)
        # The subvolume is of R v: its voxel at offset o samples the volume at R^T o.
        rotated = torch.einsum("bji,zyxj->bzyxi", self.rotations, offsets)
        return rotated + self.centres[:, None, None, None]


def draw_subvolumes(
    centres: Tensor, n_halves: int, rotations: Tensor, edge: int, rng: np.random.Generator
) -> SubvolumeBatch:
    """Draw one subvolume for every rotation, around random centres.

    Centres are shifted by up to half a voxel, so that subvolumes are not aligned with the grid.

    Parameters
    ----------
    centres : Tensor
        ``(n, 3)`` voxel coordinates ``(x, y, z)`` at which subvolumes may be centred.
    n_halves : int
        1 or 2.
    rotations : Tensor
        ``(batch, 3, 3)``.
    edge : int
        Subvolume edge in voxels.
    rng : numpy.random.Generator
        Source of all randomness.
    """
    device, batch = rotations.device, rotations.shape[0]
    chosen = to_device(rng.integers(0, len(centres), batch), device)
    shifts = to_device(rng.random((batch, 3), dtype=np.float32) - np.float32(0.5), device)
    inputs = np.sort(rng.integers(0, n_halves, batch))
    return SubvolumeBatch(rotations, centres[chosen] + shifts, edge, inputs, targets=n_halves - 1 - inputs)


def draw_rotations(
    batch: int, rng: np.random.Generator, device: torch.device, own_orientation: float = 0.0
) -> Tensor:
    """Draw rotations ``(batch, 3, 3)``.

    Parameters
    ----------
    batch : int
        Number of rotations.
    rng : numpy.random.Generator
        Source of all randomness.
    device : torch.device
        Device of the rotations.
    own_orientation : float
        Probability that a rotation is the identity or a half turn about an axis; the others are uniform over
        SO(3).
    """
    rotations = random_rotations(batch, rng)
    if own_orientation:
        kept = rng.random(batch) < own_orientation
        rotations[kept] = half_turns()[rng.integers(4, size=int(kept.sum()))]
    return to_device(rotations.astype(np.float32), device)
