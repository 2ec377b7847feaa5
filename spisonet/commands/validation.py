"""Commands that test a finished run: validate, nulltest and report."""

from __future__ import annotations

import os
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

from spisonet import __version__
from spisonet.io.atomic import prepare_output_file, write_json
from spisonet.learning.launcher import run_on_devices
from spisonet.report.config import ReportConfig
from spisonet.report.page import warning, write_page
from spisonet.report.reconstruction import (
    REPORT_FILE,
    SECTIONS,
    _label_of_halves,
    log,
    note_on_independence,
    verdict,
)
from spisonet.validation.finished_run import FinishedRun
from spisonet.validation.model import read_model
from spisonet.validation.null_tests import null_test
from spisonet.validation.validate import validate

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.learning.memory import Memory
    from spisonet.learning.process_group import ProcessGroup
    from spisonet.validation.config import NullTestConfig, ValidateConfig


def run_validate(config: ValidateConfig) -> None:
    """Hide cones from a finished run's maps, learn again, and say how well the cones were recovered.

    Writes ``validation/validation.json``, the uncertainty of every voxel and a script for ChimeraX into the
    run's folder, and its report anew.

    Raises
    ------
    SpisonetError
        If the folder holds no finished run, its maps are no longer there, or nothing was learned.
    """
    run_on_devices(run_validate, config, _validate)


def run_null_test(config: NullTestConfig) -> None:
    """Correct null half maps as a finished run was, and say what appears that was not there.

    Writes ``null_tests/null_tests.json`` into the run's folder, and its report anew.

    Raises
    ------
    SpisonetError
        If the folder holds no finished run, or one of a single map, or the domain's mask is unusable.
    """
    run_on_devices(run_null_test, config, _null_test)


def _validate(config: ValidateConfig, memory: Memory, processes: ProcessGroup) -> None:
    validate(config, memory, processes)
    _report(config.folder, config.ncpus)


def _null_test(config: NullTestConfig, memory: Memory, processes: ProcessGroup) -> None:
    null_test(config, memory, processes)
    _report(config.folder, config.ncpus)


def _report(folder: Path, ncpus: int) -> None:
    run_report(ReportConfig.from_options({"folder": folder, "ncpus": ncpus}))


def run_report(config: ReportConfig) -> None:
    """Sum up a finished run in a page, with its numbers as JSON and its figures beside it.

    Raises
    ------
    SpisonetError
        If the folder holds no finished run, or its maps are no longer there.
    """
    run = FinishedRun.read(config.folder, config.ncpus)
    if config.model is not None:
        read_model(config.model)  # what is asked for now has to be there
        run = replace(run, config=run.config.model_copy(update={"model": config.model}))
    page = config.o or config.folder / REPORT_FILE
    prepare_output_file(page, run.config.i1, run.config.i2, run.config.mask)
    sections = {key: section for key, make in SECTIONS.items() if (section := make(run, page)) is not None}
    judgement = verdict(run, {key: section.numbers for key, section in sections.items()})
    write_json(
        page.with_suffix(".json"),
        {
            "program": "spisonet",
            "version": __version__,
            "verdict": judgement,
            "run": run.outcome,
            "halves": _label_of_halves(run),
            **{key: section.numbers for key, section in sections.items() if section.numbers},
            "figures": {
                os.path.relpath(path, page.parent): text
                for section in sections.values()
                for path, text in section.figures.items()
            },
        },
    )
    note = note_on_independence(run.config, run.outcome)
    if run.before.coupled:
        note = f"One network had learned from both input halves already: nothing here is independent. {note}"
    write_page(
        page,
        f"spisonet: {run.config.i1}",
        "Anisotropy correction",
        f"<p class='verdict'>{escape(judgement)}</p>",
        warning(note),
        *(section.html for section in sections.values()),
    )
    log.info("Report: %s", page)
