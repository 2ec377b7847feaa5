"""Progress of a stage: events at its start and end, and nothing where nothing is to be reported."""

from __future__ import annotations

import logging

from spisonet.io import stages
from spisonet.io.events import progress_to_folder, read_progress
from spisonet.io.logs import TerminalHandler
from spisonet.io.stages import StageProgress, terminal_bar


def test_a_stage_reports_its_start_and_its_end(tmp_path):
    with progress_to_folder(tmp_path), StageProgress("report", "report.html", 3, "sections") as progress:
        assert list(progress.over("abc")) == ["a", "b", "c"]
    first, *_, last = read_progress(tmp_path)
    assert (first.stage, first.title, first.unit) == ("report", "report.html", "sections")
    assert (first.done, first.total, first.seconds_left) == (0, 3, None)
    assert (last.done, last.seconds_left) == (3, 0)


def test_time_left_is_estimated_from_the_units_done(tmp_path, monkeypatch):
    clock = iter([0.0, 2.0, 6.0])
    monkeypatch.setattr(stages.time, "monotonic", lambda: next(clock))
    with progress_to_folder(tmp_path), StageProgress("prediction", "half 1", 4, "maps") as progress:
        progress.advance()
        progress.advance(2)
    assert [(e.done, e.seconds_left) for e in read_progress(tmp_path)] == [(0, None), (1, 6.0), (3, 2.0)]


def test_other_processes_and_empty_stages_report_nothing(tmp_path):
    with progress_to_folder(tmp_path):
        for total, shown in ((3, False), (0, True)):
            with StageProgress("prediction", "half 1", total, "maps", shown) as progress:
                progress.advance()
    assert not read_progress(tmp_path)


def test_only_a_command_shows_bars(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    logger = logging.getLogger("spisonet")
    for handlers, is_shown in (([], False), ([TerminalHandler()], True)):
        logger.handlers = handlers
        assert terminal_bar(shown=True).disable is not is_shown
