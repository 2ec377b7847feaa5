"""Possible centres of training subvolumes."""

from __future__ import annotations

import numpy as np

from spisonet.io.tomograms import open_tomogram
from spisonet.tomography.subvolume_centres import subvolume_centres
from spisonet.tomography.tomogram import Tomogram
from tests.tomography.simulation import (
    write_mrc,
)


def test_centres_are_inside_the_mask_or_at_the_coordinates(tmp_path):
    volume = open_tomogram(write_mrc(tmp_path / "t.mrc", np.zeros((32, 48, 64), np.float32)))
    mask = np.zeros((32, 48, 64), np.int8)
    mask[10:14, 20:24, 40:44] = 1
    masked = open_tomogram(write_mrc(tmp_path / "m.mrc", mask))
    tomogram = Tomogram("t", (volume,), (-60, 60), masked, None, 1)
    centres = subvolume_centres(tomogram, 16, np.random.default_rng(0))
    assert len(centres) == 64
    assert (centres.min(axis=0) == [40, 20, 10]).all()
    assert (centres.max(axis=0) == [43, 23, 13]).all()
    (tmp_path / "c.txt").write_text("1 20 15\n60 30 16\n")
    listed = Tomogram("t", (volume,), (-60, 60), None, tmp_path / "c.txt", 1)
    assert subvolume_centres(listed, 16, np.random.default_rng(0)).tolist() == [[8, 20, 15], [56, 30, 16]]
