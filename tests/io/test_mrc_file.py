"""Regions and headers of MRC files, plain and compressed."""

from __future__ import annotations

import bz2
import gzip

import mrcfile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spisonet.errors import SpisonetError
from spisonet.io.mrc_file import open_mrc

DTYPES = ["int8", "int16", "uint16", "float16", "float32"]
COMPRESS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}


def write(path, data, **header):
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(data)
        mrc.voxel_size = 2.5
        for name, value in header.items():
            mrc.header[name] = value
    return path


@st.composite
def regions(draw, shape):
    limits = [sorted((draw(st.integers(0, n)), draw(st.integers(0, n)))) for n in shape]
    return tuple(slice(None) if a == b else slice(a, b) for a, b in limits)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(2, 9)] * 3),
    dtype=st.sampled_from(DTYPES),
    byte_order=st.sampled_from("<>"),
    suffix=st.sampled_from(list(COMPRESS)),
    data=st.data(),
)
def test_a_region_is_that_of_the_whole_volume(tmp_path_factory, shape, dtype, byte_order, suffix, data):
    volume = np.random.default_rng(0).integers(0, 100, shape).astype(np.dtype(dtype).newbyteorder(byte_order))
    plain = write(tmp_path_factory.getbasetemp() / "v.mrc", volume)
    path = plain.with_name(f"region.mrc{suffix}")
    path.write_bytes(COMPRESS[suffix](plain.read_bytes()))
    region = data.draw(regions(shape))
    values = open_mrc(path).read(*region)
    assert values.dtype == np.float32
    assert values.dtype.isnative
    np.testing.assert_array_equal(values, volume[region])


def test_blocks_that_are_read_at_once_do_not_matter(tmp_path, monkeypatch):
    volume = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)
    file = open_mrc(write(tmp_path / "v.mrc", volume))
    monkeypatch.setattr("spisonet.io.mrc_file.READ_BYTES", 4 * 7 * 2)  # four rows
    np.testing.assert_array_equal(file.read(), volume)
    np.testing.assert_array_equal(file.read(slice(1, 4), slice(1, 6), slice(2, 3)), volume[1:4, 1:6, 2:3])


def test_the_header_is_checked_and_returned(tmp_path):
    volume = np.zeros((4, 5, 6), np.float32)
    path = write(tmp_path / "v.mrc", volume, nxstart=1, nystart=-2, nzstart=3, mapc=3, maps=1)
    with mrcfile.open(path, mode="r+") as mrc:
        mrc.header.origin = (1.5, 2.5, -3.5)
        mrc.add_label("a label")
    file = open_mrc(path)
    assert (file.shape, file.axes, file.is_in_order) == ((4, 5, 6), (3, 2, 1), False)
    assert (file.nstart, file.origin_angstrom) == ((1, -2, 3), (1.5, 2.5, -3.5))
    assert file.voxel_size_angstrom == 2.5
    assert file.labels[-1].startswith("a label")
    assert file.compression is None


def test_axes_that_are_not_set_are_x_y_z(tmp_path):
    file = open_mrc(write(tmp_path / "v.mrc", np.zeros((4, 5, 6), np.float32), mapc=0, mapr=0, maps=0))
    assert file.is_in_order


def test_damaged_files_are_named(tmp_path):
    good = write(tmp_path / "v.mrc", np.zeros((4, 5, 6), np.float32)).read_bytes()
    cases = {
        "short.mrc": (good[:-1], "truncated"),
        "text.mrc": (b"no map" * 300, "not a readable MRC file"),
        "empty.mrc": (b"", "not a readable MRC file"),
        "negative.mrc": (np.int32(-4).tobytes() + good[4:], "header is damaged"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SpisonetError, match=f"{name}.*{message}"):
            open_mrc(tmp_path / name)
    with pytest.raises(SpisonetError, match="does not exist"):
        open_mrc(tmp_path / "none.mrc")
    write(tmp_path / "fourier.mrc", np.zeros((4, 5, 6), np.complex64))
    with pytest.raises(SpisonetError, match="complex numbers"):
        open_mrc(tmp_path / "fourier.mrc")
    with mrcfile.new(tmp_path / "stack.mrc") as mrc:
        mrc.set_data(np.zeros((2, 3, 4, 5), np.float32))
    with pytest.raises(SpisonetError, match="stack of volumes"):
        open_mrc(tmp_path / "stack.mrc")


@pytest.mark.parametrize("suffix", [".gz", ".bz2"])
@pytest.mark.parametrize("cut", ["before compression", "after compression"])
def test_truncated_compressed_files_are_named_when_they_are_read(tmp_path, suffix, cut):
    good = write(tmp_path / "v.mrc", np.random.default_rng(0).random((8, 9, 10), np.float32)).read_bytes()
    compress = COMPRESS[suffix]
    content = compress(good[:-100]) if cut == "before compression" else compress(good)[:-100]
    path = tmp_path / f"short.mrc{suffix}"
    path.write_bytes(content)
    with pytest.raises(SpisonetError, match=r"short\.mrc.*not a readable MRC file"):
        open_mrc(path).read()
