"""Regimes of the benchmarks of simulated subtomograms, their cases on disk, and the table of results."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.subtomograms.average import average_volumes
from benchmarks.subtomograms.simulate import Case, coarsened, simulate
from spisonet.io.mrc import read_volume, write_volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

BOX = 24
START = "start.mrc"
_FEW = Case(n=64, top=0.9, spread=8.0, noise=5.0, jitter=8.0, offset=0.3, axis="x")
REGIMES = {
    "few": _FEW,
    "noisy": replace(_FEW, noise=9.0),
    "membrane": replace(_FEW, top=1.0, spread=4.0),
    "even": replace(_FEW, top=0.0),
    "blob": replace(_FEW, axis="z", sym="C3"),
}
FROM_BLOB = "blob"  # global search from a reference at 60 Å, refined without symmetry; only in local.py


def argument_parser(description: str, arms: list[str]) -> argparse.ArgumentParser:
    """Return the parser of a benchmark of these regimes; the first line of its description is shown."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--density", type=Path, help="folder with truth.mrc and mask.mrc")
    parser.add_argument("--out", type=Path, required=True, help="folder of the cases and results")
    parser.add_argument("--regimes", nargs="*", choices=REGIMES, default=list(REGIMES))
    parser.add_argument("--arms", nargs="*", choices=arms, default=arms)
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--table", action="store_true", help="print the table of the results instead")
    return parser


def make_case(out: Path, regime: str, case: Case, density: Path) -> Path:
    """Simulate a case and average it at its initial poses, unless that is done already; return its folder."""
    place = out / f"{regime}{'_filled' if case.filled_wedge else ''}_seed{case.seed}"
    if (place / START).is_file():
        return place
    truth, mask = (coarsened(read_volume(density / f"{name}.mrc"), BOX) for name in ("truth", "mask"))
    simulate(place, truth, mask.with_data(mask.data.clip(0, 1)), case)
    halves = average_volumes(place / "particles.star", place)
    write_volume(place / START, halves[0].with_data((halves[0].data + halves[1].data) / 2))
    return place


def append_result(results: Path, row: dict[str, Any]) -> None:
    """Print a result and append it to a file of JSON lines."""
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)


def read_results(results: Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines; no results if it does not exist."""
    if not results.is_file():
        return []
    return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table: median and standard deviation over seeds, and gains over the plain arm."""
    lines = [
        "| regime | reference | seeds | pose error, ° | change of the error | FSC at 0-30 / 30-60 / 60-90° | "
        "change of the FSC | views moved outward at 0-10 / 10-20 / above 20°, ° |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for regime in dict.fromkeys(row["regime"] for row in rows):
        of_regime = [row for row in rows if row["regime"] == regime]
        plain = {row["seed"]: row for row in of_regime if row["arm"] == "plain"}
        for arm in dict.fromkeys(row["arm"] for row in of_regime):
            chosen = [row for row in of_regime if row["arm"] == arm]
            if not chosen:
                continue
            errors = np.array([row["median"] for row in chosen])
            fscs = np.array([row["half maps"] for row in chosen])
            outward = np.array([row["outward"] for row in chosen], dtype=float)
            pairs = [(row, plain[row["seed"]]) for row in chosen if row["seed"] in plain]
            error_change = np.array([100 * (row["median"] / own["median"] - 1) for row, own in pairs])
            fsc_change = np.array([np.subtract(row["half maps"], own["half maps"]) for row, own in pairs])
            cells = [
                regime,
                arm,
                str(len(chosen)),
                _spread(errors, 2),
                f"{_spread(error_change, 0)} %",
                " / ".join(_spread(values, 3) for values in fscs.T),
                " / ".join(_spread(values, 3) for values in fsc_change.T),
                " / ".join(_spread(values, 1) for values in outward.T),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _spread(values: NDArray[np.float64], digits: int) -> str:
    """Return the median and standard deviation of finite values as text."""
    finite = values[np.isfinite(values)]
    if len(finite) < 2:
        return "-"
    return f"{np.median(finite):.{digits}f} ± {finite.std(ddof=1):.{digits}f}"
