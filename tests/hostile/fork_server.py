"""Runs the programs many times at the cost of one import: a process that forks for every command line.

It reads one JSON object a line from standard input (see `Request` in `sandbox`) and answers with another.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from typing import Any

import spisonet_launcher

PRELOADED = (
    *(
        "spisonet.commands.main",
        "spisonet.commands.analysis",
        "spisonet.commands.fsc3d",
        "spisonet.commands.reconstruct",
    ),
    *("spisonet.commands.tomogram_filters", "spisonet.commands.tomogram_training"),
    *("spisonet.commands.subtomograms", "spisonet.commands.validation", "spisonet.commands.map_filters"),
    *("spisonet.commands.reference", "spisonet.figures.fsc3d", "relion_external.reconstruct"),
    *("relion_external.jobs.run", "relion_external.rescue", "pandas", "starfile"),
)
PROGRAMS = {
    "spisonet.py": spisonet_launcher.main,
    "isonet.py": spisonet_launcher.isonet,
    "spisonet-relion-reconstruct": spisonet_launcher.relion_reconstruct,
}
POLL_SECONDS = 0.005


def main() -> None:
    """Serve requests until the input ends."""
    for name in PRELOADED:
        __import__(name)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps(_run(request)) + "\n")
        answers.flush()


def _run(request: dict[str, Any]) -> dict[str, Any]:
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _become(request)
    with suppress(OSError):  # the child may have done so itself, or ended
        os.setpgid(child, child)
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        seconds = time.monotonic() - started
        if ended:
            break
        # Processor time, so that a busy machine is not taken for a program that hangs; asleep it uses none.
        if seconds > request["seconds"]:
            os.killpg(child, signal.SIGKILL)
            os.wait4(child, 0)
            return {"status": None, "seconds": seconds, "megabytes": 0.0}
        time.sleep(POLL_SECONDS)
    return {
        "status": os.waitstatus_to_exitcode(status),
        "seconds": seconds,
        "megabytes": usage.ru_maxrss / 1024,
    }


def _become(request: dict[str, Any]) -> None:
    """Run a command line in this process, which ends with it."""
    os.setpgid(0, 0)
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number, descriptor in ((0, os.open(os.devnull, os.O_RDONLY)), (1, output), (2, output)):
        os.dup2(descriptor, number)
    sys.stdin = open(0, encoding="utf-8")
    sys.stdout = open(1, "w", encoding="utf-8", errors="strict")
    sys.stderr = open(2, "w", encoding="utf-8", errors="strict")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    used = (
        int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmSize"))) * 1024
    )
    limit = used + int(request["megabytes"] * 2**20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    os.environ.update(request["environment"])
    os.chdir(os.fsencode(request["folder"]) if isinstance(request["folder"], str) else request["folder"])
    sys.argv = [request["program"], *request["words"]]
    status = 1
    try:
        PROGRAMS[request["program"]]()
    except SystemExit as done:
        status = done.code if isinstance(done.code, int) else 0 if done.code is None else 1
    except BaseException:  # noqa: BLE001 - printed as by the interpreter
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                continue
        os._exit(status)


if __name__ == "__main__":
    main()
