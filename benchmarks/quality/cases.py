"""Cases of the quality benchmark: half maps with known truth, on disk.

A case is a folder with the half maps, the mask that the methods get, the truth with a mask of its own for
scoring, and the share of views by Fourier direction. `ParticleCase` describes half maps of particles that
RELION projects and reconstructs, `ConeCase` the published simulation, a binary cone or wedge.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import cKDTree

from benchmarks.quality.densities import Helix, map_density, model_density
from benchmarks.quality.masks import truth_mask
from benchmarks.quality.particles import PARTICLES, ParticleSet, reconstruct_particles
from benchmarks.solvent_mask import solvent_mask
from spisonet.analysis.half_map_fsc import masked_fsc
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import centred_from_half, frequency_axes_rfft, half_from_centred, irfft3, rfft3
from spisonet.fourier.shells import resolution_at_threshold
from spisonet.geometry.sphere import fibonacci_hemisphere
from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.geometry.view_sampling import sampling_density, symmetric_directions
from spisonet.io.atomic import write_json
from spisonet.io.mrc import Volume, read_volume, write_volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

FSC_THRESHOLD = 0.143
MAP_SUFFIXES = (".mrc", ".map")
SPEC = "case.json"
MAPS = ("truth", "half1", "half2", "mask", "truth_mask", "sampling")
MAX_VIEWS, N_DIRECTIONS = 1500, 3000
SAMPLING_RADIUS = 1 / 6  # of the box: a third of Nyquist
BRIGHTEST_PERCENT = 99.99  # density that is 1 in the truth of a particle case
SHAPES = ("cone", "wedge", "double")


@dataclass(frozen=True)
class Particle:
    """A particle with known density.

    Attributes
    ----------
    name : str
        Short name, used in the names of folders.
    source : str
        File name of an atomic model, or of a map (``.mrc``, ``.map``).
    box : int
        Edge of the box in voxels.
    voxel_size_angstrom : float
        Voxel size.
    symmetry : str
        Point group in RELION's convention.
    helix : Helix or None
        Symmetry by which a filament is built from a model.
    """

    name: str
    source: str
    box: int
    voxel_size_angstrom: float
    symmetry: str = "C1"
    helix: Helix | None = None

    @property
    def is_map(self) -> bool:
        """Whether the density is a real map."""
        return self.source.endswith(MAP_SUFFIXES)

    def density(self, models: Path, maps: Path) -> NDArray[np.float32]:
        """Return the true density ``(box, box, box)``.

        Raises
        ------
        SpisonetError
            If the file is not in its folder, or a map has another box or voxel size.
        """
        if not self.is_map:
            finest = 2 * self.voxel_size_angstrom
            return model_density(
                models / self.source, self.box, self.voxel_size_angstrom, finest, helix=self.helix
            )
        volume = map_density(maps / self.source)
        found, expected = volume.voxel_size_angstrom, self.voxel_size_angstrom
        if volume.box != self.box or abs(found - expected) > 1e-3 * expected:
            raise SpisonetError(
                f"{volume.name} has a box of {volume.box} voxels of {found:g} Å; particle {self.name} needs "
                f"{self.box} voxels of {expected:g} Å."
            )
        return volume.data


@dataclass(frozen=True)
class ParticleCase:
    """Half maps that RELION reconstructs from simulated particles.

    Attributes
    ----------
    particle : Particle
        The particle.
    views : str
        ``top``, ``side``, ``two``, ``ring`` or ``even``, see `draw_views`.
    noise : float
        Standard deviation of the white noise of a pixel; the density of the truth is 1 at its brightest.
    pose_error_degrees : float
        Root mean square angle between true and refined poses.
    drift_degrees : float
        Mean angle by which the refined poses of preferred views have moved away from the true ones.
    symmetric : bool
        Impose the symmetry of the particle in the reconstruction.
    seed : int
        Seed of views, noise and errors.
    share : float
        Fraction of the particles with preferred views; the views of the others are even.
    spread_degrees : float
        Spread of the preferred views.
    n_particles : int
        Number of particles in both halves.
    """

    particle: Particle
    views: str = "top"
    noise: float = 2.0
    pose_error_degrees: float = 1.0
    drift_degrees: float = 0.0
    symmetric: bool = False
    seed: int = 1
    share: float = 1.0
    spread_degrees: float = 12.0
    n_particles: int = 3000

    @property
    def symmetry(self) -> str:
        """Point group that is imposed in the reconstruction."""
        return self.particle.symmetry if self.symmetric else "C1"

    @property
    def particle_set(self) -> ParticleSet:
        """Number, views and poses of the particles."""
        return ParticleSet(
            views=self.views,
            share=self.share,
            spread_degrees=self.spread_degrees,
            n_particles=self.n_particles,
            noise=self.noise,
            pose_error_degrees=self.pose_error_degrees,
            drift_degrees=self.drift_degrees,
        )

    @property
    def name(self) -> str:
        """Name of the case and of its folder."""
        parts = [f"{self.particle.name}{self.particle.box}", self.views]
        if self.share < 1:
            parts.append(f"{100 * self.share:g}percent")
        parts += [f"noise{self.noise:g}", f"error{self.pose_error_degrees:g}"]
        if self.drift_degrees:
            parts.append(f"drift{self.drift_degrees:g}")
        return "_".join([*parts, self.symmetry, f"seed{self.seed}"])


@dataclass(frozen=True)
class ConeCase:
    """The published simulation: a region removed from the Fourier transform of truth and white noise.

    Attributes
    ----------
    particle : Particle
        The particle.
    shape : str
        The missing region: ``cone`` (about z), ``wedge`` (of a tilt series about y) or ``double`` (wedge of
        two tilt series, about y and x).
    angle_degrees : float
        Highest measured angle to the xy plane.
    noise : float
        Standard deviation of the white noise of each half map, relative to that of the truth.
    seed : int
        Seed of the noise.
    """

    particle: Particle
    shape: str = "cone"
    angle_degrees: float = 45.0
    noise: float = 0.5
    seed: int = 1

    @property
    def name(self) -> str:
        """Name of the case and of its folder."""
        particle = f"{self.particle.name}{self.particle.box}"
        return f"{particle}_{self.shape}{self.angle_degrees:g}_noise{self.noise:g}_seed{self.seed}"


CaseSpec = ParticleCase | ConeCase


@dataclass(frozen=True)
class Case:
    """A case on disk.

    Attributes
    ----------
    folder : Path
        Its folder.
    spec : ParticleCase or ConeCase
        How it was made.
    truth, half1, half2 : ndarray
        ``(n, n, n)`` densities.
    mask : ndarray
        ``(n, n, n)`` in 0..1, made from the half maps as users make it: the mask that the methods get.
    truth_mask : ndarray
        ``(n, n, n)`` in 0..1, made from the truth, for scoring.
    sampling_rfft : ndarray
        ``(n, n, n // 2 + 1)`` number of views in each direction relative to even views; for a `ConeCase`, 1
        in the measured region and 0 in the missing one.
    voxel_size_angstrom : float
        Voxel size.
    resolution_angstrom : float
        Where the FSC of the masked half maps falls to 0.143.
    """

    folder: Path
    spec: CaseSpec
    truth: NDArray[np.float32]
    half1: NDArray[np.float32]
    half2: NDArray[np.float32]
    mask: NDArray[np.float32]
    truth_mask: NDArray[np.float32]
    sampling_rfft: NDArray[np.float32]
    voxel_size_angstrom: float
    resolution_angstrom: float

    @property
    def name(self) -> str:
        """Name of the case."""
        return self.spec.name

    @property
    def box(self) -> int:
        """Edge of the box in voxels."""
        return len(self.truth)

    @cached_property
    def average(self) -> NDArray[np.float32]:
        """Average of the half maps."""
        return np.asarray((self.half1 + self.half2) / 2, dtype=np.float32)

    @property
    def particles_star(self) -> Path | None:
        """STAR file of the refined particles; None without particles."""
        path = self.folder / PARTICLES
        return path if path.is_file() else None


def make_case(spec: CaseSpec, folder: Path, models: Path, maps: Path, keep_images: bool = False) -> Case:
    """Make a case in the folder `folder` / `spec.name`, unless it is there already.

    Parameters
    ----------
    spec : ParticleCase or ConeCase
        What to make.
    folder : Path
        Folder of all cases.
    models, maps : Path
        Folders of the atomic models and of the maps.
    keep_images : bool
        Keep the images of a case that is made from particles.

    Returns
    -------
    Case
        The case.

    Raises
    ------
    SpisonetError
        If a source is missing, RELION is not on PATH, or the folder contains another case.
    """
    target = folder / spec.name
    if target.is_dir():
        case = load_case(target)
        if case.spec != spec:
            raise SpisonetError(f"{target} contains a case with other parameters; delete it or use --cases.")
        return case
    density = spec.particle.density(models, maps)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{spec.name}.") as name:
        made = Path(name) / spec.name
        made.mkdir()
        if isinstance(spec, ParticleCase):
            _make_particle_case(spec, density, made, keep_images)
        else:
            _make_cone_case(spec, density, made)
        made.rename(target)
    return load_case(target)


def load_case(folder: Path) -> Case:
    """Read a case.

    Raises
    ------
    SpisonetError
        If the folder is not a case of this version.
    """
    try:
        record = json.loads((folder / SPEC).read_text(encoding="utf-8"))
        spec = _spec_of_record(record["case"])
        resolution = float(record["resolution_angstrom"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpisonetError(f"{folder} is not a case of the quality benchmark ({SPEC}: {error}).") from error
    volumes = {name: read_volume(folder / f"{name}.mrc") for name in MAPS}
    return Case(
        folder=folder,
        spec=spec,
        **{name: volumes[name].data for name in MAPS if name != "sampling"},
        sampling_rfft=half_from_centred(volumes["sampling"].data),
        voxel_size_angstrom=volumes["truth"].voxel_size_angstrom,
        resolution_angstrom=resolution,
    )


def sampling_of_views(views: NDArray[np.floating], n: int) -> NDArray[np.float32]:
    """Return the number of views in every Fourier direction, relative to even views.

    A view measures a slab of one Fourier voxel to either side at a third of Nyquist. Directions are those of
    3,000 points on a hemisphere, about 2.6° apart.

    Parameters
    ----------
    views : ndarray
        ``(m, 3)`` unit view directions ``(x, y, z)``.
    n : int
        Box in voxels.

    Returns
    -------
    ndarray
        ``(n, n, n // 2 + 1)``.
    """
    directions = fibonacci_hemisphere(N_DIRECTIONS)
    density = sampling_density(views, directions * n * SAMPLING_RADIUS)
    kz, ky, kx = np.broadcast_arrays(*frequency_axes_rfft((n, n, n)))
    vectors = np.stack([kx, ky, kz], axis=-1).reshape(-1, 3)
    vectors = np.where(vectors[:, 2:] < 0, -vectors, vectors)
    length = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1)
    return np.asarray(density[cKDTree(directions).query(vectors / length)[1]].reshape(kx.shape))


def measured_region(shape: str, angle_degrees: float, n: int) -> NDArray[np.bool_]:
    """Return the measured region of a `ConeCase`, ``(n, n, n // 2 + 1)``."""
    kz, ky, kx = (np.abs(k) for k in np.broadcast_arrays(*frequency_axes_rfft((n, n, n))))
    slope = np.tan(np.radians(angle_degrees))
    if shape == "cone":
        return np.asarray(kz <= slope * np.hypot(kx, ky))
    # The tilt axis and its neighbourhood of half a voxel are measured.
    about_y, about_x = kz <= slope * kx + 0.5, kz <= slope * ky + 0.5
    return np.asarray(about_y if shape == "wedge" else about_y | about_x)


def _make_particle_case(
    spec: ParticleCase, density: NDArray[np.float32], folder: Path, keep_images: bool
) -> None:
    voxel_size = spec.particle.voxel_size_angstrom
    truth = Volume(density / np.percentile(density, BRIGHTEST_PERCENT).astype(np.float32), voxel_size)
    write_volume(folder / "truth.mrc", truth)
    rng = np.random.default_rng(spec.seed)
    halves, views = reconstruct_particles(folder, spec.particle_set, spec.symmetry, rng, keep_images)
    mates = symmetric_directions(views[:MAX_VIEWS], symmetry_rotations(spec.symmetry))
    _finish(spec, truth, halves, sampling_of_views(mates, truth.box), folder)


def _make_cone_case(spec: ConeCase, density: NDArray[np.float32], folder: Path) -> None:
    if spec.shape not in SHAPES:
        raise SpisonetError(f"The shape {spec.shape} is unknown; use {', '.join(SHAPES)}.")
    rng = np.random.default_rng(spec.seed)
    truth = Volume(density / density.std(), spec.particle.voxel_size_angstrom)
    write_volume(folder / "truth.mrc", truth)
    measured = measured_region(spec.shape, spec.angle_degrees, truth.box)
    noisy = (truth.data + spec.noise * rng.normal(size=truth.data.shape).astype(np.float32) for _ in range(2))
    halves = [irfft3(rfft3(volume) * measured, volume.shape) for volume in noisy]
    _finish(spec, truth, halves, measured.astype(np.float32), folder)


def _finish(
    spec: CaseSpec,
    truth: Volume,
    halves: list[NDArray[np.float32]],
    sampling_rfft: NDArray[np.float32],
    folder: Path,
) -> None:
    n, voxel_size = truth.box, truth.voxel_size_angstrom
    mask = solvent_mask(np.asarray((halves[0] + halves[1]) / 2, dtype=np.float32), voxel_size)
    volumes = {
        "half1": halves[0],
        "half2": halves[1],
        "mask": mask,
        "truth_mask": truth_mask(truth.data, voxel_size),
        "sampling": centred_from_half(sampling_rfft, n),
    }
    for name, volume in volumes.items():
        write_volume(folder / f"{name}.mrc", truth.with_data(volume))
    fsc = masked_fsc(halves, mask, phase_seed=None).fsc
    resolution = resolution_at_threshold(fsc, FSC_THRESHOLD, n * voxel_size)
    write_json(folder / SPEC, {"case": _record_of_spec(spec), "resolution_angstrom": resolution})


def _record_of_spec(spec: CaseSpec) -> dict[str, Any]:
    return {"type": type(spec).__name__} | asdict(spec)


def _spec_of_record(record: dict[str, Any]) -> CaseSpec:
    values = dict(record)
    kinds: dict[str, type[CaseSpec]] = {"ParticleCase": ParticleCase, "ConeCase": ConeCase}
    kind = kinds[values.pop("type")]
    particle = dict(values.pop("particle"))
    helix = particle.pop("helix")
    particle["helix"] = None if helix is None else Helix(**helix)
    unknown = set(values) - {field.name for field in fields(kind)}
    if unknown:
        raise ValueError(f"unknown parameters {sorted(unknown)}")
    return kind(particle=Particle(**particle), **values)
