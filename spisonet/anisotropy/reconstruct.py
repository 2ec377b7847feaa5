"""Correct the anisotropy of half maps."""

from __future__ import annotations

import dataclasses
import logging
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from spisonet.analysis.half_maps import COUPLED_WORDS, is_of_both_halves
from spisonet.anisotropy.fourier_weights import (
    FourierWeights,
    estimate_fourier_weights,
    fourier_weights_from_file,
    reference_share,
)
from spisonet.anisotropy.preparation import correction_band, prepare_measurement
from spisonet.anisotropy.recombination import CorrectedMap, deconvolve, recombine
from spisonet.anisotropy.run_inputs import CLASSICAL_PREFIX, FSC3D_FILE, KEPT_STEM, RunInputs, read_run_inputs
from spisonet.figures.reconstruction import write_figures
from spisonet.fourier.grids import centred_from_half
from spisonet.io.atomic import prepare_output_folder
from spisonet.io.mrc import Volume, write_volume
from spisonet.learning.checkpoint import save_network
from spisonet.learning.devices import describe_device, empty_cache
from spisonet.learning.launcher import recorded, require_same_run
from spisonet.learning.training_config import TrainingConfig
from spisonet.learning.training_job import train

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.anisotropy.config import ReconstructConfig
    from spisonet.learning.memory import Memory
    from spisonet.learning.process_group import ProcessGroup

log = logging.getLogger("spisonet")

MAP_SUFFIX = re.compile(r"\.(mrc|map|em).*")
# Header labels hold 79 characters.
SHARED_LABEL = f"spisonet: both halves corrected by one network: {COUPLED_WORDS}, no FSC between"
LINKED_LABEL = f"spisonet: halves share start weights or a reference: {COUPLED_WORDS}"
MEASURED_LABEL = "spisonet: own network per half; weight and limit measured on both halves"
INDEPENDENT_LABEL = "spisonet: each half corrected by a network that saw this half alone"
KEPT_LABEL = "spisonet: share of every Fourier coefficient kept as measured, DC in the middle"
SINGLE_LABEL = "spisonet: anisotropy corrected from this map alone"
DECONVOLVED_LABEL = "spisonet: halves deconvolved alone; weight and limit measured on both halves"
DECONVOLVED_ALONE_LABEL = "spisonet: each half deconvolved alone, without a network"
INDEPENDENT_LABELS = (INDEPENDENT_LABEL, MEASURED_LABEL, DECONVOLVED_LABEL, DECONVOLVED_ALONE_LABEL)


@dataclass(frozen=True)
class TrainingUnit:
    """What one network sees: both halves, or one half and nothing of the other.

    Attributes
    ----------
    name, suffix : str
        What to call it, and its files.
    members : list of Volume
        The half maps.
    seed : int
        Of its random choices.
    """

    name: str
    suffix: str
    members: list[Volume]
    seed: int


@dataclass(frozen=True)
class UnitResult:
    """What became of a unit: maps (learned and classical), weight, share that was hidden, losses."""

    corrected: list[CorrectedMap]
    classical: list[CorrectedMap]
    weight_rfft: NDArray[np.float32]
    unmeasured_fraction: float
    epoch_losses: list[float]


def reconstruct(config: ReconstructConfig, memory: Memory, processes: ProcessGroup) -> None:
    """Correct the anisotropy of one or two half maps; called in the main process while others attend.

    Writes corrected maps, weights, figures, the log and ``job.json`` into ``config.output_dir``.

    Raises
    ------
    SpisonetError
        If an input or option is unusable (nothing is written then), or if training fails.
    """
    inputs = read_run_inputs(config, memory)
    known = find_fourier_weights(config, inputs)
    folder = config.output_dir
    if config.resume:
        require_same_run(config, folder)
    prepare_output_folder(folder)
    if not config.resume:
        _remove_old_results(folder, output_names(inputs.volumes))
    with recorded(config, folder, memory.device) as outcome:
        outcome.update(_correct(config, inputs, known, processes))
        log.info("Corrected maps are in %s.", folder)


def _remove_old_results(folder: Path, names: list[str]) -> None:
    """Remove an earlier run's state and its maps of the same names, so that none is taken for this run's."""
    maps = [folder / f"corrected_{name}{suffix}.mrc" for name in names for suffix in ("", "_filtered")]
    maps += [folder / f"{KEPT_STEM}{suffix}.mrc" for suffix in ("", *(f"_{name}" for name in names))]
    maps += [folder / f"{CLASSICAL_PREFIX}{name}.mrc" for name in names]
    for path in [*folder.glob("checkpoint*.safetensors"), *maps]:
        path.unlink(missing_ok=True)


def _correct(
    config: ReconstructConfig, inputs: RunInputs, known: FourierWeights, processes: ProcessGroup
) -> dict[str, Any]:
    volumes, box, folder = inputs.volumes, inputs.maps.half1.box, config.output_dir
    device = inputs.memory.device
    if inputs.maps.coupled:
        log.warning("One network has learned from both halves already: what it inferred counts as measured.")
    log.info("Device: %s", describe_device(device))
    if processes.count > 1:
        log.info("%d processes train together.", processes.count)
    if inputs.cube_size != config.cube_size:
        log.info(
            "The box of %d voxels takes cubes of %d instead of %d.", box, inputs.cube_size, config.cube_size
        )
    if config.aniso_file is None:
        cube = volumes[0].with_data(centred_from_half(known.fsc_weight_rfft, box))
        write_volume(folder / FSC3D_FILE, cube, "spisonet: conical 3D FSC")
    limit_angstrom = known.limit_resolution_angstrom
    limit_shell = box * inputs.maps.half1.voxel_size_angstrom / limit_angstrom
    band = correction_band(known, limit_shell)
    if not known.learnable[1:].any():
        log.warning("The half maps do not correlate in any shell: nothing is learned, nothing is changed.")
    names = output_names(volumes)
    units = units_of(config, volumes)
    # One after the other, so that the memory of the first is free again for the second.
    outcomes = [_correct_unit(config, inputs, known, band, unit, processes) for unit in units]
    corrected = [result for outcome in outcomes for result in outcome.corrected]
    losses = {unit.name: outcome.epoch_losses for unit, outcome in zip(units, outcomes, strict=True)}

    label = _label(config, len(units) > 1, len(volumes))
    log.info("Header label: %s", label)
    _write_maps(folder, names, volumes, corrected, label)
    classical = [result for outcome in outcomes for result in outcome.classical]
    beside = names if config.method == "learn" else []
    for name, volume, result in zip(beside, volumes, classical, strict=False):
        path = folder / f"{CLASSICAL_PREFIX}{name}.mrc"
        write_volume(path, volume.with_data(result.whole), _label_of_classical(config, len(volumes)))
    results = [volume.with_data(result.whole) for volume, result in zip(volumes, corrected, strict=True)]
    figures = write_figures(
        folder, volumes, results, inputs.mask, outcomes[0].weight_rfft, limit_angstrom, losses
    )
    return {
        "device": str(device),
        "processes": processes.count,
        "halves_independent": label in INDEPENDENT_LABELS,
        "label": label,
        "limit_resolution_angstrom": round(limit_angstrom, 3),
        "unmeasured_fraction": round(
            float(np.mean([outcome.unmeasured_fraction for outcome in outcomes])), 4
        ),
        "corrected_by_shell": np.round(known.learnable[: math.ceil(limit_shell) + 1], 3).tolist(),
        "epoch_losses": losses,
        "corrected_maps": [f"corrected_{name}.mrc" for name in names],
        "classical_maps": [f"{CLASSICAL_PREFIX}{name}.mrc" for name in beside],
        "figures": [path.name for path in figures],
    }


def _correct_unit(
    config: ReconstructConfig,
    inputs: RunInputs,
    known: FourierWeights,
    band: NDArray[np.float32],
    unit: TrainingUnit,
    processes: ProcessGroup,
) -> UnitResult:
    device = inputs.memory.device
    empty_cache(device)
    maps = [volume.data for volume in unit.members]
    measurement, scales = prepare_measurement(maps, known, band, inputs.mask, device, config.positivity)
    if config.positivity and inputs.mask is not None and not measurement.positivity:
        log.info("The density inside the mask is not above the solvent: positivity is not imposed.")
    hidden, limit = measurement.unmeasured_fraction, known.limit_resolution_angstrom
    log.info("%s: %.0f %% was not measured up to %.2f Å.", unit.name, 100 * hidden, limit)
    classical = deconvolve(measurement, maps, scales)
    corrected, losses = classical, []
    if config.method == "learn" and known.learnable[1:].any():
        training_job = training_config_of(config, inputs, unit.seed).training_job(
            unit.name, measurement, inputs.memory, processes.count, inputs.pretrained
        )
        checkpoint = config.output_dir / f"checkpoint{unit.suffix}.safetensors"
        trainer, answer = train(training_job, device, processes, checkpoint, config.resume)
        assert answer is not None
        corrected = recombine(measurement, answer, maps, scales)
        losses = trainer.epoch_losses
        if config.epochs:
            path = config.output_dir / f"network{unit.suffix}.safetensors"
            save_network(path, trainer.average, {"trained_on": unit.name})
            log.info("Wrote %s", path)
    weight = measurement.data_weight_rfft.cpu().numpy()
    first = unit.members[0]
    kept = Volume(centred_from_half(weight * band + 1 - band, first.box), first.voxel_size_angstrom)
    write_volume(config.output_dir / f"{KEPT_STEM}{unit.suffix}.mrc", kept, KEPT_LABEL)
    return UnitResult(corrected, classical, weight, hidden, losses)


def _write_maps(
    folder: Path, names: list[str], volumes: list[Volume], corrected: list[CorrectedMap], label: str
) -> None:
    for name, volume, result in zip(names, volumes, corrected, strict=True):
        for path, data in (
            (folder / f"corrected_{name}.mrc", result.whole),
            (folder / f"corrected_{name}_filtered.mrc", result.filtered),
        ):
            write_volume(path, volume.with_data(data), label)
            log.info("Wrote %s", path)


def units_of(config: ReconstructConfig, volumes: list[Volume]) -> list[TrainingUnit]:
    """Say which network sees which maps: one both or, if the halves are to stay independent, each its own."""
    if not config.independent and len(volumes) > 1:
        return [TrainingUnit("both halves", "", volumes, config.seed)]
    return [
        TrainingUnit(name, f"_{name}", [volume], config.seed + index)
        for index, (name, volume) in enumerate(zip(output_names(volumes), volumes, strict=True))
    ]


def find_fourier_weights(config: ReconstructConfig, inputs: RunInputs) -> FourierWeights:
    """Find the Fourier weight, the signal per shell and the limit from what may be looked at."""
    first, given = inputs.maps.half1, inputs.weight_rfft
    # Independent halves with a given weight must not meet, not even in an FSC.
    if given is not None and (inputs.maps.half2 is None or config.independent):
        given = np.maximum(given, reference_share(first.box, inputs.reference_shell))
        return fourier_weights_from_file(given, first.voxel_size_angstrom, inputs.limit_resolution_angstrom)
    limit, threads = inputs.limit_resolution_angstrom, torch.get_num_threads()
    return estimate_fourier_weights(inputs.maps, given, limit, threads, inputs.reference_shell)


def _label(config: ReconstructConfig, split: bool, n_maps: int) -> str:
    """Say in one header label how far the corrected halves are independent."""
    if config.method == "deconvolve":
        return _label_of_classical(config, n_maps)
    if n_maps == 1:
        return SINGLE_LABEL
    if not split:
        return SHARED_LABEL
    if config.pretrained_model is not None or config.reference is not None:
        return LINKED_LABEL
    return MEASURED_LABEL if is_of_both_halves(config.aniso_file) else INDEPENDENT_LABEL


def _label_of_classical(config: ReconstructConfig, n_maps: int) -> str:
    """Say the same of maps that were deconvolved, each alone."""
    if n_maps == 1:
        return SINGLE_LABEL
    if config.reference is not None:
        return LINKED_LABEL
    alone = config.independent and not is_of_both_halves(config.aniso_file)
    return DECONVOLVED_ALONE_LABEL if alone else DECONVOLVED_LABEL


def training_config_of(config: ReconstructConfig, inputs: RunInputs, seed: int) -> TrainingConfig:
    """Say what the options ask of a training."""
    names = {field.name for field in dataclasses.fields(TrainingConfig)} - {"cube_size", "seed"}
    choices = {name: getattr(config, name) for name in names}
    return TrainingConfig(**choices, cube_size=inputs.cube_size, seed=seed)


def output_names(volumes: list[Volume]) -> list[str]:
    """Names for the corrected maps: the inputs' without folder and suffix, made distinct."""
    names = [MAP_SUFFIX.sub("", volume.name.rsplit("/", 1)[-1]) for volume in volumes]
    names = ["_".join(name.split()) for name in names]  # STAR files hold no spaces
    if len(set(names)) < len(names):
        return [f"{name}_half{index}" for index, name in enumerate(names, start=1)]
    return names
