"""The log of a run contains every line, also those from before its folder existed."""

from __future__ import annotations

import logging

import pytest

from spisonet.io.logs import (
    LOG_FILE,
    VERDICT,
    TerminalHandler,
    keep_early_records,
    log_to_folder,
    take_early_records,
)

log = logging.getLogger("spisonet")


@pytest.fixture(autouse=True)
def info_level():
    before = log.level
    log.setLevel(logging.INFO)
    yield
    log.setLevel(before)


def messages(folder) -> list[str]:
    """Return level and message of each line."""
    return [line.split(" ", 2)[2] for line in (folder / LOG_FILE).read_text().splitlines()]


def test_lines_from_before_the_folder_existed_come_first(tmp_path):
    with keep_early_records():
        log.info("Computing the %s.", "3D FSC")
        log.warning("Coupled halves.")
        with log_to_folder(tmp_path):
            log.info("Training.")
    assert messages(tmp_path) == ["INFO Computing the 3D FSC.", "WARNING Coupled halves.", "INFO Training."]


def test_only_the_first_folder_gets_the_early_lines(tmp_path):
    second = tmp_path / "second"
    second.mkdir()
    with keep_early_records():
        log.info("early")
        with log_to_folder(tmp_path):
            log.info("both")
            with log_to_folder(second):
                log.info("inner")
    assert messages(tmp_path) == ["INFO early", "INFO both", "INFO inner"]
    assert messages(second) == ["INFO inner"]


def test_a_block_within_another_one_of_the_same_folder_writes_no_line_twice(tmp_path):
    with log_to_folder(tmp_path):
        with pytest.raises(ValueError, match="fault"), log_to_folder(tmp_path):
            raise ValueError("fault")
        log.info("after")
    assert messages(tmp_path) == ["INFO after"]


def test_an_error_that_ends_the_run_is_noted(tmp_path):
    with pytest.raises(KeyboardInterrupt), log_to_folder(tmp_path):
        raise KeyboardInterrupt
    assert messages(tmp_path) == ["ERROR stopped: KeyboardInterrupt"]


def test_early_lines_reach_the_processes_that_a_command_starts(tmp_path):
    with keep_early_records():
        log.info("of the parent")
        passed_on = take_early_records()
        with keep_early_records(passed_on), log_to_folder(tmp_path):
            log.info("of the child")
        with log_to_folder(tmp_path):
            log.info("of the parent again")
    assert messages(tmp_path) == ["INFO of the parent", "INFO of the child", "INFO of the parent again"]


@pytest.mark.parametrize(
    ("is_terminal", "extra", "shown"),
    [
        (True, VERDICT, "\033[1mNot recovered.\033[0m"),
        (True, None, "Not recovered."),
        (False, VERDICT, "Not recovered."),
    ],
)
def test_the_verdict_is_bold_on_a_terminal(capsys, monkeypatch, is_terminal, extra, shown):
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal)
    monkeypatch.delenv("NO_COLOR", raising=False)
    handler = TerminalHandler()
    log.addHandler(handler)
    log.info("Not %s.", "recovered", extra=extra)
    log.removeHandler(handler)
    assert capsys.readouterr().out == f"{shown}\n"
