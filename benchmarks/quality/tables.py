"""Markdown tables of scores, and how methods compare over all cases."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.quality.methods import INPUT
from benchmarks.quality.scoring import EMPTY, GOOD, WEAK, ZONES
from benchmarks.quality.suite import FULL, HALF, KINDS, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    Values = NDArray[np.float64]

SHOWN = (*ZONES, f"fine_{EMPTY}", "ccmask", "power")
HEADINGS = {f"fine_{EMPTY}": "empty, finer half", "power": "power (optimum)"}
MAPS = {HALF: "half map 1", FULL: "full map"}
NO_VALUE = "–"


@dataclass(frozen=True)
class Comparison:
    """A method compared with the others over all cases, for one kind of map.

    Attributes
    ----------
    method, kind : str
        Name of the method, and ``half`` or ``full``.
    n_cases : int
        Number of cases.
    ahead_empty, ahead_ccmask : float
        Fraction of the cases in which the method has the highest FSC in ``empty``, and the highest
        ``ccmask``.
    gap_closed : float
        Mean fraction of what the best other method lacks to an FSC of 1 in ``empty``; negative if the method
        is behind.
    worst_weak, worst_good : float
        Smallest change of the FSC in these zones from half map 1, or from the average of the half maps.
    power_ratio : tuple of float
        Smallest, mean and largest power in ``empty`` relative to the power that its FSC allows.
    seconds : float
        Mean time of a case.
    """

    method: str
    kind: str
    n_cases: int
    ahead_empty: float
    ahead_ccmask: float
    gap_closed: float
    worst_weak: float
    worst_good: float
    power_ratio: tuple[float, float, float]
    seconds: float


def compare(results: Iterable[Result], kind: str) -> list[Comparison]:
    """Compare the methods over the cases that all of them have corrected.

    Parameters
    ----------
    results : iterable of Result
        Scores, one result for each case, method and kind of map.
    kind : str
        ``half`` or ``full``.

    Returns
    -------
    list of Comparison
        In the order of the first results.
    """
    cases: dict[str, dict[str, Result]] = {}
    for result in results:
        if result.kind == kind:
            cases.setdefault(result.case, {})[result.method] = result
    methods = list(dict.fromkeys(name for by_method in cases.values() for name in by_method))
    complete = [by_method for by_method in cases.values() if set(by_method) == set(methods)]
    return [_comparison(name, kind, complete) for name in methods] if complete else []


def _comparison(method: str, kind: str, cases: list[dict[str, Result]]) -> Comparison:
    def scores(name: str) -> tuple[Values, Values]:
        """Return a score of the method, and the best one of the others, by case."""
        own = np.array([case[method].scores[name] for case in cases])
        others = [
            max((result.scores[name] for result in case.values() if result.method != method), default=np.nan)
            for case in cases
        ]
        return own, np.array(others)

    def worst_change(zone: str) -> float:
        if INPUT.name not in cases[0]:
            return float("nan")
        changes = [case[method].scores[zone] - case[INPUT.name].scores[zone] for case in cases]
        return _nan_safe(np.nanmin, np.array(changes))

    (empty, best_empty), (ccmask, best_ccmask) = scores(EMPTY), scores("ccmask")
    has_empty = np.isfinite(empty)
    power, optimum = (scores(name)[0][has_empty] for name in ("power", "optimal_power"))
    ratio = power / np.maximum(optimum, 1e-6)
    return Comparison(
        method=method,
        kind=kind,
        n_cases=len(cases),
        ahead_empty=_nan_safe(np.mean, (empty > best_empty)[has_empty].astype(float)),
        ahead_ccmask=float(np.mean(ccmask > best_ccmask)),
        gap_closed=_nan_safe(np.mean, ((empty - best_empty) / (1 - best_empty))[has_empty]),
        worst_weak=worst_change(WEAK),
        worst_good=worst_change(GOOD),
        power_ratio=(_nan_safe(np.min, ratio), _nan_safe(np.mean, ratio), _nan_safe(np.max, ratio)),
        seconds=float(np.mean([case[method].seconds for case in cases])),
    )


def _nan_safe(function: Callable[[Values], np.floating], values: Values) -> float:
    return float(function(values)) if np.isfinite(values).any() else float("nan")


def summary_table(results: Sequence[Result]) -> str:
    """Return a Markdown table that compares the methods over all cases; see `Comparison`."""
    lines = [
        "| map | method | cases | ahead in empty | ahead in ccmask | gap to 1 in empty closed "
        "| worst change of weak | worst change of good | power / optimum (range) | s |",
        "|---" * 10 + "|",
    ]
    for row in itertools.chain.from_iterable(compare(results, kind) for kind in KINDS):
        smallest, mean, largest = (_number(value, ".2f") for value in row.power_ratio)
        weak, good = (_number(value, "+.3f") for value in (row.worst_weak, row.worst_good))
        lines.append(
            f"| {MAPS[row.kind]} | {_label(row)} | {row.n_cases} | {_percent(row.ahead_empty)} "
            f"| {_percent(row.ahead_ccmask)} | {_percent(row.gap_closed)} | {weak} | {good} "
            f"| {mean} ({smallest} to {largest}) | {row.seconds:.0f} |"
        )
    return "\n".join(lines)


def case_table(results: Sequence[Result]) -> str:
    """Return a Markdown table with the scores of every case and method."""
    headings = [HEADINGS.get(name, name) for name in SHOWN]
    lines = [f"| case | map | method | {' | '.join(headings)} | s |", "|---" * (len(SHOWN) + 4) + "|"]
    order = {result.case: number for number, result in reversed(list(enumerate(results)))}
    for result in sorted(results, key=lambda result: (order[result.case], KINDS.index(result.kind))):
        cells = [_number(result.scores[name], ".3f") for name in SHOWN[:-1]]
        power, optimum = (_number(result.scores[name], ".2f") for name in ("power", "optimal_power"))
        lines.append(
            f"| {result.case} | {MAPS[result.kind]} | {_label(result)} | {' | '.join(cells)} "
            f"| {power} ({optimum}) | {result.seconds:.0f} |"
        )
    return "\n".join(lines)


def _label(row: Result | Comparison) -> str:
    """Return the name of a method; the full map of the input is the average of the half maps."""
    return "average" if (row.method, row.kind) == (INPUT.name, FULL) else row.method


def _percent(fraction: float) -> str:
    return NO_VALUE if np.isnan(fraction) else f"{round(100 * fraction)} %"


def _number(value: float, form: str) -> str:
    return NO_VALUE if np.isnan(value) else format(value, form)
