"""Maps completed by networks: one trained on the map itself, one trained on other structures."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spisonet.anisotropy.data_factors import NO_FACTORS, DataFactors
from spisonet.anisotropy.inferred_gain import CompletedMaps
from spisonet.anisotropy.prediction_shares import (
    blend,
    held_out_cone,
    held_out_correlation,
    measure_shares,
    without_region,
)
from spisonet.errors import SpisonetError
from spisonet.geometry.rotations import tetrahedral_rotations
from spisonet.learning.objectives import SelfTrainingObjective
from spisonet.learning.process_group import SINGLE_PROCESS
from spisonet.learning.structural_prior import StructuralPrior
from spisonet.learning.training_job import TrainingJob, train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor

    from spisonet.learning.measurement import Measurement
    from spisonet.learning.memory import Memory
    from spisonet.learning.objectives import Objective
    from spisonet.learning.process_group import ProcessGroup
    from spisonet.learning.trainer import Score, Trainer, TrainingState
    from spisonet.learning.training_config import TrainingConfig
    from spisonet.learning.unet import Network, PriorUNet

log = logging.getLogger("spisonet")

TRAINED, PRIOR = "trained", "prior"


@dataclass(frozen=True)
class CompletionSource:
    """How maps are completed by networks.

    Attributes
    ----------
    title : str
        Name of the training in the log.
    training : TrainingConfig or None
        Training on the maps themselves; None for none.
    prior_network : PriorUNet or None
        Network trained on other structures; None for none.
    start_network : Network or None
        Network whose weights training starts from.
    memory : Memory
        Memory of the device.
    processes : ProcessGroup
        Processes that train together.
    checkpoint : Path or None
        File of the training state.
    resume : bool
        Continue from the checkpoint.
    """

    title: str
    training: TrainingConfig | None
    prior_network: PriorUNet | None
    start_network: Network | None
    memory: Memory
    processes: ProcessGroup = SINGLE_PROCESS
    checkpoint: Path | None = None
    resume: bool = False

    def learn(self, measurement: Measurement) -> tuple[LearnedCompletion, CompletedMaps]:
        """Train a network, and measure the shares of the predictions and the gain of the inferred part.

        Both are measured in a held-out cone: the first half of the updates has no data in it, and they are
        those of its network. The training then continues on all data; the factors of the data
        are measured in its result. Without mask or view
        weight, and with the published objective, nothing is held out: the map is completed by the trained
        network alone.

        Parameters
        ----------
        measurement : Measurement
            The measurement.

        Returns
        -------
        LearnedCompletion
            The networks, the shares of their predictions, gain and factors.
        CompletedMaps
            The maps of the measurement, completed by them.
        """
        prior = self.prior
        if self.training is None and not (measurement.has_constraints and prior is not None):
            raise SpisonetError(
                "--method prior needs two half maps, a mask, and another --prior than none.", field="method"
            )
        if not (measurement.has_constraints and self._shares_are_measured):
            result = self._train(measurement)
            assert result is not None
            completed = measurement.complete(result.prediction)
            return LearnedCompletion(self, result.trainer, result.job, {}, None), CompletedMaps(
                completed, None
            )
        held_out = self._hold_out(measurement)
        for name, share in held_out.shares.items():
            what = "trained on other structures" if name == PRIOR else "trained on these maps"
            log.info("Share of the network %s, by a held-out cone: %.2f (%s).", what, share, self.title)
        constrained, measurement = self._with_prior(measurement)
        result = self._train(measurement, start=held_out.state)
        trainer, job = (None, None) if result is None else (result.trainer, result.job)
        completions = _completions(measurement, None if result is None else result.prediction)
        shares = [held_out.shares[name] for name in completions]
        completed = blend(constrained, list(completions.values()), shares)
        maps = CompletedMaps.measured(
            measurement, completed, held_out.region, held_out.completed.to(completed.device)
        )
        return LearnedCompletion(self, trainer, job, held_out.shares, maps.gain, maps.factors), maps

    def _hold_out(self, measurement: Measurement) -> _HeldOut:
        """Train without a cone, and measure the shares of the predictions in it."""
        region = held_out_cone(measurement)
        if self.prior is not None:
            log.info("Predicting with the network trained on other structures (%s).", self.title)
        constrained, held_out = self._with_prior(without_region(measurement, region))

        def recovery(objective: Objective, predict: Callable[[Tensor], Tensor]) -> float:
            assert isinstance(objective, SelfTrainingObjective)
            predicted = held_out.complete(objective.first_prediction(predict), prior_weight=1.0)
            return held_out_correlation(measurement, region, predicted)

        result = self._train(held_out, first_part=True, score=recovery)
        completions = _completions(held_out, None if result is None else result.prediction)
        shares = measure_shares(measurement, region, constrained, list(completions.values()))
        completed = blend(constrained, list(completions.values()), shares)
        # Without the trainer, and on the CPU, so that the memory of the device is free again.
        state = None if result is None else result.trainer.state()
        return _HeldOut(dict(zip(completions, shares, strict=True)), region, completed.cpu(), state)

    def _with_prior(self, measurement: Measurement) -> tuple[Tensor, Measurement]:
        """Return maps completed by constraints, and the measurement with the prediction of the prior."""
        constrained, prior = measurement.complete_by_constraints(), self.prior
        if prior is None:
            return constrained, measurement
        return constrained, replace(measurement, prior=prior.predict(measurement, constrained))

    def of_network(
        self,
        measurement: Measurement,
        shares: dict[str, float],
        gain: Tensor | None,
        factors: DataFactors,
    ) -> LearnedCompletion:
        """Return the completion by `start_network`, not trained further.

        Shares, gain and factors are those of before.
        """
        assert self.training is not None
        training = replace(self.training, epochs=0)
        job = training.training_job(self.title, measurement, self.memory, 1, self.start_network)
        return LearnedCompletion(self, job.prepare(self.memory.device)[0], job, shares, gain, factors)

    @property
    def prior(self) -> StructuralPrior | None:
        """The network trained on other structures, on the device."""
        return None if self.prior_network is None else StructuralPrior(self.prior_network, self.memory)

    @property
    def _shares_are_measured(self) -> bool:
        return self.training is None or self.training.objective != "ei"

    def _train(
        self,
        measurement: Measurement,
        first_part: bool = False,
        start: TrainingState | None = None,
        score: Score | None = None,
    ) -> _TrainingResult | None:
        """Train on a measurement, and predict its maps; None if nothing is to be trained."""
        if self.training is None:
            return None
        job = self.training.training_job(
            self.title, measurement, self.memory, self.processes.count, self.start_network
        )
        if start is None and self.training.epochs:
            log.info(job.description)
        elif start is not None and start[1]["n_updates"] < job.options.n_updates:
            log.info("Continuing the training on all data (%s).", self.title)
        checkpoint = self.checkpoint
        further_predictions = 0.0
        if first_part:
            job = replace(job, first_part=True)
            further_predictions = 1.0  # after the rest of the training
            if checkpoint is not None:
                if not self.resume:
                    checkpoint.unlink(missing_ok=True)  # of another training
                checkpoint = checkpoint.with_stem(f"{checkpoint.stem}_held_out")
        trainer, prediction = train(
            job,
            self.memory.device,
            self.processes,
            checkpoint,
            self.resume,
            further_predictions=further_predictions,
            start=start,
            score=score,
        )
        assert prediction is not None
        return _TrainingResult(trainer, job, prediction)


@dataclass(frozen=True)
class _HeldOut:
    """What was measured in the held-out cone `region`, the maps completed without it, and the training."""

    shares: dict[str, float]
    region: Tensor
    completed: Tensor
    state: TrainingState | None


@dataclass(frozen=True)
class _TrainingResult:
    trainer: Trainer
    job: TrainingJob
    prediction: Tensor


def _completions(measurement: Measurement, trained: Tensor | None) -> dict[str, Tensor]:
    """Return the maps of a measurement completed by its prior and by a prediction, those that there are."""
    predictions = {PRIOR: measurement.prior, TRAINED: trained}
    return {
        name: measurement.complete(prediction, prior_weight=1.0)
        for name, prediction in predictions.items()
        if prediction is not None
    }


@dataclass(frozen=True)
class LearnedCompletion:
    """Networks that complete maps, with the shares of their predictions.

    Attributes
    ----------
    source : CompletionSource
        How they were made.
    trainer : Trainer or None
        The network trained on the maps; None if none was trained.
    job : TrainingJob or None
        Its training.
    shares : dict
        Share in 0..1 of ``prior`` and ``trained`` in the completed map, the rest being completed by
        constraints; empty if no shares were measured.
    gain : Tensor or None
        ``(n_shells,)`` gain of the inferred part, see `measure_gain`; None if no shares were measured.
    factors : DataFactors
        Factors of the data.
    """

    source: CompletionSource
    trainer: Trainer | None
    job: TrainingJob | None
    shares: dict[str, float]
    gain: Tensor | None
    factors: DataFactors = NO_FACTORS

    def rotated(self, measurement: Measurement, n_rotations: int, seed: int) -> Iterator[Tensor]:
        """Complete a measurement with predictions of single rotated copies, to estimate their error.

        Parameters
        ----------
        measurement : Measurement
            The measurement.
        n_rotations, seed : int
            Number of copies, and the seed of their orientations.

        Yields
        ------
        Tensor
            ``(n_halves, z, y, x)``; nothing if no shares were measured.
        """
        if not self.shares:
            return
        measurement = measurement.to(self.source.memory.device)
        constrained = measurement.complete_by_constraints()
        prior = self.source.prior
        predictions: dict[str, Iterator[Tensor]] = {}
        if prior is not None:
            measurement = replace(measurement, prior=prior.predict(measurement, constrained))
            predictions[PRIOR] = (
                prior.predict(measurement, constrained, rotation[None])
                for rotation in itertools.cycle(tetrahedral_rotations())
            )
        if TRAINED in self.shares:
            predictions[TRAINED] = self._rotated_predictions(measurement, n_rotations, seed)
        for _ in range(n_rotations):
            completed = [
                measurement.complete(next(predictions[name]), prior_weight=1.0) for name in self.shares
            ]
            whole = blend(constrained, completed, list(self.shares.values()))
            yield CompletedMaps(whole, self.gain, self.factors).recombined(measurement)

    def _rotated_predictions(self, measurement: Measurement, n_rotations: int, seed: int) -> Iterator[Tensor]:
        assert self.job is not None
        assert self.trainer is not None
        prediction = self.job.predict(self.trainer, measurement, self.source.memory.device, self.source.title)
        objective = self.job.make_objective(measurement)
        assert prediction is not None
        assert isinstance(objective, SelfTrainingObjective)
        return objective.predict_rotated(self.trainer.predict_locally, prediction, n_rotations, seed)
