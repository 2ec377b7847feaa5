"""Correction of drifted poses from the particles alone: collective motions and local refinement in turn."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spisonet.misalignment.cross_half_likelihood import CrossHalfLikelihood, cross_half_likelihood
from spisonet.misalignment.local_refinement import refine_locally
from spisonet.misalignment.motion_search import MotionFit, find_motion, standard_error
from spisonet.misalignment.superposition import superimposed

if TYPE_CHECKING:
    from collections.abc import Callable

    from spisonet.misalignment.half_map_model import HalfMapModel
    from spisonet.misalignment.image_band import Poses

log = logging.getLogger("spisonet")

MAX_ROUNDS = 8
PATIENCE = 2  # rounds without a rise
MIN_RISE = 0.1  # nats per particle
SIGNIFICANT = 3.0  # standard errors
MOTION_DEGREES = 1.0  # rms; smaller motions were found from true poses


@dataclass(frozen=True)
class CorrectionRound:
    """One collective motion and the local refinement after it.

    Attributes
    ----------
    motion_degrees : float
        Root mean square rotation of the particles by the collective motion.
    after_motion, after_refinement : CrossHalfLikelihood
        Cross-half likelihood.
    poses : Poses
        At the end of the round.
    """

    motion_degrees: float
    after_motion: CrossHalfLikelihood
    after_refinement: CrossHalfLikelihood
    poses: Poses


@dataclass(frozen=True)
class PoseCorrection:
    """Corrected poses, and how they were found.

    Attributes
    ----------
    first_motion : MotionFit
        The motion of the poses as they were.
    rounds : tuple of CorrectionRound
        In order.
    poses : Poses
        Those with the highest cross-half likelihood, of the poses as they were, and those after each motion
        and each local refinement.
    before, after : CrossHalfLikelihood
        Of the poses as they were, and of `poses`.
    """

    first_motion: MotionFit
    rounds: tuple[CorrectionRound, ...]
    poses: Poses
    before: CrossHalfLikelihood
    after: CrossHalfLikelihood

    @property
    def is_improved(self) -> bool:
        """Whether `poses` are more likely than the poses as they were, by three standard errors."""
        return self.rise > SIGNIFICANT * self.rise_standard_error

    @property
    def rise(self) -> float:
        """Rise of the log-likelihood per particle in nats."""
        return self.after.mean - self.before.mean

    @property
    def rise_standard_error(self) -> float:
        """Standard error of `rise` over particles."""
        return standard_error(self.after.by_particle - self.before.by_particle)


def correct_poses(
    model: HalfMapModel,
    poses: Poses,
    seed: int = 0,
    max_rounds: int = MAX_ROUNDS,
    after_round: Callable[[], None] = lambda: None,
) -> PoseCorrection:
    """Correct the poses of a refinement that has drifted.

    Rounds of a collective motion and local refinement are repeated until the cross-half log-likelihood has
    not risen in two of them by 0.1 nats per particle and by its standard error.

    Parameters
    ----------
    model : HalfMapModel
        Images, mask and symmetry.
    poses : Poses
        Poses of the refinement.
    seed : int
        Of the local refinement.
    max_rounds : int
        Largest number of rounds.
    after_round : callable
        Called at the end of each round.
    """
    motion = first_motion = find_motion(model, poses)
    best, best_poses = motion.before, poses
    rounds: list[CorrectionRound] = []
    rounds_without_rise = 0
    for number in range(1, max_rounds + 1):
        if number > 1:
            motion = find_motion(model, rounds[-1].poses)
        refined = refine_locally(model, motion.poses, seed + number)
        separate = cross_half_likelihood(model, refined)
        refined = superimposed(model, refined, separate.half_maps)
        likelihood = cross_half_likelihood(model, refined)
        rounds.append(CorrectionRound(motion.rms_degrees, motion.after, likelihood, refined))
        difference = likelihood.by_particle - best.by_particle
        log.info(
            "Round %d: collective motion of %.1f° rms; log-likelihood per particle %.2f before, %.2f after "
            "it, %.2f after local refinement (change %+.2f ± %.2f).",
            number,
            motion.rms_degrees,
            motion.before.mean,
            motion.after.mean,
            likelihood.mean,
            difference.mean(),
            standard_error(difference),
        )
        rises = difference.mean() > max(MIN_RISE, standard_error(difference))
        rounds_without_rise = 0 if rises else rounds_without_rise + 1
        for candidate, reached in ((motion.poses, motion.after), (refined, likelihood)):
            if reached.total > best.total:
                best, best_poses = reached, candidate
        after_round()
        if rounds_without_rise == PATIENCE:
            break
    return PoseCorrection(first_motion, tuple(rounds), best_poses, first_motion.before, best)
