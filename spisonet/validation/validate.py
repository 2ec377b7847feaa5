"""The ``validate`` command: what a correction is worth, told by directions that were hidden from it."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet import __version__
from spisonet.analysis.normalisation import measure_grey_scale
from spisonet.anisotropy.fourier_weights import EDGE_SHELLS
from spisonet.anisotropy.preparation import correction_band, prepare_measurement
from spisonet.anisotropy.reconstruct import find_fourier_weights, training_config_of, units_of
from spisonet.anisotropy.run_inputs import read_run_inputs
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import centred_from_half, hermitian_multiplicity, rfft3, shell_index_rfft
from spisonet.io.atomic import atomic_path, prepare_output_folder, write_json
from spisonet.io.logs import log_to_folder
from spisonet.io.mrc import Volume, read_volume, write_volume
from spisonet.learning.checkpoint import load_network
from spisonet.learning.objectives import SelfTrainingObjective
from spisonet.learning.training_job import train
from spisonet.validation.finished_run import FinishedRun
from spisonet.validation.heldout import (
    MEASURED,
    Cone,
    HeldOutStatistics,
    MeasuredDirections,
    compare,
    gap_like_angle,
    mask_out_cone,
    resolution_at,
)
from spisonet.validation.uncertainty import (
    EnsembleVariance,
    PredictionEnsemble,
    calibration,
    relative_uncertainty_rfft,
    voxel_uncertainty,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from spisonet.anisotropy.fourier_weights import FourierWeights
    from spisonet.anisotropy.reconstruct import TrainingUnit
    from spisonet.anisotropy.run_inputs import RunInputs
    from spisonet.learning.measurement import Measurement
    from spisonet.learning.memory import Memory
    from spisonet.learning.process_group import ProcessGroup
    from spisonet.learning.training_job import TrainingJob
    from spisonet.validation.config import ValidateConfig

log = logging.getLogger("spisonet")

FOLDER, RECORD = "validation", "validation.json"
UNCERTAINTY, UNCERTAINTY_RFFT = "uncertainty.mrc", "uncertainty_fourier.mrc"
COLOUR_SCRIPT = "uncertainty.cxc"
INFERRED = 0.5  # weight below which a coefficient counts as inferred
COLOUR_PERCENTILES = (10, 50, 90)


@dataclass(frozen=True)
class ConeOutcome:
    """What became of a hidden cone.

    Attributes
    ----------
    cone : Cone
        What was hidden.
    learned, constrained : HeldOutStatistics
        Of raw half map 2 with the network's result from half map 1, and with that of data, mask and
        positivity alone.
    squared_error, variance : float
        Of the result, and of the network's answers to turned copies, summed over the compared coefficients.
    """

    cone: Cone
    learned: HeldOutStatistics
    constrained: HeldOutStatistics
    squared_error: float
    variance: float


def validate(config: ValidateConfig, memory: Memory, processes: ProcessGroup) -> None:
    """Hide cones from a finished run's maps, learn again, and write how well the cones were recovery.

    Called in the main process while others attend.

    Raises
    ------
    SpisonetError
        If the folder holds no finished run, its maps are no longer there, or nothing was learned.
    """
    run = FinishedRun.read(config.folder, config.ncpus)
    if run.config.i2 is None:
        raise SpisonetError("One map alone cannot be validated: held-out directions need the other half map.")
    if run.config.method == "deconvolve":
        raise SpisonetError(f"{run.folder} was corrected without a network, so there is none to validate.")
    inputs = read_run_inputs(run.config, memory)
    known = find_fourier_weights(run.config, inputs)
    if not known.learnable[1:].any():
        raise SpisonetError(f"Nothing was learned in {run.folder}, so there is nothing to validate.")
    folder = run.folder / FOLDER
    prepare_output_folder(folder)
    with log_to_folder(folder):
        _Validation(config, run, inputs, known, memory, processes).carry_out(folder)


class _Validation:
    """One validation: what is hidden and compared with, and the networks that learn."""

    def __init__(
        self,
        config: ValidateConfig,
        run: FinishedRun,
        inputs: RunInputs,
        known: FourierWeights,
        memory: Memory,
        processes: ProcessGroup,
    ) -> None:
        self._config, self._run, self._task = config, run, inputs
        self._memory, self._processes = memory, processes
        self._box, self._voxel_size = inputs.maps.half1.box, inputs.maps.half1.voxel_size_angstrom
        self._limit = known.limit_resolution_angstrom
        self._last_shell = self._box * self._voxel_size / self._limit
        band = correction_band(known, self._last_shell)
        self._unit: TrainingUnit = units_of(run.config, inputs.volumes)[0]
        maps = [volume.data for volume in self._unit.members]
        positivity = run.config.positivity
        measured, scales = prepare_measurement(maps, known, band, inputs.mask, memory.device, positivity)
        self._measurement, self._whole = measured, _first_half(measured)
        paths = [run.folder / name.replace(".mrc", "_filtered.mrc") for name in run.outcome["corrected_maps"]]
        self._corrected = [read_volume(path, run.config.apix) for path in paths]
        self._deviation = scales[0].deviation
        other = inputs.volumes[-1].data
        other = measure_grey_scale(other, inputs.mask, band).normalise(other)
        self._half1, self._half2 = rfft3(measured.data[0].cpu().numpy()), rfft3(other) * band
        self._weight = measured.data_weight_rfft.cpu().numpy()
        share = max(1, run.config.epochs // config.cones)
        epochs = min(run.config.epochs, config.epochs or share)
        self._recipe = replace(training_config_of(run.config, inputs, run.config.seed), epochs=epochs)

    def carry_out(self, folder: Path) -> None:
        """Hide cone after cone, and write what came of it."""
        config = self._config
        directions = MeasuredDirections.of(self._weight, self._last_shell)
        angle = config.cone_angle or gap_like_angle(directions)
        cones = directions.cones(config.cones, angle)
        log.info("Hidden, one after the other: %d cones of %.0f°.", len(cones), angle)
        if self._task.pretrained is not None:
            log.warning("The start weights know the cones if they were trained on these maps.")
        compared = [self._compared(self._half1, cone) for cone in cones]
        if not sum(compared[1:], compared[0]).used.any():
            raise SpisonetError(
                f"Cones of {angle:.0f}° hold too little that was measured: raise --cone_angle."
            )
        outcomes, networks = [], [self._own_answers()]
        for number, cone in enumerate(cones, start=1):
            outcome, answers = self._try(cone, number, folder)
            recovery = outcome.learned.recovery, outcome.constrained.recovery
            log.info("Cone %d: %.2f recovery, %.2f without a network.", number, *recovery)
            outcomes.append(outcome)
            networks.append(answers)
        learned = sum((o.learned for o in outcomes[1:]), outcomes[0].learned)
        record = self._record(outcomes, learned)
        there = [answers for answers in networks if answers is not None]
        if there:
            record.update(self._write_uncertainty(folder, EnsembleVariance.of(there), outcomes, len(there)))
        write_json(folder / RECORD, record)
        log.info("Of what was hidden, %.2f was recovery: %s", record["recovered"], folder / RECORD)

    def _try(self, cone: Cone, number: int, folder: Path) -> tuple[ConeOutcome, PredictionEnsemble | None]:
        """Learn without a cone; return how it was recovery, and the network's answers to the whole map."""
        memory, config = self._memory, self._config
        inside = cone.inside_rfft(self._box)
        hidden = mask_out_cone(self._measurement, inside)
        training_config = replace(self._recipe, seed=self._run.config.seed + number)
        n_processes = self._processes.count
        training_job = training_config.training_job(
            f"all but cone {number}", hidden, memory, n_processes, self._task.pretrained
        )
        checkpoint = folder / f"checkpoint{number}.safetensors"
        trainer, answer = train(training_job, memory.device, self._processes, checkpoint, config.resume)
        assert answer is not None
        alone = _first_half(hidden)
        learned, constrained = (
            self._compared(rfft3(filled[0].cpu().numpy()), cone)
            for filled in (alone.complete(answer[:1]), alone.complete(alone.weighted_data, prior_weight=0.0))
        )
        variance = 0.0
        if turned := self._answers(training_job, alone, trainer.predict_locally, answer[:1], number):
            region, first = self._region(cone)
            shell = shell_index_rfft((self._box,) * 3)
            # Only where the error is summed up, too.
            compared_shells = np.append(learned.used, np.zeros(self._box, dtype=bool))[shell]
            variance = float(_sum(turned.variance_rfft, region & (shell >= first) & compared_shells))
        error = float(learned.squared_error[learned.used].sum())
        outcome = ConeOutcome(cone, learned, constrained, error, variance)
        return outcome, self._answers(training_job, self._whole, trainer.predict_locally, None, number)

    def _region(self, cone: Cone) -> tuple[NDArray[np.bool_], int]:
        """Return what can be compared in a cone: measured coefficients, and from which shell on."""
        first = cone.first_shell
        if self._task.reference_shell:  # up to there both halves hold the same reference
            first = max(first, math.ceil(self._task.reference_shell) + EDGE_SHELLS + 1)
        return cone.inside_rfft(self._box) & (self._weight > MEASURED), first

    def _compared(self, predicted: NDArray[np.complexfloating], cone: Cone) -> HeldOutStatistics:
        """Compare a prediction from half map 1 with raw half map 2 in a cone."""
        return compare(predicted, self._half1, self._half2, *self._region(cone))

    def _own_answers(self) -> PredictionEnsemble | None:
        """PredictionEnsemble of the network that the maps were corrected with."""
        run = self._run
        path = run.folder / f"network{self._unit.suffix}.safetensors"
        path = path if path.is_file() else run.config.pretrained_model or path
        network, _ = load_network(path, run.config.filter_base)
        training_config = replace(self._recipe, epochs=0)
        training_job = training_config.training_job(
            "the run's network", self._whole, self._memory, 1, network
        )
        trainer, _ = training_job.prepare(self._memory.device)
        return self._answers(training_job, self._whole, trainer.predict_locally, None, 0)

    def _answers(
        self,
        training_job: TrainingJob,
        measurement: Measurement,
        predict: Callable[[Tensor], Tensor],
        answer: Tensor | None,
        seed: int,
    ) -> PredictionEnsemble | None:
        """Ask a network about turned copies of a measurement filled by its answer, if it can be asked so."""
        objective = training_job.make_objective(measurement)
        if not isinstance(objective, SelfTrainingObjective):
            return None
        if answer is None:
            answer = objective.predict(predict)
        turned = objective.predict_rotated(predict, answer, self._config.turns, seed)
        return PredictionEnsemble.of(measurement.complete(single)[0].cpu().numpy() for single in turned)

    def _record(self, outcomes: list[ConeOutcome], learned: HeldOutStatistics) -> dict[str, Any]:
        constrained = sum((o.constrained for o in outcomes[1:]), outcomes[0].constrained)
        box_angstrom = self._box * self._voxel_size
        shells = np.flatnonzero(learned.used)
        return {
            "program": "spisonet",
            "version": __version__,
            "config": self._config.model_dump(mode="json"),
            "validated_run": self._run.outcome["written"],
            "settings": {
                "cones": len(outcomes),
                "half_angle_degrees": outcomes[0].cone.half_angle_degrees,
                "epochs": self._recipe.epochs,
                "subvolumes_per_epoch": self._recipe.n_subvolume,
                "turns": self._config.turns,
                "start_weights": None
                if self._task.pretrained is None
                else str(self._run.config.pretrained_model),
                "seeds": [self._run.config.seed + number for number in range(1, len(outcomes) + 1)],
            },
            "recovered": learned.recovery,
            "recovered_without_network": constrained.recovery,
            "recovered_half_to_angstrom": resolution_at(learned.recovery_by_shell, box_angstrom),
            "power_ratio": learned.power_ratio,
            "by_resolution": {
                "resolution_angstrom": _rounded(box_angstrom / shells),
                "recovered": _rounded(learned.recovery_by_shell[shells]),
                "recovered_without_network": _rounded(constrained.recovery_by_shell[shells]),
                "fsc": _rounded(learned.fsc[shells]),
                "ceiling": _rounded(learned.ceiling[shells]),
            },
            "by_cone": [
                {
                    "axis_xyz": _rounded(np.array(o.cone.axis_xyz)),
                    "recovered": o.learned.recovery,
                    "recovered_without_network": o.constrained.recovery,
                    "power_ratio": o.learned.power_ratio,
                }
                for o in outcomes
            ],
        }

    def _write_uncertainty(
        self, folder: Path, spread: EnsembleVariance, outcomes: list[ConeOutcome], n_networks: int
    ) -> dict[str, Any]:
        factor = calibration([o.squared_error for o in outcomes], [o.variance for o in outcomes])
        if factor is None:
            for name in (UNCERTAINTY, UNCERTAINTY_RFFT, COLOUR_SCRIPT):  # of an earlier validation
                (folder / name).unlink(missing_ok=True)
            log.warning("The cones do not tell how far the networks err, so there is no uncertainty.")
            return {}
        corrected = self._corrected
        grey = self._deviation**2
        in_grey_values = replace(spread, own=grey * spread.own, every=grey * spread.every)
        uncertainty = voxel_uncertainty(
            in_grey_values,
            factor,
            (corrected[0].data, corrected[1].data),
            self._weight,
            self._limit,
            self._voxel_size,
        )
        label = "spisonet: expected standard deviation of the corrected map's error"
        write_volume(folder / UNCERTAINTY, corrected[0].with_data(uncertainty), label)
        result = rfft3((corrected[0].data - corrected[0].data.mean()) / self._deviation)
        relative = relative_uncertainty_rfft(spread, factor, result)
        cube = Volume(centred_from_half(relative, self._box), self._voxel_size)
        write_volume(folder / UNCERTAINTY_RFFT, cube, "spisonet: expected relative error, DC in the middle")
        inside = (
            np.ones_like(uncertainty, dtype=bool) if self._task.mask is None else self._task.mask > INFERRED
        )
        low, middle, high = (float(v) for v in np.percentile(uncertainty[inside], COLOUR_PERCENTILES))
        script = (
            f'open "../{Path(corrected[0].name).name}" "{UNCERTAINTY}"\n'  # from the script's own folder
            "mask_out_cone #2 models; color sample #1 map #2 palette "
            f"{low:.4g},blue:{middle:.4g},white:{high:.4g},red\n"
        )
        with atomic_path(folder / COLOUR_SCRIPT) as temporary:
            temporary.write_text(script, encoding="utf-8")
        found = {
            "networks": n_networks,
            "calibration_factor": factor,
            "median_in_mask": middle,
            "percentile_10_in_mask": low,
            "percentile_90_in_mask": high,
            "map": f"{FOLDER}/{UNCERTAINTY}",
            "fourier_map": f"{FOLDER}/{UNCERTAINTY_RFFT}",
            "script": f"{FOLDER}/{COLOUR_SCRIPT}",
        }
        return {"uncertainty": found}


def _first_half(measurement: Measurement) -> Measurement:
    return replace(measurement, data=measurement.data[:1])


def _sum(values_rfft: NDArray[np.float32], region: NDArray[np.bool_]) -> float:
    n = len(values_rfft)
    copies = np.broadcast_to(hermitian_multiplicity(n), values_rfft.shape)
    return float((values_rfft * copies)[region].sum(dtype=np.float64))


def _rounded(values: NDArray[np.floating]) -> list[float]:
    return [round(float(value), 4) for value in values]
