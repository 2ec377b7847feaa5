"""Correct the anisotropy of half maps: maps and Fourier weights in, corrected maps out."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet.anisotropy.data_factors import NO_FACTORS, DataFactors
from spisonet.anisotropy.fourier_weights import (
    FourierWeights,
    estimate_fourier_weights,
    fourier_weights_from_file,
    reference_weight,
)
from spisonet.anisotropy.full_map import AveragedHalves, FullMap
from spisonet.anisotropy.independence import (
    DATA_FACTORS,
    FOURIER_WEIGHTS,
    INFERRED_GAIN,
    NETWORK,
    PREDICTION_SHARES,
    REFERENCE,
    START_WEIGHTS,
    HalvesIndependence,
)
from spisonet.anisotropy.inferred_gain import CompletedMaps, constrained_maps
from spisonet.anisotropy.learned_completion import PRIOR, CompletionSource
from spisonet.anisotropy.preparation import correction_band, prepare_measurement
from spisonet.anisotropy.recombination import CorrectedMap, corrected_maps
from spisonet.anisotropy.run_inputs import UNMEASURED_DEFINITION, output_names
from spisonet.anisotropy.training_length import is_too_short, too_short_sentence
from spisonet.learning.devices import describe_device, empty_cache
from spisonet.learning.epochs_config import AUTO
from spisonet.learning.process_group import SINGLE_PROCESS
from spisonet.learning.structural_prior import read_prior_network
from spisonet.learning.training_config import (
    NETWORK_OF_OBJECTIVE,
    TrainingConfig,
    fitting_cube_size,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.anisotropy.config import ReconstructConfig
    from spisonet.anisotropy.run_inputs import RunInputs
    from spisonet.io.mrc import Volume
    from spisonet.learning.memory import Memory
    from spisonet.learning.process_group import ProcessGroup
    from spisonet.learning.unet import Network, PriorUNet

log = logging.getLogger("spisonet")

DECONVOLVE = "deconvolve"


@dataclass(frozen=True)
class CorrectionOptions:
    """How half maps are corrected; see the options of ``reconstruct``.

    Attributes
    ----------
    training : TrainingConfig
        How a network is trained.
    method : str
        ``learn`` (train a network), ``prior`` (only the network trained on other structures) or
        ``deconvolve`` (constraints only).
    independent : bool
        Correct each half without data of the other one.
    positivity : bool
        Constrain the density inside the mask to at least that of the solvent.
    prior_network : PriorUNet or None
        Network trained on other structures; None for none.
    full_map : bool
        Also correct the average of two half maps.
    """

    training: TrainingConfig
    method: str = "learn"
    independent: bool = False
    positivity: bool = True
    prior_network: PriorUNet | None = None
    full_map: bool = True

    @classmethod
    def from_config(cls, config: ReconstructConfig, box: int, full_map: bool = True) -> CorrectionOptions:
        """Return the options of a configuration for maps with a box of this many voxels."""
        training = training_config_of(config, box)
        training.warn_of_unused_options()
        uses_prior = config.method != DECONVOLVE and config.objective != "ei"
        return cls(
            training,
            config.method,
            config.independent,
            config.positivity,
            read_prior_network(config.prior) if uses_prior else None,
            full_map,
        )


@dataclass(frozen=True)
class TrainingUnit:
    """The maps that one network is trained on: both halves, or a single one.

    Attributes
    ----------
    name, suffix : str
        Name in the log, and suffix of the names of its files.
    volumes : list of Volume
        The maps.
    seed : int
        Random seed.
    """

    name: str
    suffix: str
    volumes: list[Volume]
    seed: int


@dataclass(frozen=True)
class UnitResult:
    """The corrected maps of a training unit.

    Attributes
    ----------
    unit : TrainingUnit
        The unit.
    corrected, deconvolved : list of CorrectedMap
        Each map as corrected, and as corrected without a network.
    data_weight_rfft : ndarray
        ``(n, n, n // 2 + 1)`` weight in 0..1 with which the data are kept within the band.
    unmeasured_fraction : float
        Fraction in 0..1 of the band that is unmeasured.
    epoch_losses : list of float
        Mean training loss of each epoch.
    loss_reduction : float or None
        By how much the training reduced the loss, see `Trainer`; None if nothing was trained.
    training_end : dict or None
        Why a training of variable length ended, see `Trainer.end_record`.
    network : Network or None
        The trained network; None if none was trained.
    shares : dict
        Shares of the predictions in the corrected maps; see `LearnedCompletion`.
    gain : list of float or None
        Gain of the inferred part of the corrected maps by shell of the box; see `CompletedMaps`.
    factors : DataFactors
        Factors of the data in the corrected maps.
    """

    unit: TrainingUnit
    corrected: list[CorrectedMap]
    deconvolved: list[CorrectedMap]
    data_weight_rfft: NDArray[np.float32]
    unmeasured_fraction: float
    epoch_losses: list[float]
    loss_reduction: float | None
    training_end: dict[str, Any] | None
    network: Network | None
    shares: dict[str, float]
    gain: list[float] | None
    factors: DataFactors


@dataclass(frozen=True)
class CorrectionResult:
    """Corrected half maps, the corrected full map, and how they were made.

    Attributes
    ----------
    units : list of UnitResult
        One for each network: a single one for both halves, or one for each half.
    full : FullMap or None
        The average of both halves, corrected; None for a single map.
    weights : FourierWeights
        Fourier weights and resolution limit.
    band_rfft : ndarray
        ``(n, n, n // 2 + 1)`` fraction in 0..1 of each coefficient that is corrected.
    halves, deconvolved_halves : HalvesIndependence
        Independence of the corrected and of the deconvolved half maps.
    method : str
        As in `CorrectionOptions`.
    """

    units: list[UnitResult]
    full: FullMap | None
    weights: FourierWeights
    band_rfft: NDArray[np.float32]
    halves: HalvesIndependence
    deconvolved_halves: HalvesIndependence
    method: str

    @property
    def corrected(self) -> list[CorrectedMap]:
        """The corrected maps, in the order of the inputs."""
        return [corrected for unit in self.units for corrected in unit.corrected]

    @property
    def deconvolved(self) -> list[CorrectedMap]:
        """The maps corrected without a network, in the order of the inputs."""
        return [deconvolved for unit in self.units for deconvolved in unit.deconvolved]

    @property
    def volumes(self) -> list[Volume]:
        """The corrected maps with the header geometry of the inputs."""
        inputs = [volume for result in self.units for volume in result.unit.volumes]
        return [v.with_data(c.whole) for v, c in zip(inputs, self.corrected, strict=True)]

    @property
    def label(self) -> str:
        """Header label of the corrected maps, with their independence as a token."""
        return self.halves.label(self.method)

    @property
    def limit_resolution_angstrom(self) -> float:
        """Resolution to which the maps are corrected, in Å."""
        return self.weights.limit_resolution_angstrom

    @property
    def unmeasured_fraction(self) -> float:
        """Fraction in 0..1 of Fourier space to the resolution limit that is unmeasured."""
        return float(np.mean([unit.unmeasured_fraction for unit in self.units]))

    @property
    def corrected_by_shell(self) -> list[float]:
        """Fraction in 0..1 of each shell that is corrected, to the resolution limit."""
        first = self.units[0].unit.volumes[0]
        limit_shell = first.box * first.voxel_size_angstrom / self.limit_resolution_angstrom
        return [round(float(share), 3) for share in self.weights.learnable[: math.ceil(limit_shell) + 1]]

    @property
    def epoch_losses(self) -> dict[str, list[float]]:
        """Mean training loss of each epoch, by the name of the unit."""
        return {unit.unit.name: unit.epoch_losses for unit in self.units}

    @property
    def prediction_shares(self) -> dict[str, dict[str, float]]:
        """Shares of the predictions in the corrected maps, by the name of the unit."""
        return {unit.unit.name: unit.shares for unit in self.units}

    @property
    def inferred_gains(self) -> dict[str, list[float] | None]:
        """Gain of the inferred part of the corrected maps by shell, by the name of the unit."""
        return {unit.unit.name: unit.gain for unit in self.units}

    @property
    def data_factors(self) -> dict[str, dict[str, float]]:
        """Factors of the data in the corrected maps, see `DataFactors`, by the name of the unit."""
        return {unit.unit.name: unit.factors.as_record() for unit in self.units}

    @property
    def loss_reductions(self) -> dict[str, float | None]:
        """By how much each training reduced the loss, by the name of the unit; see `Trainer`."""
        return {unit.unit.name: unit.loss_reduction for unit in self.units}

    @property
    def training_ends(self) -> dict[str, dict[str, Any]]:
        """Why trainings of variable length ended, see `Trainer.end_record`, by the name of the unit."""
        return {u.unit.name: u.training_end for u in self.units if u.training_end is not None}

    def data_weight_rfft(self, within_band_rfft: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fraction in 0..1 of each coefficient of an output that is data; 1 beyond the band."""
        return within_band_rfft * self.band_rfft + 1 - self.band_rfft


def training_config_of(config: ReconstructConfig, box: int) -> TrainingConfig:
    """Return the training options of a configuration for maps with a box of this many voxels."""
    return TrainingConfig.from_options(
        config,
        cube_size=fitting_cube_size(config.cube_size, box),
        epochs=config.max_epochs,
        until_plateau=config.epochs == AUTO,
    )


def require_memory(config: ReconstructConfig, box: int, memory: Memory) -> None:
    """Check that the training of a configuration fits into memory, for maps with a box of this many voxels.

    Raises
    ------
    SpisonetError
        See `Memory.require`.
    """
    if config.total_epochs:
        network = NETWORK_OF_OBJECTIVE[config.objective](config.width)
        memory.require(network, fitting_cube_size(config.cube_size, box), box)


def fourier_weights_of(inputs: RunInputs, independent: bool, threads: int) -> FourierWeights:
    """Return the Fourier weights and the resolution limit of half maps.

    Parameters
    ----------
    inputs : RunInputs
        The half maps.
    independent : bool
        With a given weight: use no FSC of the half maps, so that the halves remain independent.
    threads : int
        CPU threads.
    """
    first, given = inputs.maps.half1, inputs.weight_rfft
    if given is not None and (inputs.maps.half2 is None or independent):
        given = np.maximum(given, reference_weight(first.box, inputs.reference_shell))
        return fourier_weights_from_file(given, first.voxel_size_angstrom, inputs.limit_resolution_angstrom)
    limit = inputs.limit_resolution_angstrom
    return estimate_fourier_weights(inputs.maps, given, limit, threads, inputs.reference_shell)


def reconstruct(
    inputs: RunInputs,
    weights: FourierWeights,
    options: CorrectionOptions,
    memory: Memory,
    processes: ProcessGroup = SINGLE_PROCESS,
    checkpoint_folder: Path | None = None,
    resume: bool = False,
) -> CorrectionResult:
    """Correct the anisotropy of one or two half maps, and of the average of two.

    Called in the main process while the others `join_workers`.

    Parameters
    ----------
    inputs : RunInputs
        The half maps.
    weights : FourierWeights
        Their Fourier weights, see `fourier_weights_of`.
    options : CorrectionOptions
        How to correct them.
    memory : Memory
        Device, and how much of its memory may be used.
    processes : ProcessGroup
        Processes that train together.
    checkpoint_folder : Path, optional
        Folder into which checkpoints of the training are written.
    resume : bool
        Continue from these checkpoints.

    Returns
    -------
    CorrectionResult
        Nothing but checkpoints is written.

    Raises
    ------
    SpisonetError
        If training fails.
    """
    first = inputs.maps.half1
    log.info("Device: %s", describe_device(memory.device))
    if processes.count > 1:
        log.info("%d processes train together.", processes.count)
    if inputs.maps.coupled:
        log.warning(
            "One network was trained on both input half maps: signal that it inferred counts as data."
        )
    limit_shell = first.box * first.voxel_size_angstrom / weights.limit_resolution_angstrom
    band = correction_band(weights, limit_shell)
    if not weights.learnable[1:].any():
        log.warning("The half maps do not correlate in any shell: nothing is trained or changed.")
    units = training_units(inputs.volumes, options.independent, options.training.seed)
    averaged = None
    if inputs.maps.half2 is not None and options.full_map:
        averaged = AveragedHalves.of(inputs.maps, weights, band, options.positivity)
    # One after the other, so that the memory of the first is free again for the second.
    results = []
    completed: list[CompletedMaps] = []
    constrained: list[CompletedMaps] = []
    for unit in units:
        checkpoint = (
            None if checkpoint_folder is None else checkpoint_folder / f"checkpoint{unit.suffix}.safetensors"
        )
        result, by_networks, by_constraints = _correct_unit(
            unit, inputs, weights, band, options, memory, processes, checkpoint, resume
        )
        results.append(result)
        completed += [] if by_networks is None else [by_networks]
        constrained.append(by_constraints)
    return CorrectionResult(
        results,
        None if averaged is None else averaged.corrected(completed, constrained, memory.device),
        weights,
        band,
        _independence(inputs, options, (completed or constrained)[0], results[0].shares),
        _independence(inputs, replace(options, method=DECONVOLVE), constrained[0], {}),
        options.method,
    )


def _correct_unit(
    unit: TrainingUnit,
    inputs: RunInputs,
    weights: FourierWeights,
    band: NDArray[np.float32],
    options: CorrectionOptions,
    memory: Memory,
    processes: ProcessGroup,
    checkpoint: Path | None,
    resume: bool,
) -> tuple[UnitResult, CompletedMaps | None, CompletedMaps]:
    """Correct the maps of a unit; also return them completed by networks, if any, and by constraints."""
    device = memory.device
    empty_cache(device)
    maps = [volume.data for volume in unit.volumes]
    measurement, scales = prepare_measurement(maps, weights, band, inputs.mask, device, options.positivity)
    if options.positivity and inputs.mask is not None and not measurement.positivity:
        log.info("The density inside the mask is not above the solvent: positivity is not imposed.")
    log.info(
        "%.0f %% of Fourier space to %.2f Å is unmeasured (%s; %s).",
        100 * measurement.unmeasured_fraction,
        weights.limit_resolution_angstrom,
        UNMEASURED_DEFINITION,
        unit.name,
    )
    constrained = constrained_maps(measurement)
    deconvolved = corrected_maps(measurement, constrained.recombined(measurement), maps, scales)
    corrected, completed, learned = deconvolved, None, None
    if options.method != DECONVOLVE and weights.learnable[1:].any():
        source = CompletionSource(
            unit.name,
            None if options.method == PRIOR else replace(options.training, seed=unit.seed),
            options.prior_network,
            inputs.start_network,
            memory,
            processes,
            checkpoint,
            resume,
        )
        learned, completed = source.learn(measurement)
        corrected = corrected_maps(measurement, completed.recombined(measurement), maps, scales)
        completed = completed.cpu()
    trainer = None if learned is None else learned.trainer
    loss_reduction = None if trainer is None else trainer.loss_reduction
    if is_too_short(loss_reduction):
        log.warning("%s (%s)", too_short_sentence(loss_reduction), unit.name)
    result = UnitResult(
        unit=unit,
        corrected=corrected,
        deconvolved=deconvolved,
        data_weight_rfft=measurement.data_weight_rfft.cpu().numpy(),
        unmeasured_fraction=measurement.unmeasured_fraction,
        epoch_losses=[] if trainer is None else trainer.epoch_losses,
        loss_reduction=loss_reduction,
        training_end=None if trainer is None else trainer.end_record,
        network=trainer.average if trainer is not None and options.training.epochs else None,
        shares={} if learned is None else learned.shares,
        gain=(constrained if completed is None else completed).gain_by_shell,
        factors=(constrained if completed is None else completed).factors,
    )
    return result, completed, constrained.cpu()


def training_units(volumes: list[Volume], independent: bool, seed: int) -> list[TrainingUnit]:
    """Return which maps each network is trained on: one on both or, if they stay independent, one on each."""
    if not independent and len(volumes) > 1:
        return [TrainingUnit("both halves", "", volumes, seed)]
    return [
        TrainingUnit(name, f"_{name}", [volume], seed + index)
        for index, (name, volume) in enumerate(zip(output_names(volumes), volumes, strict=True))
    ]


def _independence(
    inputs: RunInputs, options: CorrectionOptions, first: CompletedMaps, shares: dict[str, float]
) -> HalvesIndependence:
    """Return the independence of the halves; `first` and `shares` are those of the first unit."""
    learns, of_both = options.method == "learn", not options.independent
    has_common_network = (learns and of_both) or inputs.maps.coupled
    return HalvesIndependence.of_shared(
        len(inputs.volumes),
        NETWORK if has_common_network else None,
        START_WEIGHTS if learns and inputs.start_may_be_of_these_maps else None,
        REFERENCE if inputs.reference_shell else None,
        FOURIER_WEIGHTS if of_both or inputs.weight_is_of_both_halves else None,
        INFERRED_GAIN if of_both and first.gain is not None else None,
        DATA_FACTORS if of_both and first.factors != NO_FACTORS else None,
        PREDICTION_SHARES if of_both and shares else None,
    )
