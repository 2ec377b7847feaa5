"""Report section: null tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spisonet.report.page import table
from spisonet.report.section import Section
from spisonet.validation.records import read_null_tests

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.validation.finished_run import FinishedRun

TITLES = {
    "noise": "noise only",
    "phases": "random phases beyond {beyond_angstrom:.1f} Å",
    "deletion": "a domain deleted",
}
FSC_FOUND = (
    "FSC of the halves {before:.3f} before, {after:.3f} after; {with_original:.3f} with raw half map 2; "
    "{attempted_percent:.0f} % of these shells were corrected"
)
DENSITY_FOUND = (
    "density {after:.1f} standard deviations above the solvent ({original:.1f} with the domain); "
    "{pattern_percent:.0f} % of its pattern"
)


def null_test_section(run: FinishedRun, page: Path) -> Section | None:
    """Report the null tests of a run; None if there are none."""
    record = read_null_tests(run)
    if record is None:
        return None
    rows = [_row(name, record[name]) for name in TITLES if name in record]
    return Section("Null tests", record, [table(["null half maps", "after the correction", "result"], rows)])


def _row(name: str, numbers: dict[str, Any]) -> list[str]:
    if name == "deletion":
        found = DENSITY_FOUND.format(**numbers, pattern_percent=100 * numbers["pattern_fraction"])
    else:
        found = FSC_FOUND.format(**numbers, attempted_percent=100 * numbers["attempted"])
    return [TITLES[name].format(**numbers), found, numbers["result_sentence"]]
