import json
import math

from spisonet.io.events import PROGRESS_FILE, progress_to_folder, read_progress, report_progress


def test_events_come_back_in_order(tmp_path):
    with progress_to_folder(tmp_path):
        report_progress("training", "both halves", 1, 3, "epochs", loss=0.5, seconds_left=20.0)
        report_progress("training", "both halves", 2, 3, "epochs", loss=math.nan)
    report_progress("training", "both halves", 3, 3, "epochs")  # no file is open
    events = read_progress(tmp_path)
    assert [(event.done, event.total, event.loss) for event in events] == [(1, 3, 0.5), (2, 3, None)]
    assert events[0].seconds_left == 20.0
    assert events[0].time <= events[1].time


def test_a_later_run_appends(tmp_path):
    for done in (1, 2):
        with progress_to_folder(tmp_path):
            report_progress("prediction", "TS_1", done, 2, "tiles")
    assert [event.done for event in read_progress(tmp_path)] == [1, 2]


def test_a_damaged_line_is_left_out(tmp_path):
    with progress_to_folder(tmp_path):
        report_progress("prediction", "TS_1", 1, 2, "tiles")
    with (tmp_path / PROGRESS_FILE).open("a", encoding="utf-8") as file:
        file.write('{"stage": "prediction", "do\n' + json.dumps({"other": 1}) + "\n[1]\n")
        valid = {"stage": "s", "title": "t", "done": 1, "total": 2, "unit": "tiles", "time": 0.5}
        for changes in ({"done": "x"}, {"total": None}, {"title": 3}, {"time": "now"}):
            file.write(json.dumps({**valid, **changes}) + "\n")
    assert [event.done for event in read_progress(tmp_path)] == [1]


def test_only_the_end_of_a_long_file_is_read(tmp_path):
    with progress_to_folder(tmp_path):
        for done in range(100):
            report_progress("prediction", "TS_1", done, 100, "tiles")
    events = read_progress(tmp_path, max_bytes=1000)
    assert events[-1].done == 99
    assert 1 < len(events) < 20


def test_a_folder_without_progress(tmp_path):
    assert read_progress(tmp_path) == []
