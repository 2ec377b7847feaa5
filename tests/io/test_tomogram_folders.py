"""Tomograms of folders, paired by the names of their tilt series."""

from __future__ import annotations

from pathlib import Path

import pytest

from spisonet.errors import SpisonetError
from spisonet.io.tomogram_folders import TomogramPaths, files_of_series, find_tomograms


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_folders_of_full_even_and_odd_tomograms_are_paired(tmp_path):
    full, even, odd = (tmp_path / kind for kind in ("full", "even", "odd"))
    touch(
        full / "TS_2.rec", full / "TS_1.rec", even / "TS_1_EVN.mrc", odd / "TS_1_ODD.mrc", odd / "notes.txt"
    )
    found = find_tomograms(None, full, even, odd)
    assert list(found) == ["TS_1", "TS_2"]
    assert found["TS_1"] == TomogramPaths(full / "TS_1.rec", even / "TS_1_EVN.mrc", odd / "TS_1_ODD.mrc")
    assert found["TS_2"] == TomogramPaths(full / "TS_2.rec")
    assert [paths.first.name for paths in found.values()] == ["TS_1_EVN.mrc", "TS_2.rec"]


def test_a_half_without_counterpart_in_a_mixed_folder_is_a_full_tomogram(tmp_path):
    touch(tmp_path / "a_EVN.mrc", tmp_path / "b_even.mrc", tmp_path / "b_odd.mrc")
    found = find_tomograms(tmp_path, None, None, None)
    assert found == {
        "a": TomogramPaths(tmp_path / "a_EVN.mrc"),
        "b": TomogramPaths(None, tmp_path / "b_even.mrc", tmp_path / "b_odd.mrc"),
    }


def test_two_files_of_one_tomogram_are_refused(tmp_path):
    touch(tmp_path / "TS_1.mrc", tmp_path / "TS_1_bin4.mrc")
    with pytest.raises(SpisonetError, match=r"TS_1\.mrc and .*TS_1_bin4\.mrc appear to belong to the same"):
        find_tomograms(tmp_path, None, None, None)


def test_masks_are_found_by_the_name_of_the_tilt_series(tmp_path):
    touch(tmp_path / "TS_1_EVN_mask.mrc", tmp_path / "TS_7.mrc")
    assert files_of_series(tmp_path, ["TS_1", "TS_2"])["TS_1"] == tmp_path / "TS_1_EVN_mask.mrc"
    with pytest.raises(SpisonetError, match="no file that is named after a tomogram"):
        files_of_series(tmp_path, ["TS_2"])
