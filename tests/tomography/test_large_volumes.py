"""The memory that large tomograms take does not grow with them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from spisonet.fourier.filters import RadialCurve
from spisonet.io.tomograms import open_tomogram
from spisonet.tomography.deconvolution import filter_tomogram
from spisonet.tomography.masking import bin_tomogram
from spisonet.tomography.normalisation import normalise
from spisonet.tomography.predict import predict_tomogram
from spisonet.tomography.tomogram import Tomogram
from spisonet.tomography.wedge_check import check_wedge
from tests.tomography.simulation import CPU, gaussian_noise, write_mrc

SHORT, LONG = (96, 24, 48), (768, 24, 48)


def predict(path):
    tomogram = normalise(Tomogram("t", (open_tomogram(path),), (-60.0, 60.0), None, None, 1))
    predict_tomogram(tomogram, lambda tile: tile[0], CPU, 64, path.with_name("out.mrc"), "test")


def measure(path):
    tomogram = Tomogram("t", (open_tomogram(path),), (-60.0, 60.0), None, None, 1)
    normalise(tomogram)
    check_wedge(tomogram)


def deconvolve(path):
    curve = RadialCurve(np.ones(9, np.float32))
    filter_tomogram(open_tomogram(path), path.with_name("out.mrc"), curve, 4, "test", chunk_size=32)


def bin_by_2(path):
    bin_tomogram(open_tomogram(path))


@pytest.mark.parametrize(
    ("command", "bytes_per_voxel"),
    [(predict, 0), (measure, 0), (deconvolve, 0), (bin_by_2, 0.5)],
)
def test_peak_memory(tmp_path, monkeypatch, command, bytes_per_voxel):
    for module in ("chunks", "masking"):
        monkeypatch.setattr(f"spisonet.tomography.{module}.SLAB_VOXELS", 24 * 48 * 4)
    monkeypatch.setattr("spisonet.tomography.normalisation.SAMPLE_EDGE", 32)
    peaks = []
    for shape in (SHORT, SHORT, LONG):  # what is imported or cached at first does not count
        path = write_mrc(tmp_path / f"{shape[0]}.mrc", gaussian_noise(shape))
        tracemalloc.start()
        try:
            command(path)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    growth = bytes_per_voxel * (np.prod(LONG) - np.prod(SHORT))
    assert peaks[2] < 1.3 * peaks[1] + growth + 1e5
