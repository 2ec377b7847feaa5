"""Seconds of each stage of a whole ``reconstruct`` run, and its peak memory, by box size.

    python benchmarks/run_stages.py --models FOLDER [--boxes 128 256] [--json stages.json] [-- --epochs 4 ...]

Simulates half maps of a model seen from the top, with a mask, and runs ``spisonet.py reconstruct`` on them
with the options after ``--`` (none: the defaults). Times are read from the run's progress events. Prints a
Markdown table. Needs gemmi.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).parents[1]))  # the checkout
from benchmarks.quality.simulate import Case, simulate
from spisonet.io.atomic import write_json
from spisonet.io.events import PROGRESS_FILE, ProgressEvent
from spisonet.io.mrc import Volume, write_volume

if TYPE_CHECKING:
    from collections.abc import Sequence

NYQUIST_FRACTION = 0.7  # of the resolution at which the signal-to-noise ratio of a case is 1
BEFORE, BETWEEN = "reading, 3D FSC, weights", "other"


@dataclass(frozen=True)
class RunTimes:
    """Times of one run.

    Attributes
    ----------
    box : int
        Edge of the maps in voxels.
    seconds : float
        Wall time of the process.
    cpu_seconds : float
        Its CPU time.
    peak_gigabytes : float
        Largest resident memory of the host.
    stages : dict
        Seconds by stage, in the order of the run; they add up to `seconds`.
    """

    box: int
    seconds: float
    cpu_seconds: float
    peak_gigabytes: float
    stages: dict[str, float]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--model", default="ribosome30s_4v4r.pdb")
    parser.add_argument("--boxes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--extent", type=float, default=300.0, help="edge of the box in Å")
    parser.add_argument("--json", type=Path, help="file for the results, written after each run")
    parser.add_argument("options", nargs="*", help="options of reconstruct, after --")
    args = parser.parse_args()
    results: list[RunTimes] = []
    for box in args.boxes:
        voxel_size = args.extent / box
        case = Case("stages", args.model, box, voxel_size, 2 * voxel_size / NYQUIST_FRACTION)
        with tempfile.TemporaryDirectory() as folder:
            results.append(time_run(case, args.models, Path(folder), args.options))
        if args.json is not None:
            write_json(args.json, [asdict(result) for result in results])
    print(stage_table(results))


def time_run(case: Case, models: Path, folder: Path, options: Sequence[str]) -> RunTimes:
    """Run ``reconstruct`` on a simulated case and time its stages.

    Raises
    ------
    CalledProcessError
        If the run fails.
    """
    simulated = simulate(case, models, seed=1)
    volumes = {"half1": simulated.half1, "half2": simulated.half2, "mask": simulated.mask}
    for name, volume in volumes.items():
        write_volume(folder / f"{name}.mrc", Volume(volume, case.voxel_size))
    paths = [str(folder / f"{name}.mrc") for name in ("half1", "half2")]
    output = folder / "corrected"
    command = ["spisonet.py", "reconstruct", *paths, "--mask", str(folder / "mask.mrc")]
    limit = ["--limit_res", f"{case.resolution:.3f}", "--output_dir", str(output)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started, start = time.time(), time.perf_counter()
    subprocess.run([*command, *limit, *options], check=True)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    lines = (output / PROGRESS_FILE).read_text().splitlines()
    events = [ProgressEvent(**json.loads(line)) for line in lines]
    stages = seconds_by_stage(events, started, seconds)
    return RunTimes(case.box, seconds, cpu, after.ru_maxrss / 2**20, stages)


def seconds_by_stage(events: Sequence[ProgressEvent], started: float, seconds: float) -> dict[str, float]:
    """Divide the time of a run among its stages.

    The time before an event belongs to its stage if the event before it is of the same stage or the event is
    the end of an epoch of training, and otherwise to no stage.

    Parameters
    ----------
    events : sequence of ProgressEvent
        All events of the run.
    started : float
        Start of the run in seconds since the Unix epoch.
    seconds : float
        Duration of the run.
    """
    stages: dict[str, float] = {BEFORE: 0.0}
    previous, stage = started, BEFORE
    for event in events:
        continued = event.stage in (stage, "training")
        name = BEFORE if stage == BEFORE else event.stage if continued else BETWEEN
        stages[name] = stages.get(name, 0.0) + event.time - previous
        previous, stage = event.time, event.stage
    stages[BETWEEN] = stages.pop(BETWEEN, 0.0) + started + seconds - previous
    return stages


def stage_table(results: Sequence[RunTimes]) -> str:
    """Return a Markdown table with a row for each stage and a column for each box."""
    names = list(dict.fromkeys(name for result in results for name in result.stages))
    rows = [["stage", *(f"{result.box}³" for result in results)], ["---"] * (len(results) + 1)]
    for name in names:
        times = [(result.stages.get(name, 0.0), result.seconds) for result in results]
        cells = [f"{seconds:.1f} s ({100 * seconds / whole:.0f} %)" for seconds, whole in times]
        rows.append([name, *cells])
    rows.append(["whole run", *(f"{result.seconds:.0f} s" for result in results)])
    rows.append(["CPU time", *(f"{result.cpu_seconds:.0f} s" for result in results)])
    rows.append(["peak memory of the host", *(f"{result.peak_gigabytes:.1f} GB" for result in results)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    main()
