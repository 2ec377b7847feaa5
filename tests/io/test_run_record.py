"""The record of a run: status, result, error, and where its inputs are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from spisonet.errors import SpisonetError, reading
from spisonet.io.config import CommandConfig
from spisonet.io.events import PROGRESS_FILE, read_progress, report_progress
from spisonet.io.logs import IN_USE, is_in_use
from spisonet.io.run_record import (
    changed_option,
    continued,
    located_config,
    read_job_record,
    record_failure,
    recorded,
    require_same_run,
    write_job_record,
)


class ExampleConfig(CommandConfig):
    command: ClassVar[str] = "example"
    free_on_resume: ClassVar[frozenset[str]] = frozenset({"resume"})
    i1: Path
    mask: Path | None = None
    output_dir: Path = Path("out")
    epochs: int = 1
    resume: bool = False


CONFIG = ExampleConfig(i1=Path("half1.mrc"))


def test_a_run_is_recorded_from_its_beginning_to_its_end(tmp_path):
    with recorded(CONFIG, tmp_path, device="cpu") as result:
        begun = read_job_record(tmp_path)
        report_progress("training", "half 1", 1, 2, "epochs")
        result["losses"] = [1.0, 0.5]
    assert (begun["status"], begun["device"]) == ("running", "cpu")
    record = read_job_record(tmp_path)
    assert (record["status"], record["device"], record["losses"]) == ("finished", "cpu", [1.0, 0.5])
    assert record["working_directory"] == str(Path.cwd())
    assert record["config"]["i1"] == "half1.mrc"
    assert record["seconds"] >= 0
    assert [event.done for event in read_progress(tmp_path)] == [1]
    assert "error" not in record


WRITE_UNTIL_INPUT_ENDS = """
import sys
from pathlib import Path
from spisonet.io.logs import log_to_folder
with log_to_folder(Path(sys.argv[1])):
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_a_folder_that_another_run_writes_into_is_left_unchanged(tmp_path):
    with recorded(CONFIG, tmp_path):
        report_progress("training", "half 1", 1, 2, "epochs")
    assert not is_in_use(tmp_path)
    removed = []
    pipe = subprocess.PIPE
    words = [sys.executable, "-c", WRITE_UNTIL_INPUT_ENDS, tmp_path]
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout.readline() == "writing\n"
        assert is_in_use(tmp_path)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        remove_old = lambda: removed.append(True)  # noqa: E731
        for run in (recorded(CONFIG, tmp_path, remove_old=remove_old), continued(CONFIG, tmp_path)):
            with pytest.raises(SpisonetError, match="Another run is writing into") as raised, run:
                raise AssertionError
            assert raised.value.code == IN_USE
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
        other.stdin.close()
    with recorded(CONFIG, tmp_path, remove_old=remove_old), recorded(CONFIG, tmp_path):
        pass
    assert removed == [True]


def test_a_failure_is_recorded_with_code_and_option(tmp_path):
    with pytest.raises(SpisonetError), recorded(CONFIG, tmp_path):
        raise SpisonetError("Too small.", code="invalid_option", field="epochs")
    record = read_job_record(tmp_path)
    assert record["status"] == "failed"
    assert record["error"] == {"message": "Too small.", "code": "invalid_option", "field": "epochs"}


def test_the_results_of_a_failed_run_are_kept(tmp_path):
    def run() -> None:
        with recorded(CONFIG, tmp_path) as result:
            result["failures"] = {"a": "Damaged."}
            raise SpisonetError("1 of 2 failed.")

    with pytest.raises(SpisonetError):
        run()
    record = read_job_record(tmp_path)
    assert (record["status"], record["failures"]) == ("failed", {"a": "Damaged."})


@pytest.mark.parametrize("stays_finished", [False, True])
def test_a_failure_after_the_run_is_added_to_its_record(tmp_path, stays_finished):
    with recorded(CONFIG, tmp_path) as result:
        result["losses"] = [0.5]
    with continued(CONFIG, tmp_path, stays_finished=stays_finished):
        assert read_job_record(tmp_path)["status"] == ("finished" if stays_finished else "running")
    assert read_job_record(tmp_path)["status"] == "finished"
    with pytest.raises(SpisonetError), continued(CONFIG, tmp_path, stays_finished=stays_finished):
        raise SpisonetError("Later.")
    record = read_job_record(tmp_path)
    assert record["status"] == ("finished" if stays_finished else "failed")
    assert (record["losses"], record["error"]["message"]) == ([0.5], "Later.")
    assert "stopped: Later." in (tmp_path / "run.log").read_text()


def test_the_option_of_a_file_at_fault_is_found(tmp_path):
    with pytest.raises(SpisonetError), recorded(CONFIG, tmp_path), reading(Path("half1.mrc")):
        raise SpisonetError("half1.mrc is damaged.")
    assert read_job_record(tmp_path)["error"]["field"] == "i1"
    both = ExampleConfig(i1=Path("a.mrc"), mask=Path("a.mrc"))
    with pytest.raises(SpisonetError), recorded(both, tmp_path), reading(Path("a.mrc")):
        raise SpisonetError("a.mrc is damaged.")
    assert read_job_record(tmp_path)["error"]["field"] is None


def test_a_defect_keeps_its_exception_and_is_recorded(tmp_path):
    with pytest.raises(ZeroDivisionError), recorded(CONFIG, tmp_path):
        1 / 0  # noqa: B018
    assert read_job_record(tmp_path)["error"]["code"] == "internal_error"


def test_an_exception_may_be_translated(tmp_path):
    def translate(error: Exception) -> Exception:
        return SpisonetError("No memory.", code="out_of_memory") if isinstance(error, MemoryError) else error

    with pytest.raises(SpisonetError, match="No memory") as raised, recorded(CONFIG, tmp_path, translate):
        raise MemoryError
    assert isinstance(raised.value.__cause__, MemoryError)
    assert read_job_record(tmp_path)["error"]["code"] == "out_of_memory"
    with pytest.raises(ValueError, match="other"), recorded(CONFIG, tmp_path, translate):
        raise ValueError("other")


def test_an_interruption_is_recorded(tmp_path):
    with pytest.raises(KeyboardInterrupt), recorded(CONFIG, tmp_path):
        raise KeyboardInterrupt
    assert read_job_record(tmp_path)["status"] == "interrupted"


def test_progress_of_an_earlier_run_is_removed_unless_it_is_resumed(tmp_path):
    for resume, expected in ((False, 1), (True, 2), (False, 1)):
        with recorded(CONFIG.model_copy(update={"resume": resume}), tmp_path):
            report_progress("training", "half 1", 1, 2, "epochs")
        assert len((tmp_path / PROGRESS_FILE).read_text().splitlines()) == expected


def test_only_the_same_run_can_be_resumed(tmp_path):
    with pytest.raises(SpisonetError, match="no run to resume"):
        require_same_run(CONFIG, tmp_path)
    with recorded(CONFIG, tmp_path):
        pass
    require_same_run(CONFIG.model_copy(update={"resume": True}), tmp_path)
    with pytest.raises(SpisonetError, match="--epochs was 1") as raised:
        require_same_run(CONFIG.model_copy(update={"epochs": 2}), tmp_path)
    assert (raised.value.code, raised.value.field) == ("changed_option", "epochs")
    older = read_job_record(tmp_path)
    del older["config"]["epochs"]
    assert changed_option(CONFIG, older) is None


def test_a_failure_before_the_run_is_noted_in_a_queued_record_only(tmp_path):
    config = CONFIG.model_copy(update={"output_dir": tmp_path})
    record_failure(config, SpisonetError("Missing."))
    assert list(tmp_path.iterdir()) == []
    write_job_record(tmp_path, config, status="finished")
    record_failure(config, SpisonetError("Missing."))
    assert read_job_record(tmp_path)["status"] == "finished"
    write_job_record(tmp_path, config, status="queued")
    record_failure(config, SpisonetError("Missing.", path=Path("half1.mrc")))
    record = read_job_record(tmp_path)
    assert record["status"] == "failed"
    assert record["error"] == {"message": "Missing.", "code": "invalid_input", "field": "i1"}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"config": 3}'])
def test_a_damaged_record_is_named(tmp_path, content):
    (tmp_path / "job.json").write_text(content)
    with pytest.raises(SpisonetError, match=r"job\.json is damaged: "):
        read_job_record(tmp_path)


def make_run(project: Path, monkeypatch, i1: Path) -> Path:
    """Write a record of a run in a project folder; return its output folder."""
    (project / "out").mkdir(parents=True)
    (project / "half1.mrc").write_text("map")
    monkeypatch.chdir(project)
    write_job_record(Path("out"), ExampleConfig(i1=i1), status="finished")
    return project / "out"


def located(folder: Path) -> ExampleConfig:
    record = read_job_record(folder)
    return located_config(ExampleConfig(**record["config"]), record, folder, ["i1"])


def test_inputs_are_found_from_another_folder(tmp_path, monkeypatch):
    out = make_run(tmp_path / "a", monkeypatch, Path("half1.mrc"))
    monkeypatch.chdir(tmp_path)
    assert located(out).i1 == tmp_path / "a" / "half1.mrc"
    assert located(Path(os.path.relpath(out))).i1.read_text() == "map"


@pytest.mark.parametrize("absolute", [False, True])
def test_inputs_are_found_when_the_project_was_moved(tmp_path, monkeypatch, absolute):
    path = tmp_path / "a" / "half1.mrc" if absolute else Path("half1.mrc")
    make_run(tmp_path / "a", monkeypatch, path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert located(tmp_path / "b" / "out").i1 == tmp_path / "b" / "half1.mrc"
    assert located(Path("b/out")).i1.read_text() == "map"


def test_a_missing_input_is_named_with_both_places(tmp_path, monkeypatch):
    make_run(tmp_path / "a", monkeypatch, Path("half1.mrc"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "b" / "half1.mrc").unlink()
    with pytest.raises(SpisonetError) as raised:
        located(tmp_path / "b" / "out")
    assert (raised.value.code, raised.value.field) == ("file_not_found", "i1")
    for place in ("a", "b"):
        assert str(tmp_path / place / "half1.mrc") in str(raised.value)


def test_a_record_without_a_working_directory_is_read_from_the_current_one(tmp_path, monkeypatch):
    out = make_run(tmp_path / "a", monkeypatch, Path("half1.mrc"))
    record = read_job_record(out)
    del record["working_directory"]
    (out / "job.json").write_text(json.dumps(record))
    assert located(out).i1.read_text() == "map"


def test_a_run_is_resumed_by_another_name_of_the_same_file(tmp_path, monkeypatch):
    out = make_run(tmp_path / "a", monkeypatch, Path("half1.mrc"))
    monkeypatch.chdir(tmp_path)
    record = read_job_record(out)
    assert changed_option(ExampleConfig(i1=Path("a/half1.mrc"), output_dir=out), record) is None


def test_another_file_of_the_same_name_is_a_changed_option(tmp_path, monkeypatch):
    out = make_run(tmp_path / "a", monkeypatch, Path("half1.mrc"))
    (tmp_path / "half1.mrc").write_text("another map")
    monkeypatch.chdir(tmp_path)
    record = read_job_record(out)
    assert changed_option(ExampleConfig(i1=Path("half1.mrc"), output_dir=out), record) == "i1"


def test_a_run_that_was_moved_with_its_inputs_is_resumed(tmp_path, monkeypatch):
    make_run(tmp_path / "a", monkeypatch, Path("half1.mrc"))
    (tmp_path / "a").rename(tmp_path / "b")
    monkeypatch.chdir(tmp_path / "b")
    assert changed_option(ExampleConfig(i1=Path("half1.mrc")), read_job_record(Path("out"))) is None


def test_a_copied_project_is_resumed_beside_its_original(tmp_path, monkeypatch):
    make_run(tmp_path / "a", monkeypatch, Path("half1.mrc"))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    monkeypatch.chdir(tmp_path / "b")
    record = read_job_record(Path("out"))
    assert changed_option(ExampleConfig(i1=Path("half1.mrc")), record) is None
    assert changed_option(ExampleConfig(i1=Path("half2.mrc")), record) == "i1"
