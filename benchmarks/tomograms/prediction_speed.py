"""Time and memory of predicting a tomogram, compared with 96-voxel tiles at batch 1 in float32.

    python benchmarks/tomograms/prediction_speed.py [--shape 64,256,256] [--filter_base 32] [--device cuda]

Both methods run the same untrained network on the same device. ``reference`` predicts tiles of 96 voxels, of
which the inner 64 are kept, one after the other; ``spisonet`` is the prediction of ``isonet.py predict``,
reading and writing included. Prints a Markdown table. Memory is the increase of the peak resident size of the
process, so it is valid only for a method that runs alone (``--only``).
"""

from __future__ import annotations

import argparse
import itertools
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from spisonet.io.mrc import Volume, write_volume
from spisonet.io.tomograms import open_tomogram
from spisonet.learning.devices import Backend, choose_devices, describe_device
from spisonet.learning.memory import Memory
from spisonet.learning.unet import UNet, fused
from spisonet.tomography.predict import TilePredictor, predict_tomogram
from spisonet.tomography.prediction_tasks import MAX_HOST_TILE_BYTES
from spisonet.tomography.tomogram import Tomogram

TILE, STRIDE = 96, 64


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", default="64,256,256")
    parser.add_argument("--filter_base", type=int, default=32)
    parser.add_argument("--device")
    parser.add_argument("--only", choices=("reference", "spisonet"))
    args = parser.parse_args()
    shape = tuple(int(n) for n in args.shape.split(","))
    device = choose_devices(args.device)[0]
    data = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    network = UNet(args.filter_base).eval()
    print(f"{describe_device(device)}, width {args.filter_base}, {args.shape} voxels\n")
    print("| | s | µs per voxel | memory / MB |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.mrc"
        write_volume(path, Volume(data, 10.0), "noise")
        tomogram = Tomogram("t", (open_tomogram(path),), (-60.0, 60.0), None, None, 1)
        for name, run in (("reference", _predict_reference), ("spisonet", _predict)):
            if args.only in (None, name):
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                start = time.perf_counter()
                run(tomogram, network, device, Path(folder) / f"{name}.mrc")
                seconds = time.perf_counter() - start
                memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
                print(f"| {name} | {seconds:.1f} | {1e6 * seconds / data.size:.2f} | {memory:.0f} |")


def _predict(tomogram: Tomogram, network: UNet, device: torch.device, output: Path) -> None:
    backend = Backend.fastest(device)
    placed = backend.to_device(fused(network))
    max_bytes = MAX_HOST_TILE_BYTES if device.type == "cpu" else None
    tile = Memory(device).largest_tile(placed, tomogram.shape, max_bytes)
    predict_tomogram(tomogram, TilePredictor(placed, backend, tomogram, 0), device, tile, output, "spisonet")


def _predict_reference(tomogram: Tomogram, network: UNet, device: torch.device, output: Path) -> None:
    data = tomogram.volumes[0].read()
    margin = (TILE - STRIDE) // 2
    padded = np.pad(data, [(margin, TILE)] * 3, mode="symmetric")
    result = np.zeros_like(padded)
    placed = network.to(device).to(memory_format=torch.contiguous_format)
    with torch.no_grad():
        for corner in itertools.product(*(range(0, n, STRIDE) for n in data.shape)):
            part = tuple(slice(first, first + TILE) for first in corner)
            predicted = (
                placed(torch.from_numpy(padded[part].copy())[None, None].to(device))[0, 0].cpu().numpy()
            )
            inner = tuple(slice(first + margin, first + margin + STRIDE) for first in corner)
            result[inner] = predicted[margin:-margin, margin:-margin, margin:-margin]
    write_volume(output, Volume(result, 10.0), "reference")


if __name__ == "__main__":
    main()
