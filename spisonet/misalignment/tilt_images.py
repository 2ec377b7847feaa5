"""Tilt images of subtomograms as particle images, from the 2D stacks of RELION 5 and Warp.

Each tilt image becomes an image with its own pose: that of the particle, followed by the projection of the
tilt. Images of one particle share its number, so that a motion turns all of them alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from spisonet.errors import SpisonetError
from spisonet.fourier.ctf import AstigmaticCtf
from spisonet.geometry.rotations import relion_rotation_matrices
from spisonet.io.mrc_file import open_mrc
from spisonet.io.particles import (
    DIMENSIONALITY_COLUMN,
    SUBTOMOGRAM_ANGLES,
    numbers,
    particle_tables,
    read_particle_orientations,
    relion_pixel_sizes,
    tomogram_name,
)
from spisonet.io.star import StarFile
from spisonet.io.tilt_series import (
    NAME,
    PROJECTION_ROW,
    SERIES_FILE,
    find_tomograms,
    matrix_rows,
    read_optimisation_set,
    tilt_tables,
)
from spisonet.misalignment.particle_images import (
    IMAGE_COLUMN,
    ONE_SIZE,
    SUBSET_COLUMN,
    ParticleImages,
    are_premultiplied,
    find_image_files,
    optics_rows,
    read_half_sets,
    read_particle_images,
)

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

TILT_ANGLES = ("rlnTomoXTilt", "rlnTomoYTilt", "rlnTomoZRot")
MATRIX_ROWS = ("rlnTomoProjX", "rlnTomoProjY", PROJECTION_ROW)
ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst")
MICROSCOPE = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
DEFOCUS = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")


@dataclass(frozen=True)
class TiltSeries:
    """Geometry and CTF of a tilt series.

    Attributes
    ----------
    rotations : ndarray
        ``(t, 3, 3)`` from the tomogram to each tilt image.
    ctf : AstigmaticCtf
        Of each tilt image at the centre of the tomogram.
    """

    rotations: NDArray[np.float64]
    ctf: AstigmaticCtf


def read_tilt_series(path: Path) -> dict[str, TiltSeries]:
    """Read the tilt series of a ``tomograms.star`` of RELION 4, RELION 5 or Warp, by `tomogram_name`.

    Raises
    ------
    SpisonetError
        If the file has no tomograms, or one without projection matrices or angles, or without defocus.
    """
    star = StarFile(path, (NAME, SERIES_FILE))
    overview = next((table for table in star.tables.values() if NAME in table), None)
    if overview is None:
        raise SpisonetError(f"{path} lists no tomograms; give tomograms.star of RELION 4, RELION 5 or Warp.")
    tables, series = tilt_tables(star), {}
    for row, name in enumerate(map(tomogram_name, overview[NAME])):
        file, tilts = tables.get(name, (path, None))
        # RELION 5 prefers the matrices of RELION 4 where a table has both.
        has_angles_only = tilts is not None and PROJECTION_ROW not in tilts and set(TILT_ANGLES) <= set(tilts)
        geometry = TILT_ANGLES if has_angles_only else MATRIX_ROWS
        missing = [column for column in (*geometry, *DEFOCUS) if tilts is None or column not in tilts]
        if tilts is None or missing:
            raise SpisonetError(
                f"{file} has no {missing[0]} of tomogram {name}; projection matrices (RELION 4, Warp) or "
                "angles (RELION 5) and the defocus of each tilt are needed."
            )
        n = len(tilts)
        u, v, angle = (numbers(file, tilts, column) for column in DEFOCUS)
        voltage, cs, amplitude = (np.full(n, numbers(path, overview, column)[row]) for column in MICROSCOPE)
        if not voltage.min() > 0:
            raise SpisonetError(f"{path} lists a voltage of {voltage.min():g} kV for tomogram {name}.")
        ctf = AstigmaticCtf(u, v, angle, voltage, cs, amplitude, np.zeros(n), np.zeros(n), np.ones(n))
        rotations = _from_angles(file, tilts) if has_angles_only else _from_matrices(file, tilts)
        series[name] = TiltSeries(rotations, ctf)
    return series


def _from_angles(path: Path, tilts: pd.DataFrame) -> NDArray[np.float64]:
    """Return ``Rz Ry Rx`` of RELION 5: the tomogram is rotated about x first, and about z last."""
    angles = [numbers(path, tilts, column) for column in TILT_ANGLES]
    rotations: NDArray[np.float64] = Rotation.from_euler("xyz", np.stack(angles, 1), degrees=True).as_matrix()
    return rotations


def _from_matrices(path: Path, tilts: pd.DataFrame) -> NDArray[np.float64]:
    matrices = matrix_rows(path, tilts, MATRIX_ROWS)
    if not np.allclose(matrices @ matrices.transpose(0, 2, 1), np.eye(3), atol=1e-2):
        raise SpisonetError(f"{path} has a projection matrix in {MATRIX_ROWS[0]} that is not a rotation.")
    return matrices


def read_images(star: Path, tomograms: Path | None = None) -> ParticleImages:
    """Read the images of particles, or the tilt images of subtomograms if their tomograms are given.

    Parameters
    ----------
    star : Path
        Particle STAR file, or an ``optimisation_set.star`` that lists both files.
    tomograms : Path, optional
        See `read_tilt_series` [default: for subtomograms, see `find_tomograms`].

    Raises
    ------
    SpisonetError
        See `read_particle_images` and `read_tilt_images`.
    """
    both = read_optimisation_set(star, tomograms)
    if both is not None:
        star, tomograms = both
    if tomograms is None and star.suffix == ".star" and NAME in particle_tables(star)[0]:
        tomograms = find_tomograms(star)
    return read_particle_images(star) if tomograms is None else read_tilt_images(star, tomograms)


def read_tilt_images(star: Path, tomograms: Path, folder: Path | None = None) -> ParticleImages:
    """Read the tilt images of subtomograms that are 2D stacks, each with its own pose.

    The change of defocus with the depth of a particle in the tomogram is not considered.

    Parameters
    ----------
    star : Path
        Particle STAR file of a refinement, with ``rlnRandomSubset``.
    tomograms : Path
        See `read_tilt_series`.
    folder : Path, optional
        See `read_particle_images`.

    Raises
    ------
    SpisonetError
        If the particles have no half sets, tomograms or stacks, or a stack has another number of images than
        the particle has tilts.
    """
    particles, optics = particle_tables(star)
    if DIMENSIONALITY_COLUMN in optics and (numbers(star, optics, DIMENSIONALITY_COLUMN) != 2).any():
        raise SpisonetError(f"{star} lists subtomograms that are volumes; 2D stacks are needed.")
    orientations, series = read_particle_orientations(star), read_tilt_series(tomograms)
    for column in (IMAGE_COLUMN, SUBSET_COLUMN, NAME):
        if column not in particles:
            raise SpisonetError(f"{star} has no column {column}; give the 2D stacks of a refinement.")
    half_sets, groups = read_half_sets(star, particles), optics_rows(star, particles, optics)
    premultiplied, origins = are_premultiplied(star, optics, groups), _origins(star, particles)
    stacks = find_image_files(star, particles[IMAGE_COLUMN].astype(str).to_list(), folder)
    columns: dict[str, list[NDArray[np.generic]]] = {
        name: [] for name in ("rotation", "origin", "slice", "particle")
    }
    ctfs = []
    assert orientations.tomograms is not None
    for number, tomogram in enumerate(orientations.tomograms.tolist()):
        if tomogram not in series:
            raise SpisonetError(f"{tomograms} does not list tomogram {tomogram} of {star}.")
        tilts = series[tomogram]
        n_tilts = len(tilts.rotations)
        visible = np.arange(n_tilts)
        if orientations.visible_tilts is not None:
            flags = orientations.visible_tilts[number]
            if len(flags) != n_tilts:
                raise SpisonetError(
                    f"{star} lists {len(flags)} visible frames for a particle of tomogram {tomogram}, which "
                    f"has {n_tilts} tilts in {tomograms}."
                )
            visible = np.flatnonzero(flags)
        n_images = open_mrc(stacks[number]).shape[0]
        if n_images not in (len(visible), n_tilts):
            raise SpisonetError(
                f"{stacks[number]} has {n_images} images, but {star} lists {len(visible)} visible tilts of "
                f"{n_tilts}."
            )
        # RELION 5 writes only the visible tilts, Warp all tilts.
        columns["slice"].append(visible if n_images == n_tilts else np.arange(n_images))
        columns["rotation"].append(tilts.rotations[visible] @ orientations.rotations[number])
        columns["origin"].append((tilts.rotations[visible] @ origins[number])[:, :2])
        columns["particle"].append(np.full(len(visible), number))
        ctfs.append(tilts.ctf.subset(visible))
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    of_image = joined["particle"]
    return ParticleImages(
        star=star,
        rotations=joined["rotation"],
        origins_angstrom=joined["origin"],
        half_sets=half_sets[of_image],
        optics_groups=groups[of_image],
        ctf=AstigmaticCtf(
            **{name: np.concatenate([getattr(ctf, name) for ctf in ctfs]) for name in vars(ctfs[0])}
        ),
        premultiplied=premultiplied[of_image],
        pixel_size_angstrom=relion_pixel_sizes(star, particles, optics).require_common(star, ONE_SIZE),
        box=open_mrc(stacks[0]).shape[1],
        stacks=stacks,
        stack_numbers=of_image,
        slice_numbers=joined["slice"],
        particle_numbers=of_image,
    )


def _origins(star: Path, particles: pd.DataFrame) -> NDArray[np.float64]:
    """Return shifts ``(n, 3)`` in Å in the frame of the tomogram; RELION's are in that of the box."""
    if not set(ORIGINS) <= set(particles.columns):
        return np.zeros((len(particles), 3))
    origins = np.stack([numbers(star, particles, column) for column in ORIGINS], axis=1)
    if not set(SUBTOMOGRAM_ANGLES) <= set(particles.columns):
        return origins
    boxes = relion_rotation_matrices(*(numbers(star, particles, column) for column in SUBTOMOGRAM_ANGLES))
    return np.asarray(np.einsum("nij,nj->ni", boxes, origins))
