"""Held-out validation of a finished run: train without a measured cone, compare the prediction in the cone.

`prepare_validation` reads and checks the run before anything is written; `validate` trains and compares.
Results are returned; only checkpoints of the trainings are written, into the folder that `validate` is given.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.fourier.grids import rfft3
from spisonet.io.events import report_progress
from spisonet.validation.cone_training import ConeResult, ConeTrainings
from spisonet.validation.held_out import HeldOutStatistics, MeasuredDirections, default_half_angle_degrees
from spisonet.validation.uncertainty import (
    EnsembleVariance,
    PredictionEnsemble,
    Uncertainty,
    calibration,
    relative_uncertainty_rfft,
    voxel_uncertainty,
)

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.io.mrc import Volume
    from spisonet.learning.process_group import ProcessGroup
    from spisonet.validation.config import ValidateConfig
    from spisonet.validation.prepared import PreparedValidation

log = logging.getLogger("spisonet")


@dataclass(frozen=True)
class ValidationResult:
    """Result of a held-out validation.

    Attributes
    ----------
    cones : list of ConeResult
        One for each held-out cone.
    learned, constrained : HeldOutStatistics
        Sums over all cones; see `ConeResult`.
    box_angstrom : float
        Box edge in Å.
    epochs, subvolumes_per_epoch : int
        Training of each network.
    seeds : list of int
        Seed of each training.
    corrected : Volume
        The first corrected map, filtered to the resolution limit.
    uncertainty : Uncertainty or None
        Expected error of `corrected`; None if it cannot be calibrated.
    """

    cones: list[ConeResult]
    learned: HeldOutStatistics
    constrained: HeldOutStatistics
    box_angstrom: float
    epochs: int
    subvolumes_per_epoch: int
    seeds: list[int]
    corrected: Volume
    uncertainty: Uncertainty | None

    @property
    def by_resolution(self) -> dict[str, list[float]]:
        """Curves of the compared shells, over ``resolution_angstrom``."""
        learned, constrained = self.learned, self.constrained
        shells = np.flatnonzero(learned.used)
        curves = {
            "resolution_angstrom": self.box_angstrom / shells,
            "recovery": learned.recovery_by_shell[shells],
            "recovery_without_network": constrained.recovery_by_shell[shells],
            "fsc": learned.fsc[shells],
            "ceiling": learned.ceiling[shells],
        }
        return {name: [round(float(value), 4) for value in curve] for name, curve in curves.items()}


def validate(
    config: ValidateConfig, prepared: PreparedValidation, processes: ProcessGroup, checkpoint_folder: Path
) -> ValidationResult:
    """Mask out cones of a run's maps one after the other, train without them, and compare the predictions.

    Called in the main process while the others `join_workers`.

    Parameters
    ----------
    config : ValidateConfig
        Options.
    prepared : PreparedValidation
        See `prepare_validation`.
    processes : ProcessGroup
        Processes that train together.
    checkpoint_folder : Path
        Existing folder for the checkpoints of the trainings.

    Raises
    ------
    SpisonetError
        If the cones contain too few measured coefficients, or if a training fails.
    """
    directions = MeasuredDirections.of(prepared.data_weight_rfft, prepared.last_shell)
    angle = config.cone_angle or default_half_angle_degrees(directions)
    cones = directions.cones(config.cones, angle)
    log.info("Held-out cones: %d, half-angle %.0f°.", len(cones), angle)
    if prepared.inputs.start_may_be_of_these_maps:
        log.warning(
            "The start weights may have been trained on these maps; the held-out recovery is then too high."
        )
    if not _total([prepared.compare(prepared.half1_rfft, cone) for cone in cones]).used.any():
        raise SpisonetError(
            f"Cones of half-angle {angle:.0f}° contain too few measured coefficients: raise --cone_angle."
        )
    trainings = ConeTrainings(prepared, processes, checkpoint_folder, config.turns, config.resume)
    results: list[ConeResult] = []
    ensembles = [trainings.ensemble_of_run()]
    for number, cone in enumerate(cones, start=1):
        report_progress("validation", "held-out cones", number - 1, len(cones), "cones")
        result, ensemble = trainings.without_cone(cone, number)
        log.info(
            "Cone %d: correlation with the signal %.2f (without a network %.2f).",
            number,
            result.learned.recovery,
            result.constrained.recovery,
        )
        results.append(result)
        ensembles.append(ensemble)
    report_progress("validation", "held-out cones", len(cones), len(cones), "cones")
    return ValidationResult(
        cones=results,
        learned=_total([result.learned for result in results]),
        constrained=_total([result.constrained for result in results]),
        box_angstrom=prepared.box_angstrom,
        epochs=prepared.training_config.epochs,
        subvolumes_per_epoch=prepared.training_config.n_subvolume,
        seeds=[trainings.seed(number) for number in range(1, len(cones) + 1)],
        corrected=prepared.corrected[0],
        uncertainty=_uncertainty(prepared, results, [e for e in ensembles if e is not None]),
    )


def _uncertainty(
    prepared: PreparedValidation, results: list[ConeResult], ensembles: list[PredictionEnsemble]
) -> Uncertainty | None:
    """Calibrate the variance of the predictions in the cones; None if there is none to calibrate."""
    if not ensembles:
        return None
    factor = calibration([r.squared_error for r in results], [r.variance for r in results])
    if factor is None:
        log.warning("The uncertainty cannot be calibrated in the held-out cones and is not written.")
        return None
    variance = EnsembleVariance.of(ensembles)
    grey = prepared.grey_deviation**2
    first, second = (volume.data for volume in prepared.corrected)
    voxels = voxel_uncertainty(
        replace(variance, own=grey * variance.own, every=grey * variance.every),
        factor,
        (first, second),
        prepared.limit_angstrom,
        prepared.corrected[0].voxel_size_angstrom,
    )
    corrected_rfft = rfft3((first - first.mean()) / prepared.grey_deviation)
    relative = relative_uncertainty_rfft(variance, factor, corrected_rfft)
    return Uncertainty(voxels, relative, factor, len(ensembles))


def _total(statistics: list[HeldOutStatistics]) -> HeldOutStatistics:
    return sum(statistics[1:], statistics[0])
