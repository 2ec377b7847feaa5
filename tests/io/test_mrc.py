"""MRC volumes: what is read, what is refused, and what survives a round trip."""

import bz2
import gzip
from pathlib import Path

import emfile
import mrcfile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spisonet.errors import SpisonetError
from spisonet.io import mrc as mrc_module
from spisonet.io.mrc import (
    Volume,
    read_box,
    read_volume,
    require_different,
    require_same_grid,
    write_volume,
)

N = 8
coordinate = st.floats(-1e4, 1e4, width=32)


def densities(seed=0, shape=(N, N, N)):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def write_raw(path, data, voxel_size=1.5, **header):
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(data)
        mrc.voxel_size = voxel_size
        for name, value in header.items():
            mrc.header[name] = value
    return path


@given(
    origin=st.tuples(coordinate, coordinate, coordinate),
    nstart=st.tuples(*[st.integers(-1000, 1000)] * 3),
    voxel_size=st.floats(0.125, 20, width=32),
    labels=st.lists(st.text("abcXYZ 019", min_size=1, max_size=79).map(str.strip).filter(bool), max_size=9),
)
@settings(deadline=None)
def test_header_geometry_survives(tmp_path_factory, origin, nstart, voxel_size, labels):
    path = tmp_path_factory.mktemp("mrc") / "map.mrc"
    volume = Volume(densities(), voxel_size, origin, nstart, tuple(labels))
    write_volume(path, volume, label="added")
    back = read_volume(path)
    np.testing.assert_array_equal(back.data, volume.data)
    assert back.voxel_size_angstrom == pytest.approx(voxel_size, rel=1e-5)
    assert back.origin_angstrom == pytest.approx(origin)
    assert back.nstart == nstart
    assert back.labels == (*labels, "added")
    assert mrcfile.validate(path)


def test_the_newest_ten_labels_are_kept_and_cut(tmp_path):
    volume = Volume(densities(), 1.0, labels=tuple(f"label {i}" for i in range(10)))
    write_volume(tmp_path / "map.mrc", volume, label="x" * 100)
    assert read_volume(tmp_path / "map.mrc").labels == (*volume.labels[1:], "x" * 79)


def test_padded_and_empty_labels(tmp_path):
    path = write_raw(tmp_path / "map.mrc", densities())
    with mrcfile.open(path, mode="r+") as mrc:
        mrc.header.nlabl = 10
        mrc.header.label[:] = b""
        mrc.header.label[1] = b"::EMDATABANK.org::".ljust(80)
    assert read_volume(path).labels == ("::EMDATABANK.org::",)


def test_with_data_keeps_the_geometry():
    volume = Volume(densities(), 1.2, (1, 2, 3), (4, 5, 6), ("a",), "name")
    other = volume.with_data(np.zeros((N, N, N), dtype=np.float64))
    assert other.data.dtype == np.float32
    assert (other.origin_angstrom, other.nstart, other.labels) == ((1, 2, 3), (4, 5, 6), ("a",))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.float16, np.float32])
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_every_real_mode_is_read(tmp_path, dtype, byte_order):
    data = np.arange(N**3).reshape(N, N, N) % 100
    path = write_raw(tmp_path / "map.mrc", data.astype(np.dtype(dtype).newbyteorder(byte_order)))
    volume = read_volume(path)
    assert volume.data.dtype == np.float32
    assert volume.data.flags.c_contiguous
    np.testing.assert_array_equal(volume.data, data)


def test_float16_output(tmp_path):
    write_volume(tmp_path / "map.mrc", Volume(densities(), 1.0), dtype=np.float16)
    np.testing.assert_allclose(read_volume(tmp_path / "map.mrc").data, densities(), rtol=1e-3)
    with pytest.raises(SpisonetError, match="float16"):
        write_volume(tmp_path / "large.mrc", Volume(densities() * 1e6, 1.0), dtype=np.float16)
    assert not (tmp_path / "large.mrc").exists()


@pytest.mark.parametrize(("suffix", "decompress"), [(".gz", gzip.decompress), (".bz2", bz2.decompress)])
def test_compressed_maps(tmp_path, suffix, decompress):
    path = tmp_path / f"map.mrc{suffix}"
    write_volume(path, Volume(densities(), 1.5))
    np.testing.assert_array_equal(read_volume(path).data, densities())
    plain = tmp_path / "plain.mrc"
    plain.write_bytes(decompress(path.read_bytes()))
    np.testing.assert_array_equal(read_volume(plain).data, densities())


@pytest.mark.parametrize("axes", [(1, 2, 3), (3, 2, 1), (2, 1, 3), (2, 3, 1), (3, 1, 2), (1, 3, 2)])
def test_permuted_axes(tmp_path, axes):
    """Columns, rows and sections run along the axes ``(mapc, mapr, maps)``; 1 is x."""
    zyx = densities()
    start_xyz = (10, 20, 30)
    on_disk = zyx.transpose([3 - axis for axis in reversed(axes)])
    starts = {f"n{name}start": start_xyz[axis - 1] for name, axis in zip("xyz", axes, strict=True)}
    mapping = dict(zip(("mapc", "mapr", "maps"), axes, strict=True))
    volume = read_volume(write_raw(tmp_path / "map.mrc", on_disk, **mapping, **starts))
    np.testing.assert_array_equal(volume.data, zyx)
    assert volume.nstart == start_xyz


def test_apix_overrides_the_header(tmp_path):
    assert read_volume(write_raw(tmp_path / "map.mrc", densities(), 0), apix=2.5).voxel_size_angstrom == 2.5


def bad_files(folder):
    """Return the files that must be refused, each with a part of the sentence."""
    whole = write_raw(folder / "whole.mrc", densities()).read_bytes()
    (folder / "text.mrc").write_text("data_particles\n" * 20)
    (folder / "empty.mrc").write_bytes(b"")
    (folder / "truncated.mrc").write_bytes(whole[: len(whole) // 2])
    (folder / "header.mrc").write_bytes(whole[:1024])
    (folder / "damaged.mrc.gz").write_bytes(gzip.compress(whole)[:200])
    huge = bytearray(whole)
    huge[:12] = np.full(3, 2**31 - 1, dtype="<i4").tobytes()
    (folder / "huge.mrc").write_bytes(huge)
    write_raw(folder / "image.mrc", densities(shape=(N, N)))
    write_raw(folder / "stack.mrc", densities()[1:], ispg=0, mz=1)
    write_raw(folder / "flat.mrc", densities(shape=(N, N, N + 1)))
    write_raw(folder / "constant.mrc", np.ones((N, N, N), dtype=np.float32))
    nan = densities()
    nan[1, 2, 3] = np.inf
    nan[0, 0, 0] = np.nan
    (folder / "nan.mrc").write_bytes(whole[:1024] + nan.tobytes())
    write_raw(folder / "novoxel.mrc", densities(), 0)
    write_raw(folder / "skewed.mrc", densities(), (1.0, 1.0, 2.0))
    write_raw(folder / "transform.mrc", densities().astype(np.complex64))
    return {
        "missing.mrc": "does not exist",
        ".": "is a folder",
        "text.mrc": "not a readable MRC",
        "empty.mrc": "not a readable MRC",
        "truncated.mrc": "truncated",
        "header.mrc": "truncated",
        "damaged.mrc.gz": "not a readable MRC",
        "huge.mrc": "not a readable MRC",
        "image.mrc": "not a 3D map",
        "stack.mrc": "not a 3D map",
        "flat.mrc": "not cubic",
        "constant.mrc": "constant",
        "nan.mrc": "2 NaN or infinite",
        "novoxel.mrc": "--apix",
        "skewed.mrc": "not cubic",
        "transform.mrc": "complex",
    }


def test_bad_files_are_refused_in_one_sentence(tmp_path):
    for name, message in bad_files(tmp_path).items():
        path = tmp_path / name
        with pytest.raises(SpisonetError, match=message) as caught:
            read_volume(path)
        assert str(path) in str(caught.value)
        assert str(caught.value).endswith(".")
        assert "\n" not in str(caught.value)


def test_require_same_grid():
    volume = Volume(densities(), 1.0, name="first")
    require_same_grid(volume, Volume(densities(), 1.0005, name="second"))
    with pytest.raises(SpisonetError, match="second has a box of 9 voxels but first has 8"):
        require_same_grid(volume, Volume(densities(shape=(9, 9, 9)), 1.0, name="second"))
    with pytest.raises(SpisonetError, match=r"second has voxels of 1\.1 Å but first has 1 Å"):
        require_same_grid(volume, Volume(densities(), 1.1, name="second"))


def with_one_voxel(data, value):
    changed = data.copy()
    changed[1, 2, 3] = value
    return changed


@pytest.mark.parametrize("sample_voxels", [2**21, 100])
@pytest.mark.parametrize(
    "change",
    [
        lambda d: d,
        lambda d: 2 * d + 1,
        lambda d: -d,
        lambda d: with_one_voxel(d, 0.5),
        lambda d: with_one_voxel(3 * d, 1e6),
        lambda d: d + 1e-4 * densities(1, d.shape),
    ],
)
def test_halves_of_the_same_densities_are_refused(monkeypatch, change, sample_voxels):
    monkeypatch.setattr(mrc_module, "SAMPLE_VOXELS", sample_voxels)
    half = densities(0, (12, 10, 11))
    for halves in ((half, change(half)), (change(half), half)):
        with pytest.raises(SpisonetError, match=r"a\.mrc and b\.mrc have the same densities"):
            require_different("a.mrc", halves[0], "b.mrc", halves[1])


@pytest.mark.parametrize("sample_voxels", [2**21, 100])
@pytest.mark.parametrize("noise", [1.0, 0.01])
def test_halves_with_noise_of_their_own_are_accepted_also_inside_a_mask(monkeypatch, noise, sample_voxels):
    monkeypatch.setattr(mrc_module, "SAMPLE_VOXELS", sample_voxels)
    signal, mask = densities(0, (12, 10, 11)), np.zeros((12, 10, 11), np.float32)
    mask[4:8, 3:7, 3:8] = 1
    halves = [signal + noise * densities(seed, signal.shape) for seed in (1, 2)]
    require_different("a.mrc", halves[0], "b.mrc", halves[1])
    require_different("a.mrc", mask * halves[0], "b.mrc", mask * halves[1])


def test_an_unwritable_place(tmp_path):
    with pytest.raises(SpisonetError, match="cannot be written"):
        write_volume(tmp_path / "missing" / "map.mrc", Volume(densities(), 1.0))
    assert read_volume(write_raw(tmp_path / "x.mrc", densities())).name == str(Path(tmp_path / "x.mrc"))


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_em_files_of_dynamo(tmp_path, dtype):
    path = tmp_path / "average.em"
    emfile.write(path, (densities() * 100).astype(dtype))
    volume = read_volume(path, apix=2.5)
    np.testing.assert_allclose(volume.data, (densities() * 100).astype(dtype), rtol=1e-6)
    assert (volume.voxel_size_angstrom, volume.name) == (2.5, str(path))
    assert read_box(path) == N


def test_bad_em_files(tmp_path):
    path = tmp_path / "average.em"
    emfile.write(path, densities())
    with pytest.raises(SpisonetError, match="no voxel size; give it with --apix"):
        read_volume(path)
    whole = path.read_bytes()
    for broken in (b"", whole[:100], whole[:-7], whole[:3] + b"\x07" + whole[4:]):
        path.write_bytes(broken)
        with pytest.raises(SpisonetError, match="not a readable EM file"):
            read_volume(path, 2.5)
    emfile.write(path, densities()[:4], overwrite=True)
    with pytest.raises(SpisonetError, match="not cubic"):
        read_volume(path, 2.5)
