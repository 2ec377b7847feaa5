"""Time to the first page of the graphical interface, time per slice, and memory of the server.

    python benchmarks/gui_speed.py [--shape 200 512 512] [--starts 5] [--slices 40]

Starts the interface on an empty project and requests everything that its first page needs. Then writes three
tomograms and requests slices across each axis, one after the other, in scrolling order (next plane) and in
random order (any plane), a table that lists the tomograms, and 50 slices at once. Prints a Markdown table.
Files are in the page cache.
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
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import mrcfile
import numpy as np

PROGRAM = Path(sys.executable).parent / "spisonet.py"
STATIC = Path(__file__).parents[1] / "spisonet" / "gui" / "static"
LOADED = (".js", ".css", ".svg")
FILES = sorted(path.relative_to(STATIC) for path in STATIC.rglob("*") if path.suffix in LOADED)
FIRST_PAGE = ["", "api/project", "api/jobs", *(f"static/{path}" for path in FILES)]
N_TOMOGRAMS, AT_ONCE = 3, 50


class GuiServer:
    """A running graphical interface of a project."""

    def __init__(self, project: Path) -> None:
        self.process = subprocess.Popen(
            [PROGRAM, "gui", project, "--port", "0"], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = next(line for line in self.process.stdout if "http://" in line)
        address = urlsplit(re.search(r"http://\S+", line)[0])  # type: ignore[index]
        self.host, self.prefix = address.netloc, address.path
        self.connection = http.client.HTTPConnection(self.host)

    def get(self, path: str, connection: http.client.HTTPConnection | None = None, **values: object) -> bytes:
        """Send a request and return the content of the response."""
        connection = connection or self.connection
        connection.request("GET", f"{self.prefix}{path}" + (f"?{urlencode(values)}" if values else ""))
        response = connection.getresponse()
        content = response.read()
        assert response.status == 200, content
        return content

    def memory_megabytes(self) -> tuple[float, float]:
        """Return the present and the peak resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        found = dict(re.findall(r"^(Vm\w+):\s+(\d+) kB", status, re.MULTILINE))
        return int(found["VmRSS"]) / 1000, int(found["VmHWM"]) / 1000

    def stop(self) -> None:
        """Stop the server."""
        self.connection.close()
        self.process.terminate()
        self.process.wait()


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=3, default=[200, 512, 512], metavar=("Z", "Y", "X"))
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--slices", type=int, default=40)
    args = parser.parse_args()
    print("| quantity | median | largest |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        starts = [first_page(Path(folder)) for _ in range(args.starts)]
        show("start to the first page, s", [wall for wall, _ in starts], 2)
        show("of which processor time, s", [processor for _, processor in starts], 2)
        measure_slices(Path(folder), tuple(args.shape), args.slices)


def show(quantity: str, values: list[float], digits: int) -> None:
    """Print a row."""
    print(f"| {quantity} | {np.median(values):.{digits}f} | {max(values):.{digits}f} |", flush=True)


def first_page(project: Path) -> tuple[float, float]:
    """Return wall and processor seconds from the start until the first page is complete."""
    start = time.perf_counter()
    server = GuiServer(project)
    for path in FIRST_PAGE:
        server.get(path)
    seconds = time.perf_counter() - start
    fields = Path(f"/proc/{server.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    server.stop()
    return seconds, (int(fields[11]) + int(fields[12])) / os.sysconf(
        "SC_CLK_TCK"
    )  # user and system (proc(5))


def measure_slices(project: Path, shape: tuple[int, ...], n_slices: int) -> None:
    """Time slices of several tomograms, and print the memory of the server."""
    rng = np.random.default_rng(0)
    (project / "tomograms").mkdir()
    names = [f"tomograms/TS_{number}.mrc" for number in range(N_TOMOGRAMS)]
    for name in names:
        with mrcfile.new_mmap(project / name, shape, mrc_mode=2) as mrc:
            for z in range(shape[0]):
                mrc.data[z] = rng.normal(size=shape[1:])
            mrc.voxel_size = 10.0
    listing = ["isonet.py", "prepare_star", "tomograms", "--output_star", "tomograms.star"]
    subprocess.run([PROGRAM.parent / listing[0], *listing[1:]], cwd=project, check=True, capture_output=True)
    server = GuiServer(project)
    idle = server.memory_megabytes()[0]
    show("opening a tomogram, ms", [timed(server, "api/volume", name=name) for name in names], 0)
    for axis, n_planes in zip("zyx", shape, strict=True):
        for order in ("next", "any"):
            times = []
            for name in names:
                first = int(rng.integers(0, max(1, n_planes - n_slices)))
                planes = np.arange(n_slices) + first if order == "next" else rng.permutation(n_planes)
                plane = {"name": name, "axis": axis, "low": -3, "high": 3}
                times += [
                    timed(server, "api/slice", **plane, index=int(i) % n_planes) for i in planes[:n_slices]
                ]
            show(f"slice across {axis}, {order} plane, ms", times, 0)
    show("table, ms", [timed(server, "api/table", name="tomograms.star") for _ in range(3)], 0)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        start = time.perf_counter()
        list(pool.map(lambda z: request_slice(server, names[z % N_TOMOGRAMS], z % shape[0]), range(AT_ONCE)))
        show(f"{AT_ONCE} slices at once, ms", [1000 * (time.perf_counter() - start)], 0)
    now, peak = server.memory_megabytes()
    server.stop()
    print(f"\nMemory: {idle:.0f} MB after the start, {now:.0f} MB at the end, {peak:.0f} MB at most.")
    print(f"Tomograms: {N_TOMOGRAMS} of {json.dumps(shape)} voxels, float32.")


def timed(server: GuiServer, path: str, **values: object) -> float:
    """Return the milliseconds that a request takes."""
    start = time.perf_counter()
    server.get(path, **values)
    return 1000 * (time.perf_counter() - start)


def request_slice(server: GuiServer, name: str, index: int) -> None:
    """Request a slice over a separate connection."""
    connection = http.client.HTTPConnection(server.host)
    server.get("api/slice", connection, name=name, axis="z", index=index, low=-3, high=3)
    connection.close()


if __name__ == "__main__":
    main()
