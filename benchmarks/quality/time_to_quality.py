"""Time until a held-out cone is predicted as well as by the fully trained published method of spIsoNet.

    python benchmarks/quality/time_to_quality.py --models FOLDER [--box 256] [--published_epochs 30] [...]

A measured cone (30° about x, with top views along z) is removed from data and weights of both half maps. Each
method trains on the rest, and after every epoch its prediction from half map 1 is compared with the
unmodified half map 2 inside the cone, shell by shell. Both methods run one after the other on the same
device. Needs gemmi. Prints every epoch, and the ratio of the times.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[2]))  # the checkout
from benchmarks.quality.published import BATCH_SIZE, published_measurement, published_trainer
from benchmarks.quality.simulate import Case, Simulated, simulate
from benchmarks.quality.simulated_methods import fourier_weights
from spisonet.anisotropy.preparation import correction_band, prepare_measurement
from spisonet.fourier.grids import frequency_axes_rfft, radius_rfft, shell_index_rfft
from spisonet.io.atomic import write_json
from spisonet.learning.devices import choose_devices, describe_device, keep_freed_memory
from spisonet.learning.memory import Memory
from spisonet.learning.objectives import SelfTrainingObjective
from spisonet.learning.spectra import apply_filter, rfft3
from spisonet.learning.trainer import Trainer, TrainingOptions
from spisonet.learning.training_job import TrainingJob
from spisonet.learning.unet import UNet

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from spisonet.learning.measurement import Measurement

CONE_DEGREES = 30.0
FIRST_SHELL_ANGSTROM = 25.0
MIN_COEFFICIENTS = 8  # per shell


@dataclass(frozen=True)
class HeldOut:
    """A measurement without a cone, and the data to compare with inside the cone."""

    measurement: Measurement
    cone: Tensor
    half2: Tensor
    shells: Tensor
    mask: Tensor

    @classmethod
    def make(cls, measurement: Measurement, case: Case, mask: NDArray[np.float32]) -> HeldOut:
        """Remove a cone about x from a measurement."""
        n = case.box
        _, _, kx = frequency_axes_rfft((n, n, n))
        radius = radius_rfft((n, n, n))
        along = np.abs(np.broadcast_to(kx, radius.shape)) >= np.cos(np.radians(CONE_DEGREES)) * radius
        first, last = n * case.voxel_size / FIRST_SHELL_ANGSTROM, case.limit_shell - 1
        shell = shell_index_rfft((n, n, n))
        device = measurement.data.device
        cone = torch.from_numpy(along & (radius > 0)).to(device)
        shells = torch.from_numpy(np.where((shell >= first) & (shell <= last), shell, 0)).to(device)
        rest = (~cone).float()
        view_weight = measurement.view_weight_rfft
        without_cone = replace(
            measurement,
            data=apply_filter(measurement.data, rest),
            fsc_weight_rfft=measurement.fsc_weight_rfft * rest,
            view_weight_rfft=None if view_weight is None else view_weight * rest,
        )
        return cls(without_cone, cone, measurement.data[1], shells, torch.from_numpy(mask).to(device))

    def score(self, predicted: Tensor) -> float:
        """Return the mean FSC over shells, in the cone, of a prediction from half map 1 and half map 2."""
        inside = self.cone & (self.shells > 0)
        found, expected = (rfft3(volume * self.mask)[inside] for volume in (predicted, self.half2))
        shells = self.shells[inside]

        def sums(values: Tensor) -> Tensor:
            return torch.zeros(int(shells.max()) + 1, device=values.device).index_add_(0, shells, values)

        cross = sums((found * expected.conj()).real)
        power = sums(found.abs() ** 2) * sums(expected.abs() ** 2)
        enough = sums(torch.ones_like(shells, dtype=torch.float32)) >= MIN_COEFFICIENTS
        return float((cross[enough] / power[enough].sqrt().clamp(min=1e-20)).mean())


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--model", default="ribosome30s_4v4r.pdb")
    parser.add_argument("--box", type=int, default=256)
    parser.add_argument("--voxel_size", type=float, default=1.2)
    parser.add_argument("--resolution", type=float, default=3.6)
    parser.add_argument("--published_epochs", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--subvolumes", type=int, default=1000, help="per epoch")
    parser.add_argument("--published_base", type=int, default=64)
    parser.add_argument("--filter_base", type=int, default=32)
    parser.add_argument("--cube_size", type=int, default=64)
    parser.add_argument("--json", type=Path, help="file for the results")
    args = parser.parse_args()
    keep_freed_memory()
    device = choose_devices()[0]
    case = Case("held-out cone", args.model, args.box, args.voxel_size, args.resolution)
    simulated = simulate(case, args.models, seed=1)
    print(f"{describe_device(device)}, PyTorch {torch.__version__}", flush=True)

    halves = [simulated.half1, simulated.half2]
    measurement = published_measurement(halves, simulated.mask, case.voxel_size, case.resolution, device)
    held = HeldOut.make(measurement, case, simulated.mask)
    trainer = published_trainer(
        held.measurement,
        device,
        args.published_epochs,
        args.subvolumes,
        args.published_base,
        args.cube_size,
        batch_parts=1,
    )
    published = train_and_score("published", trainer, held, lambda: trainer.predict(held.measurement.data)[0])

    held = HeldOut.make(our_measurement(case, simulated, device), case, simulated.mask)
    training_job = TrainingJob(
        "self-training",
        held.measurement,
        lambda m: SelfTrainingObjective(m, args.cube_size),
        UNet(args.filter_base),
        TrainingOptions(args.epochs, args.subvolumes, BATCH_SIZE, 1, learning_rate=1e-3, seed=0),
        Memory(device).largest_tile(UNet(args.filter_base)),
    )
    our_trainer, objective = training_job.prepare(device)

    def our_prediction() -> Tensor:
        predictions = objective.predict(our_trainer.predict)
        assert predictions is not None
        return held.measurement.complete(predictions)[0]

    ours = train_and_score("self-training", our_trainer, held, our_prediction)
    if args.json is not None:
        scores = {"published": published, "self-training": ours}
        write_json(args.json, {name: [asdict(point) for point in points] for name, points in scores.items()})
    goal = published[-1].score
    first = next(point for point in published if point.score >= goal)
    reached = [point for point in ours if point.score >= goal]
    print(f"\nPublished method: {goal:.3f} at the end, first reached after {first.seconds:.0f} s.")
    if reached:
        ratio = first.seconds / reached[0].seconds
        print(f"Self-training reaches this after {reached[0].seconds:.0f} s: {ratio:.1f} times as fast.")
    else:
        print(f"Self-training does not reach this; its best is {max(point.score for point in ours):.3f}.")


def our_measurement(case: Case, simulated: Simulated, device: torch.device) -> Measurement:
    """Prepare a measurement as ``reconstruct`` does."""
    weights = fourier_weights(case, simulated)
    band = correction_band(weights, case.limit_shell)
    halves = [simulated.half1, simulated.half2]
    return prepare_measurement(halves, weights, band, simulated.mask, device, positivity=True)[0]


@dataclass(frozen=True)
class EpochScore:
    """Seconds until the map of an epoch is available, seconds of its prediction, and score in the cone."""

    seconds: float
    prediction_seconds: float
    score: float


def train_and_score(
    name: str, trainer: Trainer, held: HeldOut, predict: Callable[[], Tensor]
) -> list[EpochScore]:
    """Train, and score the held-out cone after every epoch."""
    progress: list[EpochScore] = []
    start, paused = time.perf_counter(), 0.0

    def score_epoch() -> None:
        nonlocal paused
        if held.half2.is_cuda:
            torch.cuda.synchronize()
        now = time.perf_counter()
        predicted = predict()
        if held.half2.is_cuda:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - now
        progress.append(EpochScore(now - start - paused + seconds, seconds, held.score(predicted)))
        print(f"{name}: {progress[-1]}", flush=True)
        paused += time.perf_counter() - now

    with tempfile.TemporaryDirectory() as folder:
        trainer.train(name, Path(folder) / "checkpoint.safetensors", resume=False, after_epoch=score_epoch)
    return progress


if __name__ == "__main__":
    main()
