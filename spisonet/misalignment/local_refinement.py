"""Local refinement of the poses of each half set against its own half map.

Each particle is compared with a few orientations and shifts near its pose, and takes the most likely. The
log-likelihood is averaged over the posterior of the reference, not taken at its mean: the expected power
of a projection is that of the mean plus its variance. The mean alone is attenuated where few views were
measured, which makes wrong views through such regions cheap, so that poses drift away from preferred
views.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.geometry.rotations import random_rotations, rotation_vector_matrices
from spisonet.misalignment.central_slices import slice_points
from spisonet.misalignment.half_map_model import scale_and_noise, squared_modulus
from spisonet.misalignment.image_band import Poses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from spisonet.misalignment.half_map_model import HalfMapModel

SHIFT_STEPS = {2: 2, 3: 1}  # to either side of each axis, by the number of axes
SHIFT_STEP_OF_RESOLUTION = 0.12  # of the finest resolution
ROTATION_STEP_OF_SHELL = 0.8  # of the angle of one Fourier voxel at the end of the band
STEP_FACTORS = (1.0, 1.0, 1.0, 1.0, 0.5, 0.5)  # of the iterations


def refine_locally(
    model: HalfMapModel,
    poses: Poses,
    seed: int,
    step_factors: Sequence[float] = STEP_FACTORS,
    reference_variance: bool = True,
) -> Poses:
    """Refine poses, with new references in each iteration.

    Parameters
    ----------
    model : HalfMapModel
        Images, mask and symmetry.
    poses : Poses
        Where the search starts; a particle moves by one step of each iteration at most.
    seed : int
        Of the random orientations of the search grids.
    step_factors : sequence of float
        Step of each iteration, relative to 0.8 Fourier voxels at the end of the band.
    reference_variance : bool
        Add the posterior variance of the reference to the power of projections.
    """
    rng = np.random.default_rng(seed)
    for factor in step_factors:
        step_radian = factor * ROTATION_STEP_OF_SHELL / model.band.last
        frame = random_rotations(1, rng)[0]
        vectors = step_radian * np.concatenate([np.zeros((1, 3)), frame, -frame])
        poses = _iteration(model, poses, rotation_vector_matrices(vectors), factor, reference_variance)
    return poses


def _iteration(
    model: HalfMapModel,
    poses: Poses,
    turns: NDArray[np.float64],
    shift_factor: float,
    reference_variance: bool,
) -> Poses:
    band = model.band
    tables = model.references(poses)
    n_axes = poses.origins_angstrom.shape[1]
    half = SHIFT_STEPS[n_axes]
    axis = (
        np.arange(-half, half + 1)
        * shift_factor
        * SHIFT_STEP_OF_RESOLUTION
        * band.length_angstrom
        / band.last
    )
    shifts = np.stack(np.meshgrid(*[axis] * n_axes, indexing="ij"), axis=-1).reshape(-1, n_axes)
    weights = projection_weights(model, poses, tables)
    phases, turns_on_device = band.phases(band.tensor(shifts)), band.tensor(turns)
    rotations, origins = poses.rotations.copy(), poses.origins_angstrom.copy()
    for batch in band.batches(points_per_coefficient=len(turns)):
        images, ctf = band.coefficients(batch, poses), band.ctf(batch)
        for number in (0, 1):
            mine = band.in_half_set(batch, number + 1)
            if not len(mine):
                continue
            chosen = batch[mine.cpu().numpy()]
            candidates = torch.einsum("kij,njl->nkil", turns_on_device, band.tensor(rotations[chosen]))
            values, variance = _candidates(model, candidates, tables[number])
            linear, quadratic = weights[:, band.noise_groups[batch[0] + mine]][..., band.shells]
            weighted = images[mine] * ctf[mine] * linear
            cross = torch.einsum("nm,sm,nkm->nsk", weighted.conj(), phases.conj(), values).real
            expected = squared_modulus(values) + variance if reference_variance else squared_modulus(values)
            expected = torch.einsum("nkm,nm->nk", expected, ctf[mine] ** 2 * quadratic)
            best = (2 * cross - expected[:, None]).flatten(1).argmax(dim=1).cpu().numpy()
            rotations[chosen] = turns[best % len(turns)] @ rotations[chosen]
            origins[chosen] += shifts[best // len(turns)]
    return Poses(rotations, origins)


def _candidates(model: HalfMapModel, rotations: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """Return slices of a reference and their variance, ``(n, k, m)``, in ``(n, k, 3, 3)`` orientations."""
    n, k = rotations.shape[:2]
    points = slice_points(rotations.reshape(-1, 3, 3), model.band.plane).reshape(3, -1)
    found = model.grid.interpolate(table, points)
    values = torch.complex(found[:, 0], found[:, 1])
    return values.reshape(n, k, -1), found[:, 2].reshape(n, k, -1)


def projection_weights(model: HalfMapModel, poses: Poses, tables: Tensor) -> Tensor:
    """Return ``a / s2`` and ``a^2 / s2`` of noise groups and shells, ``(2, groups, last + 1)``."""
    band = model.band
    n_groups, n_shells = int(band.noise_groups.max()) + 1, band.last + 1
    sums = torch.zeros((3, n_groups, n_shells), device=band.device)
    values_of_halves = [table[:, :2].contiguous() for table in tables]
    for batch in band.batches():
        images, ctf = band.coefficients(batch, poses), band.ctf(batch)
        points = slice_points(band.tensor(poses.rotations[batch]), band.plane)
        for number in (0, 1):
            mine = band.in_half_set(batch, number + 1)
            values = model.grid.values(values_of_halves[number], points[:, mine].reshape(3, -1))
            projections, observed = values.reshape(len(mine), ctf.shape[1]) * ctf[mine], images[mine]
            terms = torch.stack(
                [
                    (observed.conj() * projections).real,
                    squared_modulus(projections),
                    squared_modulus(observed),
                ]
            )
            by_shell = torch.zeros((3, len(mine), n_shells), device=band.device)
            by_shell = by_shell.index_add(2, band.shells, terms)
            sums = sums.index_add(1, band.noise_groups[batch[0] + mine], by_shell)
    cross, of_projections, total = sums
    counts = torch.bincount(band.noise_groups, minlength=n_groups)[:, None] * torch.bincount(
        band.shells, minlength=n_shells
    )
    scale, noise = scale_and_noise(cross, of_projections, total, counts)
    return torch.stack([scale / noise, scale**2 / noise])
