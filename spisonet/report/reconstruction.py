"""The report of a correction: one self-contained HTML page, its numbers as JSON, and its figures."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from spisonet import __version__
from spisonet.io.atomic import write_json
from spisonet.io.stages import StageProgress
from spisonet.report.before_after import before_after_section, full_map_section, training_section
from spisonet.report.classical import classical_section
from spisonet.report.diagnosis import diagnosis_of_run
from spisonet.report.directional_fsc import directional_fsc_section
from spisonet.report.held_out import held_out_section
from spisonet.report.independence import COUPLED_INPUT, label_of_halves, note_on_independence
from spisonet.report.inferred import inferred_section
from spisonet.report.model import model_section
from spisonet.report.null_tests import null_test_section
from spisonet.report.page import contents, metadata_table, verdict_box, warning, write_page
from spisonet.report.run_metadata import run_metadata_section, run_summary
from spisonet.report.verdict import verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spisonet.report.section import Section
    from spisonet.report.verdict import Verdict
    from spisonet.validation.finished_run import FinishedRun

    MakeSection = Callable[[FinishedRun, Path], Section | None]

REPORT_FILE = "report.html"

# To add a section: write a function in a module of this package and enter it here, in the order of the page.
# The key is that of its numbers in report.json. A function returns None where its section does not apply.
SECTIONS: dict[str, MakeSection] = {
    "full_map": full_map_section,
    "before_after": before_after_section,
    "diagnosis": diagnosis_of_run,
    "inferred": inferred_section,
    "held_out": held_out_section,
    "null_tests": null_test_section,
    "fsc_by_direction": directional_fsc_section,
    "classical": classical_section,
    "model": model_section,
    "training": training_section,
    "run_metadata": run_metadata_section,
}


def write_report(run: FinishedRun, page: Path) -> Verdict:
    """Write the report of a finished run.

    Parameters
    ----------
    run : FinishedRun
        The run.
    page : Path
        HTML file to write; the JSON file and the figures are named after it.

    Returns
    -------
    Verdict
        How much is inferred, and how well.

    Raises
    ------
    SpisonetError
        If the maps of the run are missing.
    """
    with StageProgress("report", page.name, len(SECTIONS), "sections") as progress:
        made = {key: make(run, page) for key, make in progress.over(SECTIONS.items())}
    sections = {key: section for key, section in made.items() if section is not None}
    numbers = {key: section.numbers for key, section in sections.items() if section.numbers}
    judgement = verdict(run, numbers)
    write_json(
        page.with_suffix(".json"),
        {
            "program": "spisonet",
            "version": __version__,
            "judgement": judgement.judgement,
            "judgement_level": judgement.level,
            "verdict": judgement.sentence,
            "verdict_code": judgement.code.value,
            "run": run.record,
            "halves": label_of_halves(run),
            **numbers,
            "figures": {
                os.path.relpath(path, page.parent): text
                for section in sections.values()
                for path, text in section.figures.items()
            },
        },
    )
    notes = [COUPLED_INPUT] if run.input_maps.coupled else []
    notes.append(note_on_independence(run.config, run.record))
    write_page(
        page,
        f"spisonet: {run.config.i1}",
        "Anisotropy correction",
        verdict_box(judgement.judgement, judgement.sentence, judgement.level),
        metadata_table(run_summary(run)),
        warning(" ".join(notes)),
        contents(section.title for section in sections.values()),
        *(section.html for section in sections.values()),
    )
    return judgement
