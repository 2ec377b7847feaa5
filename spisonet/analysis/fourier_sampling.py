"""The Fourier sampling density of a particle set: what its orientations measured."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import scipy.ndimage

from spisonet.errors import SpisonetError
from spisonet.geometry.rotations import view_directions
from spisonet.geometry.sphere import geodesic_sphere
from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.geometry.view_sampling import sampling_density, symmetric_directions
from spisonet.io.particles import read_particle_orientations
from spisonet.io.tilt_series import read_optimisation_set, read_projection_directions, tilt_directions

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.io.particles import ParticleOrientations

# A shell's best direction counts as sampled in full, with a margin for the noise of a maximum.
BEST_DIRECTION = 1.1
MOST_DIRECTIONS = 4_000_000  # of tilt images, symmetry mates included
SCF_RADIUS = 50.0  # as the published program takes it
SCF_SUBDIVISIONS = 20  # 2,001 directions
SCF_PARTS = 50  # to bound memory
SCF_MOST_VIEWS = 240_000  # 10,000 particles of the largest point group but one
FEWEST_VIEWS = 20  # on average through a direction

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
    shell = np.rint(_radius_centred(density.shape[0])).astype(np.int32)
    best = np.zeros(int(shell.max()) + 1, dtype=np.float32)
    np.maximum.at(best, shell, density)
    weight = BEST_DIRECTION * density / np.maximum(best, np.finfo(np.float32).tiny)[shell]
    return _between_shells(weight, low_shell, high_shell)


def relative_to_even_views(
    density: NDArray[np.float32], low_shell: float, high_shell: float
) -> NDArray[np.float32]:
    """Turn the sampling density of subtomograms into a weight of 0 to 1.

    All tilts of a series meet in its tilt axis, and where the tilt axes of the particles agree that direction
    is sampled so much better than all others that these would seem unmeasured beside it.

    Parameters
    ----------
    density, low_shell, high_shell
        As of `relative_to_best_direction`.

    Returns
    -------
    ndarray
        Centred float32 cube: the density, 1 where it is that of even views or more.
    """
    return _between_shells(density, low_shell, high_shell)


def _between_shells(weight: NDArray[np.floating], low_shell: float, high_shell: float) -> NDArray[np.float32]:
    radius = _radius_centred(weight.shape[0])
    limited = np.minimum(weight, 1).astype(np.float32)
    limited[radius <= low_shell] = 1
    limited[radius > high_shell] = 0
    return np.asarray(limited, dtype=np.float32)


def _radius_centred(n: int) -> NDArray[np.float32]:
    squares = (np.arange(n, dtype=np.float32) - n // 2) ** 2
    return cast("NDArray[np.float32]", np.sqrt(squares[:, None, None] + squares[:, None] + squares))


def directions_of_subtomograms(
    particles: ParticleOrientations,
    chosen: NDArray[np.intp],
    of_tilts: dict[str, NDArray[np.float64]],
) -> NDArray[np.float64]:
    """View directions of every tilt image of subtomograms, in the frame of the map.

    Parameters
    ----------
    particles : ParticleOrientations
        Their rotations lead from the map to the tomogram.
    chosen : ndarray
        ``(n,)`` which of them.
    of_tilts : dict
        ``(n_tilts, 3)`` directions of projection in the tomogram's frame, by its name; those of all
        tomograms as ``""``.

    Returns
    -------
    ndarray
        ``(m, 3)`` unit vectors ``(x, y, z)``.
    """
    views = []
    for number in chosen:
        name = "" if particles.tomograms is None or "" in of_tilts else str(particles.tomograms[number])
        directions = of_tilts[name]
        if particles.visible_tilts is not None and "" not in of_tilts:
            directions = directions[particles.visible_tilts[number]]
        views.append(directions @ particles.rotations[number])  # R^T d for each d
    return np.concatenate(views)


def random_part(chosen: NDArray[np.intp], most: int, seed: int) -> NDArray[np.intp]:
    """Return what was chosen or, of more than so many, a random part."""
    if len(chosen) <= most:
        return chosen
    return np.random.default_rng(seed).choice(chosen, most, replace=False)


def most_subtomograms(of_tilts: dict[str, NDArray[np.float64]], n_mates: int) -> int:
    """Return of how many subtomograms the views and their symmetry mates can be held."""
    n_tilts = max(len(directions) for directions in of_tilts.values())
    return max(1, MOST_DIRECTIONS // (n_tilts * n_mates))


class ParticleFiles(Protocol):
    """The options of a command that tell the views of a particle set."""

    @property
    def star_file(self) -> Path:
        """Particles."""

    @property
    def sym(self) -> str:
        """Point group."""

    @property
    def number_subset(self) -> int:
        """Largest number of particles."""

    @property
    def tomograms(self) -> Path | None:
        """Tilts of subtomograms."""

    @property
    def tilt_min(self) -> float | None:
        """Smallest tilt."""

    @property
    def tilt_max(self) -> float | None:
        """Largest tilt."""

    @property
    def tilt_step(self) -> float:
        """Angle between tilts."""

    @property
    def seed(self) -> int:
        """Seed of the random subset."""


@dataclass(frozen=True)
class Views:
    """The views of a particle set.

    Attributes
    ----------
    directions : ndarray
        ``(n, 3)`` unit view directions ``(x, y, z)`` in the frame of the map, of every image and all its
        symmetry mates.
    n_particles, n_used : int
        How many particles there are, and how many the directions are of.
    pixel_size_angstrom : float or None
        Of the particles' images.
    are_of_tilts : bool
        The views are those of the tilt series of subtomograms.
    """

    directions: NDArray[np.float64]
    n_particles: int
    n_used: int
    pixel_size_angstrom: float | None
    are_of_tilts: bool


def _tilts(
    files: ParticleFiles, particles: ParticleOrientations, tomograms: Path | None
) -> dict[str, NDArray[np.float64]] | None:
    """Directions of projection by tomogram; None for single particles."""
    if not particles.is_subtomogram:
        if tomograms is not None or files.tilt_min is not None or files.tilt_max is not None:
            raise SpisonetError(f"{files.star_file} holds single particles, which have no tilts.")
        return None
    if files.tilt_min is not None or files.tilt_max is not None:
        if files.tilt_min is None or files.tilt_max is None or files.tilt_min >= files.tilt_max:
            raise SpisonetError("Give both --tilt_min and --tilt_max, the first below the second.")
        if files.tomograms is not None:
            raise SpisonetError("Give --tomograms, or --tilt_min and --tilt_max, not both.")
        if files.tilt_step > files.tilt_max - files.tilt_min:
            raise SpisonetError(f"--tilt_step {files.tilt_step:g} leaves a single tilt of the range.")
        return {"": tilt_directions(files.tilt_min, files.tilt_max, files.tilt_step)}
    if tomograms is None:
        raise SpisonetError(
            f"{files.star_file} holds subtomograms: give --tomograms (tomograms.star of RELION or Warp), or "
            "--tilt_min and --tilt_max."
        )
    return tilts_of_tomograms(files.star_file, particles, tomograms)


def tilts_of_tomograms(
    star: Path, particles: ParticleOrientations, tomograms: Path
) -> dict[str, NDArray[np.float64]]:
    """Read the directions of projection of the tomograms that particles are from.

    Parameters
    ----------
    star : Path
        The particles' file, for messages.
    particles : ParticleOrientations
        What it holds.
    tomograms : Path
        See `read_projection_directions`.

    Raises
    ------
    SpisonetError
        If the list does not tell those of every tomogram, or not as many tilts as the particles do.
    """
    if particles.tomograms is None:
        raise SpisonetError(f"{star} does not tell the particles' tomograms: give --tilt_min and --tilt_max.")
    found = read_projection_directions(tomograms)
    missing = sorted(set(particles.tomograms.tolist()) - set(found))
    if missing:
        raise SpisonetError(f"{tomograms} does not tell the tilts of {', '.join(missing[:5])}.")
    if particles.visible_tilts is not None:
        for name, visible in zip(particles.tomograms, particles.visible_tilts, strict=True):
            told, there = len(visible), len(found[str(name)])
            if told != there:
                raise SpisonetError(f"{star} tells {told} tilts of {name}, but {tomograms} {there}.")
    return found


def read_views(files: ParticleFiles) -> Views:
    """Read the view directions of a particle set, or of a random part of it.

    Raises
    ------
    SpisonetError
        If the particles cannot be read, the point group is unknown, or the tilts of subtomograms are.
    """
    symmetry = symmetry_rotations(files.sym)
    particles_file, tomograms_file = files.star_file, files.tomograms
    if particles_file.suffix == ".star" and (both := read_optimisation_set(particles_file)) is not None:
        particles_file, tomograms_file = both[0], tomograms_file or both[1]
    particles = read_particle_orientations(particles_file)
    of_tilts = _tilts(files, particles, tomograms_file)
    chosen = random_part(np.arange(len(particles)), files.number_subset, files.seed)
    if of_tilts is not None:
        chosen = random_part(chosen, most_subtomograms(of_tilts, len(symmetry)), files.seed)
    if of_tilts is None:
        directions = view_directions(particles.rotations[chosen])
    else:
        directions = directions_of_subtomograms(particles, chosen, of_tilts)
    log.info("%d of %d particles, symmetry %s", len(chosen), len(particles), files.sym.upper())
    if not len(directions):
        raise SpisonetError(f"{files.star_file} tells of no tilt that shows a particle.")
    return Views(
        symmetric_directions(directions, symmetry),
        len(particles),
        len(chosen),
        particles.pixel_size_angstrom,
        of_tilts is not None,
    )


def sampling_compensation(directions: NDArray[np.floating], radius: float = SCF_RADIUS) -> float:
    """Compute the sampling compensation factor SCF* of a view distribution.

    With ``s`` the number of views whose central slice, one Fourier voxel thick, passes through a direction,
    averages over directions, and a share ``z`` of directions through which none passes,

        SCF  = 1 / (<1/s>_{s>0} <s>),    SCF* = SCF / (1 + z / (1 - z) <s> SCF / 2).

    Parameters
    ----------
    directions : ndarray
        ``(n, 3)`` unit view directions ``(x, y, z)``, symmetry mates included.
    radius : float
        Fourier radius in voxels. With few views it is taken smaller, so that the number of views and not
        their distribution is never what leaves directions empty.

    Returns
    -------
    float
        1 for even views, 8 / π² = 0.81 for views from all sides of one axis, less for worse distributions.

    References
    ----------
    Baldwin & Lyumkis (2020) Prog. Biophys. Mol. Biol. 150, 160-183 (SCF); (2021) 160, 53-65 (SCF*).
    """
    directions = directions[:: math.ceil(len(directions) / SCF_MOST_VIEWS)]
    radius = min(radius, len(directions) / (2 * FEWEST_VIEWS))
    axes = geodesic_sphere(SCF_SUBDIVISIONS).axes_zyx[:, ::-1]
    counts = np.concatenate(
        [
            (np.abs(part @ directions.T) < 1 / (2 * radius)).sum(axis=1)
            for part in np.array_split(axes, SCF_PARTS)
        ]
    )
    filled = counts[counts > 0]
    empty = 1 - len(filled) / len(counts)
    mean = float(counts.mean())
    factor = 1 / (float((1 / filled).mean()) * mean)
    return factor / (1 + empty / (1 - empty) * mean * factor / 2)
