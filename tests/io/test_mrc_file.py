"""Regions and headers of MRC files, plain and compressed."""

from __future__ import annotations

import bz2
import gzip
import re
from pathlib import Path
from types import SimpleNamespace

import mrcfile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spisonet.errors import SpisonetError
from spisonet.io import mrc_file
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


def test_narrow_regions_of_large_files_are_read_row_by_row(tmp_path, monkeypatch):
    volume = np.arange(3 * 5 * 40, dtype=np.int16).reshape(3, 5, 40)
    file = open_mrc(write(tmp_path / "v.mrc", volume))
    monkeypatch.setattr("spisonet.io.mrc_file.WHOLE_ROWS_BYTES", 0)
    filled = []
    fill = type(file)._fill
    monkeypatch.setattr(type(file), "_fill", lambda *a: filled.append(a[2].nbytes) or fill(*a))
    region = slice(1, 3), slice(1, 5), slice(7, 19)
    np.testing.assert_array_equal(file.read(*region), volume[region])
    assert sum(filled) == 2 * volume[region].size
    np.testing.assert_array_equal(file.read(slice(1, 3), slice(1, 5), slice(7, 39)), volume[1:3, 1:5, 7:39])


def test_the_header_is_checked_and_returned(tmp_path):
    volume = np.zeros((4, 5, 6), np.float32)
    path = write(tmp_path / "v.mrc", volume, nxstart=1, nystart=-2, nzstart=3, mapc=3, maps=1)
    with mrcfile.open(path, mode="r+") as mrc:
        mrc.header.origin = (1.5, 2.5, -3.5)
        mrc.add_label("a label")
    file = open_mrc(path)
    assert (file.shape, file.axes, file.is_in_order) == ((4, 5, 6), (3, 2, 1), False)
    assert (file.nstart, file.origin_angstrom) == ((1, -2, 3), (1.5, 2.5, -3.5))
    assert file.cubic_voxel_size_angstrom() == 2.5
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
        "empty.mrc": (b"", r"not a readable MRC file: it is empty\."),
        "empty.mrc.gz": (gzip.compress(b""), r"not a readable MRC file: it is empty\."),
        "header.mrc": (good[:900], "it has 900 bytes, but its header alone needs 1024"),
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


def write_bytes_of_imod(path, values, flags=None, header_range=None, unsigned=True):
    """Write mode 0; `values` are 0 to 255 (or signed), stored as IMOD or another program does it."""
    stored = np.asarray(values, np.uint8 if unsigned else np.int8).view(np.int8)
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(stored)
        mrc.voxel_size = 2.5
        mrc.header.dmin, mrc.header.dmax = header_range or (np.min(values), np.max(values))
        if flags is not None:
            extra = bytearray(mrc.header.extra2.tobytes())
            extra[40:48] = np.array([1146047817, flags], "<i4").tobytes()
            mrc.header.extra2 = np.void(bytes(extra))
    return path


RAMP = np.arange(0, 240, 2).reshape(4, 5, 6)


@pytest.mark.parametrize("flags", [0, 2])
def test_bytes_with_imods_stamp_are_unsigned_without_its_flag(tmp_path, flags, caplog):
    path = write_bytes_of_imod(tmp_path / "v.mrc", RAMP, flags)
    np.testing.assert_array_equal(open_mrc(path).read(), RAMP)
    assert not caplog.records


@pytest.mark.parametrize("flags", [1, 3, None])
def test_bytes_with_imods_flag_or_a_negative_minimum_are_signed(tmp_path, flags):
    path = write_bytes_of_imod(tmp_path / "v.mrc", RAMP - 120, flags, unsigned=False)
    np.testing.assert_array_equal(open_mrc(path).read(), RAMP - 120)


def test_bytes_of_other_programs_are_unsigned_if_the_header_says_so(tmp_path, caplog):
    mask = np.where(RAMP > 100, 255, 0)
    path = write_bytes_of_imod(tmp_path / "mask.mrc", mask)
    np.testing.assert_array_equal(open_mrc(path).read(), mask)
    open_mrc(path)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "mask.mrc contains bytes that are read as unsigned" in caplog.text
    assert "range of 0 to 255" in caplog.text


@pytest.mark.parametrize("header_range", [(0, 0), (0, -1), (-1, -2), (np.nan, np.nan)])
@pytest.mark.parametrize(("version", "kind"), [(0, "unsigned"), (20140, "signed"), (20141, "signed")])
def test_bytes_without_a_range_are_signed_by_the_version_of_the_header(
    tmp_path, caplog, header_range, version, kind
):
    path = write_bytes_of_imod(tmp_path / "v.mrc", RAMP - 120, None, header_range, unsigned=False)
    with mrcfile.open(path, "r+") as mrc:
        mrc.header.nversion = version
    values = open_mrc(path).read()
    np.testing.assert_array_equal(values, RAMP - 120 if kind == "signed" else (RAMP - 120) % 256)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert (
        f"v.mrc contains bytes that are read as {kind} by the version of its header ({version})"
        in caplog.text
    )
    with mrcfile.open(path, "r+") as mrc:
        mrc.update_header_stats()
    np.testing.assert_array_equal(open_mrc(path).read(), RAMP - 120)
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("flags", "mode", "part"),
    [(None, 101, "4 bits (mode 101 of SerialEM"), (16, 0, "4 bits (packed by IMOD)")],
)
def test_values_of_4_bits_are_named(tmp_path, flags, mode, part):
    path = write_bytes_of_imod(tmp_path / "v.mrc", RAMP, flags)
    content = bytearray(path.read_bytes())
    content[12:16] = np.int32(mode).tobytes()
    path.write_bytes(content)
    with pytest.raises(SpisonetError, match=re.escape(part)):
        open_mrc(path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_absent_extended_header_is_named(tmp_path, suffix):
    content = bytearray(write(tmp_path / "v.mrc", np.ones((4, 5, 6), np.float32)).read_bytes())
    content[92:96] = np.int32(512).tobytes()
    path = tmp_path / f"absent.mrc{suffix}"
    path.write_bytes(COMPRESS[suffix](content))
    with pytest.raises(SpisonetError, match="announces an extended header of 512 bytes, which is not in the"):
        open_mrc(path)
    whole = tmp_path / f"whole.mrc{suffix}"
    whole.write_bytes(COMPRESS[suffix](content[:1024] + bytes(512) + content[1024:]))
    assert open_mrc(whole).read().mean() == 1


def test_a_cubic_map_with_the_header_of_a_stack_is_read(tmp_path, caplog):
    cube = np.arange(4**3, dtype=np.float32).reshape(4, 4, 4)
    path = write(tmp_path / "v.mrc", cube, ispg=0, mz=1)
    file = open_mrc(path)
    assert (file.is_stack, file.cubic_voxel_size_angstrom()) == (False, 2.5)
    np.testing.assert_array_equal(file.read(), cube)
    assert "header of a stack of images (ispg 0, mz 1)" in caplog.text
    stack = open_mrc(write(tmp_path / "s.mrc", np.zeros((3, 4, 4), np.float32), ispg=0, mz=1))
    assert stack.is_stack
    with pytest.raises(SpisonetError, match=r"not cubic by its header of a stack of images \(ispg 0, mz 1\)"):
        stack.cubic_voxel_size_angstrom()


@pytest.mark.parametrize("suffix", [".gz", ".bz2"])
def test_slabs_of_a_compressed_volume_decompress_it_once(tmp_path, monkeypatch, suffix):
    volume = np.random.default_rng(0).random((6, 5, 4)).astype(np.float32)
    plain = write(tmp_path / "v.mrc", volume)
    path = tmp_path / f"v.mrc{suffix}"
    path.write_bytes(COMPRESS[suffix](plain.read_bytes()))
    kind = {".gz": "gzip", ".bz2": "bzip2"}[suffix]
    opened = []
    original = mrc_file.OPENERS[kind]
    monkeypatch.setitem(mrc_file.OPENERS, kind, lambda path: opened.append(path) or original(path))
    for z in (5, 0, 3, 1):
        np.testing.assert_array_equal(open_mrc(path).read(slice(z, z + 1)), volume[z : z + 1])
    assert opened == [path]
    # Another content under the same name is another file.
    path.write_bytes(COMPRESS[suffix](write(plain, 2 * volume, nxstart=1).read_bytes()))
    np.testing.assert_array_equal(open_mrc(path).read(slice(2, 3)), 2 * volume[2:3])


def test_a_compressed_volume_without_room_for_its_copy_is_named(tmp_path, monkeypatch):
    path = tmp_path / "v.mrc.gz"
    path.write_bytes(gzip.compress(write(tmp_path / "v.mrc", np.ones((4, 5, 6), np.float32)).read_bytes()))
    monkeypatch.setattr(mrc_file.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10))
    with pytest.raises(SpisonetError, match=r"v\.mrc\.gz is compressed, and .* has no room"):
        open_mrc(path).read(slice(0, 1))


def test_older_copies_make_room_for_others(tmp_path, monkeypatch):
    volumes = {name: np.full((4, 5, 6), value, np.float32) for value, name in enumerate("abc")}
    for name, volume in volumes.items():
        content = write(tmp_path / "v.mrc", volume).read_bytes()
        (tmp_path / f"{name}.mrc.gz").write_bytes(gzip.compress(content))
    copies = mrc_file._copies()
    others = len(copies.paths)
    monkeypatch.setattr(
        mrc_file.shutil,
        "disk_usage",
        lambda folder: SimpleNamespace(free=2**31 if len(copies.paths) < 2 else 10),
    )
    for name in "abcab":
        values = open_mrc(tmp_path / f"{name}.mrc.gz").read(slice(1, 2))
        np.testing.assert_array_equal(values, volumes[name][1:2])
        assert len(copies.paths) <= max(2, others)
        assert len(list(Path(copies.folder.name).iterdir())) == len(copies.paths)
