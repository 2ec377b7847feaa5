"""Search for the collective motion of the poses that the other half set's particles prefer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation
from scipy.stats import chi2

from spisonet.misalignment.cross_half_likelihood import CrossHalfLikelihood, cross_half_likelihood
from spisonet.misalignment.pose_motion import MotionFields, motion_fields, moved, sum_by_particle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spisonet.misalignment.half_map_model import HalfMapModel
    from spisonet.misalignment.image_band import Poses

STAGES = (2, 4, 6)  # degrees of the motions
TEST_DEGREES, HIGHER_TEST_DEGREE = (2, 4), 6  # of the significance test; 6 if the point group has no others
STEPS_PER_STAGE = 8
TRUST_DEGREES, SMALLEST_TRUST_DEGREES = 2.0, 0.1
LARGEST_STEP_DEGREES = 15.0  # of any particle; rare views can move much further than the rms
GROW, SHRINK = 1.5, 0.4  # of the trust region
GOOD_PREDICTION = 0.5  # of the rise that the gradient predicts
MIN_CURVATURE = 1e-6
CURVE_FRACTIONS = (-0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)


@dataclass(frozen=True)
class MotionFit:
    """The best collective motion from given poses.

    Attributes
    ----------
    poses : Poses
        After the motion.
    before, after : CrossHalfLikelihood
        Before and after it, without gradients.
    n_coefficients : int
        Number of coefficients of the last stage that was accepted; 0 for no motion.
    p_value : float
        Probability of a gradient like that at the start if the poses have not drifted: score tests of
        the motions of degree 2 and 4, with the covariance of the particles' own gradients.
    """

    start: Poses
    poses: Poses
    before: CrossHalfLikelihood
    after: CrossHalfLikelihood
    n_coefficients: int
    p_value: float

    @property
    def vectors(self) -> NDArray[np.float64]:
        """``(n, 3)`` rotation vectors (radians, map frame) of the views."""
        return rotation_vectors_between(self.start, self.poses)

    @property
    def rms_degrees(self) -> float:
        """Root mean square rotation of the particles."""
        return math.degrees(math.sqrt(float((self.vectors**2).sum(axis=1).mean())))


@dataclass(frozen=True)
class LikelihoodCurve:
    """Likelihood along a motion.

    Attributes
    ----------
    fractions : ndarray
        ``(k,)`` of the motion.
    rise, standard_error : ndarray
        ``(k,)`` log-likelihood per particle minus that of no motion, in nats, and the standard error of this
        difference over particles.
    """

    fractions: NDArray[np.float64]
    rise: NDArray[np.float64]
    standard_error: NDArray[np.float64]


def find_motion(model: HalfMapModel, poses: Poses, stages: Sequence[int] = STAGES) -> MotionFit:
    """Maximise the cross-half likelihood over collective motions, from smooth to less smooth ones.

    A stage is accepted if it raises the log-likelihood by more than the number of its coefficients.

    Parameters
    ----------
    model : HalfMapModel
        Images, mask and symmetry.
    poses : Poses
        Start of the search.
    stages : sequence of int
        Degree of the motions of each stage.

    References
    ----------
    White (1982) Econometrica 50, 1-25 (score test with the empirical covariance); Akaike (1974) IEEE
    Trans. Autom. Control 19, 716-723 (the criterion); Nocedal & Wright (2006) Numerical Optimization,
    chapters 4 and 6 (trust region, BFGS).
    """
    symmetry = model.symmetry.double().cpu().numpy()
    state = cross_half_likelihood(model, poses, with_gradient=True)
    half_sets, numbers = model.band.particles.half_sets, model.band.particles.particle_numbers
    fit = MotionFit(poses, poses, state, state, 0, _significance(state, poses, symmetry, numbers))
    for degree in stages:
        fields = motion_fields(fit.poses.rotations, symmetry, degree, half_sets, numbers)
        if not len(fields):
            continue
        reached, likelihood = _climb(model, fit.poses, fit.after, fields)
        if likelihood.total - fit.after.total > len(fields):
            fit = replace(fit, poses=reached, after=likelihood, n_coefficients=len(fields))
    return replace(fit, before=replace(fit.before, gradient=None), after=replace(fit.after, gradient=None))


def _significance(
    likelihood: CrossHalfLikelihood,
    poses: Poses,
    symmetry: NDArray[np.float64],
    particle_numbers: NDArray[np.int64] | None,
) -> float:
    """Return the p-value of the hypothesis that no collective motion raises the likelihood."""
    if likelihood.gradient is None:
        raise RuntimeError("The likelihood has no gradient.")

    def fields_of(degree: int) -> MotionFields:
        return motion_fields(poses.rotations, symmetry, degree, particle_numbers=particle_numbers)

    motions = [fields_of(degree) for degree in TEST_DEGREES]
    if not any(len(fields) for fields in motions):
        motions = [fields_of(HIGHER_TEST_DEGREE)]
    p_values = []
    for fields in motions:
        if len(fields):
            scores = np.einsum("jnc,nc->nj", fields.values, likelihood.gradient)
            scores = sum_by_particle(scores, particle_numbers)
            total = scores.sum(axis=0)
            statistic = float(total @ np.linalg.pinv(scores.T @ scores) @ total)
            p_values.append(float(chi2.sf(statistic, len(fields))))
    return min([1.0, *(len(p_values) * p for p in p_values)])  # Bonferroni


def _climb(
    model: HalfMapModel, start: Poses, likelihood: CrossHalfLikelihood, fields: MotionFields
) -> tuple[Poses, CrossHalfLikelihood]:
    """Maximise the likelihood over the coefficients of some fields: BFGS steps in a trust region."""
    best, best_poses = likelihood, start
    coefficients, trust = np.zeros(len(fields)), math.radians(TRUST_DEGREES)
    slope = _slope(fields, likelihood)
    inverse: NDArray[np.float64] | None = None  # of the negative second derivatives
    for _ in range(STEPS_PER_STAGE):
        step = slope if inverse is None else inverse @ slope
        if inverse is None or np.linalg.norm(step) > trust:
            step = step * (trust / max(float(np.linalg.norm(step)), 1e-30))
        largest = float(np.linalg.norm(fields.vectors(step), axis=1).max())
        step = step * min(1.0, math.radians(LARGEST_STEP_DEGREES) / largest)
        vectors = fields.vectors(coefficients + step)
        poses = replace(start, rotations=moved(start.rotations, vectors))
        reached = cross_half_likelihood(model, poses, with_gradient=True)
        reached_slope = _slope(fields, reached)
        inverse = _updated(inverse, step, slope - reached_slope)
        rise = reached.total - best.total
        if rise > 0:
            trust *= GROW if rise > GOOD_PREDICTION * float(slope @ step) else 1
            coefficients, slope, best, best_poses = coefficients + step, reached_slope, reached, poses
        else:
            trust = SHRINK * min(trust, float(np.linalg.norm(step)))
        if trust < math.radians(SMALLEST_TRUST_DEGREES):
            break
    return best_poses, best


def _slope(fields: MotionFields, likelihood: CrossHalfLikelihood) -> NDArray[np.float64]:
    if likelihood.gradient is None:
        raise RuntimeError("The likelihood has no gradient.")
    return fields.derivative(likelihood.gradient)


def _updated(
    inverse: NDArray[np.float64] | None, step: NDArray[np.float64], change: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return the BFGS update of the inverse of the negative second derivatives."""
    curvature = float(step @ change)
    if curvature <= MIN_CURVATURE * np.linalg.norm(step) * np.linalg.norm(change):
        return inverse
    if inverse is None:
        inverse = np.eye(len(step)) * curvature / float(change @ change)
    left = np.eye(len(step)) - np.outer(step, change) / curvature
    return np.asarray(left @ inverse @ left.T + np.outer(step, step) / curvature)


def rotation_vectors_between(before: Poses, after: Poses) -> NDArray[np.float64]:
    """Rotation vectors ``(n, 3)`` in radians (map frame) that turn the views of one set into the other's."""
    turns = after.rotations.transpose(0, 2, 1) @ before.rotations
    return np.asarray(Rotation.from_matrix(turns).as_rotvec())


def likelihood_curve(
    model: HalfMapModel,
    poses: Poses,
    vectors: NDArray[np.floating],
    fractions: Sequence[float] = CURVE_FRACTIONS,
) -> LikelihoodCurve:
    """Calculate the likelihood along a motion, ``vectors`` ``(n, 3)`` in radians times each fraction."""
    reference = cross_half_likelihood(model, poses).by_particle
    differences = [
        cross_half_likelihood(
            model, replace(poses, rotations=moved(poses.rotations, fraction * vectors))
        ).by_particle
        - reference
        for fraction in fractions
    ]
    errors = [standard_error(difference) for difference in differences]
    rises = [float(difference.mean()) for difference in differences]
    return LikelihoodCurve(np.array(fractions), np.array(rises), np.array(errors))


def standard_error(values: NDArray[np.floating]) -> float:
    """Return the standard error of a mean over particles."""
    return float(values.std(ddof=1)) / math.sqrt(len(values))
