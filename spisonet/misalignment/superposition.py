"""Superposition of the half maps of two half sets that were refined separately."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spisonet.fourier.grids import frequency_axes_rfft, radius_rfft
from spisonet.misalignment.pose_motion import invariant_axes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.misalignment.half_map_model import HalfMapModel
    from spisonet.misalignment.image_band import Poses

LARGEST_SHIFT_VOXELS, STEP_VOXELS = 3.0, 0.1
SWEEPS = 2  # over the axes


def shift_between(
    first: NDArray[np.float32], second: NDArray[np.float32], last_shell: int, axes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the shift of the second map that superimposes it on the first.

    Parameters
    ----------
    first, second : ndarray
        ``(n, n, n)`` masked maps.
    last_shell : int
        Outermost shell that is compared.
    axes : ndarray
        ``(j, 3)`` unit vectors ``(x, y, z)`` along which the map may move.

    Returns
    -------
    ndarray
        ``(x, y, z)`` in voxels, at most 3 along each axis.
    """
    n = len(first)
    cross = np.fft.rfftn(first) * np.fft.rfftn(second).conj()
    inside = radius_rfft((n, n, n)) <= last_shell
    kz, ky, kx = np.broadcast_arrays(*frequency_axes_rfft((n, n, n)))
    frequencies = np.stack([kx[inside], ky[inside], kz[inside]], axis=1).astype(np.float64) / n
    values = cross[inside]
    candidates = np.arange(-LARGEST_SHIFT_VOXELS, LARGEST_SHIFT_VOXELS + STEP_VOXELS / 2, STEP_VOXELS)
    along = np.zeros(len(axes))
    for _ in range(SWEEPS):
        for index, axis in enumerate(axes):
            rest = along @ axes - along[index] * axis
            here = values * np.exp(2j * np.pi * (frequencies @ rest))
            phases = frequencies @ axis
            scores = [(here * np.exp(2j * np.pi * phases * shift)).real.sum() for shift in candidates]
            along[index] = candidates[int(np.argmax(scores))]
    return np.asarray(along @ axes)


def superimposed(model: HalfMapModel, poses: Poses, half_maps: NDArray[np.float32]) -> Poses:
    """Return poses with origins that superimpose the half maps, where the point group allows a shift.

    Parameters
    ----------
    model : HalfMapModel
        Images, mask and symmetry.
    poses : Poses
        Poses of the particles.
    half_maps : ndarray
        ``(2, box, box, box)`` made with them.
    """
    axes = invariant_axes(model.symmetry.cpu().double().numpy())
    if not len(axes):
        return poses
    mask = model.mask.cpu().numpy()
    shift = shift_between(half_maps[0] * mask, half_maps[1] * mask, model.band.last, axes)
    # Each half moves by half of the shift.
    signs = np.where(model.band.particles.half_sets == 2, 0.5, -0.5)[:, None]
    moved = poses.rotations @ (shift * model.voxel_size_angstrom)
    in_images = moved[:, : poses.origins_angstrom.shape[1]]
    return replace(poses, origins_angstrom=poses.origins_angstrom + signs * in_images)
