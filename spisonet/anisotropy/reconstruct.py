"""The ``reconstruct`` command: correct the anisotropy of half maps."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from spisonet.anisotropy.figures import write_figures
from spisonet.anisotropy.grey_scale import is_brighter_than_solvent, measure_grey_scale
from spisonet.anisotropy.guards import mask_leakage_guard
from spisonet.anisotropy.inputs import HalfMaps, checked_limit_resolution, read_half_maps
from spisonet.anisotropy.knowledge import Knowledge, known_from_halves, known_from_weight, reference_share
from spisonet.anisotropy.preparation import (
    build_measurement,
    correction_band,
    include_reference,
    read_weight,
)
from spisonet.anisotropy.recombination import CorrectedMap, recombine
from spisonet.anisotropy.report import write_report
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import centred_from_half
from spisonet.io.atomic import prepare_output_folder
from spisonet.io.config import JOB_FILE, write_job_record
from spisonet.io.logs import log_to_folder
from spisonet.io.mrc import Volume, read_volume, require_same_grid, write_volume
from spisonet.learning.checkpoint import load_network, save_network
from spisonet.learning.devices import choose_device, describe_device, keep_freed_memory, use_cpu_threads
from spisonet.learning.objectives import EquivarianceObjective, Objective, ReplayObjective
from spisonet.learning.tiling import MARGIN, TILE_MULTIPLE, largest_tile
from spisonet.learning.trainer import Trainer, TrainingOptions
from spisonet.learning.unet import DEPTH, Network, PublishedUNet, UNet

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.anisotropy.config import ReconstructConfig
    from spisonet.learning.measurement import Measurement

log = logging.getLogger("spisonet")

DEFAULT_BATCH_SIZE = 4
SMALLEST_CUBE = 16
FSC3D_FILE = "FSC3D.mrc"
RESULT_PATTERNS = ("corrected_*.mrc", "network*.safetensors", "checkpoint*.safetensors")
NETWORKS: dict[str, type[Network]] = {"replay": UNet, "ei": PublishedUNet}
DEFAULT_LEARNING_RATE = {"replay": 1e-3, "ei": 3e-4}
NOT_COMPARED_ON_RESUME = {"resume", "ncpus", "device", "gpuID"}
# Header labels hold 79 characters.
SHARED_LABEL = "spisonet: both halves corrected by one network: NOT independent, no FSC between"
LINKED_LABEL = "spisonet: halves share start weights or a reference: NOT independent"
MEASURED_LABEL = "spisonet: own network per half; weight and limit measured on both halves"
INDEPENDENT_LABEL = "spisonet: each half corrected by a network that saw this half alone"
SINGLE_LABEL = "spisonet: anisotropy corrected from this map alone"


@dataclass(frozen=True)
class Task:
    """What a run works on, read and checked.

    Attributes
    ----------
    maps : HalfMaps
        Half maps (with the reference's low resolutions, if one is given) and mask.
    weight_rfft : ndarray or None
        ``(n, n, n // 2 + 1)`` Fourier weight from the user's file.
    limit_resolution_angstrom : float or None
        The user's resolution limit.
    cube_size : int
        Edge of the training cubes in voxels, fitting the box.
    pretrained : Network or None
        Network to start from.
    device : torch.device
        Where to work.
    reference_shell : float
        Shell up to which the reference took the place of the maps; 0 without one.
    """

    maps: HalfMaps
    weight_rfft: NDArray[np.float32] | None
    limit_resolution_angstrom: float | None
    cube_size: int
    pretrained: Network | None
    device: torch.device
    reference_shell: float

    @property
    def volumes(self) -> list[Volume]:
        """The one or two maps to correct."""
        return [v for v in (self.maps.half1, self.maps.half2) if v is not None]

    @property
    def mask(self) -> NDArray[np.float32] | None:
        """Mask densities, if there is a mask."""
        return None if self.maps.mask is None else self.maps.mask.data


def run_reconstruct(config: ReconstructConfig) -> None:
    """Correct the anisotropy of one or two half maps.

    Writes corrected maps, weights, figures, a report, the log and ``job.json`` into
    ``config.output_dir``.

    Raises
    ------
    SpisonetError
        If an input or option is unusable (nothing is written then), or if training fails.
    """
    started = time.monotonic()
    use_cpu_threads(config.ncpus)
    keep_freed_memory()
    task = _read_task(config)
    known = _find_knowledge(config, task)
    if config.resume:
        _require_same_run(config)
    prepare_output_folder(config.output_dir)
    if not config.resume:
        _remove_old_results(config.output_dir, output_names(task.volumes))
    with log_to_folder(config.output_dir):
        write_job_record(config.output_dir, config, status="running")
        try:
            outcome = _correct(config, task, known)
        except KeyboardInterrupt:
            write_job_record(config.output_dir, config, status="interrupted")
            log.info("Interrupted: repeat the command with --resume to continue from the last epoch.")
            raise
        except torch.OutOfMemoryError as error:
            write_job_record(config.output_dir, config, status="failed")
            raise SpisonetError(
                f"{task.device} ran out of memory: give a smaller --batch_size, --predict_crop_size, "
                "--cube_size or --filter_base, or a larger --acc_batches."
            ) from error
        except Exception:
            write_job_record(config.output_dir, config, status="failed")
            raise
        seconds = round(time.monotonic() - started, 1)
        write_job_record(config.output_dir, config, status="finished", seconds=seconds, **outcome)
        report = write_report(config.output_dir, config, outcome)
        log.info("Finished in %.0f s. Report: %s", seconds, report)


def _read_task(config: ReconstructConfig) -> Task:
    if config.epochs == 0 and config.pretrained_model is None:
        raise SpisonetError("--epochs 0 only predicts, so it needs --pretrained_model.")
    if config.i2 is None and config.aniso_file is None:
        raise SpisonetError("One map alone does not tell its anisotropy: give half map 2 or --aniso_file.")
    device = choose_device(config.device, config.gpuID)
    _require_new_outputs(config)
    maps = read_half_maps(config.i1, config.i2, config.mask, config.apix)
    voxel_size = maps.half1.voxel_size_angstrom
    limit = checked_limit_resolution(config.limit_res, voxel_size)
    cube_size = _fitting_cube_size(config.cube_size, maps.half1.box)
    weight = None if config.aniso_file is None else read_weight(config.aniso_file, maps.half1)
    pretrained = None
    if config.pretrained_model is not None:
        pretrained = load_network(config.pretrained_model, config.filter_base)
        if not isinstance(pretrained, NETWORKS[config.objective]):
            raise SpisonetError(
                f"{config.pretrained_model} is a network of another objective than {config.objective}: "
                "give the --objective that it was trained with."
            )
    reference_shell = 0.0
    if config.reference is not None:
        reference = read_volume(config.reference, config.apix)
        require_same_grid(maps.half1, reference)
        finest = checked_limit_resolution(config.ref_resolution, voxel_size, "--ref_resolution")
        reference_shell = maps.half1.box * voxel_size / finest
        half1, *others = (
            volume.with_data(include_reference(volume.data, reference.data, reference_shell))
            for volume in (maps.half1, maps.half2)
            if volume is not None
        )
        maps = replace(maps, half1=half1, half2=others[0] if others else None)
    return Task(maps, weight, limit, cube_size, pretrained, device, reference_shell)


def _fitting_cube_size(requested: int, box: int) -> int:
    multiple: int = 2**DEPTH
    if requested % multiple:
        raise SpisonetError(
            f"--cube_size {requested} does not suit the network: give a multiple of {multiple}."
        )
    fitting = min(requested, box // multiple * multiple)
    if fitting < SMALLEST_CUBE:
        raise SpisonetError(
            f"The box of {box} voxels is too small: the network needs {SMALLEST_CUBE} or more."
        )
    return fitting


def _require_new_outputs(config: ReconstructConfig) -> None:
    """Refuse an output folder in which a result would replace an input."""
    inputs = (config.i1, config.i2, config.aniso_file, config.mask, config.reference, config.pretrained_model)
    for path in inputs:
        if path is None or path.resolve().parent != config.output_dir.resolve():
            continue
        replaced = any(path.match(pattern) for pattern in RESULT_PATTERNS)
        if replaced or (path.name == FSC3D_FILE and config.aniso_file is None):
            raise SpisonetError(f"{path} would be replaced by a result: give another --output_dir.")


def _remove_old_results(folder: Path, names: list[str]) -> None:
    """Remove an earlier run's state and its maps of the same names, so that none is taken for this run's."""
    maps = [folder / f"corrected_{name}{suffix}.mrc" for name in names for suffix in ("", "_filtered")]
    for path in [*folder.glob("checkpoint*.safetensors"), *maps]:
        path.unlink(missing_ok=True)


def _require_same_run(config: ReconstructConfig) -> None:
    path = config.output_dir / JOB_FILE
    if not path.is_file():
        raise SpisonetError(f"There is no run to resume in {config.output_dir}: it holds no {JOB_FILE}.")
    before = json.loads(path.read_text(encoding="utf-8"))["config"]
    for name, value in config.model_dump(mode="json").items():
        if name not in NOT_COMPARED_ON_RESUME and before.get(name) != value:
            raise SpisonetError(
                f"--{name} was {before.get(name)} in the run in {config.output_dir} and is {value} now; "
                "repeat the same command line to resume it."
            )


def _correct(config: ReconstructConfig, task: Task, known: Knowledge) -> dict[str, Any]:
    volumes, box, folder = task.volumes, task.maps.half1.box, config.output_dir
    log.info("Device: %s", describe_device(task.device))
    if task.cube_size != config.cube_size:
        log.info(
            "The box of %d voxels takes cubes of %d instead of %d.", box, task.cube_size, config.cube_size
        )
    if config.aniso_file is None:
        cube = volumes[0].with_data(centred_from_half(known.weight_rfft, box))
        write_volume(folder / FSC3D_FILE, cube, "spisonet: conical 3D FSC")
    limit_angstrom = known.limit_resolution_angstrom
    band = correction_band(known, box * task.maps.half1.voxel_size_angstrom / limit_angstrom)
    something_to_learn = bool(known.learnable[1:].any())
    if not something_to_learn:
        log.warning("The half maps do not correlate in any shell: nothing is learned, nothing is changed.")
    names = output_names(volumes)
    split = config.independent or len(volumes) == 1
    # A unit is what one network sees: both halves, or one half and nothing of the other.
    units = [[index] for index in range(len(volumes))] if split else [[0, 1]]
    corrected: list[CorrectedMap] = []
    losses, used_weights, hidden = {}, [], []
    for unit in units:
        members = [volumes[index] for index in unit]
        scales = [measure_grey_scale(volume.data, task.mask, band) for volume in members]
        densities = [scale.normalise(volume.data) for volume, scale in zip(members, scales, strict=True)]
        weight = known.weight_rfft
        if task.mask is not None:
            weight = weight * mask_leakage_guard(densities, task.mask)
        positivity = config.positivity and all(is_brighter_than_solvent(d, task.mask) for d in densities)
        if config.positivity and task.mask is not None and not positivity:
            log.info("The density inside the mask is not above the solvent: positivity is not imposed.")
        measurement = build_measurement(
            densities,
            weight,
            known.consistency_rfft,
            band,
            task.mask,
            task.device,
            positivity,
            known.noise_inside,
        )
        hidden.append(measurement.hidden_fraction)
        used_weights.append(measurement.filling_weight_rfft.cpu().numpy())
        name, suffix = ("both halves", "") if not split else (names[unit[0]], f"_{names[unit[0]]}")
        log.info("%s: %.0f %% was not measured up to %.2f Å.", name, 100 * hidden[-1], limit_angstrom)
        prediction = measurement.data
        if something_to_learn:
            prediction, losses[name] = _learn(config, task, measurement, name, suffix, config.seed + unit[0])
        corrected += recombine(measurement, prediction, [v.data for v in members], scales)

    label = _label(config, split, len(volumes))
    log.info("Header label: %s", label)
    for name, volume, result in zip(names, volumes, corrected, strict=True):
        for path, data in (
            (folder / f"corrected_{name}.mrc", result.whole),
            (folder / f"corrected_{name}_filtered.mrc", result.filtered),
        ):
            write_volume(path, volume.with_data(data), label)
            log.info("Wrote %s", path)
    results = [volume.with_data(result.whole) for volume, result in zip(volumes, corrected, strict=True)]
    figures = write_figures(folder, volumes, results, task.mask, used_weights[0], limit_angstrom, losses)
    return {
        "device": str(task.device),
        "halves_independent": label in (INDEPENDENT_LABEL, MEASURED_LABEL),
        "label": label,
        "limit_resolution_angstrom": round(limit_angstrom, 3),
        "hidden_fraction": round(float(np.mean(hidden)), 4),
        "epoch_losses": losses,
        "corrected_maps": [f"corrected_{name}.mrc" for name in names],
        "figures": [path.name for path in figures],
    }


def _find_knowledge(config: ReconstructConfig, task: Task) -> Knowledge:
    """Find the Fourier weight, the signal per shell and the limit from what may be looked at."""
    first, given = task.maps.half1, task.weight_rfft
    # Independent halves with a given weight must not meet, not even in an FSC.
    if given is not None and (task.maps.half2 is None or config.independent):
        given = np.maximum(given, reference_share(first.box, task.reference_shell))
        return known_from_weight(given, first.voxel_size_angstrom, task.limit_resolution_angstrom)
    limit, threads = task.limit_resolution_angstrom, torch.get_num_threads()
    return known_from_halves(task.maps, given, limit, threads, task.reference_shell)


def _label(config: ReconstructConfig, split: bool, n_maps: int) -> str:
    """Say in one header label how far the corrected halves are independent."""
    if n_maps == 1:
        return SINGLE_LABEL
    if not split:
        return SHARED_LABEL
    if config.pretrained_model is not None or config.reference is not None:
        return LINKED_LABEL
    return INDEPENDENT_LABEL if config.aniso_file is not None else MEASURED_LABEL


def _learn(
    config: ReconstructConfig, task: Task, measurement: Measurement, name: str, suffix: str, seed: int
) -> tuple[torch.Tensor, list[float]]:
    """Train (or take) a network for a measurement; return its prediction and the epochs' losses."""
    torch.manual_seed(seed)
    network: Network = NETWORKS[config.objective](config.filter_base)
    if task.pretrained is not None:
        network.load_state_dict(task.pretrained.state_dict())
    objective = _objective(config, task, measurement)
    batch_size = min(config.batch_size or DEFAULT_BATCH_SIZE, config.n_subvolume)
    options = TrainingOptions(
        epochs=config.epochs,
        crops_per_epoch=config.n_subvolume,
        batch_size=batch_size,
        n_parts=min(config.acc_batches, batch_size),
        learning_rate=config.learning_rate or DEFAULT_LEARNING_RATE[config.objective],
        seed=seed,
        published=config.objective == "ei",
    )
    trainer = Trainer(
        network,
        objective,
        options,
        task.device,
        _tile_size(config, network, task.device),
        measurement.fingerprint,
    )
    if config.epochs:
        log.info("Training on %s: %d updates of %d crops.", name, options.n_updates, batch_size)
        trainer.train(name, config.output_dir / f"checkpoint{suffix}.safetensors", config.resume)
        path = config.output_dir / f"network{suffix}.safetensors"
        save_network(path, trainer.average, {"trained_on": name})
        log.info("Wrote %s", path)
    return trainer.predict(objective.network_input()), trainer.epoch_losses


def _objective(config: ReconstructConfig, task: Task, measurement: Measurement) -> Objective:
    if config.objective == "ei":
        return EquivarianceObjective(measurement, task.cube_size, config.alpha, config.beta)
    return ReplayObjective(measurement, task.cube_size)


def _tile_size(config: ReconstructConfig, network: Network, device: torch.device) -> int:
    if config.predict_crop_size is None:
        return largest_tile(network, device)
    whole = -(-config.predict_crop_size // TILE_MULTIPLE) * TILE_MULTIPLE
    return max(whole, 2 * MARGIN + TILE_MULTIPLE)


def output_names(volumes: list[Volume]) -> list[str]:
    """Names for the corrected maps: the inputs' without folder and suffix, made distinct."""
    names = [volume.name.rsplit("/", 1)[-1].split(".mrc")[0].split(".map")[0] for volume in volumes]
    if len(set(names)) < len(names):
        return [f"{name}_half{index}" for index, name in enumerate(names, start=1)]
    return names
