"""Half maps of simulated particles, projected and reconstructed by RELION.

RELION projects the truth with a CTF. White noise is added, the poses get errors, and RELION reconstructs the
two half sets without regularisation, as in ``*_unfil.mrc`` of a refinement.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import pandas as pd
import starfile
from scipy.spatial.transform import Rotation

from benchmarks.quality.views import draw_views
from spisonet.errors import SpisonetError
from spisonet.io.mrc import read_volume

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

VOLTAGE_KV, CS_MM, AMPLITUDE_CONTRAST = 300.0, 2.7, 0.1
DEFOCUS_ANGSTROM, ASTIGMATISM_ANGSTROM = (8000.0, 22000.0), 150.0
SHIFT_ERROR_VOXELS = 0.3  # standard deviation along each axis
DRIFT_SPREAD = 1 / 3  # standard deviation of the drift, relative to its mean
ANGLES = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
SHIFTS = ["rlnOriginXAngst", "rlnOriginYAngst"]
IMAGES_AT_ONCE = 500
TRUTH, IMAGES, PARTICLES = "truth.mrc", "images", "particles.star"


@dataclass(frozen=True)
class ParticleSet:
    """Number, views and poses of simulated particles.

    Attributes
    ----------
    views : str
        Distribution of the preferred views, see `draw_views`.
    share : float
        Fraction of the particles with preferred views; the views of the others are even.
    spread_degrees : float
        Spread of the preferred views.
    n_particles : int
        Number of particles in both halves.
    noise : float
        Standard deviation of the white noise of a pixel; the density of the truth is 1 at its brightest.
    pose_error_degrees : float
        Root mean square angle between true and refined poses.
    drift_degrees : float
        Mean angle by which the refined poses of preferred views have moved away in random directions.
    """

    views: str
    share: float
    spread_degrees: float
    n_particles: int
    noise: float
    pose_error_degrees: float
    drift_degrees: float


def reconstruct_particles(
    folder: Path,
    particles: ParticleSet,
    symmetry: str,
    rng: np.random.Generator,
    keep_images: bool = False,
) -> tuple[list[NDArray[np.float32]], NDArray[np.float64]]:
    """Simulate particles of the map ``truth.mrc`` of a folder, and reconstruct their half maps.

    The refined particles remain in the folder as ``particles.star``.

    Parameters
    ----------
    folder : Path
        Folder with the truth.
    particles : ParticleSet
        Number, views and poses.
    symmetry : str
        Point group that the reconstruction imposes.
    rng : numpy.random.Generator
        Random number generator.
    keep_images : bool
        Keep the images, instead of deleting them.

    Returns
    -------
    halves : list of ndarray
        Two half maps ``(n, n, n)``.
    views : ndarray
        ``(n_particles, 3)`` true view directions.

    Raises
    ------
    SpisonetError
        If RELION is not on PATH or fails.
    """
    truth = read_volume(folder / TRUTH)
    voxel_size = truth.voxel_size_angstrom
    views, preferred = draw_particle_views(particles, rng)
    true_poses = poses_of_views(views, rng)
    write_poses(folder / PARTICLES, true_poses, truth.box, voxel_size, rng)
    try:
        run_relion(
            folder,
            *("relion_project", "--i", TRUTH, "--ang", PARTICLES, "--o", IMAGES),
            *("--angpix", str(voxel_size), "--ctf", "--pad", "2"),
        )
        add_noise(folder / f"{IMAGES}.mrcs", particles.noise, rng)
        tables = starfile.read(folder / f"{IMAGES}.star", always_dict=True)
        table = tables["particles"]
        refined = refined_poses(true_poses, views, preferred, particles, rng)
        table[ANGLES] = refined.as_euler("ZYZ", degrees=True)
        table[SHIFTS] = rng.normal(0, SHIFT_ERROR_VOXELS * voxel_size, (len(views), 2))
        table["rlnRandomSubset"] = 1 + np.arange(len(views)) % 2
        starfile.write(tables, folder / PARTICLES, overwrite=True)
        for half in ("1", "2"):
            run_relion(
                folder,
                *("relion_reconstruct", "--i", PARTICLES, "--o", f"half{half}.mrc", "--subset", half),
                *("--ctf", "--sym", symmetry, "--angpix", str(voxel_size), "--pad", "2"),
                *("--maxres", str(2 * voxel_size)),
            )
    finally:
        for path in () if keep_images else folder.glob(f"{IMAGES}.*"):
            path.unlink()
    return [read_volume(folder / f"half{half}.mrc").data for half in (1, 2)], views


def draw_particle_views(
    particles: ParticleSet, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the views in random order, and which of them are preferred."""
    n = particles.n_particles
    n_preferred = 0 if particles.views == "even" else round(particles.share * n)
    views = np.concatenate(
        [
            draw_views(particles.views, n_preferred, particles.spread_degrees, rng),
            draw_views("even", n - n_preferred, 0, rng),
        ]
    )
    order = rng.permutation(n)
    return views[order], order < n_preferred


def poses_of_views(views: NDArray[np.float64], rng: np.random.Generator) -> Rotation:
    """Return poses, from the frame of the image to that of the map, with random in-plane angles."""
    x, y, z = views.T
    in_plane = rng.uniform(-180, 180, len(views))
    rot, tilt = np.degrees(np.arctan2(y, x)), np.degrees(np.arccos(np.clip(z, -1, 1)))
    return Rotation.from_euler("ZYZ", np.stack([rot, tilt, in_plane], axis=1), degrees=True)


def refined_poses(
    true_poses: Rotation,
    views: NDArray[np.float64],
    preferred: NDArray[np.bool_],
    particles: ParticleSet,
    rng: np.random.Generator,
) -> Rotation:
    """Return the poses with the errors of a refinement."""
    deviation = particles.pose_error_degrees / 3**0.5
    poses = true_poses * Rotation.from_rotvec(rng.normal(0, deviation, (len(views), 3)), degrees=True)
    if particles.drift_degrees:
        axes = np.cross(views, rng.normal(size=views.shape))  # normal to the view, in a random direction
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
        drift = particles.drift_degrees
        angles = np.abs(rng.normal(drift, DRIFT_SPREAD * drift, len(views))) * preferred
        poses = Rotation.from_rotvec(axes * angles[:, None], degrees=True) * poses
    return poses


def write_poses(path: Path, poses: Rotation, box: int, voxel_size: float, rng: np.random.Generator) -> None:
    """Write a particle STAR file with poses, random defoci and one optics group."""
    optics = {
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnOpticsGroup": [1],
        "rlnVoltage": [VOLTAGE_KV],
        "rlnSphericalAberration": [CS_MM],
        "rlnAmplitudeContrast": [AMPLITUDE_CONTRAST],
        "rlnImagePixelSize": [voxel_size],
        "rlnImageSize": [box],
        "rlnImageDimensionality": [2],
    }
    table = pd.DataFrame(poses.as_euler("ZYZ", degrees=True), columns=ANGLES)
    table[SHIFTS] = 0.0
    defocus = rng.uniform(*DEFOCUS_ANGSTROM, len(table))
    table["rlnDefocusU"], table["rlnDefocusV"] = defocus, defocus + ASTIGMATISM_ANGSTROM
    table["rlnDefocusAngle"], table["rlnOpticsGroup"] = 30.0, 1
    starfile.write({"optics": pd.DataFrame(optics), "particles": table}, path, overwrite=True)


def add_noise(path: Path, noise: float, rng: np.random.Generator) -> None:
    """Add white noise to a stack of images; RELION's own generator is seeded by the time."""
    with mrcfile.mmap(path, "r+", permissive=True) as stack:
        for start in range(0, len(stack.data), IMAGES_AT_ONCE):
            images = stack.data[start : start + IMAGES_AT_ONCE]
            images += rng.normal(0, noise, images.shape).astype(np.float32)


def run_relion(folder: Path, *words: str) -> None:
    """Run a program of RELION in a folder.

    Raises
    ------
    SpisonetError
        If it is not on PATH or fails.
    """
    if shutil.which(words[0]) is None:
        raise SpisonetError(f"{words[0]} is not on PATH; particle cases need RELION 3.1 or later.")
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise SpisonetError(f"{words[0]} failed in {folder}: {lines[-1] if lines else 'without a message'}")
