"""Subvolumes per second of a training step, and its arithmetic rate relative to a single convolution.

    python benchmarks/training_speed.py [--device cuda] [--box 256] [--cube_size 64] [--filter_base 32]

Counts the floating-point operations of one update (PyTorch's FlopCounterMode), and times updates of
filled-map self-training in bf16 and float32 and of spIsoNet's published method on the same synthetic half
maps. The rate of one large convolution on the same device is the upper bound; the table gives the fraction of
it that is reached. *Operations* are those of one update that are not views, without compilation: about as
many kernels are launched on a GPU. *Host reads* are operations after which the host waits for the device.
Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from spisonet.fourier.grids import frequency_axes_rfft, irfft3, radius_rfft, rfft3
from spisonet.fourier.windows import soft_lowpass_weights
from spisonet.io.atomic import write_json
from spisonet.learning.devices import Backend, choose_devices, describe_device, keep_freed_memory
from spisonet.learning.measurement import Measurement
from spisonet.learning.memory import Memory
from spisonet.learning.objectives import EquivarianceObjective, SelfTrainingObjective
from spisonet.learning.trainer import Trainer, TrainingOptions
from spisonet.learning.unet import PublishedUNet, UNet

if TYPE_CHECKING:
    from collections.abc import Callable

WARM_UP = 5
HOST_READS = {torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero, torch.ops.aten.masked_select}
RATE_CHANNELS = 64


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", help="[default: the first GPU, or the CPU]")
    parser.add_argument("--box", type=int, default=256)
    parser.add_argument("--cube_size", type=int, default=64)
    parser.add_argument("--filter_base", type=int, default=32)
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument(
        "--convolution_edge", type=int, default=64, help="volume edge of the single convolution"
    )
    parser.add_argument("--json", type=Path, help="file for the results, written after each row")
    args = parser.parse_args()
    keep_freed_memory()
    device = choose_devices(args.device)[0]
    print(
        f"{describe_device(device)}, PyTorch {torch.__version__}, box {args.box}, "
        f"subvolumes of {args.cube_size}, width {args.filter_base}\n"
    )
    measurement = synthetic(args.box).to(device)
    dtypes = {True: torch.bfloat16, False: torch.float32}
    rates = {mixed: convolution_rate(device, dtype, args.convolution_edge) for mixed, dtype in dtypes.items()}
    print(
        "| method | batch | GFLOP per subvolume | subvolumes/s | TFLOP/s "
        "| single convolution, TFLOP/s | fraction | peak GB | operations | host reads |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    rows: list[dict[str, float | str | None]] = []
    for batch_size in args.batch_sizes:
        for name, mixed, published in (
            ("self-training, bf16", True, False),
            ("self-training, float32", False, False),
            ("published", False, True),
        ):
            trainer = make_trainer(measurement, device, args, batch_size, published, mixed)
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            seconds = timed(trainer.update, device, args.updates)
            trainer.compiled = None  # operations of compiled code are not counted
            with FlopCounterMode(display=False) as counter:
                trainer.compute_gradients()
            operations = counter.get_total_flops()
            with LaunchCounter() as launches:
                trainer.update()
            peak = torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None
            rate = operations / seconds
            cells = [
                *(name, batch_size, f"{operations / batch_size / 1e9:.1f}", f"{batch_size / seconds:.1f}"),
                *(f"{rate / 1e12:.3f}", f"{rates[mixed] / 1e12:.3f}", f"{100 * rate / rates[mixed]:.0f} %"),
                "-" if peak is None else f"{peak:.1f}",
                *(launches.n_operations, launches.n_host_reads),
            ]
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)
            rows.append(
                {
                    "method": name,
                    "batch_size": batch_size,
                    "operations_per_subvolume": operations / batch_size,
                    "subvolumes_per_second": batch_size / seconds,
                    "operations_per_second": rate,
                    "operations_per_second_of_a_convolution": rates[mixed],
                    "peak_gigabytes": peak,
                    "operations_launched_per_update": launches.n_operations,
                    "host_reads_per_update": launches.n_host_reads,
                }
            )
            if args.json is not None:
                write_json(args.json, {"device": describe_device(device), "rows": rows})


class LaunchCounter(TorchDispatchMode):
    """Counts the operations of PyTorch that are not views, and those that make the host wait.

    Attributes
    ----------
    n_operations, n_host_reads : int
        Numbers so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.n_operations = self.n_host_reads = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Count an operation, and carry it out."""
        self.n_operations += not func.is_view
        self.n_host_reads += func.overloadpacket in HOST_READS or _has_boolean_index(func, args)
        return func(*args, **(kwargs or {}))


def _has_boolean_index(func: Any, args: tuple[Any, ...]) -> bool:
    """Whether an operation indexes with a mask, whose number of elements the host has to know."""
    if func.overloadpacket not in (torch.ops.aten.index, torch.ops.aten.index_put_):
        return False
    return any(index is not None and index.dtype == torch.bool for index in args[1])


def make_trainer(
    measurement: Measurement,
    device: torch.device,
    args: argparse.Namespace,
    batch_size: int,
    published: bool,
    mixed: bool,
) -> Trainer:
    """Return a trainer with enough updates for the network to be compiled where compilation is used."""
    torch.manual_seed(0)
    options = TrainingOptions(30, 1000, batch_size, 1, learning_rate=1e-4, seed=0, published=published)
    network = (PublishedUNet if published else UNet)(args.filter_base)
    objective = (
        EquivarianceObjective(measurement, args.cube_size, 1.0, 0.5)
        if published
        else SelfTrainingObjective(measurement, args.cube_size)
    )
    trainer = Trainer(network, objective, options, device, Memory(device).largest_tile(network))
    trainer.backend = Backend(device, bfloat16=mixed)
    return trainer


def timed(function: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Return seconds per call, after a warm-up."""
    for _ in range(WARM_UP):
        function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / repeats


def convolution_rate(device: torch.device, dtype: torch.dtype, edge: int) -> float:
    """Return operations per second of forward and backward passes of one large convolution."""
    layer = torch.nn.Conv3d(RATE_CHANNELS, RATE_CHANNELS, 3, padding=1, bias=False).to(device, dtype)
    layer = layer.to(memory_format=torch.channels_last_3d)
    volumes = torch.randn(2, RATE_CHANNELS, edge, edge, edge, device=device, dtype=dtype)
    volumes = volumes.contiguous(memory_format=torch.channels_last_3d).requires_grad_()

    def step() -> None:
        layer(volumes).sum().backward()

    operations = 3 * 2 * 27 * RATE_CHANNELS**2 * 2 * edge**3
    return operations / timed(step, device, 5)


def synthetic(box: int) -> Measurement:
    """Return two half maps of filtered noise in a ball, with a missing cone."""
    rng = np.random.default_rng(0)
    shape = (box, box, box)
    radius = radius_rfft(shape)
    kz, _, _ = frequency_axes_rfft(shape)
    band = soft_lowpass_weights(box, 0.35 * box, 1)
    weight = (band * (np.abs(kz) < 0.5 * np.maximum(radius, 1))).astype(np.float32)
    axis = np.arange(box) - box // 2
    r2 = axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2
    ball = (r2 < (0.3 * box) ** 2).astype(np.float32)
    signal = rng.normal(size=shape).astype(np.float32) * ball
    data = []
    for _ in range(2):
        noisy = signal + 0.3 * rng.normal(size=shape).astype(np.float32)
        filtered = irfft3((rfft3(noisy) * weight).astype(np.complex64), shape)
        data.append(filtered / filtered.std())
    return Measurement(
        data=torch.from_numpy(np.stack(data)),
        fsc_weight_rfft=torch.from_numpy(weight),
        view_weight_rfft=torch.from_numpy(weight),
        noise_fraction_in_mask=0.2,
        band_rfft=torch.from_numpy(band),
        band_fraction=0.7,
        subvolume_centres=torch.from_numpy(np.argwhere(ball > 0)[:, ::-1].astype(np.float32)),
        support=torch.from_numpy(ball),
        positivity=True,
    )


if __name__ == "__main__":
    main()
