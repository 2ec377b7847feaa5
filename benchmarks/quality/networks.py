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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.quality.cases import load_case
from benchmarks.quality.scoring import EMPTY, score_map
from spisonet.analysis.half_maps import read_half_maps
from spisonet.anisotropy.fourier_weights import estimate_fourier_weights
from spisonet.anisotropy.preparation import correction_band, prepare_measurement
from spisonet.learning.devices import keep_freed_memory
from spisonet.learning.memory import Memory
from spisonet.learning.spectra import FourierWeight, apply_filter, frequency_points_rfft
from spisonet.learning.training_config import TrainingConfig
from spisonet.learning.unet import CONVOLUTIONS, NEGATIVE_SLOPE, ConvBlock, SampleNorm3d, UNet

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from benchmarks.quality.cases import Case
    from spisonet.learning.measurement import Measurement
    from spisonet.learning.self_training import SpectralWeight
    from spisonet.learning.training_job import TrainingJob

WIDTH, CUBE_SIZE, BATCH_SIZE, LEARNING_RATE = 16, 32, 2, 2e-3
KERNEL, EXPANSION = 5, 2  # of ConvNeXt-style blocks
HALF_TURNS = 4  # with the identity
TURNED_AXES = ((), (-3, -2), (-3, -1), (-2, -1))  # that the half turns reverse
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


class HalfTurnConvolution(nn.Module):
    """Convolution with weights shared over the half turns about the three axes.

    Channels are sets of four features, one for each half turn and one for the identity. A half turn of the
    input turns the features and permutes them within their sets (Cohen & Welling 2016, arXiv:1602.07576).

    Parameters
    ----------
    layer : nn.Conv3d or nn.ConvTranspose3d
        Layer to replace; an edge of one channel is one feature that a half turn only turns.
    """

    def __init__(self, layer: nn.Conv3d | nn.ConvTranspose3d) -> None:
        super().__init__()
        self.transposed = isinstance(layer, nn.ConvTranspose3d)
        self.stride, self.padding = layer.stride, cast("tuple[int, ...]", layer.padding)
        weight = layer.weight.detach()
        weight = weight.transpose(0, 1) if self.transposed else weight
        n_out, n_in = weight.shape[:2]
        self.lifts, self.ends = n_in == 1, n_out == 1
        rows = weight if self.ends else weight[::HALF_TURNS]
        self.weight = nn.Parameter(rows.clone())
        assert layer.bias is not None
        self.bias = nn.Parameter(layer.bias.detach()[:: 1 if self.ends else HALF_TURNS].clone())

    def shared_weight(self) -> Tensor:
        """Weight ``(n_out, n_in, z, y, x)`` of an ordinary convolution."""
        if self.ends:  # the same weight for all four features
            return self.weight[:, ::HALF_TURNS].repeat_interleave(HALF_TURNS, dim=1)
        turned = []
        for turn, axes in enumerate(TURNED_AXES):
            weight = self.weight.flip(axes) if axes else self.weight
            if not self.lifts:
                sets = weight.reshape(len(weight), -1, HALF_TURNS, *weight.shape[2:])
                # Half turns commute, and the product of two is their exclusive or.
                weight = sets[:, :, [turn ^ other for other in range(HALF_TURNS)]].flatten(1, 2)
            turned.append(weight)
        return torch.stack(turned, dim=1).flatten(0, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Convolve ``(batch, n_in, z, y, x)``."""
        weight = self.shared_weight()
        bias = self.bias if self.ends else self.bias.repeat_interleave(HALF_TURNS)
        if self.transposed:
            weight = weight.transpose(0, 1)
            return functional.conv_transpose3d(features, weight, bias, self.stride, self.padding)
        return functional.conv3d(features, weight, bias, self.stride, self.padding)


class HalfTurnNorm(SampleNorm3d):
    """`SampleNorm3d` with one scale and one offset for the four features of a set."""

    def __init__(self, n_channels: int) -> None:
        super().__init__(n_channels)
        for name in ("weight", "bias"):
            parametrize.register_parametrization(self, name, _MeanOfSets())


class _MeanOfSets(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        """Replace each of the four values of a set by their mean."""
        return values.reshape(-1, HALF_TURNS).mean(dim=1).repeat_interleave(HALF_TURNS)


def shared_over_half_turns(network: UNet) -> UNet:
    """Share all weights of a U-Net over the half turns about the axes."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
                setattr(parent, name, HalfTurnConvolution(layer))
            elif isinstance(layer, SampleNorm3d):
                setattr(parent, name, HalfTurnNorm(layer.num_features))
    for blocks in (network.encoders, network.decoders):
        for number, block in enumerate(blocks):
            blocks[number] = nn.Sequential(*cast("ConvBlock", block))  # its layers cannot be fused
    return network


class FourierSplitBlock(nn.Module):
    """Two convolutions of the features and of their part in the unmeasured region of Fourier space.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    weight : SpectralWeight
        Weight of the measurement in 0..1, as a function of the frequency of the features.
    """

    def __init__(self, n_in: int, n_out: int, weight: SpectralWeight) -> None:
        super().__init__()
        self.weight = weight
        self.block = ConvBlock(2 * n_in, n_out, CONVOLUTIONS, NEGATIVE_SLOPE, SampleNorm3d)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(batch, n_in, z, y, x)`` to ``(batch, n_out, z, y, x)``."""
        z, y, x = features.shape[-3:]
        missing = 1 - self.weight.at(frequency_points_rfft((z, y, x), features.device))
        unmeasured = apply_filter(features.float(), missing)
        result: Tensor = self.block(torch.cat([features, unmeasured], dim=1))
        return result


@dataclass(frozen=True)
class _AtLevel:
    """The weight of the maps at the frequencies of pooled features."""

    weight: SpectralWeight
    pooling: int

    def at(self, points: Tensor) -> Tensor:
        """Weight at frequencies ``(..., 3)`` in cycles per pooled voxel."""
        return self.weight.at(points / self.pooling)


def split_in_fourier_space(network: UNet, weight: SpectralWeight) -> UNet:
    """Let all levels but the first see which part of their features lies in the unmeasured region."""
    for level in range(1, len(network.encoders)):
        n_in, n_out = network.filter_base * 2 ** (level - 1), network.filter_base * 2**level
        network.encoders[level] = FourierSplitBlock(n_in, n_out, _AtLevel(weight, 2**level))
    for number in range(len(network.decoders)):
        level = len(network.decoders) - 1 - number
        n_out = network.filter_base * 2**level
        network.decoders[number] = FourierSplitBlock(2 * n_out, n_out, _AtLevel(weight, 2**level))
    return network


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


# Functions of the weight of the measurement.
NETWORKS: dict[str, Callable[[SpectralWeight], UNet]] = {
    "U-Net": lambda _: UNet(WIDTH),
    "half width": lambda _: UNet(WIDTH // 2),
    "depthwise separable": lambda _: with_blocks(UNet(WIDTH), separable),
    "convolutions by axes": lambda _: with_blocks(UNet(WIDTH), by_axes),
    "ConvNeXt blocks": lambda _: with_blocks(UNet(WIDTH), ConvNeXtBlock),
    "weights shared over half turns": lambda _: shared_over_half_turns(UNet(WIDTH)),
    "split in Fourier space": lambda weight: split_in_fourier_space(UNet(WIDTH), weight),
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


def job_of(measurement: Measurement, network: UNet, n_updates: int, seed: int = 0) -> TrainingJob:
    """Return the training of a network on a measurement."""
    training = TrainingConfig(
        "self-training",
        epochs=1,
        n_subvolume=BATCH_SIZE * n_updates,
        cube_size=CUBE_SIZE,
        filter_base=WIDTH,
        acc_batches=1,
        seed=seed,
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
    parser.add_argument("--seed", type=int, default=0, help="random seed of the weights and the training")
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
        weight = FourierWeight(measurement.fsc_weight_rfft.numpy(), case.box, CPU)
        budget = args.updates * seconds_per_update(measurement, UNet(WIDTH))[0]
        for name in args.networks:
            seconds, operations = seconds_per_update(measurement, NETWORKS[name](weight))
            torch.manual_seed(args.seed)
            network = NETWORKS[name](weight)
            n_updates = round(budget / seconds)
            trainer, objective = job_of(measurement, network, n_updates, args.seed).prepare(CPU)
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
