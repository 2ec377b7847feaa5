"""The Python interface: maps as arrays, volumes or files in, results out; nothing is written unless asked.

All of it is available as ``spisonet.<name>``, and calls the same functions as the command line, so that both
give the same numbers.

Examples
--------
>>> import spisonet
>>> fsc3d = spisonet.estimate_fsc3d("half1.mrc", "half2.mrc", "mask.mrc")
>>> spisonet.summarise_fsc3d(fsc3d).cfar
>>> result = spisonet.correct_anisotropy("half1.mrc", "half2.mrc", mask="mask.mrc", epochs=10)
>>> spisonet.write_map("corrected_full.mrc", result.full.volume, result.full.label)
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from spisonet.analysis import fsc3d as _fsc3d
from spisonet.analysis import orientation_diagnostics, particle_views
from spisonet.analysis.config import Fsc3dConfig, Fsd3dConfig
from spisonet.analysis.fourier_sampling import SamplingBand, sampling_weight
from spisonet.analysis.fsc3d import Fsc3d, Fsc3dMetrics, summarise_fsc3d
from spisonet.analysis.half_maps import (
    HalfMaps,
    checked_half_maps,
    checked_limit_resolution,
    is_sampling_density,
)
from spisonet.analysis.orientation_diagnostics import Diagnosis
from spisonet.analysis.particle_views import ParticleViews
from spisonet.anisotropy.config import ReconstructConfig
from spisonet.anisotropy.preparation import fourier_weight_of_cube
from spisonet.anisotropy.reconstruct import (
    CorrectionOptions,
    CorrectionResult,
    fourier_weights_of,
    reconstruct,
)
from spisonet.anisotropy.run_inputs import RunInputs
from spisonet.errors import SpisonetError
from spisonet.io.mrc import Volume, checked_densities, read_volume, write_volume
from spisonet.io.processors import limited_threads
from spisonet.learning.devices import choose_devices, use_cpu_threads
from spisonet.learning.memory import GIGABYTE, Memory
from spisonet.learning.training_config import TrainingConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VOXEL_SIZE_ARGUMENT = "give voxel_size_angstrom"
Map: TypeAlias = "Volume | Path | str | NDArray[np.floating[Any]]"

__all__ = [
    "CorrectionResult",
    "Diagnosis",
    "Fsc3d",
    "Fsc3dMetrics",
    "ParticleViews",
    "SpisonetError",
    "Volume",
    "correct_anisotropy",
    "diagnose",
    "estimate_fsc3d",
    "fourier_sampling",
    "read_map",
    "read_particle_views",
    "summarise_fsc3d",
    "write_map",
]

THREADS: int = ReconstructConfig.model_fields["ncpus"].default
# Options of ``reconstruct`` that `correct_anisotropy` takes by name; files and devices are its parameters.
CORRECTION_OPTIONS = {field.name for field in fields(TrainingConfig)} | {
    "method",
    "independent",
    "positivity",
}
CONE_ANGLE_DEGREES: float = Fsc3dConfig.model_fields["cone_sampling_angle"].default


def read_map(path: Path | str, voxel_size_angstrom: float | None = None) -> Volume:
    """Read a cubic map.

    Parameters
    ----------
    path : Path or str
        MRC/CCP4 map, plain or compressed with gzip or bzip2, or an ``.em`` map.
    voxel_size_angstrom : float, optional
        Voxel size in Å; overrides that of the header.

    Returns
    -------
    Volume
        Densities ``(z, y, x)`` and header.

    Raises
    ------
    SpisonetError
        If the file is not a usable map.
    """
    return read_volume(Path(path), voxel_size_angstrom, VOXEL_SIZE_ARGUMENT)


def write_map(path: Path | str, volume: Volume, label: str = "") -> None:
    """Write a map as an MRC file.

    Parameters
    ----------
    path : Path or str
        Output file; compressed if it ends in ``.gz`` or ``.bz2``.
    volume : Volume
        Densities and header.
    label : str
        Header label to add.

    Raises
    ------
    SpisonetError
        If the file cannot be written.
    """
    write_volume(Path(path), volume, label)


def estimate_fsc3d(
    half1: Map,
    half2: Map,
    mask: Map | None = None,
    *,
    voxel_size_angstrom: float | None = None,
    limit_resolution_angstrom: float | None = None,
    cone_angle_degrees: float = CONE_ANGLE_DEGREES,
    correct_for_mask: bool = True,
    seed: int = 0,
    threads: int = THREADS,
) -> Fsc3d:
    """Compute the conical 3D FSC of two half maps, as the command ``fsc3d``.

    Parameters
    ----------
    half1, half2 : Volume, path or array
        Half maps; arrays are ``(z, y, x)`` and need `voxel_size_angstrom`.
    mask : Volume, path or array, optional
        Soft mask.
    voxel_size_angstrom : float, optional
        Voxel size in Å; overrides those of headers.
    limit_resolution_angstrom : float, optional
        Resolution limit in Å [default: where the global FSC falls to 0.143].
    cone_angle_degrees : float
        Half-angle of the cones of the 3D FSC. Numbers by direction are those of 20 degrees.
    correct_for_mask : bool
        Correct the FSC for the mask, by phase randomisation and by the power that the mask leaks between
        directions.
    seed : int
        Seed of the randomised phases.
    threads : int
        CPU threads.

    Returns
    -------
    Fsc3d
        The 3D FSC; `summarise_fsc3d` gives resolutions, sphericity and cFAR.

    Raises
    ------
    SpisonetError
        If a map is unusable or the half maps do not belong together.

    Examples
    --------
    >>> fsc3d = spisonet.estimate_fsc3d("half1.mrc", "half2.mrc", "mask.mrc")
    >>> fsc3d.weight_cube().shape
    (64, 64, 64)
    """
    maps = _half_maps(half1, half2, mask, voxel_size_angstrom)
    assert maps.half2 is not None
    voxel_size = maps.half1.voxel_size_angstrom
    return _fsc3d.estimate_fsc3d(
        maps.half1.data,
        maps.half2.data,
        None if maps.mask is None else maps.mask.data,
        voxel_size,
        checked_limit_resolution(limit_resolution_angstrom, voxel_size, "limit_resolution_angstrom"),
        cone_angle_degrees,
        limited_threads(threads),
        seed if correct_for_mask else None,
    )


def read_particle_views(
    star_file: Path | str,
    *,
    symmetry: str = "C1",
    tomograms: Path | str | None = None,
    tilt_range_degrees: tuple[float, float] | None = None,
    tilt_step_degrees: float = Fsd3dConfig.model_fields["tilt_step"].default,
    max_particles: int = Fsd3dConfig.model_fields["number_subset"].default,
    seed: int = 0,
) -> ParticleViews:
    """Read the view directions of a particle set.

    Parameters
    ----------
    star_file : Path or str
        Particle STAR file or optimisation set of RELION 3.0 to 5 or Warp, or a ``.cs`` file.
    symmetry : str
        Point group in RELION's notation.
    tomograms : Path or str, optional
        Subtomograms: ``tomograms.star``, which lists the tilts.
    tilt_range_degrees : tuple of float, optional
        Subtomograms: lowest and highest tilt about y, for all tomograms.
    tilt_step_degrees : float
        Subtomograms: tilt increment.
    max_particles : int
        Number of particles to use, drawn at random.
    seed : int
        Seed of the random subset.

    Raises
    ------
    SpisonetError
        If the particles cannot be read, or the tilts of subtomograms are missing.
    """
    tilt_min, tilt_max = tilt_range_degrees or (None, None)
    return particle_views.read_views(
        _ParticleFiles(
            star_file=Path(star_file),
            sym=symmetry,
            tomograms=None if tomograms is None else Path(tomograms),
            tilt_min=tilt_min,
            tilt_max=tilt_max,
            tilt_step=tilt_step_degrees,
            number_subset=max_particles,
            seed=seed,
        )
    )


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
    views: ParticleViews,
    box: int,
    *,
    voxel_size_angstrom: float | None = None,
    low_resolution_angstrom: float = Fsd3dConfig.model_fields["low_res"].default,
    high_resolution_angstrom: float = Fsd3dConfig.model_fields["high_res"].default,
    grid_size: int = Fsd3dConfig.model_fields["grid_size"].default,
) -> Volume:
    """Compute the Fourier sampling density of a particle set, as the command ``fsd3d``.

    Parameters
    ----------
    views : ParticleViews
        Views of the particles, see `read_particle_views`.
    box : int
        Box of the map in voxels.
    voxel_size_angstrom : float, optional
        Voxel size of the map in Å [default: the pixel size of the particle images].
    low_resolution_angstrom, high_resolution_angstrom : float
        Lower frequencies count as sampled, higher ones as not sampled.
    grid_size : int
        Box in which the density is computed.

    Returns
    -------
    Volume
        ``(box, box, box)`` in 0..1, DC at ``box // 2``.

    Raises
    ------
    SpisonetError
        If the voxel size is unknown, or no shell lies between the resolutions.
    """
    voxel_size = voxel_size_angstrom or views.pixel_sizes.common_angstrom
    if voxel_size is None:
        raise SpisonetError(
            "The particles have no unique pixel size: give voxel_size_angstrom.", field="voxel_size_angstrom"
        )
    band = SamplingBand.of_resolutions(box, voxel_size, low_resolution_angstrom, high_resolution_angstrom)
    return Volume(sampling_weight(views, box, band, grid_size), voxel_size, name="sampling density")


def diagnose(
    half1: Map,
    half2: Map,
    mask: Map | None = None,
    *,
    views: ParticleViews | None = None,
    voxel_size_angstrom: float | None = None,
    limit_resolution_angstrom: float | None = None,
    threads: int = THREADS,
) -> Diagnosis:
    """Measure the anisotropy of two half maps, as the command ``diagnose``.

    Parameters
    ----------
    half1, half2, mask, voxel_size_angstrom, limit_resolution_angstrom, threads
        As for `estimate_fsc3d`.
    views : ParticleViews, optional
        Views of the particles, to compare angular sampling with the measured correlation.

    Raises
    ------
    SpisonetError
        If a map is unusable, or the half maps correlate in too few shells.
    """
    maps = _half_maps(half1, half2, mask, voxel_size_angstrom)
    voxel_size = maps.half1.voxel_size_angstrom
    return orientation_diagnostics.diagnose(
        maps,
        checked_limit_resolution(limit_resolution_angstrom, voxel_size, "limit_resolution_angstrom"),
        limited_threads(threads),
        None if views is None else views.directions,
        0 if views is None else views.n_used,
    )


def correct_anisotropy(
    half1: Map,
    half2: Map | None = None,
    *,
    mask: Map | None = None,
    fsc3d: Fsc3d | Map | None = None,
    voxel_size_angstrom: float | None = None,
    limit_resolution_angstrom: float | None = None,
    device: str | None = None,
    threads: int = THREADS,
    memory_limit_gigabytes: float | None = None,
    **options: Any,
) -> CorrectionResult:
    """Correct the anisotropy of one or two half maps, as the command ``reconstruct``.

    Parameters
    ----------
    half1, half2 : Volume, path or array
        Half maps; arrays are ``(z, y, x)`` and need `voxel_size_angstrom`. A single map needs `fsc3d`.
    mask : Volume, path or array, optional
        Soft mask: it selects the training subvolumes, is applied before the FSC, and is the real-space
        support of the prediction.
    fsc3d : Fsc3d, Volume, path or array, optional
        3D FSC or Fourier sampling density, DC at ``n // 2`` [default: the 3D FSC of the half maps].
    voxel_size_angstrom : float, optional
        Voxel size in Å; overrides those of headers.
    limit_resolution_angstrom : float, optional
        Resolution limit in Å [default: where the global FSC falls to 0.143].
    device : str, optional
        ``cpu``, ``cuda``, ``cuda:1`` or ``mps`` [default: a GPU if there is one].
    threads : int
        CPU threads.
    memory_limit_gigabytes : float, optional
        Device memory to use [default: all free memory].
    **options
        Options of ``reconstruct`` by name, with its defaults: ``method``, ``independent``, ``positivity``,
        ``seed``, and those of training, such as ``epochs``, ``n_subvolume``, ``cube_size``, ``filter_base``
        and ``objective``.

    Returns
    -------
    CorrectionResult
        Corrected half maps, networks, weights and losses; `full` is the corrected average of two half maps.

    Raises
    ------
    SpisonetError
        If a map or an option is unusable, or if training fails.

    Examples
    --------
    >>> result = spisonet.correct_anisotropy("half1.mrc", "half2.mrc", mask="mask.mrc", epochs=10)
    >>> result.halves.independent
    False
    >>> spisonet.write_map("corrected_half1.mrc", result.volumes[0], result.label)
    >>> spisonet.write_map("corrected_full.mrc", result.full.volume, result.full.label)
    """
    if unusable := sorted(set(options) - CORRECTION_OPTIONS):
        raise SpisonetError(
            f"correct_anisotropy has no option {unusable[0]}; it takes "
            f"{', '.join(sorted(CORRECTION_OPTIONS))}.",
            code="invalid_option",
            field=unusable[0],
        )
    maps = _half_maps(half1, half2, mask, voxel_size_angstrom)
    first = maps.half1
    config = ReconstructConfig.from_options({"i1": first.name, **options})
    if config.method == "learn" and config.epochs == 0:
        raise SpisonetError(
            'epochs=0 trains no network: use method="deconvolve" for constraints alone.',
            code="invalid_option",
            field="epochs",
        )
    if half2 is None and fsc3d is None:
        raise SpisonetError("The anisotropy of a single map is unknown: give fsc3d.", field="fsc3d")
    cube = None
    if isinstance(fsc3d, Fsc3d):
        cube = Volume(fsc3d.weight_cube(), first.voxel_size_angstrom, name="3D FSC")
    elif fsc3d is not None:
        cube = _volume(fsc3d, first.voxel_size_angstrom, "fsc3d")
    inputs = RunInputs(
        maps=maps,
        weight_rfft=None if cube is None else fourier_weight_of_cube(cube, first),
        weight_is_of_both_halves=cube is None or not is_sampling_density(cube),
        limit_resolution_angstrom=checked_limit_resolution(
            limit_resolution_angstrom, first.voxel_size_angstrom, "limit_resolution_angstrom"
        ),
    )
    correction = CorrectionOptions.from_config(config, first.box)
    memory = Memory(
        choose_devices(device)[0],
        None if memory_limit_gigabytes is None else memory_limit_gigabytes * GIGABYTE,
    )
    memory.enforce()
    weights = fourier_weights_of(inputs, correction.independent, use_cpu_threads(threads))
    return reconstruct(inputs, weights, correction, memory)


def _half_maps(
    half1: Map, half2: Map | None, mask: Map | None, voxel_size_angstrom: float | None
) -> HalfMaps:
    return checked_half_maps(
        _volume(half1, voxel_size_angstrom, "half1"),
        None if half2 is None else _volume(half2, voxel_size_angstrom, "half2"),
        None if mask is None else _volume(mask, voxel_size_angstrom, "mask"),
    )


def _volume(source: Map, voxel_size_angstrom: float | None, name: str) -> Volume:
    if isinstance(source, Volume):
        return source
    if isinstance(source, (str, Path)):
        return read_volume(Path(source), voxel_size_angstrom, VOXEL_SIZE_ARGUMENT)
    if voxel_size_angstrom is None:
        raise SpisonetError(f"{name} is an array: give voxel_size_angstrom.", field="voxel_size_angstrom")
    if source.ndim != 3 or len(set(source.shape)) != 1:
        raise SpisonetError(f"{name} has the shape {source.shape}; a map is cubic.", field=name)
    return Volume(checked_densities(source, name), voxel_size_angstrom, name=name)
