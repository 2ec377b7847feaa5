"""The Fourier sampling density of a particle set: what its orientations measured."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

import numpy as np
import scipy.ndimage

from spisonet.errors import SpisonetError
from spisonet.geometry.rotations import view_directions
from spisonet.geometry.sampling import sampling_density, symmetric_directions
from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.io.atomic import prepare_output_file
from spisonet.io.mrc import Volume, write_volume
from spisonet.io.particles import read_particle_orientations

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.anisotropy.config import Fsd3dConfig

# A shell's best direction counts as sampled in full, with a margin for the noise of a maximum.
BEST_DIRECTION = 1.1

log = logging.getLogger(__name__)


def sampling_volume(directions: NDArray[np.floating], box: int, grid_size: int = 64) -> NDArray[np.float32]:
    """Compute the sampling density of view directions on a whole, centred Fourier grid.

    Parameters
    ----------
    directions : ndarray
        ``(n, 3)`` unit view directions ``(x, y, z)``, symmetry mates included.
    box : int
        Edge of the volume to return.
    grid_size : int
        Edge of the grid on which the density is computed if that is smaller: the slices are then
        one voxel of this grid thick, which is what particles of about ``grid_size / box`` of the
        box would fill, and the density is interpolated linearly about DC.

    Returns
    -------
    ndarray
        ``(box, box, box)`` float32 with DC at ``box // 2``, 1 where the sampling equals that of
        even views, 0 beyond Nyquist.
    """
    scale = min(grid_size, box) / box
    # Reaching a voxel beyond Nyquist to either side, so that every voxel has neighbours to interpolate.
    reach = int(np.ceil(scale * (box // 2))) + 1
    axis = np.arange(-reach, reach + 1)
    grid = np.zeros((len(axis),) * 3, dtype=np.float32)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    # D(-k) = D(k), so half of the grid is enough; its mirror is itself read backwards.
    inside = (np.arange(grid.size) >= grid.size // 2).reshape(grid.shape)
    inside &= z**2 + y**2 + x**2 <= (reach + 1) ** 2
    grid[inside] = sampling_density(directions, np.stack([x[inside], y[inside], z[inside]], axis=1))
    grid = np.maximum(grid, grid[::-1, ::-1, ::-1])
    volume = scipy.ndimage.affine_transform(
        grid,
        np.full(3, scale),
        offset=reach - scale * (box // 2),
        output_shape=(box,) * 3,
        order=1,
        prefilter=False,
        output=np.float32,
    )
    volume[_radius_centred(box) > box // 2 + 0.5] = 0
    return np.asarray(volume)


def relative_to_best_direction(
    density: NDArray[np.float32], low_shell: float, high_shell: float
) -> NDArray[np.float32]:
    """Turn a sampling density into a weight of 0 to 1, shell by shell.

    Parameters
    ----------
    density : ndarray
        ``(n, n, n)`` centred density.
    low_shell, high_shell : float
        Radii in Fourier voxels: up to the first every direction counts as sampled, beyond the
        second none.

    Returns
    -------
    ndarray
        Centred float32 cube: 1.1 times the density over the largest of its shell, at most 1.
    """
    radius = _radius_centred(density.shape[0])
    shell = np.rint(radius).astype(np.int32)
    best = np.zeros(int(shell.max()) + 1, dtype=np.float32)
    np.maximum.at(best, shell, density)
    weight = np.minimum(BEST_DIRECTION * density / np.maximum(best, np.finfo(np.float32).tiny)[shell], 1)
    weight[radius <= low_shell] = 1
    weight[radius > high_shell] = 0
    return np.asarray(weight, dtype=np.float32)


def _radius_centred(n: int) -> NDArray[np.float32]:
    squares = (np.arange(n, dtype=np.float32) - n // 2) ** 2
    return cast("NDArray[np.float32]", np.sqrt(squares[:, None, None] + squares[:, None] + squares))


def run_fsd3d(config: Fsd3dConfig) -> None:
    """Run ``fsd3d``: orientations in, centred sampling density of 0 to 1 out.

    Parameters
    ----------
    config : Fsd3dConfig
        A `high_res` finer than Nyquist means Nyquist.

    Raises
    ------
    SpisonetError
        If the particles cannot be read or are subtomograms, the pixel size is not known, or the
        resolution limits leave no shell.

    References
    ----------
    Naydenova & Russo (2017) Nat. Commun. 8, 629 (point spread of a view distribution).
    """
    symmetry = symmetry_rotations(config.sym)
    if config.low_res <= config.high_res:
        raise SpisonetError(
            f"--low_res ({config.low_res:g} Å) must be a larger number than "
            f"--high_res ({config.high_res:g} Å)."
        )
    particles = read_particle_orientations(config.star_file)
    if particles.is_subtomogram:
        raise SpisonetError(
            f"{config.star_file} holds subtomograms, whose sampling depends on their tilt series; "
            "fsd3d takes single particles."
        )
    apix = config.apix or particles.pixel_size_angstrom
    if apix is None:
        raise SpisonetError(
            f"{config.star_file} does not tell one pixel size; give that of the map with --apix."
        )
    low_shell = config.map_dim * apix / config.low_res
    high_shell = min(config.map_dim * apix / config.high_res, config.map_dim // 2)
    if low_shell >= high_shell:
        raise SpisonetError(
            f"--low_res {config.low_res:g} Å is beyond Nyquist: voxels of {apix:g} Å "
            f"hold nothing finer than {2 * apix:g} Å."
        )
    prepare_output_file(config.o, config.star_file)

    directions = view_directions(particles.rotations)
    if len(directions) > config.number_subset:
        chosen = np.random.default_rng(config.seed).choice(
            len(directions), config.number_subset, replace=False
        )
        directions = directions[chosen]
    log.info("%d of %d particles, symmetry %s", len(directions), len(particles), config.sym.upper())
    density = sampling_volume(symmetric_directions(directions, symmetry), config.map_dim, config.grid_size)
    weight = relative_to_best_direction(density, low_shell, high_shell)
    write_volume(config.o, Volume(weight, apix), label="spisonet fsd3d: Fourier sampling density, DC at n//2")
    log.info("Wrote %s", config.o)
