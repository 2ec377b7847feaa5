"""Maps completed by networks: one trained on the map itself, one trained on other structures."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spisonet.anisotropy.prediction_shares import blend, held_out_cones, measure_shares, without_region
from spisonet.errors import SpisonetError
from spisonet.geometry.rotations import tetrahedral_rotations
from spisonet.learning.objectives import SelfTrainingObjective
from spisonet.learning.process_group import SINGLE_PROCESS
from spisonet.learning.structural_prior import StructuralPrior
from spisonet.learning.training_job import TrainingJob, train

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from spisonet.learning.measurement import Measurement
    from spisonet.learning.memory import Memory
    from spisonet.learning.process_group import ProcessGroup
    from spisonet.learning.trainer import Trainer
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

    def learn(self, measurement: Measurement) -> LearnedCompletion:
        """Train a network on a measurement, and measure the shares of the predictions in held-out cones.

        Without mask or view weight, and with the published objective, nothing is held out: the map is
        completed by the trained network alone.
        """
        prior = self.prior
        if self.training is None and not (measurement.has_constraints and prior is not None):
            raise SpisonetError(
                "--method prior needs two half maps, a mask, and another --prior than none.", field="method"
            )
        if not (measurement.has_constraints and self._shares_are_measured):
            trainer, job, _ = self._train(measurement)
            return LearnedCompletion(self, trainer, job, {})
        region = held_out_cones(measurement)
        held_out = without_region(measurement, region)
        constrained = held_out.complete_by_constraints()
        completed: dict[str, Tensor] = {}
        if prior is not None:
            log.info("Predicting with the network trained on other structures (%s).", self.title)
            held_out = replace(held_out, prior=prior.predict(held_out, constrained))
            assert held_out.prior is not None
            completed[PRIOR] = held_out.complete(held_out.prior, prior_weight=1.0)
        trainer, job, prediction = self._train(held_out)
        if prediction is not None:
            completed[TRAINED] = held_out.complete(prediction, prior_weight=1.0)
        names = list(completed)
        shares = measure_shares(measurement, region, constrained, [completed[name] for name in names])
        of_names = dict(zip(names, shares, strict=True))
        for name, share in of_names.items():
            what = "trained on other structures" if name == PRIOR else "trained on these maps"
            log.info("Share of the network %s, by held-out cones: %.2f (%s).", what, share, self.title)
        return LearnedCompletion(self, trainer, job, of_names)

    def of_network(self, measurement: Measurement, shares: dict[str, float]) -> LearnedCompletion:
        """Return the completion by `start_network`, not trained further, with shares measured before."""
        assert self.training is not None
        training = replace(self.training, epochs=0)
        job = training.training_job(self.title, measurement, self.memory, 1, self.start_network)
        return LearnedCompletion(self, job.prepare(self.memory.device)[0], job, shares)

    @property
    def prior(self) -> StructuralPrior | None:
        """The network trained on other structures, on the device."""
        return None if self.prior_network is None else StructuralPrior(self.prior_network, self.memory)

    @property
    def _shares_are_measured(self) -> bool:
        return self.training is None or self.training.objective != "ei"

    def _train(self, measurement: Measurement) -> tuple[Trainer | None, TrainingJob | None, Tensor | None]:
        if self.training is None:
            return None, None, None
        job = self.training.training_job(
            self.title, measurement, self.memory, self.processes.count, self.start_network
        )
        trainer, prediction = train(
            job,
            self.memory.device,
            self.processes,
            self.checkpoint,
            self.resume,
            further_predictions=1 + 1 / measurement.n_halves,  # all halves, and their average
        )
        assert prediction is not None
        return trainer, job, prediction


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
    """

    source: CompletionSource
    trainer: Trainer | None
    job: TrainingJob | None
    shares: dict[str, float]

    def complete(self, measurement: Measurement) -> Tensor:
        """Complete the maps ``(n_halves, z, y, x)`` of a measurement, such as the average of the halves."""
        return next(self._completed(measurement, None))

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
        if self.shares:
            yield from self._completed(measurement, (n_rotations, seed))

    def _completed(self, measurement: Measurement, copies: tuple[int, int] | None) -> Iterator[Tensor]:
        measurement = measurement.to(self.source.memory.device)
        if not self.shares:
            yield measurement.complete(self._trained_prediction(measurement))
            return
        constrained = measurement.complete_by_constraints()
        prior = self.source.prior
        if prior is not None:
            measurement = replace(measurement, prior=prior.predict(measurement, constrained))
        predictions: dict[str, Iterator[Tensor | None]] = {PRIOR: itertools.repeat(measurement.prior)}
        if TRAINED in self.shares:
            trained = self._trained_prediction(measurement)
            predictions[TRAINED] = itertools.repeat(trained)
        if copies is not None:
            n_rotations, seed = copies
            if prior is not None:
                predictions[PRIOR] = (
                    prior.predict(measurement, constrained, rotation[None])
                    for rotation in itertools.cycle(tetrahedral_rotations())
                )
            if TRAINED in self.shares:
                predictions[TRAINED] = self._rotated_predictions(measurement, trained, n_rotations, seed)
        for _ in range(1 if copies is None else copies[0]):
            completed = []
            for name in self.shares:
                prediction = next(predictions[name])
                assert prediction is not None
                completed.append(measurement.complete(prediction, prior_weight=1.0))
            yield blend(constrained, completed, list(self.shares.values()))

    def _trained_prediction(self, measurement: Measurement) -> Tensor:
        assert self.job is not None
        assert self.trainer is not None
        # The prediction after the training, without the held-out cones, has the title of the training.
        what = "map" if measurement.n_halves == 1 else "maps"
        title = f"{self.source.title}, completing {measurement.n_halves} {what}"
        prediction = self.job.predict(self.trainer, measurement, self.source.memory.device, title)
        assert prediction is not None
        return prediction

    def _rotated_predictions(
        self, measurement: Measurement, prediction: Tensor, n_rotations: int, seed: int
    ) -> Iterator[Tensor]:
        assert self.job is not None
        assert self.trainer is not None
        objective = self.job.make_objective(measurement)
        assert isinstance(objective, SelfTrainingObjective)
        return objective.predict_rotated(self.trainer.predict_locally, prediction, n_rotations, seed)
