"""Networks of other kinds than the residual U-Net, trained for equal CPU times on cases with known truth.

    python -m benchmarks.quality.networks --cases CASES [--only hemagglutinin72_top ...] [--updates 200]

Every network trains on each case as ``reconstruct --prior none`` does, on one thread and without a held-out
cone, for as many updates as take the CPU time of the given number of updates of the U-Net. The score is that
of half map 1: mean FSC to the truth where the views give less than 2 % of an even share (*empty*), and
correlation in the mask. Prints a Markdown table with the floating-point operations of an update.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.quality.cases import load_case
from benchmarks.quality.scoring import EMPTY, score_map
from spisonet.analysis.half_maps import read_half_maps
from spisonet.anisotropy.fourier_weights import estimate_fourier_weights
from spisonet.anisotropy.preparation import correction_band, prepare_measurement
from spisonet.learning.devices import keep_freed_memory
from spisonet.learning.memory import Memory
from spisonet.learning.training_config import TrainingConfig
from spisonet.learning.unet import NEGATIVE_SLOPE, SampleNorm3d, UNet

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from benchmarks.quality.cases import Case
    from spisonet.learning.measurement import Measurement
    from spisonet.learning.training_job import TrainingJob

WIDTH, CUBE_SIZE, BATCH_SIZE, LEARNING_RATE = 16, 32, 2, 2e-3
KERNEL, EXPANSION = 5, 2  # of ConvNeXt-style blocks
TIMED_UPDATES = 4
CPU = torch.device("cpu")


def with_blocks(network: UNet, block: Callable[[int, int], nn.Module]) -> UNet:
    """Replace the blocks of all levels but the first by others of the same channels."""
    for blocks in (network.encoders, network.decoders):
        for number, own in enumerate(blocks):
            convolutions = [layer for layer in own.modules() if isinstance(layer, nn.Conv3d)]
            if convolutions[0].in_channels > 1:
                blocks[number] = block(convolutions[0].in_channels, convolutions[-1].out_channels)
    return network


def separable(n_in: int, n_out: int) -> nn.Module:
    """Two depthwise convolutions of 3³, each followed by a pointwise one (Chollet 2017, arXiv:1610.02357)."""
    layers: list[nn.Module] = []
    for channels in (n_in, n_out):
        layers += [nn.Conv3d(channels, channels, 3, padding=1, groups=channels, bias=False)]
        layers += [nn.Conv3d(channels, n_out, 1), SampleNorm3d(n_out), nn.LeakyReLU(NEGATIVE_SLOPE)]
    return nn.Sequential(*layers)


def by_axes(n_in: int, n_out: int) -> nn.Module:
    """Two convolutions, each along one axis after the other, with a third of the operations."""
    layers: list[nn.Module] = []
    for channels in (n_in, n_out):
        layers += [nn.Conv3d(channels, n_out, (3, 1, 1), padding=(1, 0, 0), bias=False)]
        layers += [nn.Conv3d(n_out, n_out, (1, 3, 1), padding=(0, 1, 0), bias=False)]
        layers += [nn.Conv3d(n_out, n_out, (1, 1, 3), padding=(0, 0, 1))]
        layers += [SampleNorm3d(n_out), nn.LeakyReLU(NEGATIVE_SLOPE)]
    return nn.Sequential(*layers)


class ConvNeXtBlock(nn.Module):
    """A depthwise convolution and two pointwise ones with a residual (Liu et al. 2022, arXiv:2201.03545)."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.inputs = nn.Conv3d(n_in, n_out, 1) if n_in != n_out else nn.Identity()
        self.block = nn.Sequential(
            nn.Conv3d(n_out, n_out, KERNEL, padding=KERNEL // 2, groups=n_out),
            SampleNorm3d(n_out),
            nn.Conv3d(n_out, EXPANSION * n_out, 1),
            nn.GELU(),
            nn.Conv3d(EXPANSION * n_out, n_out, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(batch, n_in, z, y, x)`` to ``(batch, n_out, z, y, x)``."""
        features = self.inputs(features)
        result: Tensor = features + self.block(features)
        return result


NETWORKS: dict[str, Callable[[], UNet]] = {
    "U-Net": lambda: UNet(WIDTH),
    "half width": lambda: UNet(WIDTH // 2),
    "depthwise separable": lambda: with_blocks(UNet(WIDTH), separable),
    "convolutions by axes": lambda: with_blocks(UNet(WIDTH), by_axes),
    "ConvNeXt blocks": lambda: with_blocks(UNet(WIDTH), ConvNeXtBlock),
}


def measurement_of(case: Case) -> Measurement:
    """Prepare a case as ``reconstruct`` does."""
    paths = [case.folder / f"{name}.mrc" for name in ("half1", "half2", "mask")]
    maps = read_half_maps(paths[0], paths[1], paths[2], None)
    assert maps.half2 is not None
    weights = estimate_fourier_weights(maps, None, case.resolution_angstrom, 1)
    band = correction_band(weights, case.box * case.voxel_size_angstrom / case.resolution_angstrom)
    halves = [maps.half1.data, maps.half2.data]
    return prepare_measurement(halves, weights, band, case.mask, CPU, positivity=True)[0]


def job_of(measurement: Measurement, network: UNet, n_updates: int) -> TrainingJob:
    """Return the training of a network on a measurement."""
    training = TrainingConfig(
        "self-training",
        epochs=1,
        n_subvolume=BATCH_SIZE * n_updates,
        cube_size=CUBE_SIZE,
        filter_base=WIDTH,
        acc_batches=1,
        seed=0,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        predict_crop_size=None,
        alpha=1.0,
        beta=0.5,
    )
    return replace(training.training_job("network", measurement, Memory(CPU)), network=network)


def seconds_per_update(measurement: Measurement, network: UNet) -> tuple[float, float]:
    """Return the smallest CPU time of a few updates, and the floating-point operations of one."""
    trainer, objective = job_of(measurement, network, TIMED_UPDATES).prepare(CPU)
    objective.refresh(0, trainer.predict)
    seconds = []
    for _ in range(TIMED_UPDATES):
        start = time.process_time()
        trainer.update()
        seconds.append(time.process_time() - start)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(BATCH_SIZE, 1, *(CUBE_SIZE,) * 3))
    # The counter does not know groups in the backward pass, which takes twice the operations.
    return min(seconds), 3 * counter.get_total_flops()


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=Path, required=True, help="folder of the cases")
    parser.add_argument("--only", nargs="*", help="parts of the names of cases [default: all cases]")
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--updates", type=int, default=200, help="of the U-Net")
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    folders = sorted(path.parent for path in args.cases.glob("*/case.json"))
    print("| case | network | parameters | GFLOP per update | s per update | updates | empty | ccmask |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for folder in folders:
        if args.only and not any(part in folder.name for part in args.only):
            continue
        case = load_case(folder)
        measurement = measurement_of(case)
        budget = args.updates * seconds_per_update(measurement, UNet(WIDTH))[0]
        for name in args.networks:
            torch.manual_seed(0)
            network = NETWORKS[name]()
            seconds, operations = seconds_per_update(measurement, NETWORKS[name]())
            n_updates = round(budget / seconds)
            trainer, objective = job_of(measurement, network, n_updates).prepare(CPU)
            trainer.train(name, None, resume=False)
            prediction = objective.predict(trainer.predict)
            assert prediction is not None
            score = score_map(case, measurement.complete(prediction, prior_weight=1.0)[0].numpy())
            n_parameters = sum(p.numel() for p in network.parameters())
            cells = [folder.name, name, f"{n_parameters / 1e6:.2f} M", f"{operations / 1e9:.1f}"]
            cells += [f"{seconds:.3f}", n_updates, f"{score.fsc[EMPTY]:.3f}", f"{score.ccmask:.3f}"]
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
