"""Many programs at once in one project, and large projects in the graphical interface.

    python benchmarks/load.py [interface] [polling] [interfaces] [table] [jobs] [hooks] [--minutes M]

interface   a project of 5,000 jobs and a table of 2,000 tomograms: time of lists, memory over 200 polls
polling     memory of the server while the list of 5,000 jobs is asked for every 3 s, for an hour (--minutes)
interfaces  two interfaces of one project are asked for the same 20 jobs at once: each starts once
table       60 edits of a table by two interfaces, and 30 results of a program, at once: none is lost
jobs        50 External jobs (3D FSC) are started at once in one project: 50 exit files and results
hooks       20 calls of the refinement hook at once: 20 corrected maps; memory of all processes together

Prints a Markdown table. Wall times depend on what else runs; processor times do not.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mrcfile
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.gui_speed import GuiServer
from spisonet.io.tomogram_table import TomogramTable

if TYPE_CHECKING:
    from collections.abc import Callable

SCRIPTS = Path(sys.executable).parent
N_JOBS, N_TOMOGRAMS, N_POLLS = 5000, 2000, 200
N_EXTERNAL, N_HOOKS = 50, 20
POLLING_MINUTES, POLLING_SECONDS = 60.0, 3.0
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def show(quantity: str, value: str) -> None:
    """Print a row."""
    print(f"| {quantity} | {value} |", flush=True)


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process, with that of its ended children."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def post(server: GuiServer, path: str, body: object) -> tuple[int, Any]:
    """Send a request over a connection of its own; return status and content."""
    connection = http.client.HTTPConnection(server.host)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", f"{server.prefix}{path}", json.dumps(body), headers)
    response = connection.getresponse()
    content = json.loads(response.read())
    connection.close()
    return response.status, content


def write_many_jobs(project: Path) -> None:
    """Write the folders of finished jobs as the interface leaves them."""
    config = {"h1": "a.mrc", "o": "out.mrc", "low_res": 10.0, "high_res": 3.0}
    for number in range(1, N_JOBS + 1):
        folder = project / "jobs" / f"{number:03d}_whitening"
        folder.mkdir(parents=True)
        record = {"program": "spisonet", "command": "whitening", "config": config, "status": "finished"}
        launch = {"program": "spisonet", "key": str(number), "submitted": 1e9 + number, "requested_line": []}
        process = {"state": "ended", "exit_status": 0, "started": 1e9, "ended": 1e9 + 9, "host": "node"}
        for name, content in (("job", record), ("launch", launch), ("process", process)):
            (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        (folder / "run.out").write_text("done\n", encoding="utf-8")


def write_table(project: Path, n: int) -> None:
    """Write a table of small tomograms, half of which exist twice on disk (even, odd)."""
    (project / "even").mkdir()
    (project / "odd").mkdir()
    rows = []
    for number in range(n):
        for kind in ("even", "odd"):
            (project / kind / f"TS_{number}.mrc").touch()
        rows.append(
            {
                "rlnIndex": str(number + 1),
                "rlnTomoReconstructedTomogramHalf1": f"even/TS_{number}.mrc",
                "rlnTomoReconstructedTomogramHalf2": f"odd/TS_{number}.mrc",
                "rlnTomoName": f"TS_{number}",
                "rlnPixelSize": "10",
            }
        )
    TomogramTable.new(project / "tomograms.star", rows).write()


def measure_interface(project: Path) -> None:
    """Time the lists of a large project, and the memory of the server while it is polled."""
    write_many_jobs(project)
    write_table(project, N_TOMOGRAMS)
    server = GuiServer(project)

    def timed(path: str, **values: object) -> tuple[float, float, int]:
        wall, processor = time.perf_counter(), processor_seconds(server.process.pid)
        content = json.loads(server.get(path, **values))
        n = len(content["rows"] if isinstance(content, dict) else content)
        return time.perf_counter() - wall, processor_seconds(server.process.pid) - processor, n

    def times(path: str, **values: object) -> str:
        runs = [timed(path, **values) for _ in range(5)]
        wall, processor = (float(np.median([run[i] for run in runs])) for i in (0, 1))
        return f"{wall:.2f} s (processor {processor:.2f} s), {runs[-1][2]} lines"

    first = timed("api/jobs")
    show("list of jobs, first time", f"{first[0]:.2f} s (processor {first[1]:.2f} s), {first[2]} lines")
    show("list of jobs, later", times("api/jobs"))
    show("table of tomograms", times("api/table", name="tomograms.star"))
    memory = [server.memory_megabytes()[0]]
    for number in range(N_POLLS):
        server.get("api/jobs")
        if (number + 1) % (N_POLLS // 5) == 0:
            memory.append(server.memory_megabytes()[0])
    show(f"memory over {N_POLLS} polls of the list, MB", ", ".join(f"{m:.0f}" for m in memory))
    server.stop()


def measure_polling(project: Path, minutes: float = POLLING_MINUTES) -> None:
    """Poll the list of a large project for a long time; show the memory at eleven times."""
    write_many_jobs(project)
    server, memory, n_polls = GuiServer(project), list[float](), 0
    began, processor = time.monotonic(), processor_seconds(server.process.pid)
    for part in range(11):
        while time.monotonic() - began < 60 * minutes * part / 10 or not n_polls:
            server.get("api/jobs")
            n_polls += 1
            time.sleep(POLLING_SECONDS)
        memory.append(server.memory_megabytes()[0])
    seconds = (processor_seconds(server.process.pid) - processor) / n_polls
    show(
        f"memory over {n_polls} polls in {minutes:g} minutes, MB",
        f"{', '.join(f'{m:.0f}' for m in memory)} (processor {seconds:.2f} s for each poll)",
    )
    server.stop()


def measure_interfaces(project: Path) -> None:
    """Ask two interfaces of a project for jobs at once."""
    with mrcfile.new(project / "a.mrc") as mrc:
        mrc.set_data(np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32))
        mrc.set_volume()
        mrc.voxel_size = 3.0
    servers = [GuiServer(project) for _ in range(2)]

    def start(number: int) -> tuple[int, Any]:
        key = f"form number {number // 2}"  # every form is submitted in both interfaces
        values = {"h1": "a.mrc", "low_res": "40", "high_res": str(7 + number // 2)}
        body = {"program": "spisonet", "command": "whitening", "values": values, "target": {}, "key": key}
        return post(servers[number % 2], "api/start", body)

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(start, range(40)))
    refused = [content for status, content in replies if status != 200]
    folders = {content["name"] for status, content in replies if status == 200}
    listed = [json.loads(server.get("api/jobs")) for server in servers]
    show(
        "20 forms, each submitted in two interfaces at once",
        f"{len(folders)} jobs, {len(refused)} requests refused, listed {len(listed[0])} and {len(listed[1])}",
    )
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        states = [job["state"] for job in json.loads(servers[0].get("api/jobs"))]
        if not {"queued", "running"} & set(states):
            break
        time.sleep(2)
    show("of them finished", str(states.count("finished")))
    for server in servers:
        server.stop()


def measure_table(project: Path) -> None:
    """Edit a table by two interfaces while a program enters results."""
    n = 60
    write_table(project, n)
    servers = [GuiServer(project) for _ in range(2)]
    table = TomogramTable.read(project / "tomograms.star")
    refused = [0, 0]

    def edit(which: int) -> None:
        for row in range(which, n, 2):
            while True:
                shown = json.loads(servers[which].get("api/table", name="tomograms.star"))
                edited = {"column": "rlnDefocus", "value": str(10_000 + row), "version": shown["version"]}
                status, _ = post(
                    servers[which], "api/table/edit", {"name": "tomograms.star", "row": row} | edited
                )
                if status == 200:
                    break
                refused[which] += 1

    def enter() -> None:
        for row in table.rows[::2]:
            table.note(row, {"rlnCorrectedTomoName": f"corrected/{row.number}.mrc"})

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(edit, 0), pool.submit(edit, 1), pool.submit(enter)]:
            done.result()
    rows = TomogramTable.read(project / "tomograms.star").rows
    edits = sum(row.text("rlnDefocus") == str(10_000 + row.number) for row in rows)
    results = sum(row.text("rlnCorrectedTomoName") is not None for row in rows)
    left = [path.name for path in project.iterdir() if path.name.startswith(".")]
    show(
        f"{n} edits by two interfaces, {n // 2} results by a program, at once",
        f"{edits} edits and {results} results in the table; {sum(refused)} edits refused and repeated; "
        f"{len(left)} files left",
    )
    for server in servers:
        server.stop()


def run_at_once(
    commands: list[list[str]], project: Path, environment: dict[str, str]
) -> tuple[float, float, list[int]]:
    """Start commands at once; return wall seconds, peak memory of all in MB, and exit statuses."""
    start = time.perf_counter()
    processes = [
        subprocess.Popen(
            words,
            cwd=project,
            env={**os.environ, **ONE_THREAD, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for words in commands
    ]
    peak = 0.0
    while any(process.poll() is None for process in processes):
        peak = max(peak, memory_of_tree(os.getpid()))
        time.sleep(0.5)
    return time.perf_counter() - start, peak, [int(process.wait()) for process in processes]


def memory_of_tree(root: int) -> float:
    """Return the proportional memory (PSS) in MB of all processes below one."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            stat = (path / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        parents[int(path.name)] = int(stat.rpartition(")")[2].split()[1])
    total = 0
    for pid in parents:
        above = pid
        while above in parents and above != root:
            above = parents[above]
        if above != root or pid == root:
            continue
        try:
            found = re.search(
                r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8"), re.M
            )
        except OSError:
            continue
        total += int(found[1]) if found else 0
    return total / 1000


def measure_jobs(project: Path) -> None:
    """Start External jobs at once."""
    (project / "default_pipeline.star").touch()
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(32, 32, 32))
    for half in (1, 2):
        with mrcfile.new(project / f"run_half{half}_class001_unfil.mrc") as mrc:
            mrc.set_data((truth + rng.normal(size=truth.shape)).astype(np.float32))
            mrc.set_volume()
            mrc.voxel_size = 3.0
    folders = [Path("External") / f"job{number:03d}" for number in range(N_EXTERNAL)]
    for folder in folders:
        (project / folder).mkdir(parents=True)
    half1 = "run_half1_class001_unfil.mrc"
    commands = [
        [str(SCRIPTS / "spisonet-job-fsc3d"), "--o", f"{folder}/", "--in_3dref", half1, "--j", "1"]
        for folder in folders
    ]
    wall, peak, statuses = run_at_once(commands, project, {})
    ended = sum((project / folder / "RELION_JOB_EXIT_SUCCESS").is_file() for folder in folders)
    maps = {(project / folder / "FSC3D.mrc").read_bytes()[1024:] for folder in folders}
    left = [path for path in project.rglob(".*") if path.is_file()]
    show(
        f"{N_EXTERNAL} External jobs at once",
        f"{statuses.count(0)} succeeded, {ended} exit files, {len(maps)} different result, "
        f"{len(left)} files left; {wall:.0f} s, {peak:.0f} MB at most",
    )


def measure_hooks(project: Path) -> None:
    """Start calls of the refinement hook at once, one in each of as many jobs."""
    from spisonet.io.mrc import Volume, write_volume  # noqa: PLC0415
    from spisonet.misalignment.prior import spherical_mask  # noqa: PLC0415
    from tests.misalignment.accumulators import body_map  # noqa: PLC0415
    from tests.relion_external.conftest import BOX, PIXEL, Job, uneven_back_projector  # noqa: PLC0415

    commands, results = [], []
    for number in range(N_HOOKS):
        job = Job(project / f"project{number:02d}", "3.1")
        job.folder.mkdir(parents=True)
        write_volume(job.project / "mask.mrc", Volume(spherical_mask(BOX, 24.0), PIXEL))
        write_volume(job.project / "ref.mrc", Volume(body_map(BOX), PIXEL))
        for iteration in range(3):
            job.write_iteration(iteration)
        star = job.write_call(3, back_projector=uneven_back_projector())
        script = f'cd "$0" && exec "{SCRIPTS}/spisonet-relion-reconstruct" "$1"'
        commands.append(["sh", "-c", script, str(job.project), str(star)])
        results.append(job)
    options = {"EPOCHS": "1", "N_SUBVOLUME": "4", "FILTER_BASE": "4", "CUBE_SIZE": "16", "DEVICE": "cpu"}
    wall, peak, statuses = run_at_once(commands, project, {f"ISONET_{k}": v for k, v in options.items()})
    records = [
        json.loads(path.read_text()) for job in results for path in job.folder.glob("spisonet/it003_*.json")
    ]
    maps = {job.result(3).read_bytes()[1024:] for job in results if job.result(3).is_file()}
    corrected = sum(record.get("status") == "corrected" for record in records)
    show(
        f"{N_HOOKS} calls of the hook at once",
        f"{statuses.count(0)} succeeded, {corrected} corrected, {len(maps)} different map; {wall:.0f} s, "
        f"{peak:.0f} MB at most",
    )


MEASUREMENTS: dict[str, Callable[[Path], None]] = {
    "interface": measure_interface,
    "polling": measure_polling,
    "interfaces": measure_interfaces,
    "table": measure_table,
    "jobs": measure_jobs,
    "hooks": measure_hooks,
}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("measurement", nargs="*", choices=[*MEASUREMENTS, []])
    parser.add_argument("--minutes", type=float, default=POLLING_MINUTES, help="duration of polling")
    args = parser.parse_args()
    MEASUREMENTS["polling"] = partial(measure_polling, minutes=args.minutes)
    print("| load | found |\n|---|---|")
    for name in args.measurement or MEASUREMENTS:
        with tempfile.TemporaryDirectory() as folder:
            MEASUREMENTS[name](Path(folder).resolve())


if __name__ == "__main__":
    main()
