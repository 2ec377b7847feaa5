"""Orientations: diagnosis of anisotropy, and Fourier sampling of particle sets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet.analysis import orientation_diagnostics
from spisonet.analysis.config import DiagnoseConfig, Fsd3dConfig
from spisonet.analysis.fourier_sampling import SamplingBand, sampling_weight
from spisonet.analysis.half_maps import checked_limit_resolution
from spisonet.analysis.particle_views import ParticleViews, read_views
from spisonet.analysis.recommendation import ParticleKind, recommend
from spisonet.api.maps import Map, half_maps_of
from spisonet.errors import SpisonetError
from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.geometry.view_sampling import symmetric_directions
from spisonet.io.events import progress_to
from spisonet.io.particles import PixelSizes, is_helical_refinement
from spisonet.io.processors import limited_threads
from spisonet.io.stages import StageProgress

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from spisonet.analysis.orientation_diagnostics import Diagnosis
    from spisonet.analysis.pose_drift import PoseDrift
    from spisonet.analysis.recommendation import Recommendation
    from spisonet.api.maps import MapLike
    from spisonet.io.events import ProgressEvent
    from spisonet.io.mrc import Volume

THREADS: int = DiagnoseConfig.model_fields["ncpus"].default
MAX_PARTICLES: int = DiagnoseConfig.model_fields["number_subset"].default
MAX_DRIFT_PARTICLES: int = DiagnoseConfig.model_fields["pose_drift_particles"].default
TILT_STEP_DEGREES: float = DiagnoseConfig.model_fields["tilt_step"].default


@dataclass(frozen=True)
class DiagnosisResult:
    """Anisotropy of half maps, its cause, and the recommended processing.

    Attributes
    ----------
    diagnosis : Diagnosis
        The measurements: FSC by direction (``fsc``), its summary (``metrics``), the view distribution
        (``view_distribution``), Fourier sampling (``measured``, ``particles``) and the drift of the poses
        (``drift``).
    recommendation : Recommendation
        ``headline``, ``reasons`` with their numbers, and ``commands``.
    halves_coupled : bool
        Whether a header label marks the half maps as coupled.
    drift_not_measured : str or None
        Why the drift of the poses was not measured although particles are given.
    """

    diagnosis: Diagnosis
    recommendation: Recommendation
    halves_coupled: bool
    drift_not_measured: str | None = None

    @property
    def strategy(self) -> str:
        """``none``, ``anisotropy``, ``misalignment``, ``pose_drift`` or ``severe``."""
        return self.diagnosis.strategy.value

    @property
    def cfar(self) -> float:
        """Conical FSC area ratio in 0..1; below 0.5 is taken as preferred orientation."""
        return self.diagnosis.metrics.cfar

    @property
    def undersampled_fraction(self) -> float:
        """Fraction in 0..1 of Fourier space with less than a quarter of the density of uniform views."""
        return self.diagnosis.measured.undersampled_fraction

    def plot(self) -> Figure:
        """Draw the FSC by direction, the views, and the coverage of Fourier space, as a matplotlib figure."""
        from spisonet.figures.diagnosis import draw_diagnosis  # noqa: PLC0415 - matplotlib is slow to import

        return draw_diagnosis(self.diagnosis)


@dataclass(frozen=True)
class FourierSampling:
    """Fourier sampling of a particle set.

    Attributes
    ----------
    density : Map
        ``(box, box, box)`` in 0..1, DC at ``box // 2``; it can be used as `fsc3d` of `reconstruct`.
    n_particles, n_used : int
        Number of particles in the file, and of those that were used.
    """

    density: Map
    n_particles: int
    n_used: int

    def plot(self) -> Figure:
        """Draw the central slices of the density, as a matplotlib figure."""
        from spisonet.figures.pages import draw_sampling_page  # noqa: PLC0415 - matplotlib is slow to import

        return draw_sampling_page(self.density.data, f"Fourier sampling of {self.n_used:,} particles")


@dataclass(frozen=True)
class _ParticleFiles:
    """Files and options of a particle set; see `spisonet.analysis.particle_views.ParticleFiles`."""

    star_file: Path
    sym: str
    tomograms: Path | None
    tilt_min: float | None
    tilt_max: float | None
    tilt_step: float
    number_subset: int
    seed: int


def fourier_sampling(
    particles: Path | str | NDArray[np.floating[Any]] | ParticleViews,
    box: int,
    *,
    symmetry: str = "C1",
    voxel_size_angstrom: float | None = None,
    tomograms: Path | str | None = None,
    tilt_range_degrees: tuple[float, float] | None = None,
    tilt_step_degrees: float = TILT_STEP_DEGREES,
    max_particles: int = MAX_PARTICLES,
    low_resolution_angstrom: float = Fsd3dConfig.model_fields["low_res"].default,
    high_resolution_angstrom: float = Fsd3dConfig.model_fields["high_res"].default,
    grid_size: int = Fsd3dConfig.model_fields["grid_size"].default,
    seed: int = 0,
) -> FourierSampling:
    """Compute the Fourier sampling density of a particle set, as the command ``fsd3d``.

    Parameters
    ----------
    particles : path, array or ParticleViews
        Particle STAR file or optimisation set of RELION 3.0 to 5 or Warp, a ``.cs`` file, or an array
        ``(n, 3)`` of view directions ``(x, y, z)`` in the frame of the map.
    box : int
        Box of the map in voxels.
    symmetry : str
        Point group in RELION's notation.
    voxel_size_angstrom : float, optional
        Voxel size of the map in Å [default: the pixel size of the particle images].
    tomograms : path, optional
        Subtomograms: ``tomograms.star``, which lists the tilts.
    tilt_range_degrees : tuple of float, optional
        Subtomograms: lowest and highest tilt about y, for all tomograms.
    tilt_step_degrees : float
        Subtomograms: tilt increment.
    max_particles : int
        Number of particles to use, drawn at random.
    low_resolution_angstrom, high_resolution_angstrom : float
        Lower frequencies count as sampled, higher ones as not sampled.
    grid_size : int
        Box in which the density is computed.
    seed : int
        Seed of the random subset.

    Returns
    -------
    FourierSampling
        The density, and the numbers of particles.

    Raises
    ------
    SpisonetError
        If the particles cannot be read, the voxel size or the tilts of subtomograms are unknown, or no shell
        lies between the resolutions.

    References
    ----------
    Naydenova & Russo (2017) Nat. Commun. 8, 629 (point spread of a view distribution).

    Examples
    --------
    >>> import spisonet
    >>> sampling = spisonet.fourier_sampling(
    ...     "particles.star", 48, symmetry="C3", tilt_range_degrees=(-60, 60),
    ...     voxel_size_angstrom=8.0, low_resolution_angstrom=60, high_resolution_angstrom=20,
    ... )
    >>> sampling.n_used
    200
    >>> spisonet.write_map("FSD3D.mrc", sampling.density)
    """
    if isinstance(particles, ParticleViews):
        views = particles
    elif isinstance(particles, (str, Path)):
        views = _read_views(
            particles, symmetry, tomograms, tilt_range_degrees, tilt_step_degrees, max_particles, seed
        )
    else:
        views = _views_of_directions(particles, symmetry)
    voxel_size = voxel_size_angstrom or views.pixel_sizes.common_angstrom
    if voxel_size is None:
        raise SpisonetError(
            "The particles have no unique pixel size: give voxel_size_angstrom.", field="voxel_size_angstrom"
        )
    band = SamplingBand.of_resolutions(box, voxel_size, low_resolution_angstrom, high_resolution_angstrom)
    density = Map(sampling_weight(views, box, band, grid_size), voxel_size, name="sampling density")
    return FourierSampling(density, views.n_particles, views.n_used)


def diagnose(
    half1: MapLike,
    half2: MapLike,
    mask: MapLike | None = None,
    *,
    particles: Path | str | None = None,
    symmetry: str = "C1",
    voxel_size_angstrom: float | None = None,
    limit_resolution_angstrom: float | None = None,
    tomograms: Path | str | None = None,
    tilt_range_degrees: tuple[float | None, float | None] | None = None,
    tilt_step_degrees: float = TILT_STEP_DEGREES,
    max_particles: int = MAX_PARTICLES,
    pose_drift: bool = True,
    max_drift_particles: int = MAX_DRIFT_PARTICLES,
    device: str | None = None,
    threads: int = THREADS,
    seed: int = 0,
    progress: Callable[[ProgressEvent], None] | None = None,
) -> DiagnosisResult:
    """Diagnose anisotropy and misalignment of two half maps, as the command ``diagnose``.

    Parameters
    ----------
    half1, half2 : path, Map or array
        Half maps; arrays are ``(z, y, x)`` and need `voxel_size_angstrom`.
    mask : path, Map or array, optional
        Soft mask.
    particles : path, optional
        Particles of the refinement, as for `fourier_sampling`. Their angles separate misalignment from
        missing views.
    symmetry : str
        Point group that the refinement imposed, in RELION's notation.
    voxel_size_angstrom : float, optional
        Voxel size in Å; overrides those of headers.
    limit_resolution_angstrom : float, optional
        Resolution limit in Å [default: where the global FSC falls to 0.143].
    tomograms, tilt_range_degrees, tilt_step_degrees, max_particles
        As for `fourier_sampling`.
    pose_drift : bool
        Measure the drift of the poses on the particle images; about a minute on a CPU. No effect if these
        are not found.
    max_drift_particles : int
        Number of particles for this, drawn at random.
    device : str, optional
        For the drift: ``cpu``, ``cuda``, ``cuda:1`` or ``mps`` [default: a GPU if there is one].
    threads, seed : int
        CPU threads, and seed of random subsets.
    progress : callable, optional
        Called with a `ProgressEvent` while the drift is measured.

    Returns
    -------
    DiagnosisResult
        The measurements, and the recommended processing with its reasons.

    Raises
    ------
    SpisonetError
        If a map is unusable, or the half maps correlate in too few shells.

    Examples
    --------
    >>> import spisonet
    >>> diagnosis = spisonet.diagnose("half1.mrc", "half2.mrc", "mask.mrc", symmetry="C3")
    >>> diagnosis.strategy, round(diagnosis.cfar, 2)
    ('anisotropy', 0.5)
    >>> print(diagnosis.recommendation.headline)
    Anisotropy correction of the half maps.
    """
    maps = half_maps_of(half1, half2, mask, voxel_size_angstrom)
    limit = checked_limit_resolution(
        limit_resolution_angstrom, maps.half1.voxel_size_angstrom, "limit_resolution_angstrom"
    )
    star, views, not_measured = None, None, None
    if particles is not None:
        star = Path(particles)
        views = _read_views(
            star, symmetry, tomograms, tilt_range_degrees, tilt_step_degrees, max_particles, seed
        )
    found = orientation_diagnostics.diagnose(
        maps,
        limit,
        limited_threads(threads),
        None if views is None else views.directions,
        0 if views is None else views.n_used,
    )
    if star is not None and pose_drift:
        resolution = found.fsc.limit_resolution_angstrom
        with progress_to(progress):
            drift, not_measured = measure_pose_drift(
                star, tomograms, maps.mask, symmetry, resolution, device, threads, max_drift_particles, seed
            )
        found = replace(found, drift=drift)
    names = [None if v is None else Path(v.name) for v in (maps.half1, maps.half2, maps.mask)]
    assert names[0] is not None
    assert names[1] is not None
    kind = _kind_of_particles(star, views)
    recommendation = recommend(found, names[0], names[1], names[2], symmetry, voxel_size_angstrom, star, kind)
    return DiagnosisResult(found, recommendation, maps.coupled, not_measured)


def _kind_of_particles(star: Path | None, views: ParticleViews | None) -> ParticleKind:
    if star is None or views is None:
        return ParticleKind.IMAGES
    if views.from_tilt_series:
        return ParticleKind.SUBTOMOGRAMS
    return ParticleKind.HELICAL_SEGMENTS if is_helical_refinement(star) else ParticleKind.IMAGES


def _read_views(
    particles: Path | str,
    symmetry: str,
    tomograms: Path | str | None,
    tilt_range_degrees: tuple[float | None, float | None] | None,
    tilt_step_degrees: float,
    max_particles: int,
    seed: int,
) -> ParticleViews:
    tilt_min, tilt_max = tilt_range_degrees or (None, None)
    return read_views(
        _ParticleFiles(
            star_file=Path(particles),
            sym=symmetry,
            tomograms=None if tomograms is None else Path(tomograms),
            tilt_min=tilt_min,
            tilt_max=tilt_max,
            tilt_step=tilt_step_degrees,
            number_subset=max_particles,
            seed=seed,
        )
    )


def _views_of_directions(directions: NDArray[np.floating[Any]], symmetry: str) -> ParticleViews:
    """Return the views of an array of directions."""
    given = np.asarray(directions, dtype=np.float64)
    lengths = np.linalg.norm(given, axis=-1)
    if (
        given.ndim != 2
        or given.shape[1] != 3
        or not len(given)
        or not (np.isfinite(lengths) & (lengths > 0)).all()
    ):
        raise SpisonetError(
            f"particles has the shape {given.shape}; give a file, or (n, 3) view directions.",
            field="particles",
        )
    units = symmetric_directions(given / lengths[:, None], symmetry_rotations(symmetry))
    return ParticleViews(units, len(given), len(given), PixelSizes(), from_tilt_series=False)


def measure_pose_drift(
    star: Path,
    tomograms: Path | str | None,
    mask: Volume | None,
    symmetry: str,
    limit_angstrom: float,
    device_name: str | None,
    threads: int,
    max_particles: int,
    seed: int,
) -> tuple[PoseDrift | None, str | None]:
    """Measure the drift of the poses of a refinement.

    Parameters
    ----------
    star : Path
        Particles of the refinement.
    tomograms : path or None
        Tomograms of RELION 5, for subtomograms.
    mask : Volume or None
        Mask on the grid of the half maps.
    symmetry : str
        Point group.
    limit_angstrom : float
        Resolution limit of the half maps.
    device_name : str or None
        As `diagnose`.
    threads, max_particles, seed : int
        CPU threads, particles to use, and seed of their choice.

    Returns
    -------
    PoseDrift or None
        None if the images are not found or memory does not suffice.
    str or None
        The reason for that.
    """
    # PyTorch is slow to import.
    from spisonet.api.computing import one_device  # noqa: PLC0415
    from spisonet.learning.memory import is_out_of_memory  # noqa: PLC0415
    from spisonet.misalignment.drift_measurement import (  # noqa: PLC0415
        DRIFT_RESOLUTION_ANGSTROM,
        measure_drift,
    )
    from spisonet.misalignment.particle_mask import mask_of_particles  # noqa: PLC0415
    from spisonet.misalignment.tilt_images import read_images  # noqa: PLC0415

    with one_device(device_name, threads, None) as memory:
        try:
            particles = read_images(star, None if tomograms is None else Path(tomograms))
            with StageProgress("diagnosis", "drift of the poses", 1, "searches") as progress:
                drift = measure_drift(
                    particles,
                    None if mask is None else mask_of_particles(mask, particles),
                    symmetry,
                    max(DRIFT_RESOLUTION_ANGSTROM, limit_angstrom),
                    memory.device,
                    max_particles,
                    seed,
                )
                progress.advance()
        except SpisonetError as error:
            return None, f"The drift of the poses was not measured: {error}"
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return None, (
                f"The drift of the poses was not measured: {memory.device} is out of memory; use another "
                "device or fewer particles."
            )
        return drift, None
