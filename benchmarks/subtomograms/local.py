"""Refine simulated subtomograms with spisonet's own local refinement, with a different reference in each arm.

    python -m benchmarks.subtomograms.local --density examples/hemagglutinin --out OUT
        [--regimes NAME ...] [--arms NAME ...] [--seeds 1 2 3 4 5]
    python -m benchmarks.subtomograms.local --out OUT --table

The method is that of ``spisonet relion rescue`` for images, applied to volumes: each particle takes the most
likely of a few orientations and shifts near its pose, compared with the map of its own half set. A refinement
takes seconds, so that more regimes, seeds and arms can be compared than with RELION (``run.py``). It starts
at poses 8° off (rms). Prints a line for each result and writes it to local.jsonl.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).parents[2]))  # the checkout
import numpy as np
import torch

from benchmarks.subtomograms import references
from benchmarks.subtomograms.global_search import search_globally
from benchmarks.subtomograms.references import HalfSet
from benchmarks.subtomograms.regimes import (
    FROM_BLOB,
    REGIMES,
    append_result,
    argument_parser,
    make_case,
    read_results,
    table,
)
from benchmarks.subtomograms.score import LARGE_DEGREES, outward_by_range, score_maps, score_poses
from benchmarks.subtomograms.volumes import VolumeBand, read_subtomograms
from spisonet.io.mrc import read_volume
from spisonet.misalignment.anisotropy_check import check_anisotropy
from spisonet.misalignment.backprojection import BackProjector
from spisonet.misalignment.cross_half_likelihood import cross_half_likelihood
from spisonet.misalignment.half_map_model import MAX_FSC, MIN_FSC, PADDING, HalfMapModel, shell_sums
from spisonet.misalignment.local_refinement import refine_locally
from spisonet.misalignment.motion_search import find_motion
from spisonet.misalignment.pose_correction import correct_poses
from spisonet.misalignment.prior import Prior
from spisonet.misalignment.settings import MisalignmentSettings
from spisonet.misalignment.skip_rules import skip_reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from spisonet.misalignment.image_band import Poses

ITERATIONS = 18
FINEST_ANGSTROM = 18.0
CORRECTION_ROUNDS = 2
RESULTS = "local.jsonl"


class ArmModel(HalfMapModel):
    """Half maps of the particles, and references that an arm makes of their accumulators."""

    truth: NDArray[np.float32]
    reference: Callable[[HalfSet], NDArray[np.float32]]

    def references(self, poses: Poses) -> Tensor:
        """Return tables ``(2, size, 3)`` of the references, without their variance."""
        raw = self.insert(poses)
        fsc = self.fsc(self.half_maps(raw)).clamp(MIN_FSC, MAX_FSC)
        tables = []
        for number, accumulators in enumerate(self._symmetrised(raw)):
            half = self._half_set(accumulators, fsc, number)
            # The hook would skip this iteration too.
            skipped = skip_reason(half.check, half.settings, None, is_of_subtomograms=True)
            by_hook = self.reference in references.BY_HOOK
            reference = references.maximum_a_posteriori if skipped and by_hook else self.reference
            volume = self.band.tensor(reference(half)) * self.mask
            values = self.grid.table_of(volume)
            tables.append(torch.cat([values, torch.zeros(len(values), 1)], dim=1))
        return torch.stack(tables)

    def _half_set(self, table: Tensor, fsc: Tensor, number: int) -> HalfSet:
        n, last = self.box, self.band.last
        data = self.grid.spectrum(torch.complex(table[:, 0], table[:, 1])).numpy()
        weight = self.grid.spectrum(table[:, 2]).numpy()
        sums = shell_sums(table[:, 2] * self._inside, self._shell)
        mean = (sums / self._table_shell_counts)[: last + 1]
        tau2, curve = np.zeros(n // 2 + 1), np.zeros(n // 2 + 1)
        tau2[: last + 1] = (fsc / (1 - fsc) / mean / PADDING**3).numpy()
        curve[: last + 1] = fsc.numpy()
        back_projector = BackProjector(data, weight, tau2, n, PADDING, last, data_dimensionality=3)
        return HalfSet(
            back_projector,
            curve,
            check_anisotropy(back_projector, curve, self.voxel_size_angstrom, False),
            self.voxel_size_angstrom,
            Prior(self.mask.numpy()),
            MisalignmentSettings.model_validate({"subtomograms": True}),
            number,
            self.truth,
        )


@dataclass(frozen=True)
class Arm:
    """How an arm differs from the plain refinement.

    Attributes
    ----------
    reference : callable, optional
        Makes the reference; otherwise it is the maximum a posteriori map.
    variance : bool
        Whether the variance of the reference is added to the power of its projections.
    with_missing_wedge : bool
        Whether the missing wedge is counted when the noise power is estimated, as RELION does.
    correction : callable, optional
        Applied to the poses of the plain refinement; then there is no refinement of its own.
    """

    reference: Callable[[HalfSet], NDArray[np.float32]] | None = None
    variance: bool = False
    with_missing_wedge: bool = False
    correction: Callable[[HalfMapModel, Poses], Poses] | None = None


ARMS = {
    "plain": Arm(),
    "plain, reconstructed by RELION's formula": Arm(references.maximum_a_posteriori),
    "missing wedge counted as noise": Arm(with_missing_wedge=True),
    "variance of the reference": Arm(variance=True),
    "constraints": Arm(references.corrected),
    "filled only": Arm(references.filled),
    "denoised only": Arm(references.denoised),
    "FSC-weighted": Arm(references.fsc_weighted),
    "filled with truth": Arm(references.filled_with_truth),
    "truth": Arm(references.truth_reference),
    "plain, then collective motion": Arm(correction=lambda model, poses: find_motion(model, poses).poses),
    "plain, then collective motion and local refinement": Arm(
        correction=lambda model, poses: correct_poses(model, poses, max_rounds=CORRECTION_ROUNDS).poses
    ),
}
TRUE_POSES = "true poses"


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    args = argument_parser(__doc__, [*ARMS, TRUE_POSES]).parse_args(arguments)
    if args.table:
        print(table(read_results(args.out / RESULTS)))
        return 0
    torch.set_num_threads(1)
    for seed in args.seeds:
        for regime in args.regimes:
            place = make_case(args.out, regime, replace(REGIMES[regime], seed=seed), args.density)
            _run_case(place, regime, seed, args.arms, args.out / RESULTS)
    return 0


def _run_case(place: Path, regime: str, seed: int, arms: list[str], results: Path) -> None:
    particles, true = (read_subtomograms(place / f"{name}.star", place) for name in ("particles", "truth"))
    mask, truth = (read_volume(place / f"{name}.mrc").data for name in ("mask", "truth"))
    plain: Poses | None = None
    for name in arms:
        arm = ARMS.get(name, Arm())
        band = VolumeBand(particles, FINEST_ANGSTROM, with_missing_wedge=arm.with_missing_wedge)
        model = HalfMapModel(band, mask, "C1")
        if arm.reference is not None:
            model = ArmModel(band, mask, "C1")
            model.truth, model.reference = truth, arm.reference
        if name == TRUE_POSES:
            poses = true.poses
        elif arm.correction is None:
            start = search_globally(model, truth, seed) if regime == FROM_BLOB else particles.poses
            poses = _refined(model, start, arm.variance)
        else:
            plain = _refined(model, particles.poses, variance=False) if plain is None else plain
            poses = arm.correction(model, plain)
        plain = poses if name == "plain" else plain
        row = {"regime": regime, "seed": seed, "arm": name}
        scored = HalfMapModel(VolumeBand(particles, FINEST_ANGSTROM), mask, "C1")
        row |= _scores(scored, place, true.poses, poses, REGIMES[regime].sym)
        append_result(results, row)


def _refined(model: HalfMapModel, start: Poses, variance: bool) -> Poses:
    factors = np.resize((1.0, 1.0, 1.0, 1.0, 0.5, 0.5), ITERATIONS)
    return refine_locally(model, start, 0, list(factors), reference_variance=variance)


def _scores(model: HalfMapModel, place: Path, true: Poses, poses: Poses, sym: str) -> dict[str, object]:
    score = score_poses(true.rotations, poses.rotations, sym)
    likelihood = cross_half_likelihood(model, poses)
    return {
        "median": round(float(np.median(score.errors_degrees)), 2),
        "beyond": round(float(np.mean(score.errors_degrees > LARGE_DEGREES)), 3),
        "outward": outward_by_range(score),
        "half maps": score_maps(place, list(likelihood.half_maps), score.frame),
        "log_likelihood": round(likelihood.mean, 2),
        "p_value": float(f"{find_motion(model, poses, stages=()).p_value:.2g}"),
    }


if __name__ == "__main__":
    sys.exit(main())
