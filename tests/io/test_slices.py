"""Planes of volumes on disk."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spisonet.errors import SpisonetError
from spisonet.io.slices import open_planes
from tests.tomography.simulation import write_mrc

DTYPES = ["int8", "int16", "uint16", "float16", "float32"]


@settings(max_examples=40)
@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    dtype=st.sampled_from(DTYPES),
    axis=st.sampled_from("zyx"),
    data=st.data(),
)
def test_planes_are_those_of_the_whole_volume(tmp_path_factory, shape, dtype, axis, data):
    volume = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    path = write_mrc(tmp_path_factory.getbasetemp() / "v.mrc", volume)
    across = "zyx".index(axis)
    start = data.draw(st.integers(0, shape[across] - 1))
    stop = data.draw(st.integers(start + 1, shape[across]))
    reader = open_planes(path)
    planes = reader.read(axis, start, stop)
    assert planes.dtype == np.float32
    np.testing.assert_array_equal(planes, np.moveaxis(volume, across, 0)[start:stop])
    assert reader.shape == shape
    assert reader.voxel_size_angstrom == 10


def test_the_other_byte_order_and_an_extended_header_are_read(tmp_path):
    volume = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    path = write_mrc(tmp_path / "v.mrc", volume)
    content = bytearray(path.read_bytes())
    header = np.frombuffer(bytes(content[:208]), "<i4").astype(">i4").tobytes()
    content[:208] = header
    content[92:96] = (16).to_bytes(4, "big")  # bytes of extended header
    content[212:216] = bytes([0x11, 0x11, 0, 0])
    data = volume.astype(">f4").tobytes()
    path.write_bytes(bytes(content[:1024]) + b"extended header!" + data)
    np.testing.assert_array_equal(open_planes(path).read("y", 1, 3), volume.swapaxes(0, 1)[1:3])


def test_planes_that_are_not_there_are_refused(tmp_path):
    reader = open_planes(write_mrc(tmp_path / "v.mrc", np.zeros((3, 4, 5), np.float32)))
    for start, stop in ((-1, 1), (0, 4), (2, 2)):
        with pytest.raises(SpisonetError, match="has only 3 planes along z"):
            reader.read("z", start, stop)


def test_files_that_cannot_be_shown_are_named(tmp_path):
    good = write_mrc(tmp_path / "v.mrc", np.zeros((3, 4, 5), np.float32)).read_bytes()
    cases = {
        "short.mrc": (good[:-1], "truncated"),
        "text.mrc": (b"no map" * 300, "not a readable MRC file"),
        "empty.mrc": (b"", "not a readable MRC file"),
        "packed.mrc.gz": (gzip.compress(good), "compressed"),
        "axes.mrc": (
            good[:64] + (3).to_bytes(4, "little") + good[68:72] + (1).to_bytes(4, "little") + good[76:],
            "order",
        ),
    }
    for name, (content, sentence) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SpisonetError, match=sentence):
            open_planes(tmp_path / name)
    with pytest.raises(SpisonetError, match="does not exist"):
        open_planes(tmp_path / "none.mrc")


def test_a_file_that_shrinks_meanwhile_is_noticed(tmp_path):
    path = write_mrc(tmp_path / "v.mrc", np.zeros((3, 4, 5), np.float32))
    reader = open_planes(path)
    path.write_bytes(path.read_bytes()[:1100])
    with pytest.raises(SpisonetError, match="is truncated"):
        reader.read("z", 2, 3)
