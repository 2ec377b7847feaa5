"""Trainings without a held-out cone, and the predictions of their networks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from spisonet.fourier.grids import hermitian_multiplicity, rfft3, shell_index_rfft
from spisonet.io.stages import StageProgress
from spisonet.learning.checkpoint import load_network
from spisonet.validation.held_out import Cone, HeldOutStatistics, mask_out_cone
from spisonet.validation.uncertainty import PredictionEnsemble

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.anisotropy.learned_completion import LearnedCompletion
    from spisonet.learning.measurement import Measurement
    from spisonet.learning.process_group import ProcessGroup
    from spisonet.validation.prepared import PreparedValidation


@dataclass(frozen=True)
class ConeResult:
    """Comparison in one held-out cone.

    Attributes
    ----------
    cone : Cone
        The cone that was masked out.
    learned, constrained : HeldOutStatistics
        Statistics of raw half map 2 with the result from half map 1: with the network, and completed with
        mask and positivity constraints only.
    squared_error, variance : float
        Squared error of the mean of the predictions of rotated copies, and their variance, with shares and
        gain of the run, summed over the compared coefficients.
    """

    cone: Cone
    learned: HeldOutStatistics
    constrained: HeldOutStatistics
    squared_error: float
    variance: float


@dataclass(frozen=True)
class ConeTrainings:
    """Trains networks without a cone of the measured data.

    Attributes
    ----------
    prepared : PreparedValidation
        The run to be validated.
    processes : ProcessGroup
        Processes that train together.
    checkpoint_folder : Path
        Existing folder for the checkpoints.
    n_rotations : int
        Number of rotated copies that each network predicts.
    resume : bool
        Whether to continue from the checkpoints.
    """

    prepared: PreparedValidation
    processes: ProcessGroup
    checkpoint_folder: Path
    n_rotations: int
    resume: bool

    def seed(self, number: int) -> int:
        """Return the seed of the training without the cone of this number, from 1."""
        return self.prepared.run.config.seed + number

    def without_cone(self, cone: Cone, number: int) -> tuple[ConeResult, PredictionEnsemble | None]:
        """Train without a cone; return the comparison in it and the ensemble of the whole map."""
        prepared = self.prepared
        held_out = mask_out_cone(prepared.measurement, cone.inside_rfft(prepared.box))
        source = prepared.completion_source(
            f"all but cone {number}",
            replace(prepared.training_config, seed=self.seed(number)),
            prepared.inputs.start_network,
            self.processes,
            self.checkpoint_folder / f"checkpoint{number}.safetensors",
            self.resume,
        )
        completion, completed = source.learn(held_out)
        half1 = _first_half(held_out)
        learned, constrained = (
            prepared.compare(rfft3(volumes[0].cpu().numpy()), cone)
            for volumes in (completed.recombined(held_out), half1.complete_by_constraints())
        )
        # Variance and error depend on shares, gain and factors, which are others without the cone.
        completion = replace(
            completion,
            shares=prepared.prediction_shares,
            gain=prepared.inferred_gain,
            factors=prepared.data_factors,
        )
        error = variance = 0.0
        if ensemble := self._ensemble(completion, half1, number):
            of_mean = prepared.compare(rfft3(ensemble.mean), cone)
            error = float(of_mean.squared_error[of_mean.used].sum())
            region, first = prepared.region(cone)
            n = prepared.box
            shell = shell_index_rfft((n, n, n))
            # Only shells over which the error is summed.
            compared = np.append(of_mean.used, np.zeros(n, dtype=bool))[shell]
            variance = _sum_rfft(ensemble.variance_rfft, region & (shell >= first) & compared)
        result = ConeResult(cone, learned, constrained, error, variance)
        return result, self._ensemble(completion, self._whole, number)

    def ensemble_of_run(self) -> PredictionEnsemble | None:
        """Return the ensemble of the networks that the maps were corrected with."""
        prepared = self.prepared
        network, _ = load_network(prepared.network_path, prepared.run.config.filter_base)
        source = prepared.completion_source("the run's network", prepared.training_config, network)
        completion = source.of_network(
            self._whole, prepared.prediction_shares, prepared.inferred_gain, prepared.data_factors
        )
        return self._ensemble(completion, self._whole, 0)

    @property
    def _whole(self) -> Measurement:
        return _first_half(self.prepared.measurement)

    def _ensemble(
        self, completion: LearnedCompletion, measurement: Measurement, seed: int
    ) -> PredictionEnsemble | None:
        """Complete a measurement with predictions of rotated copies; None without such predictions."""
        rotated = completion.rotated(measurement, self.n_rotations, seed)
        with StageProgress("uncertainty", completion.source.title, self.n_rotations, "maps") as progress:
            completed = (volumes[0].cpu().numpy() for volumes in rotated)
            return PredictionEnsemble.of(progress.over(completed))


def _first_half(measurement: Measurement) -> Measurement:
    return replace(measurement, data=measurement.data[:1])


def _sum_rfft(values_rfft: NDArray[np.float32], region: NDArray[np.bool_]) -> float:
    """Sum half-spectrum values over a region of the full spectrum."""
    n = len(values_rfft)
    copies = np.broadcast_to(hermitian_multiplicity(n), values_rfft.shape)
    return float((values_rfft * copies)[region].sum(dtype=np.float64))
