"""View directions of particle sets: single particles, and the tilt images of subtomograms."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.geometry.rotations import view_directions
from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.geometry.tilts import tilt_series_directions
from spisonet.geometry.view_sampling import symmetric_directions
from spisonet.io.particles import read_particle_orientations
from spisonet.io.tilt_series import find_tomograms, read_optimisation_set, read_projection_directions

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.io.particles import ParticleOrientations, PixelSizes

log = logging.getLogger("spisonet")

MAX_DIRECTIONS = 4_000_000  # of tilt images, symmetry mates included
ALL_TOMOGRAMS = ""  # key of a tilt range that is the same for all tomograms
MAX_NAMED = 5


class ParticleFiles(Protocol):
    """Options of a command that specify the views of a particle set."""

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
        """Smallest tilt in degrees."""

    @property
    def tilt_max(self) -> float | None:
        """Largest tilt in degrees."""

    @property
    def tilt_step(self) -> float:
        """Angle between tilts in degrees."""

    @property
    def seed(self) -> int:
        """Seed of the random subset."""


@dataclass(frozen=True)
class ParticleViews:
    """The views of a particle set.

    Attributes
    ----------
    directions : ndarray
        ``(n, 3)`` unit view directions ``(x, y, z)`` in the frame of the map, of every image and all its
        symmetry mates.
    n_particles, n_used : int
        Number of particles in the file, and of those with directions here.
    pixel_sizes : PixelSizes
        Pixel sizes of the particle images, if the file gives any.
    from_tilt_series : bool
        The views are those of the tilt images of subtomograms.
    """

    directions: NDArray[np.float64]
    n_particles: int
    n_used: int
    pixel_sizes: PixelSizes
    from_tilt_series: bool


def read_views(files: ParticleFiles) -> ParticleViews:
    """Read the view directions of a particle set, or of a random subset of it.

    Raises
    ------
    SpisonetError
        If the particles cannot be read, the point group is unknown, or the tilts of subtomograms are missing.
    """
    symmetry = symmetry_rotations(files.sym)
    particles_file, tomograms_file = files.star_file, files.tomograms
    if (
        particles_file.suffix.lower() == ".star"
        and (both := read_optimisation_set(particles_file, tomograms_file)) is not None
    ):
        particles_file, tomograms_file = both
    particles = read_particle_orientations(particles_file)
    tilts = _tilts(files, particles, tomograms_file)
    chosen = random_subset(np.arange(len(particles)), files.number_subset, files.seed)
    if tilts is None:
        directions = view_directions(particles.rotations[chosen])
    else:
        chosen = random_subset(chosen, max_subtomograms(tilts, len(symmetry)), files.seed)
        directions = directions_of_subtomograms(particles, chosen, tilts)
    log.info("%d of %d particles, symmetry %s", len(chosen), len(particles), files.sym.upper())
    if not len(directions):
        raise SpisonetError(f"{files.star_file} lists no visible tilt of any particle.")
    return ParticleViews(
        symmetric_directions(directions, symmetry),
        len(particles),
        len(chosen),
        particles.pixel_sizes,
        tilts is not None,
    )


def directions_of_subtomograms(
    particles: ParticleOrientations,
    chosen: NDArray[np.intp],
    tilts: dict[str, NDArray[np.float64]],
) -> NDArray[np.float64]:
    """View directions of every tilt image of subtomograms, in the frame of the map.

    Parameters
    ----------
    particles : ParticleOrientations
        Their rotations lead from the map to the tomogram.
    chosen : ndarray
        ``(n,)`` indices of the particles to use.
    tilts : dict
        ``(n_tilts, 3)`` directions of projection in the tomogram's frame, by the name of the tomogram, or
        those of all tomograms as `ALL_TOMOGRAMS`.

    Returns
    -------
    ndarray
        ``(m, 3)`` unit vectors ``(x, y, z)``.
    """
    views = []
    for number in chosen:
        if particles.tomograms is None or ALL_TOMOGRAMS in tilts:
            directions = tilts[ALL_TOMOGRAMS]
        else:
            directions = tilts[str(particles.tomograms[number])]
            if particles.visible_tilts is not None:
                directions = directions[particles.visible_tilts[number]]
        views.append(directions @ particles.rotations[number])  # R^T d for each d
    return np.concatenate(views)


def random_subset(indices: NDArray[np.intp], max_count: int, seed: int) -> NDArray[np.intp]:
    """Return the indices or, if there are more than `max_count`, a random subset of so many."""
    if len(indices) <= max_count:
        return indices
    return np.random.default_rng(seed).choice(indices, max_count, replace=False)


def max_subtomograms(tilts: dict[str, NDArray[np.float64]], n_mates: int) -> int:
    """Return the number of subtomograms whose views, with symmetry mates, fit into memory."""
    n_tilts = max(len(directions) for directions in tilts.values())
    return max(1, MAX_DIRECTIONS // (n_tilts * n_mates))


def tilts_of_tomograms(
    star: Path, particles: ParticleOrientations, tomograms: Path
) -> dict[str, NDArray[np.float64]]:
    """Read the directions of projection of the tomograms that particles are from.

    Parameters
    ----------
    star : Path
        File of the particles, for messages.
    particles : ParticleOrientations
        Its content.
    tomograms : Path
        List of tomograms, see `read_projection_directions`.

    Raises
    ------
    SpisonetError
        If tomograms are missing from the list, or the numbers of tilts differ.
    """
    if particles.tomograms is None:
        raise SpisonetError(f"{star} has no column rlnTomoName; give --tilt_min and --tilt_max.")
    found = read_projection_directions(tomograms)
    missing = sorted(set(particles.tomograms.tolist()) - set(found))
    if missing:
        raise SpisonetError(
            f"{tomograms} has no tilt series {', '.join(missing[:MAX_NAMED])}, of which {star} lists "
            "particles (rlnTomoName, before RELION 4 rlnMicrographName); give the tomograms of these."
        )
    if particles.visible_tilts is not None:
        for name, visible in zip(particles.tomograms, particles.visible_tilts, strict=True):
            n_visible, n_listed = len(visible), len(found[str(name)])
            if n_visible != n_listed:
                raise SpisonetError(
                    f"{star} lists {n_visible} tilts for {name}, but {tomograms} lists {n_listed}."
                )
    return found


def _tilts(
    files: ParticleFiles, particles: ParticleOrientations, tomograms: Path | None
) -> dict[str, NDArray[np.float64]] | None:
    """Directions of projection by tomogram; None for single particles."""
    lowest, highest = files.tilt_min, files.tilt_max
    if not particles.is_subtomogram:
        if tomograms is not None or lowest is not None or highest is not None:
            raise SpisonetError(
                f"{files.star_file} lists single particles; --tomograms and --tilt_min/--tilt_max are for "
                "subtomograms."
            )
        return None
    if lowest is None and highest is None:
        if tomograms is None and (tomograms := find_tomograms(files.star_file)) is not None:
            log.info("Tilts of the tomograms: %s", tomograms)
        if tomograms is None:
            raise SpisonetError(
                f"{files.star_file} lists subtomograms: give --tomograms (tomograms.star of RELION or Warp) "
                "or --tilt_min and --tilt_max."
            )
        return tilts_of_tomograms(files.star_file, particles, tomograms)
    if lowest is None or highest is None or lowest >= highest:
        raise SpisonetError("Give both --tilt_min and --tilt_max, the first below the second.")
    if files.tomograms is not None:
        raise SpisonetError("Give --tomograms, or --tilt_min and --tilt_max, not both.")
    if files.tilt_step > highest - lowest:
        raise SpisonetError(
            f"--tilt_step {files.tilt_step:g} degrees leaves a single tilt of the range; give a smaller step."
        )
    return {ALL_TOMOGRAMS: tilt_series_directions(lowest, highest, files.tilt_step)}
