"""Inject faults at every call that changes a file, and count what is lost.

    python -m tests.faults.inject [--scenario NAME] [--kind KIND] [--sample N] [--minutes M] [--folder FOLDER]

For each scenario the undisturbed run is recorded first. Then the run is repeated with a fault at its first,
second, ... call that writes, creates, renames, removes or synchronises a file of the project: a full disk
or an exceeded quota from there on (``enospc``, ``edquot``), one error of the disk (``eio``), a kill just
before the call (``kill``). One run each has short writes, a slow disk, and a clock that jumps at every call.
After each run: inputs are as they were; every file under a final name is whole; a run that reports success
has the results of the undisturbed one; a failure is one sentence; going on ends with the results of the
undisturbed run, and leaves no partial file. Prints a JSON line for each kind.

The order of calls is checked too: every file is on the disk before it is renamed, and its name before the
next change of its folder. With --sample, N calls are chosen at random (seed 0) for each kind of fault; with
--minutes, as many as take that time. All figures are written as the same small picture, because drawing
would take most of the time; workers are forked instead of started.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import json
import os
import pkgutil
import random
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from relion_external.jobs.folder import RESERVED
from tests.faults.shim import STATE_VARIABLE, Outcome, Shim, build

EACH_CALL, WHOLE_RUN = ("enospc", "edquot", "eio", "kill"), ("short", "slow", "clock")
FREE_MEMORY = re.compile(rb'\\"memory_bytes\\": [-+.e0-9]+')  # in the metadata of a training state
COMPARED = (".mrc", ".safetensors", ".star", ".png")
KILLED = -signal.SIGKILL
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
EXIT_FILES = {f"RELION_JOB_EXIT_{name}" for name in ("SUCCESS", "FAILURE", "ABORTED")}
SECONDS = 300  # of processor time; more is a run that hangs
SUBREAPER = 36  # prctl(2)


@dataclass
class Counts:
    """Result of the runs with one kind of fault."""

    scenario: str
    kind: str
    calls: int
    runs: int = 0
    injected: int = 0
    losses: list[str] = field(default_factory=list)


class ForkedWorker:
    """Stands for a process that runs a module, at the cost of a fork instead of all imports."""

    def __init__(self, module: str, words: tuple[str, ...]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._status: int | None = None
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            os.environ["SPISONET_PARENT"] = str(parent)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)

            def run() -> None:
                sys.argv = [module, *words]
                sys.modules.pop(module, None)
                runpy.run_module(module, run_name="__main__")

            _end_with(run)

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def wait(self, timeout: float = SECONDS) -> int:
        """Wait for the end."""
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("worker", timeout)
            time.sleep(0.005)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


def _end_with(run: Callable[[], None]) -> None:
    """Run a function and end this process with its exit status."""
    status = 0
    try:
        run()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        status = 1
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


class Bench:
    """Repeats a scenario in the same folder."""

    def __init__(self, name: str, folder: Path) -> None:
        from tests.faults.scenarios import SCENARIOS

        self.name, self.scenario = name, SCENARIOS[name]
        self._pristine, self._work = folder / "pristine", folder / "work"
        self._output = folder / "output.txt"
        self._shim = Shim(self._work)
        shutil.rmtree(self._pristine, ignore_errors=True)
        self._pristine.mkdir(parents=True)
        self._fork(self.scenario.prepare, self._pristine)
        self.inputs = contents(self._pristine)
        self.undisturbed, self.uncorrected = {}, {}
        status, self.recorded, _ = self.run()
        assert status == 0, self._output.read_text()
        self.undisturbed = contents(self._work)
        if self.scenario.may_be_uncorrected:
            os.environ["ISONET_MEMORY_LIMIT"] = "0.001"
            self.run()
            del os.environ["ISONET_MEMORY_LIMIT"]
            self.uncorrected = contents(self._work)

    def run(self, **fault: Any) -> tuple[int, Outcome, str]:
        """Run from the beginning with a fault; return exit status, outcome and what was printed."""
        shutil.rmtree(self._work, ignore_errors=True)
        shutil.copytree(self._pristine, self._work)
        return self._armed(self.scenario.run, **fault)

    def proceed(self) -> tuple[int, str]:
        """Go on after a fault."""
        status, _, text = self._armed(self.scenario.proceed)
        return status, text

    def _armed(self, run: Callable[[], None], **fault: Any) -> tuple[int, Outcome, str]:
        self._shim.arm(**fault)
        status = self._fork(run, self._work)
        return status, self._shim.disarm(), self._output.read_text(errors="replace")

    def _fork(self, run: Callable[[], None], folder: Path) -> int:
        child = os.fork()
        if child == 0:
            os.chdir(folder)
            output = os.open(self._output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for number in (1, 2):
                os.dup2(output, number)
            _end_with(run)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with suppress(ChildProcessError):  # workers that outlive it end by themselves
            while True:
                os.waitpid(-1, 0)
        return status

    def check(self, kind: str, at: int, persistent: bool) -> tuple[int, str]:
        """Run with a fault; return the number of faults injected and what was lost, or an empty text."""
        status, outcome, text = self.run(kind=kind, at=at, persistent=persistent)
        if not outcome.injected:
            return 0, ""
        call = next(
            (f"{call} {path}" for number, _, call, path in outcome.calls if number == at), "every call"
        )
        problem = self._after_fault(status, text, call) or self._after_proceeding()
        where = call.replace(f"{self._work}/", "")
        return outcome.injected, problem and f"{kind} at {at} ({where}), exit {status}: {problem}"

    def _after_fault(self, status: int, text: str, call: str) -> str:
        found = contents(self._work)
        changed = [name for name, content in self.inputs.items() if not self._is_input(name, content, found)]
        if changed:
            return f"inputs changed: {', '.join(changed)}"
        for name, content in found.items():
            if name not in self.inputs and ".partial" not in name and not is_whole(name, content):
                return f"{name} is incomplete"
        if "Traceback" in text or "--- Logging error" in text:
            return f"a traceback: {text[-1500:]}"
        if status not in (0, 1, KILLED):
            return f"exit status {status}: {text[-500:]}"
        folder = self.scenario.exit_files
        # Where not even the empty file can be made at the start, there is no way to tell RELION.
        if folder is not None and status != KILLED and not call.endswith(RESERVED):
            written = EXIT_FILES & {Path(name).name for name in found if Path(name).parent == folder}
            expected = "RELION_JOB_EXIT_SUCCESS" if status == 0 else "RELION_JOB_EXIT_FAILURE"
            if written != {expected}:
                return f"exit files {written}"
        return self._differences(found) if status == 0 else ""

    def _is_input(self, name: str, content: bytes, found: dict[str, bytes]) -> bool:
        """Whether an input is as it was, or as the run leaves it (a table to which results are added)."""
        return found.get(name) in (content, self.undisturbed.get(name, content)) or (
            name.endswith(".star") and self.undisturbed.get(name) != content
        )

    def _after_proceeding(self) -> str:
        status, text = self.proceed()
        if status:
            return f"going on fails: {text[-1500:]}"
        found = contents(self._work)
        partial = [name for name in found if ".partial" in name or name.endswith(".lock")]
        if partial and not self.scenario.may_be_uncorrected:
            return f"left: {', '.join(partial)}"
        return self._differences(found, uncorrected=False)

    def _differences(self, found: dict[str, bytes], uncorrected: bool = True) -> str:
        """Return how results differ from those of the undisturbed run."""
        expected = {name for name in self.undisturbed if Path(name).suffix in COMPARED}
        for name in sorted(expected):
            allowed = [self.undisturbed[name]]
            if uncorrected and name in self.uncorrected:
                allowed.append(self.uncorrected[name])
            if uncorrected and self.uncorrected and name not in self.uncorrected:
                continue  # the hook said that it did not correct: no network is kept
            if uncorrected and self.uncorrected and name.endswith("_uncorrected.mrc") and name not in found:
                continue  # it is for the summary alone, whose failure is a warning
            if name not in found:
                return f"{name} is missing"
            if normalised(name, found[name]) not in [normalised(name, content) for content in allowed]:
                return f"{name} differs"
        return ""


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of every file by its name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def normalised(name: str, content: bytes) -> bytes:
    """Return a content without the time of writing and the memory that was free."""
    if name.endswith(".mrc"):
        return content[:224] + content[1024:]  # labels contain the date
    if name.endswith(".safetensors"):
        end = 8 + int.from_bytes(content[:8], "little")
        return FREE_MEMORY.sub(b"", content[8:end]).rstrip() + content[end:]
    return content


def is_whole(name: str, content: bytes) -> bool:
    """Whether a file has its end."""
    suffix = Path(name).suffix
    if suffix == ".mrc":
        size = [int.from_bytes(content[4 * i : 4 * i + 4], "little") for i in range(4)]
        bytes_of_mode = {0: 1, 2: 4, 12: 2}
        return len(content) == 1024 + size[0] * size[1] * size[2] * bytes_of_mode.get(size[3], 0)
    if suffix == ".json":
        with suppress(ValueError):
            return bool(json.loads(content))
        return False
    if suffix == ".safetensors":
        length = int.from_bytes(content[:8], "little")
        with suppress(ValueError):
            ends = [
                v["data_offsets"][1] for k, v in json.loads(content[8 : 8 + length]).items() if k[0] != "_"
            ]
            return len(content) == 8 + length + max(ends)
        return False
    ends = {".png": b"IEND\xaeB`\x82", ".svg": b"</svg>", ".html": b"</html>", ".pdf": b"%%EOF"}
    return content.rstrip().endswith(ends.get(suffix, b""))


def show(counts: Counts) -> None:
    """Print the result of a kind of fault as JSON, with the number of losses and the first of them."""
    found = {**vars(counts), "losses": len(counts.losses), "first_loss": (counts.losses or [None])[0]}
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def sweep(
    name: str, folder: Path, kinds: tuple[str, ...], sample: int | None, minutes: float | None
) -> list[Counts]:
    """Repeat a scenario with all faults; print a line for each kind."""
    bench = Bench(name, folder)
    n_calls = len(bench.recorded.calls)
    order = Counts(name, "order", n_calls, 1, losses=order_faults(bench.recorded.calls))
    results = [order]
    show(order)
    for kind in kinds:
        counts = Counts(name, kind, n_calls)
        places = [1] if kind in WHOLE_RUN else list(range(1, n_calls + 1))
        end = None if minutes is None else time.monotonic() + 60 * minutes
        if sample is not None or end is not None:
            random.Random(0).shuffle(places)
        for at in places[:sample]:
            if end is not None and counts.runs and time.monotonic() > end:
                break
            injected, loss = bench.check(kind, at, kind in ("enospc", "edquot", *WHOLE_RUN))
            counts.runs += 1
            counts.injected += injected
            if loss:
                counts.losses.append(loss)
                sys.stderr.write(f"{loss}\n")
        results.append(counts)
        show(counts)
    return results


def order_faults(calls: list[tuple[int, int, str, str]]) -> list[str]:
    """Return the renamed files that were not on the disk before, or whose name was not on it afterwards.

    Threads may write at the same time; the order is that of the calls of a thread.
    """
    found = []
    for index, (_, thread, call, path) in enumerate(calls):
        folder, name = os.path.split(path)
        if call not in ("rename", "link") or name in EXIT_FILES:  # exit files have no content
            continue
        stem, suffix = re.escape(f"{folder}/.{Path(name).stem}."), re.escape(Path(name).suffix)
        own = re.compile(rf"{stem}[\w-]+\.\d+\.\d+\.partial{suffix}")
        earlier = [c for _, t, c, p in calls[:index] if t == thread and own.fullmatch(p)]
        if not earlier or earlier[-1] != "fsync":
            found.append(f"{path} was renamed before its content was on the disk")
        later = [
            (c, p) for _, t, c, p in calls[index + 1 :] if t == thread and folder in (os.path.dirname(p), p)
        ]
        if not later or later[0] != ("fsync", folder):
            found.append(f"the name of {path} was not on the disk before the next change in its folder")
    return found


def import_everything() -> None:
    """Import all modules of the programs, so that a fork has them."""
    import relion_external
    import spisonet

    for package in (spisonet, relion_external):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not any(part in module.name for part in (".gui", ".integrations.")):  # plugins need their host
                importlib.import_module(module.name)


def write_stand_in(_figure: Figure, path: Path, **_options: object) -> None:
    """Write a small picture in place of a figure."""
    pictures = {".png": PICTURE, ".svg": b"<svg xmlns='http://www.w3.org/2000/svg'></svg>\n"}
    path.write_bytes(pictures[path.suffix])


def main() -> None:
    """Run the sweep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenario", action="append")
    parser.add_argument("--kind", action="append", choices=(*EACH_CALL, *WHOLE_RUN))
    parser.add_argument("--sample", type=int)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if STATE_VARIABLE not in os.environ:
            threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
            words = [sys.executable, "-m", "tests.faults.inject", *sys.argv[1:], "--folder", str(folder)]
            sys.exit(
                subprocess.run(words, env={**os.environ, **threads, **build(folder)}, check=False).returncode
            )
        import ctypes

        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
        import_everything()
        for module in ("relion_external.process", "relion_external.jobs.run", "relion_external.pose_watch"):
            sys.modules[module].start_worker = lambda name, *words: ForkedWorker(name, words)  # type: ignore[attr-defined]
        Figure.savefig = write_stand_in  # type: ignore[method-assign]
        from tests.faults.scenarios import SCENARIOS

        results = [
            counts
            for name in args.scenario or SCENARIOS
            for counts in sweep(
                name, folder, tuple(args.kind or (*WHOLE_RUN, *EACH_CALL)), args.sample, args.minutes
            )
        ]
        sys.exit(any(counts.losses for counts in results))


if __name__ == "__main__":
    main()
