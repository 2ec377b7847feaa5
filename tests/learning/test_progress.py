"""Progress of a training in the log and as events."""

from __future__ import annotations

import logging

from spisonet.io.events import progress_to_folder, read_progress
from spisonet.learning.progress import TrainingProgress


def test_an_epoch_is_logged_and_written_as_an_event(tmp_path, caplog):
    with (
        caplog.at_level(logging.INFO, "spisonet"),
        progress_to_folder(tmp_path),
        TrainingProgress("half 1", 30, n_done=10, n_epochs=3) as progress,
    ):
        progress.update(10, 0.5)
        progress.epoch(2, 0.25)
    assert "half 1: epoch 2 of 3, loss 0.2500" in caplog.text
    assert "subvolumes/s" in caplog.text
    start, event = read_progress(tmp_path)
    assert (start.done, start.total, start.loss) == (1, 3, None)
    assert (event.stage, event.title, event.unit) == ("training", "half 1", "epochs")
    assert (event.done, event.total, event.loss) == (2, 3, 0.25)
    assert event.seconds_left >= 0


def test_only_the_main_process_reports(tmp_path, caplog):
    with (
        caplog.at_level(logging.INFO, "spisonet"),
        progress_to_folder(tmp_path),
        TrainingProgress("half 1", 30, shown=False) as progress,
    ):
        progress.update(10, 0.5)
        progress.epoch(1, 0.25)
    assert not caplog.text
    assert not read_progress(tmp_path)


def test_the_time_left_includes_the_prediction_that_follows(tmp_path, caplog):
    with (
        caplog.at_level(logging.INFO, "spisonet"),
        progress_to_folder(tmp_path),
        TrainingProgress("half 1", 30, n_epochs=3) as progress,
    ):
        progress.update(30, 0.5)
        progress.epoch(3, 0.25, seconds_after=40.0)
    assert "40 s left with the prediction" in caplog.text
    assert read_progress(tmp_path)[-1].seconds_left == 40
