"""Refinements of simulated particles by RELION, with known poses."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import starfile
from scipy.spatial.transform import Rotation

from benchmarks.quality.cases import Particle
from benchmarks.quality.masks import truth_mask
from benchmarks.quality.particles import (
    ANGLES,
    IMAGES,
    PARTICLES,
    SHIFTS,
    TRUTH,
    ParticleSet,
    add_noise,
    draw_particle_views,
    poses_of_views,
    run_relion,
    write_poses,
)
from spisonet.io.mrc import Volume, write_volume

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

START_ERROR_DEGREES = 3.5  # of the poses that a refinement starts from
REFERENCE_ANGSTROM = 30.0
MASK, REFERENCE, TRUE_POSES, SPEC = "mask.mrc", "reference.mrc", "true_poses.star", "case.json"
REFINE = (
    "mpirun --allow-run-as-root --oversubscribe -np 3 relion_refine_mpi --auto_refine "
    f"--split_random_halves --i {PARTICLES} --ini_high {REFERENCE_ANGSTROM:g} --firstiter_cc "
    "--dont_combine_weights_via_disc --pool 30 --pad 1 --ctf --flatten_solvent --zero_mask "
    f"--solvent_mask {MASK} --solvent_correct_fsc --oversampling 1 --healpix_order 3 "
    "--auto_local_healpix_order 3 --offset_range 4 --offset_step 2 --low_resol_join_halves 40 --norm "
    "--scale --j 1 --random_seed 1"
)


@dataclass(frozen=True)
class RefinementCase:
    """A particle set and the views of its particles.

    Attributes
    ----------
    name : str
        Name of the folder.
    particle : Particle
        The density.
    particles : ParticleSet
        Number and views; its pose errors are not used.
    seed : int
        Of views, poses and noise.
    """

    name: str
    particle: Particle
    particles: ParticleSet
    seed: int


def _set(kind: str, share: float, spread_degrees: float, noise: float, n: int = 1000) -> ParticleSet:
    return ParticleSet(kind, share, spread_degrees, n, noise, 0.0, 0.0)


HEMAGGLUTININ = Particle("hemagglutinin", "hemagglutinin_1rvx_trimer.pdb", 48, 4.0, "C3")
RIBOSOME = Particle("ribosome30s", "ribosome30s_4v4r.pdb", 56, 6.0)
BETAGAL = Particle("betagal", "betagal_8bk7.cif", 56, 4.0, "D2")
CASES = {
    case.name: case
    for case in (
        *(RefinementCase(f"moderate_seed{s}", HEMAGGLUTININ, _set("top", 0.9, 12, 2.0), s) for s in (2, 12)),
        *(RefinementCase(f"severe_seed{s}", HEMAGGLUTININ, _set("top", 0.95, 8, 3.0), s) for s in (1, 11)),
        RefinementCase("noisy", HEMAGGLUTININ, _set("top", 0.9, 12, 4.0), 5),
        RefinementCase("ring", HEMAGGLUTININ, _set("ring", 0.9, 8, 2.0), 6),
        RefinementCase("two", RIBOSOME, _set("two", 0.9, 10, 2.0), 7),
        RefinementCase("ribosome", RIBOSOME, _set("top", 0.9, 12, 2.0), 1),
        RefinementCase("betagal", BETAGAL, _set("top", 0.9, 12, 2.0), 4),
        RefinementCase("even", HEMAGGLUTININ, _set("even", 0.0, 0, 2.0), 3),
    )
}


def make_case(case: RefinementCase, folder: Path, models: Path) -> Path:
    """Make the particles of a case in its own folder, unless it is there already; return that.

    Raises
    ------
    SpisonetError
        If RELION is missing or fails.
    """
    place = folder / case.name
    if (place / SPEC).is_file():
        return place
    place.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(case.seed)
    density = case.particle.density(models, models)
    truth = Volume(np.asarray(density / density.max(), dtype=np.float32), case.particle.voxel_size_angstrom)
    write_volume(place / TRUTH, truth)
    write_volume(place / MASK, truth.with_data(truth_mask(truth.data, truth.voxel_size_angstrom)))
    views = _views(case.particles, rng)
    poses = poses_of_views(views, rng)
    write_poses(place / PARTICLES, poses, truth.box, truth.voxel_size_angstrom, rng)
    table = starfile.read(place / PARTICLES, always_dict=True)
    table["particles"][SHIFTS] = rng.normal(0, truth.voxel_size_angstrom, (len(views), 2))
    starfile.write(table, place / PARTICLES, overwrite=True)
    angpix = ("--angpix", str(truth.voxel_size_angstrom))
    run_relion(
        place, *f"relion_project --i {TRUTH} --ang {PARTICLES} --o {IMAGES} --ctf --pad 2".split(), *angpix
    )
    lowpass = f"relion_image_handler --i {TRUTH} --o {REFERENCE} --lowpass {REFERENCE_ANGSTROM:g}"
    run_relion(place, *lowpass.split(), *angpix)
    add_noise(place / f"{IMAGES}.mrcs", case.particles.noise, rng)
    tables = starfile.read(place / f"{IMAGES}.star", always_dict=True)
    starfile.write(tables, place / TRUE_POSES, overwrite=True)
    errors = Rotation.from_rotvec(rng.normal(0, START_ERROR_DEGREES / 3**0.5, (len(views), 3)), degrees=True)
    tables["particles"][ANGLES] = (poses * errors).as_euler("ZYZ", degrees=True)
    tables["particles"][SHIFTS] = 0.0
    starfile.write(tables, place / PARTICLES, overwrite=True)
    (place / SPEC).write_text(json.dumps(asdict(case), indent=1))
    return place


def _views(particles: ParticleSet, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw views; the angle of top views to z is normally distributed: they are densest at the pole."""
    views, preferred = draw_particle_views(particles, rng)
    if particles.views == "top":
        n = int(preferred.sum())
        angle = np.abs(np.radians(rng.normal(0, particles.spread_degrees, n)))
        azimuth = rng.uniform(0, 2 * np.pi, n)
        around = np.sin(angle) * np.cos(azimuth), np.sin(angle) * np.sin(azimuth), np.cos(angle)
        views[preferred] = np.stack(around, axis=1)
    return views


def refine(
    place: Path,
    case: RefinementCase,
    job: str,
    hook: str | None = None,
    particles: str = PARTICLES,
    reference: str = REFERENCE,
) -> Path:
    """Refine the particles of a case with RELION, unless that is done already; return the output root.

    Parameters
    ----------
    place : Path
        Folder of the case.
    case : RefinementCase
        The case.
    job : str
        Name of the job folder.
    hook : str, optional
        Command of an external reconstruction; otherwise RELION reconstructs.
    particles, reference : str
        Files in the folder that the refinement starts from.
    """
    root = place / job / "run"
    if root.with_name("run_data.star").is_file():
        return root
    root.parent.mkdir(exist_ok=True)
    diameter = 0.85 * case.particle.box * case.particle.voxel_size_angstrom
    words = shlex.split(REFINE.replace(f"--i {PARTICLES}", f"--i {particles}"))
    words += ["--o", f"{job}/run", "--ref", reference, "--sym", case.particle.symmetry]
    words += ["--particle_diameter", f"{diameter:.0f}"]
    if hook:
        os.environ["RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE"] = hook
        words.append("--external_reconstruct")
    run_relion(place, *words)
    return root


def pose_errors_degrees(
    true: NDArray[np.float64], found: NDArray[np.float64], symmetry: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the angle between true and found poses after one rotation of the whole map, and that rotation.

    Parameters
    ----------
    true, found : ndarray
        ``(n, 3, 3)`` from the map to the images.
    symmetry : ndarray
        ``(g, 3, 3)`` rotations of the point group.

    Returns
    -------
    errors : ndarray
        ``(n,)`` in degrees.
    frame : ndarray
        ``(3, 3)`` from the true map to the found one.
    """
    group = Rotation.from_matrix(symmetry)
    to_true, to_found = (Rotation.from_matrix(poses.transpose(0, 2, 1)) for poses in (true, found))
    best: tuple[NDArray[np.float64], Rotation] | None = None
    for start in _frames(symmetry):
        frame = start
        for _ in range(20):
            turns = [to_found * (frame * mate * to_true).inv() for mate in group]
            angles = np.stack([turn.magnitude() for turn in turns])
            nearest, errors = angles.argmin(axis=0), angles.min(axis=0)
            chosen = np.stack([turn.as_quat() for turn in turns])[nearest, np.arange(len(nearest))]
            step = Rotation.from_quat(chosen[errors <= np.median(errors)]).mean()
            frame = _allowed(step * frame, symmetry)
        if best is None or np.median(errors) < np.median(best[0]):
            best = errors, frame
    assert best is not None
    return np.degrees(best[0]), best[1].as_matrix()


def _frames(symmetry: NDArray[np.float64]) -> list[Rotation]:
    if len(symmetry) == 1 or not np.allclose(symmetry[:, 2, 2], 1):
        return [Rotation.identity()]  # C1 starts near the truth; other groups fix the frame
    return [Rotation.from_euler("Z", angle, degrees=True) for angle in range(0, 360 // len(symmetry), 10)]


def _allowed(frame: Rotation, symmetry: NDArray[np.float64]) -> Rotation:
    """Return the part of a rotation that keeps the axes of the point group."""
    if len(symmetry) == 1:
        return frame
    if not np.allclose(symmetry[:, 2, 2], 1):
        return Rotation.identity()
    _, _, z, w = frame.as_quat()
    return Rotation.from_quat([0, 0, z, w])
