"""Estimated duration of trainings on this machine."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from spisonet.anisotropy.config import ReconstructConfig
from spisonet.io import processors, training_duration
from spisonet.io.mrc import Volume, write_volume
from spisonet.io.training_duration import (
    duration_sentence,
    machine_speed,
    readable_duration,
    subvolume_operations,
    training_operations,
)
from spisonet.learning.launcher import log_duration
from spisonet.tomography.training_config import RefineConfig

MAPS = {"i1": Path("a.mrc"), "i2": Path("b.mrc")}


def operations(**options: object) -> float:
    return training_operations(ReconstructConfig(**MAPS | options))


def test_the_work_follows_the_size_and_the_number_of_trainings():
    standard = operations()
    assert operations(epochs=60) == pytest.approx(2 * standard)
    assert operations(cube_size=32) == pytest.approx(standard / 8)
    assert 0.25 * standard < operations(filter_base=16) < 0.32 * standard  # rotations do not depend on it
    assert operations(independent=True) == pytest.approx(2 * standard)
    assert operations(validation=True) == pytest.approx(2 * standard)  # the cones share the epochs
    assert operations(epochs=1, validation=True) == pytest.approx(4 * operations(epochs=1))
    assert operations(pretrained="default") == operations(filter_base=16)
    assert 3 * standard < operations(objective="ei") < 4.4 * standard
    assert training_operations(ReconstructConfig(**MAPS, method="deconvolve")) is None


def test_predictions_of_the_maps_are_counted(tmp_path):
    path = tmp_path / "half1.mrc"
    write_volume(path, Volume(np.zeros((32, 32, 32), dtype=np.float32), 1.0))
    small = {"epochs": 1, "n_subvolume": 1}
    assert operations(**small | {"i1": path}) > 2 * operations(**small)


def test_tomograms_count_the_subvolumes_of_their_table(tmp_path):
    star = tmp_path / "t.star"
    rows = "".join(f"a{n}.mrc {number}\n" for n, number in enumerate((50, 70)))
    star.write_text(f"data_\nloop_\n_rlnMicrographName #1\n_rlnNumberSubtomo #2\n{rows}")
    listed, given = (
        training_operations(RefineConfig(star_file=star, epochs=10, **options))
        for options in ({}, {"n_subvolume": 120})
    )
    assert listed == given


def test_measured_updates_take_the_estimated_time(monkeypatch):
    # One thread of an AMD EPYC whose float32 matrix products reach 110 GFLOP/s; seconds of processor time.
    monkeypatch.setattr(training_duration, "_matrix_speed", lambda: 1.1e11)
    measured = {
        True: {(16, 32): 0.055, (16, 48): 0.162, (32, 48): 0.457},
        False: {(16, 32): 0.079, (16, 48): 0.247, (32, 48): 0.759},
    }
    for bfloat16, seconds in measured.items():
        monkeypatch.setattr(training_duration, "has_bfloat16", lambda answer=bfloat16: answer)
        for (width, edge), expected in seconds.items():
            config = ReconstructConfig(**MAPS, filter_base=width, cube_size=edge)
            found = subvolume_operations(config) / machine_speed(0, 1)
            assert 1 / 1.5 < found / expected < 1.5


def test_the_sentence_names_shorter_profiles_only(monkeypatch):
    monkeypatch.setattr(training_duration, "_matrix_speed", lambda: 1e11)
    careful, quick = (
        duration_sentence(ReconstructConfig(**MAPS, profile=name)) for name in ("careful", "quick")
    )
    assert careful is not None
    assert "--profile quick about" in careful
    assert "--profile standard about" in careful
    assert quick is not None
    assert "--profile" not in quick
    explicit = duration_sentence(ReconstructConfig(**MAPS, filter_base=8, profile="quick", epochs=3000))
    assert explicit is not None
    assert "--profile quick about" in explicit
    assert duration_sentence(ReconstructConfig(**MAPS, method="prior")) is None
    longest = duration_sentence(ReconstructConfig(**MAPS, epochs="auto"))
    assert longest is not None
    assert longest.startswith("Training takes at most about")


def test_the_estimate_is_logged_for_new_runs(monkeypatch, caplog):
    monkeypatch.setattr(training_duration, "_matrix_speed", lambda: 1e11)
    caplog.set_level(logging.INFO, "spisonet")
    log_duration(ReconstructConfig(**MAPS, resume=True), torch.device("cpu"), 1)
    assert not caplog.messages  # a part is done
    log_duration(ReconstructConfig(**MAPS), torch.device("cpu"), 1)
    assert caplog.messages[0].startswith("Training takes about")


def test_the_speed_is_measured():
    assert machine_speed(0, 1) > 1e8
    assert machine_speed(2, 1) == 2 * machine_speed(1, 1)


def test_the_threads_of_the_run_count_not_all_cores(monkeypatch):
    monkeypatch.setattr(processors, "available_cores", lambda: 64)
    one, some, all_cores = (machine_speed(0, n) for n in (1, 4, 100))
    assert some == pytest.approx(one * 4**0.8)
    assert all_cores == pytest.approx(one * 64**0.8)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (50, "50 s"), (130, "2.2 min"), (1000, "17 min"), (9000, "2.5 h"), (4e5, "5 days")],
)
def test_durations_are_readable(seconds, text):
    assert readable_duration(seconds) == text
