"""Global search of the poses of subtomograms, from a reference at 60 Å."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.fourier.grids import irfft3, radius_rfft, rfft3
from spisonet.geometry.rotations import random_rotations
from spisonet.misalignment.central_slices import slice_points
from spisonet.misalignment.image_band import Poses
from spisonet.misalignment.local_refinement import SHIFT_STEP_OF_RESOLUTION, projection_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from spisonet.misalignment.half_map_model import HalfMapModel

ORIENTATIONS = 3000  # about 12° apart
ITERATIONS = 5
BLOB_ANGSTROM = 60.0


def search_globally(model: HalfMapModel, truth: NDArray[np.float32], seed: int) -> Poses:
    """Return the most likely of random orientations and a few shifts, after some iterations.

    The first reference is the truth at 60 Å, compared by normalised correlation; the others are those of the
    model.
    """
    rng = np.random.default_rng(seed)
    shell = radius_rfft(truth.shape)
    low = irfft3(np.where(shell <= model.band.length_angstrom / BLOB_ANGSTROM, rfft3(truth), 0), truth.shape)
    table = model.grid.table_of(model.band.tensor(low))
    poses = _best(model, torch.stack([table, table]), None, rng)
    for _ in range(ITERATIONS - 1):
        tables = model.references(poses)
        weights = projection_weights(model, poses, tables)
        poses = _best(model, tables[..., :2].contiguous(), weights, rng)
    return poses


def _best(model: HalfMapModel, tables: Tensor, weights: Tensor | None, rng: np.random.Generator) -> Poses:
    band = model.band
    candidates = random_rotations(ORIENTATIONS, rng)
    points = slice_points(band.tensor(candidates), band.plane).flatten(1)
    step = SHIFT_STEP_OF_RESOLUTION * band.length_angstrom / band.last
    shifts = np.stack(np.meshgrid(*[[-step, 0.0, step]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    phases = band.phases(band.tensor(shifts))
    rotations, origins = np.empty((len(band), 3, 3)), np.empty((len(band), 3))
    everything = np.arange(len(band))
    zero = Poses(np.empty((len(band), 3, 3)), np.zeros((len(band), 3)))
    for half in (0, 1):
        mine = band.in_half_set(everything, half + 1)
        values = model.grid.values(tables[half], points).reshape(ORIENTATIONS, -1)
        images, ctf = band.coefficients(everything, zero)[mine], band.ctf(everything)[mine]
        if weights is None:
            linear, quadratic = torch.ones(1), torch.ones(1)
        else:
            linear, quadratic = weights[:, band.noise_groups[mine]][..., band.shells]
        weighted = (images * ctf * linear).conj()
        power = (ctf**2 * quadratic) @ (values.abs() ** 2).T
        cross = torch.stack([((weighted * phase.conj()) @ values.T).real for phase in phases], dim=1)
        if weights is None:
            scores = cross / power.sqrt()[:, None]
        else:
            scores = 2 * cross - power[:, None]
        best = scores.flatten(1).argmax(dim=1).numpy()
        chosen = mine.numpy()
        rotations[chosen] = candidates[best % ORIENTATIONS]
        origins[chosen] = shifts[best // ORIENTATIONS]
    return Poses(rotations, origins)
