"""Correction of the anisotropy of half maps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from spisonet.analysis.half_maps import checked_limit_resolution
from spisonet.anisotropy import reconstruct as anisotropy
from spisonet.anisotropy.config import ReconstructConfig
from spisonet.anisotropy.run_inputs import run_inputs
from spisonet.api.computing import one_device
from spisonet.api.fsc import Fsc3dResult
from spisonet.api.maps import Map, cubic_volume_of, half_maps_of, saved_map
from spisonet.api.parameters import require_known
from spisonet.api.reconstruction_output import correct_into_folder, report_run
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import centred_from_half
from spisonet.io.atomic import prepare_output_folder
from spisonet.io.config import STANDARD
from spisonet.io.events import progress_to
from spisonet.learning.process_group import SINGLE_PROCESS

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from spisonet.analysis.half_maps import HalfMaps
    from spisonet.anisotropy.reconstruct import CorrectionResult
    from spisonet.api.maps import MapLike
    from spisonet.io.config import Profile
    from spisonet.io.events import ProgressEvent
    from spisonet.io.mrc import Volume
    from spisonet.learning.memory import Memory

THREADS: int = ReconstructConfig.model_fields["ncpus"].default
# Options of the command that are arguments of `reconstruct` under another name, or belong to a terminal.
ARGUMENTS = frozenset(
    {
        *("i1", "i2", "mask", "aniso_file", "apix", "limit_res", "method", "independent", "epochs", "seed"),
        *("profile", "output_dir", "report", "resume", "device", "gpuID", "ncpus", "memory_limit"),
        *("validation", "validation_cones"),
    }
)
OUTPUT_OPTIONS = frozenset({"sharpen", "b_factor", "model"})  # change only what is written
OPTIONS = frozenset(ReconstructConfig.model_fields) - ARGUMENTS


@dataclass(frozen=True)
class Reconstruction:
    """Corrected half maps, the corrected full map, and how they were made.

    Attributes
    ----------
    result : CorrectionResult
        All results, such as networks, Fourier weights and the maps without a network (``deconvolved``).
    folder : Path or None
        Output folder, if one was given; `validate` reads it.
    """

    result: CorrectionResult
    folder: Path | None = None

    @property
    def half_maps(self) -> tuple[Map, ...]:
        """The corrected maps, in the order of the inputs."""
        return tuple(Map.of(volume) for volume in self.result.volumes)

    @property
    def full_map(self) -> Map | None:
        """The corrected average of both half maps: the map to build into; None for a single map."""
        return None if self.result.full is None else Map.of(self.result.full.volume)

    @property
    def data_weight(self) -> Map:
        """Fraction in 0..1 of each Fourier coefficient of a half map that is data; DC at ``n // 2``.

        With `independent`, that of half map 1.
        """
        unit = self.result.units[0]
        first = unit.unit.volumes[0]
        cube = centred_from_half(self.result.data_weight_rfft(unit.data_weight_rfft), first.box)
        return Map(cube, first.voxel_size_angstrom, name="data weight")

    @property
    def halves_independent(self) -> bool | None:
        """Whether no network, start weights or reference is common to the halves; None for a single map.

        Mask and Fourier weights may be common: quote the resolution of the uncorrected half maps.
        """
        return self.result.halves.independent

    @property
    def limit_resolution_angstrom(self) -> float:
        """Resolution to which the maps are corrected, in Å."""
        return self.result.limit_resolution_angstrom

    @property
    def unmeasured_fraction(self) -> float:
        """Fraction in 0..1 of Fourier space to the resolution limit that is unmeasured."""
        return self.result.unmeasured_fraction

    @property
    def epoch_losses(self) -> dict[str, list[float]]:
        """Mean training loss of each epoch, by the maps that a network was trained on."""
        return self.result.epoch_losses

    def plot(self) -> Figure:
        """Draw central slices before and after, on the same grey scale, as a matplotlib figure."""
        from spisonet.figures.slices import draw_slices  # noqa: PLC0415 - matplotlib is slow to import

        full, first = self.result.full, self.result.units[0].unit.volumes[0]
        maps: dict[str, Volume] = {"before": first, "after": self.result.volumes[0]}
        if full is not None:
            maps = {"average of the half maps": full.average, "corrected full map": full.volume}
        return draw_slices(maps, self.limit_resolution_angstrom)


def reconstruct(
    half1: MapLike,
    half2: MapLike | None = None,
    mask: MapLike | None = None,
    *,
    fsc3d: Fsc3dResult | MapLike | None = None,
    voxel_size_angstrom: float | None = None,
    limit_resolution_angstrom: float | None = None,
    method: Literal["learn", "prior", "deconvolve"] = "learn",
    independent: bool = False,
    epochs: int | Literal["auto"] | None = None,
    profile: Profile = STANDARD,
    output_dir: Path | str | None = None,
    report: bool = True,
    resume: bool = False,
    device: str | None = None,
    threads: int = THREADS,
    memory_limit_gigabytes: float | None = None,
    seed: int = 0,
    progress: Callable[[ProgressEvent], None] | None = None,
    **options: Any,
) -> Reconstruction:
    """Correct the anisotropy of one or two half maps, as the command ``reconstruct``.

    Parameters
    ----------
    half1, half2 : path, Map or array
        Half maps; arrays are ``(z, y, x)`` and need `voxel_size_angstrom`. A single map needs `fsc3d`.
    mask : path, Map or array, optional
        Soft mask: it selects the training subvolumes, is applied before the FSC, and is the real-space
        support of the prediction.
    fsc3d : Fsc3dResult, path, Map or array, optional
        3D FSC or Fourier sampling density, DC at ``n // 2`` [default: the 3D FSC of the half maps].
    voxel_size_angstrom : float, optional
        Voxel size in Å; overrides those of headers.
    limit_resolution_angstrom : float, optional
        Resolution limit in Å [default: where the global FSC falls to 0.143].
    method : str
        ``learn`` (train a network), ``prior`` (only the network trained on other structures) or
        ``deconvolve`` (mask and positivity constraints, without a network, in seconds).
    independent : bool
        Train one network on each half map, so that the noise of the corrected half maps remains independent.
    epochs : int or "auto", optional
        Training epochs; ``auto``: until more of them hardly improve the prediction [default: those of the
        profile; 30 with ``standard``].
    profile : str
        ``quick``, ``standard`` or ``careful``: values of the options that are not given. None validates; see
        `validate`.
    output_dir : path, optional
        Folder into which everything is written that the command writes; `validate` reads it. Arrays are
        written into it, too. Without it nothing is written.
    report : bool
        With `output_dir`: write ``report.html`` and ``report.json``.
    resume : bool
        With `output_dir`: continue the run in it from its last checkpoint.
    device : str, optional
        ``cpu``, ``cuda``, ``cuda:1`` or ``mps`` [default: a GPU if there is one].
    threads : int
        CPU threads.
    memory_limit_gigabytes : float, optional
        Device memory to use [default: all free memory].
    seed : int
        Random seed.
    progress : callable, optional
        Called with a `ProgressEvent` at the end of each epoch and during the other stages.
    **options
        Further options of the command by name, such as ``n_subvolume``, ``cube_size``, ``filter_base``,
        ``batch_size``, ``learning_rate``, ``objective``, ``positivity``, ``prior`` and ``pretrained``; with
        `output_dir` also ``sharpen``, ``b_factor`` and ``model``.

    Returns
    -------
    Reconstruction
        Corrected half maps and full map, weights and losses.

    Raises
    ------
    SpisonetError
        If a map or an option is unusable, or if training fails.

    Examples
    --------
    >>> import spisonet
    >>> result = spisonet.reconstruct("half1.mrc", "half2.mrc", "mask.mrc", method="deconvolve")
    >>> 0 < result.unmeasured_fraction < 1
    True
    >>> spisonet.write_map("corrected_full.mrc", result.full_map)

    A training takes minutes on a GPU; `progress` is called once an epoch.

    >>> result = spisonet.reconstruct(
    ...     "half1.mrc", "half2.mrc", "mask.mrc",
    ...     epochs=1, n_subvolume=4, cube_size=16, filter_base=4, prior="none",
    ...     progress=lambda event: print(event.stage, event.done, event.total) if event.loss else None,
    ... )
    training 1 1
    """
    _require_known(options, output_dir)
    maps = half_maps_of(half1, half2, mask, voxel_size_angstrom)
    limit = checked_limit_resolution(
        limit_resolution_angstrom, maps.half1.voxel_size_angstrom, "limit_resolution_angstrom"
    )
    if half2 is None and fsc3d is None:
        raise SpisonetError("The anisotropy of a single map is unknown: give fsc3d.", field="fsc3d")
    given = fsc3d.volume() if isinstance(fsc3d, Fsc3dResult) else fsc3d
    cube = None if given is None else cubic_volume_of(given, maps.half1.voxel_size_angstrom, "fsc3d")
    sources = {"half1": half1, "half2": half2, "mask": mask, "fsc3d": given}
    volumes = (maps.half1, maps.half2, maps.mask, cube)
    folder = None if output_dir is None else Path(output_dir)
    if folder is not None:
        prepare_output_folder(folder)
    files = {
        name: None if source is None or volume is None else saved_map(source, volume, name, folder)
        for (name, source), volume in zip(sources.items(), volumes, strict=True)
    }
    config = ReconstructConfig.from_options(
        {
            **{"i1": files["half1"], "i2": files["half2"], "mask": files["mask"]},
            **{"aniso_file": files["fsc3d"], "apix": voxel_size_angstrom, "limit_res": limit},
            **{"method": method, "independent": independent, "seed": seed, "profile": profile},
            **({} if epochs is None else {"epochs": epochs}),
            "validation": False,  # a function of its own
            **{"device": device, "ncpus": threads, "memory_limit": memory_limit_gigabytes},
            **{"report": report, "resume": resume},
            **({} if folder is None else {"output_dir": folder}),
            **options,
        }
    )
    with progress_to(progress), one_device(device, threads, memory_limit_gigabytes) as memory:
        if folder is None:
            return Reconstruction(_correct(config, maps, cube, memory))
        result = correct_into_folder(config, memory, SINGLE_PROCESS)
        if report:
            report_run(folder, threads)
        return Reconstruction(result, folder)


def _correct(
    config: ReconstructConfig, maps: HalfMaps, cube: Volume | None, memory: Memory
) -> CorrectionResult:
    """Correct maps without writing anything."""
    inputs = run_inputs(config, maps, cube)
    anisotropy.require_memory(config, maps.half1.box, memory)
    weights = anisotropy.fourier_weights_of(inputs, config.independent, torch.get_num_threads())
    correction = anisotropy.CorrectionOptions.from_config(config, maps.half1.box)
    return anisotropy.reconstruct(inputs, weights, correction, memory)


def _require_known(options: dict[str, Any], output_dir: Path | str | None) -> None:
    """Refuse options that have no effect."""
    require_known("reconstruct", options, OPTIONS)
    if output_dir is None and (unused := sorted(set(options) & OUTPUT_OPTIONS)):
        raise SpisonetError(
            f"{unused[0]} changes only what is written: give output_dir.",
            code="invalid_option",
            field=unused[0],
        )
