"""Training objective of IsoNet2 (``isonet2-n2n``) for comparison, with the network and trainer of spisonet.

Every update fills the missing wedge of pairs of subvolumes (even and odd) with the current network, adds
noise that makes the filled part as noisy as the data, rotates both, removes the wedge again, and compares the
prediction of either half with the other half where the rotated data were measured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from spisonet.geometry.rotations import cube_rotations
from spisonet.io.tomogram_table import TomogramTable
from spisonet.learning.checkpoint import save_network
from spisonet.learning.memory import Memory
from spisonet.learning.process_group import SINGLE_PROCESS
from spisonet.learning.rotational_averaging import rotate90
from spisonet.learning.spectra import WedgeWeight, apply_filter, frequency_points_rfft
from spisonet.learning.subvolumes import draw_rotations
from spisonet.learning.training_job import train
from spisonet.tomography.refine import prepare_training, read_training_inputs
from spisonet.tomography.tomogram import CLIP

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from spisonet.tomography.tomogram import Tomogram
    from spisonet.tomography.training_config import RefineConfig
    from spisonet.tomography.training_set import TrainingSet

ARBITRARY_ROTATIONS = 0.2  # fraction of the updates; the others have rotations of the cube
WEDGE_STAYS = 0.5  # elements of a rotation of the cube are -1, 0 or 1


class OwnSubvolumes:
    """Base of objectives whose inputs are made of the data alone: nothing is filled between updates."""

    def begin_epoch(self, number: int) -> None:
        """Do nothing."""

    def refresh_interval(self, batch_size: int) -> int:
        """Return 0: nothing is filled."""
        return 0

    def refresh(self, number: int, predict: Callable[[Tensor], Tensor]) -> None:
        """Do nothing."""

    def memory_settings(self) -> dict[str, float]:
        """Return nothing."""
        return {}

    def restore_memory_settings(self, settings: dict[str, float]) -> None:
        """Do nothing."""

    @property
    def n_predictions(self) -> int:
        """Nothing is predicted."""
        return 0

    def predict(self, predict: Callable[[Tensor], Tensor]) -> None:
        """Do nothing."""


class PublishedObjective(OwnSubvolumes):
    """Objective of IsoNet2 for even and odd tomograms; every update fills its own subvolumes.

    Parameters
    ----------
    training_set : TrainingSet
        One tomogram with two halves.
    cube_size : int
        Edge of subvolumes in voxels.
    wedge_weight : float
        Weight of the loss in the artificial missing wedge.
    """

    def __init__(self, training_set: TrainingSet, cube_size: int, wedge_weight: float) -> None:
        (tomogram,) = training_set.tomograms
        self._halves = normalised_halves(tomogram)
        self._centres, self._cube_size = training_set.centres[0], cube_size
        self._wedge = WedgeWeight(*tomogram.tilt_range_degrees)
        self._wedge_weight = wedge_weight

    def draw(self, n_subvolumes: int, rng: np.random.Generator) -> PublishedBatch:
        """Draw pairs of subvolumes, and one rotation for all of them."""
        drawn = self._centres[rng.integers(len(self._centres), size=n_subvolumes)]
        pairs = [self._halves[:, *subvolume(centre, self._cube_size)] for centre in drawn]
        if rng.random() < ARBITRARY_ROTATIONS:
            rotation = draw_rotations(1, rng, self._halves.device)[0].numpy().astype(float)
        else:
            moving = [
                r for r in cube_rotations() if min(abs(r[1, 1]), abs(r[2, 2])) < WEDGE_STAYS
            ]  # not those that map the wedge onto itself
            rotation = moving[rng.integers(len(moving))]
        seed = int(rng.integers(2**63))
        return PublishedBatch(torch.stack(pairs), rotation, self._wedge, self._wedge_weight, seed)


def normalised_halves(tomogram: Tomogram) -> Tensor:
    """Return the even and the odd half ``(2, z, y, x)``, as networks get them."""
    halves = torch.from_numpy(np.stack([volume.read() for volume in tomogram.volumes]))
    return ((halves - tomogram.mean) / tomogram.deviation).clamp_(-CLIP, CLIP)


def subvolume(centre: NDArray[np.integer], edge: int) -> tuple[slice, slice, slice]:
    """Return the voxels ``(z, y, x)`` of a cube about a centre ``(x, y, z)``."""
    z, y, x = (slice(int(c) - edge // 2, int(c) - edge // 2 + edge) for c in centre[::-1])
    return z, y, x


@dataclass(frozen=True)
class PublishedBatch:
    """Pairs of subvolumes ``(batch, 2, z, y, x)``, and the rotation and the wedge for all of them."""

    pairs: Tensor
    rotation: np.ndarray
    wedge: WedgeWeight
    wedge_weight: float
    seed: int

    def loss(self, network: Callable[[Tensor], Tensor], part: slice) -> Tensor:
        """Mean squared residual of a part of the batch, of both halves."""
        pairs = self.pairs[part]
        points = frequency_points_rfft(pairs.shape[-1], pairs.device)
        weight = self.wedge.at(points)
        rotated_weight = self.wedge.at(points @ torch.from_numpy(self.rotation).to(points.dtype))
        data = apply_filter(pairs, weight)
        with torch.no_grad():
            prediction = torch.stack([network(data[:, half]) for half in (0, 1)], dim=1)
            noise, remaining = ((v[:, 0] - v[:, 1]).std() / np.sqrt(2) for v in (pairs, prediction))
            generator = torch.Generator().manual_seed(self.seed)
            white = torch.randn(prediction.shape, generator=generator)
            prediction = prediction + white * (noise**2 - remaining**2).abs().sqrt()
            targets = self._rotated(data + apply_filter(prediction, 1 - weight))
            inputs = apply_filter(targets, weight)
            deviation, mean = torch.std_mean(inputs, dim=(-3, -2, -1), keepdim=True, correction=0)
            deviation_before, mean_before = torch.std_mean(data, dim=(-3, -2, -1), keepdim=True, correction=0)
            inputs = (inputs - mean) / deviation * deviation_before + mean_before
        total = pairs.new_zeros(())
        for half in (0, 1):
            residual = network(inputs[:, half]) - targets[:, 1 - half]
            visible, hidden = rotated_weight * weight, rotated_weight * (1 - weight)
            total = total + apply_filter(residual, visible).square().mean()
            total = total + self.wedge_weight * apply_filter(residual, hidden).square().mean()
        return total / 2

    def _rotated(self, volumes: Tensor) -> Tensor:
        if np.allclose(self.rotation, self.rotation.round()):
            shape = volumes.shape
            cubes = [rotate90(volume, self.rotation) for volume in volumes.reshape(-1, *shape[-3:])]
            return torch.stack(cubes).reshape(shape)
        # A point p of the rotated volume has the value at R^T p, both in (x, y, z).
        theta = torch.zeros(len(volumes), 3, 4)
        theta[:, :, :3] = torch.from_numpy(self.rotation.T).float()
        grid = functional.affine_grid(theta, list(volumes.shape), align_corners=True)
        return functional.grid_sample(volumes, grid, padding_mode="reflection", align_corners=True)


def train_published(config: RefineConfig) -> Path:
    """Train with the objective of IsoNet2 and write the network; in every update, both halves are inputs."""
    return train_with(config, partial(PublishedObjective, wedge_weight=config.mw_weight))


def train_with(config: RefineConfig, make_objective: Callable[..., OwnSubvolumes]) -> Path:
    """Train with an objective and write the network.

    Parameters
    ----------
    config : RefineConfig
        Table, folder of the network, and length of the training.
    make_objective : callable
        Creates the objective from the training set and ``cube_size``.
    """
    output_dir = config.output_dir or Path("trained")
    output_dir.mkdir(parents=True, exist_ok=True)
    inputs = read_training_inputs(config, TomogramTable.read(config.star_file), output_dir)
    memory = Memory(torch.device("cpu"))
    training = prepare_training(inputs, config, memory, 1, output_dir)
    job = replace(training.job, make_objective=partial(make_objective, cube_size=inputs.cube_size))
    trainer, _ = train(job, memory.device, SINGLE_PROCESS, output_dir / "checkpoint.safetensors", False)
    path = output_dir / "network.safetensors"
    save_network(path, trainer.average, training.metadata.as_record())
    return path
