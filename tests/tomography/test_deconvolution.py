"""Filtering of tomograms in chunks."""

from __future__ import annotations

import mrcfile
import numpy as np

from spisonet.fourier.ctf import Microscope
from spisonet.io.tomograms import open_tomogram
from spisonet.tomography.deconvolution import Deconvolution, filter_tomogram
from tests.tomography.simulation import write_mrc


def test_chunks_of_a_deconvolution_show_no_seam(tmp_path):
    rng = np.random.default_rng(1)
    data = np.cumsum(rng.normal(size=(40, 90, 90)), axis=2).astype(np.float32)
    tomogram = open_tomogram(write_mrc(tmp_path / "t.mrc", data - data.mean()))
    filter_ = Deconvolution(Microscope(10.0, 30000.0), highpass=0.2)
    filter_tomogram(tomogram, tmp_path / "whole.mrc", filter_.curve, filter_.reach, "whole")
    filter_tomogram(tomogram, tmp_path / "blocks.mrc", filter_.curve, filter_.reach, "blocks", 32, 1.0)
    whole, parts = (mrcfile.read(tmp_path / f"{name}.mrc") for name in ("whole", "blocks"))
    inner = (slice(12, -12),) * 3  # the whole transform is periodic, the blocks are mirrored
    difference = whole - parts
    assert difference[inner].std() < 0.05 * whole.std()
    jumps = np.abs(np.diff(difference[inner], axis=1)).mean(axis=(0, 2))
    assert jumps.max() < 0.05 * whole.std()  # also where blocks meet


def test_chunks_leave_no_step_where_the_density_drifts(tmp_path):
    ramp = np.linspace(-1, 1, 400, dtype=np.float32)[None, None]
    data = np.random.default_rng(0).normal(size=(12, 24, 400)).astype(np.float32) + ramp
    tomogram = open_tomogram(write_mrc(tmp_path / "t.mrc", data))
    filter_ = Deconvolution(Microscope(10.0, 30000.0))
    filter_tomogram(tomogram, tmp_path / "blocks.mrc", filter_.curve, filter_.reach, "blocks", 200)
    filter_tomogram(tomogram, tmp_path / "whole.mrc", filter_.curve, filter_.reach, "whole")
    blocks_, whole = (mrcfile.read(tmp_path / f"{name}.mrc") for name in ("blocks", "whole"))
    step = float((blocks_[..., 200] - blocks_[..., 199]).mean())
    assert abs(step - float((whole[..., 200] - whole[..., 199]).mean())) < 0.1
