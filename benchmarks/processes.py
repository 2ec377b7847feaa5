"""Train a map by one and by several processes on a CPU: equality of the results, bytes and time of the sums.

``python -m benchmarks.processes HALF1 HALF2 MASK OUTPUT_DIR --processes 1 2 4`` starts one run after another
under ``torchrun`` (gloo), with the same batch over all processes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed

from spisonet.io.mrc import read_volume

if TYPE_CHECKING:
    from torch import Tensor

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node")
MAP = "corrected_half1.mrc"
INSIDE = 0.5  # of a soft mask
WORKER = "worker"


def measure_exchange(record: Path, words: list[str]) -> None:
    """Run ``spisonet.py`` in one of several processes, and record its sums over all processes."""
    from spisonet.commands.main import main  # noqa: PLC0415

    calls: list[tuple[int, float]] = []
    original = torch.distributed.all_reduce

    def timed(tensor: Tensor, *arguments: Any, **options: Any) -> Any:
        begin = time.perf_counter()
        result = original(tensor, *arguments, **options)
        calls.append((tensor.numel() * tensor.element_size(), time.perf_counter() - begin))
        return result

    torch.distributed.all_reduce = timed
    try:
        main(words)
    finally:
        largest = max((n_bytes for n_bytes, _ in calls), default=0)
        seconds = sorted(s for n_bytes, s in calls if n_bytes == largest)
        rank = os.environ.get("RANK", "0")
        report = {
            "gradient_bytes": largest,
            "gradient_sums": len(seconds),
            "other_bytes": sum(n_bytes for n_bytes, _ in calls if n_bytes != largest),
            "median_milliseconds": 1e3 * seconds[len(seconds) // 2] if seconds else 0.0,
            "cpu_seconds": time.process_time(),
        }
        record.with_suffix(f".{rank}.json").write_text(json.dumps(report), encoding="utf-8")


def correlations(first: Path, second: Path, half1: Path, mask: Path) -> tuple[float, float]:
    """Return the correlation of two maps inside a mask, and that of what they change in half map 1."""
    inside = read_volume(mask).data > INSIDE
    before = read_volume(half1).data[inside]
    a, b = (read_volume(path).data[inside] for path in (first, second))
    return float(np.corrcoef(a, b)[0, 1]), float(np.corrcoef(a - before, b - before)[0, 1])


def main() -> None:
    """Run all numbers of processes, and print a table."""
    if sys.argv[1:2] == [WORKER]:
        measure_exchange(Path(sys.argv[2]), sys.argv[3:])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inputs", nargs=3, type=Path, metavar="FILE", help="two half maps and a mask")
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--options", default="--epochs 2 --n_subvolume 100 --cube_size 32 --filter_base 16")
    parser.add_argument("--batch_size", type=int, default=4)
    arguments = parser.parse_args()
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    half1, half2, mask = arguments.inputs
    for count in arguments.processes:
        folder = arguments.output_dir / f"processes_{count}"
        record = arguments.output_dir / f"exchange_{count}"
        words = ["reconstruct", half1, half2, "--mask", mask, "--output_dir", folder, "--device", "cpu"]
        words += [
            *arguments.options.split(),
            "--batch_size",
            arguments.batch_size,
            "--no-report",
            "--ncpus",
            1,
        ]
        begin = time.perf_counter()
        subprocess.run(
            [*TORCHRUN, str(count), "-m", "benchmarks.processes", WORKER, record, *map(str, words)],
            check=True,
        )
        seconds = time.perf_counter() - begin
        found = [
            json.loads(path.read_text()) for path in sorted(arguments.output_dir.glob(f"exchange_{count}.*"))
        ]
        first = arguments.output_dir / f"processes_{arguments.processes[0]}" / MAP
        whole, change = correlations(first, folder / MAP, half1, mask)
        result = {
            "processes": count,
            "correlation": round(whole, 5),
            "correlation_of_change": round(change, 5),
            "seconds": round(seconds, 1),
            "by_process": found,
        }
        print(json.dumps(result))


if __name__ == "__main__":
    main()
