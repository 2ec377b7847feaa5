"""Tomograms: lists, tilt ranges, deconvolution and masks."""

from __future__ import annotations

import struct
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spisonet.commands.main import isonet
from spisonet.errors import SpisonetError
from spisonet.fourier.ctf import Microscope
from spisonet.io.imod import read_contours
from spisonet.io.tilt_angles import core_name, find_tilt_file, read_tilt_range
from spisonet.io.tomogram_table import TomogramTable
from spisonet.io.tomograms import open_tomogram
from spisonet.tomography.boundary import inside_contours
from spisonet.tomography.chunks import Chunk, chunks, read_mirrored, slabs
from spisonet.tomography.deconvolution import Deconvolution, filter_tomogram
from spisonet.tomography.masking import MaskOptions, seen_in_all_tilts, specimen_mask
from tests.tomography.simulation import write_mrc

RELION5 = """
# version 50001

data_global

loop_
_rlnTomoName #1
_rlnVoltage #2
_rlnOpticsGroupName #3
_rlnTomoTiltSeriesPixelSize #4
_rlnTomoTomogramBinning #5
_rlnTomoReconstructedTomogramHalf1 #6
_rlnTomoReconstructedTomogramHalf2 #7
TS_01 300.000000 optics1 1.350000 7.407407 even/rec_TS_01_half1.mrc odd/rec_TS_01_half2.mrc
TS_03 300.000000 optics1 1.350000 7.407407 even/rec_TS_03_half1.mrc odd/rec_TS_03_half2.mrc
"""


def noise(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(10, 3, size=shape).astype(np.float32)


def failure(words: list[str], capsys) -> str:
    capsys.readouterr()  # what earlier commands said
    with pytest.raises(SystemExit) as stopped:
        isonet(words)
    assert stopped.value.code == 1
    message = capsys.readouterr().err.strip()
    assert "\n" not in message
    return message


# --- tables --------------------------------------------------------------------------------------------


def test_a_relion_5_table_comes_back_word_by_word(tmp_path):
    path = tmp_path / "tomograms.star"
    path.write_text(RELION5)
    table = TomogramTable.read(path)
    first, second = table.rows
    assert first.full is None
    assert first.halves == (Path("even/rec_TS_01_half1.mrc"), Path("odd/rec_TS_01_half2.mrc"))
    assert (first.shown, first.index, second.index) == ("TS_01", "1", "2")
    assert first.voxel_size_angstrom == pytest.approx(10.0, abs=1e-5)
    table.set(second, "rlnMaskName", Path("mask/TS_03.mrc"))
    table.write()
    words = [w for line in path.read_text().splitlines() if not line.startswith("#") for w in line.split()]
    before = [w for line in RELION5.splitlines() if not line.startswith("#") for w in line.split()]
    kept = [w for w in words if w not in ("_rlnMaskName", "#8", "None", "mask/TS_03.mrc")]
    assert kept == before
    assert TomogramTable.read(path).rows[0].path("rlnMaskName") is None


def test_comments_and_single_values_stay_and_unsafe_names_are_refused(tmp_path):
    path = tmp_path / "t.star"
    single = "# version 50001\n\ndata_general\n\n_rlnTomoSubTomosAre2DStacks 1\n\n"
    path.write_text(single + RELION5.replace("# version 50001", ""))
    TomogramTable.read(path).write()
    text = path.read_text()
    assert text.startswith("# version 50001\n")
    assert "_rlnTomoSubTomosAre2DStacks" in text.partition("data_global")[0]
    assert "loop_" not in text.partition("data_global")[0]
    assert len(TomogramTable.read(path).rows) == 2
    path.write_text(RELION5.replace("even/rec_TS_01", "even/rec#TS_01"))
    with pytest.raises(SpisonetError, match="contains '#', which a STAR value"):
        TomogramTable.read(path)
    with pytest.raises(SpisonetError, match="contains a space, # or quotation mark"):
        TomogramTable.new(path, [{"rlnMicrographName": "my tomo.mrc"}]).write()


def test_rows_are_chosen_by_their_index(tmp_path):
    rows = [{"rlnIndex": str(i), "rlnMicrographName": f"t{i}.mrc"} for i in (1, 2, 3, 7)]
    table = TomogramTable.new(tmp_path / "t.star", rows)
    assert [row.index for row in table.chosen("1,2-3,2")] == ["1", "2", "3"]
    assert len(table.chosen(None)) == 4
    for wrong, part in (("5", "no tomogram 5"), ("a", "not a list")):
        with pytest.raises(SpisonetError, match=part):
            table.chosen(wrong)


@pytest.mark.parametrize("text", ["data_x\n\nloop_\n_rlnImageName #1\n1@a.mrcs\n", "nothing"])
def test_a_file_that_lists_no_tomograms_is_refused(tmp_path, text):
    path = tmp_path / "t.star"
    path.write_text(text)
    with pytest.raises(SpisonetError, match=r"t\.star"):
        TomogramTable.read(path)


# --- names and tilts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("TS_01.mrc", "TS_01_EVN.mrc", "TS_01_ODD_Vol.mrc", "rec_TS_01_half1.mrc", "TS_01_10.00Apx.mrc"),
        *("TS_01_even_bin4.rec", "TS_01.mrc.gz"),
    ],
)
def test_all_files_of_a_tilt_series_have_its_name(name):
    assert core_name(Path(name)) == "TS_01"


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".tlt", "-50.00\n0.00\n66.01\n"),
        (".rawtlt", " -50\n 66.01\n"),
        (".mdoc", "[ZValue = 0]\nTiltAngle = -50\nDose = 3\n[ZValue = 1]\nTiltAngle = 66.01\n"),
        (".star", "data_TS_01\n\nloop_\n_rlnTomoNominalStageTiltAngle #1\n-50\n3\n66.01\n\n"),
    ],
)
def test_tilt_ranges_are_read_wherever_they_stand(tmp_path, suffix, text):
    (tmp_path / f"TS_01{suffix}").write_text(text)
    found = find_tilt_file(tmp_path / "TS_01_EVN.mrc")
    assert found == tmp_path / f"TS_01{suffix}"
    assert read_tilt_range(found) == (-50.0, 66.01)


def test_warps_tilts_are_not_its_tilt_axis(tmp_path):
    text = "data_\n\nloop_\n_wrpMovieName #1\n_wrpAngleTilt #2\n_wrpAxisAngle #3\na -58 84.1\nb 60 85.3\n\n"
    (tmp_path / "TS_01.tomostar").write_text(text)
    (tmp_path / "TS_01.star").write_text(
        "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n1 2\n3 4\n\n"
    )
    found = find_tilt_file(tmp_path / "TS_01_10.00Apx.mrc")
    assert read_tilt_range(found) == (-58.0, 60.0)


@pytest.mark.parametrize("text", ["", "-60\n", "no angles\n", "-120\n120\n"])
def test_what_is_no_tilt_range_is_refused(tmp_path, text):
    path = tmp_path / "a.tlt"
    path.write_text(text)
    with pytest.raises(SpisonetError, match=r"a\.tlt"):
        read_tilt_range(path)


# --- prepare_star --------------------------------------------------------------------------------------


def test_a_folder_is_listed_as_isonet_1_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.mrc", "a.rec"):
        write_mrc(Path("tomograms") / name, noise((8, 16, 20)))
    Path("tomograms/a.tlt").write_text("-40\n62\n")
    isonet("prepare_star tomograms --output_star t.star --defocus 30000 --number_subtomos 50".split())
    a, b = TomogramTable.read(Path("t.star")).rows
    assert (a.full, b.full) == (Path("tomograms/a.rec"), Path("tomograms/b.mrc"))
    assert "rlnMicrographName" in a.values
    assert (a.number_of("rlnPixelSize"), a.number_of("rlnDefocus")) == (10.0, 30000.0)
    assert (a.number_of("rlnTiltMin"), a.number_of("rlnTiltMax")) == (-40.0, 62.0)
    assert (b.number_of("rlnTiltMin"), b.number_of("rlnTiltMax")) == (-60.0, 60.0)
    assert a.text("rlnNumberSubtomo") == "50"


def test_halves_are_paired_by_name_and_summed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for index, name in enumerate(("TS_1", "TS_10")):
        write_mrc(Path(f"even/{name}_EVN_Vol.mrc"), noise((8, 16, 20), index))
        write_mrc(Path(f"odd/{name}_ODD_Vol.mrc"), noise((8, 16, 20), 5 + index))
    isonet("prepare_star --even even --odd odd --star_name t.star --create_average True".split())
    first, second = TomogramTable.read(Path("t.star")).rows
    assert second.halves == (Path("even/TS_10_EVN_Vol.mrc"), Path("odd/TS_10_ODD_Vol.mrc"))
    assert first.full == Path("sum_even_odd_tomograms/TS_1_full.mrc")
    with mrcfile.open(first.full) as mrc:
        np.testing.assert_allclose(mrc.data, noise((8, 16, 20), 0) + noise((8, 16, 20), 5), rtol=1e-6)
        assert int(mrc.header.nystart) == -2


def test_halves_in_one_folder_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("TS_1_EVN_Vol.mrc", "TS_1_ODD_Vol.mrc", "TS_1_Vol.mrc"):
        write_mrc(Path("aretomo") / name, noise((8, 16, 20)))
    isonet(["prepare_star", "aretomo", "--output_star", "t.star"])
    (row,) = TomogramTable.read(Path("t.star")).rows
    assert row.full == Path("aretomo/TS_1_Vol.mrc")
    assert row.halves == (Path("aretomo/TS_1_EVN_Vol.mrc"), Path("aretomo/TS_1_ODD_Vol.mrc"))


def test_isonet_2s_own_line_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        for half in ("even", "odd"):
            write_mrc(Path(half) / f"{name}.mrc", noise((8, 16, 20)), voxel_size=0)
        write_mrc(Path(f"masks/{name}_EVN_mask.mrc"), noise((8, 16, 20)))
    line = (
        "prepare_star --full None --even even --odd odd --create_average True --pixel_size 5.4 "
        "--number_subtomos auto --coordinate_folder None --mask_folder masks --tilt_min -60 --tilt_max 60"
    )
    isonet([*line.split(), "--defocus", "[39057,14817]"])
    first, second = TomogramTable.read(Path("tomograms.star")).rows
    assert (first.number_of("rlnDefocus"), second.number_of("rlnDefocus")) == (39057.0, 14817.0)
    assert second.path("rlnMaskName") == Path("masks/b_EVN_mask.mrc")
    assert open_tomogram(first.full).voxel_size_angstrom == pytest.approx(5.4)
    isonet(
        ["prepare_star", "sum_even_odd_tomograms", "--output_star", "sums.star", "--tomo_idx", "None"][:-2]
    )


def test_averages_of_halves_are_whole_tomograms(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_mrc(Path("averaged/TS_01_EVN_full.mrc"), noise((8, 16, 20)))
    isonet(["prepare_star", "averaged"])
    (row,) = TomogramTable.read(Path("tomograms.star")).rows
    assert row.full == Path("averaged/TS_01_EVN_full.mrc")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("prepare_star", "needs a folder"),
        ("prepare_star even --defocus 3,4,5", "one for each of 2 tomograms"),
        ("prepare_star even --mask_folder empty", "empty contains no file that is named after a tomogram"),
        ("prepare_star nowhere", "is not a folder"),
        ("prepare_star empty", "contains no tomograms"),
        ("prepare_star --even even", "both --even and --odd"),
        ("prepare_star --even even --odd odd", "other half is missing for even/b.mrc"),
        ("prepare_star even --pixel_size big", "--pixel_size big"),
        ("prepare_star even --tilt_min 10 --tilt_max -10", "not below"),
    ],
)
def test_bad_folders_are_one_sentence(tmp_path, monkeypatch, capsys, words, part):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    for name in ("even/a.mrc", "odd/a.mrc", "even/b.mrc"):
        write_mrc(Path(name), noise((8, 8, 8)))
    assert part in failure(words.split(), capsys)
    assert not Path("tomograms.star").exists()


# --- blocks --------------------------------------------------------------------------------------------


@given(shape=st.tuples(*[st.integers(2, 30)] * 3), edge=st.integers(3, 20), margin=st.integers(0, 2))
def test_blocks_cover_a_volume_once(shape, edge, margin):
    count = np.zeros(shape, dtype=int)
    for chunk in chunks(shape, edge, margin):
        count[chunk.inner] += 1
        inner = tuple(part.stop - part.start for part in chunk.inner)
        assert tuple(part.stop - part.start for part in chunk.inner_in_chunk) == inner
        assert chunk.shape == tuple(n + 2 * margin for n in inner)
    assert (count == 1).all()
    assert sum(slab.stop - slab.start for slab in slabs(shape)) == shape[0]


def test_surroundings_are_mirrored_at_the_borders(tmp_path):
    data = noise((6, 7, 8))
    tomogram = open_tomogram(write_mrc(tmp_path / "t.mrc", data))
    (chunk,) = chunks((6, 7, 8), 10, 2)
    np.testing.assert_array_equal(read_mirrored(tomogram, chunk), np.pad(data, 2, mode="symmetric"))
    inner = Chunk((slice(2, 4), slice(2, 5), slice(3, 6)), (1, 1, 2), (4, 5, 5))
    np.testing.assert_array_equal(read_mirrored(tomogram, inner), data[1:5, 1:6, 2:7])


# --- deconv --------------------------------------------------------------------------------------------


def published_deconvolution(volume: np.ndarray, apix: float, defocus_um: float, falloff: float) -> np.ndarray:
    """The published filter by whole complex transforms, from its description."""
    f = np.linspace(0, 1, 2048)
    k = f / (2 * apix * 1e-10)
    wavelength = 12.2643247 / np.sqrt(300e3 * (1 + 300e3 * 0.978466e-6)) * 1e-10
    phase = np.pi / 2 * (wavelength**3 * 2.7e-3 * k**4 - 2 * wavelength * defocus_um * 1e-6 * k**2)
    ctf = -np.sqrt(1 - 0.07**2) * np.sin(phase) + 0.07 * np.cos(phase)
    high = 1 - np.cos(np.minimum(1, f / 0.02) * np.pi)
    snr = np.exp(-f * falloff * 100 / apix) * 10.0 * high + 1e-6
    wiener = ctf / (ctf**2 + 1 / snr)
    axes = np.meshgrid(*(2 * np.abs(np.fft.fftfreq(n)) for n in volume.shape), indexing="ij")
    radius = np.minimum(1, np.sqrt(sum(axis**2 for axis in axes)))
    out = np.fft.ifftn(np.fft.fftn(volume) * np.interp(radius, f, wiener)).real
    return (out - out.mean()) / out.std() * volume.std() + volume.mean()


def test_deconvolution_is_the_published_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = noise((20, 33, 40))
    write_mrc(Path("tomograms/t.mrc"), data)
    isonet("prepare_star tomograms --defocus 35000".split())
    isonet("deconv tomograms.star --snrfalloff 0.7 --deconvstrength 1 --ncpu 1".split())
    (row,) = TomogramTable.read(Path("tomograms.star")).rows
    assert row.path("rlnDeconvTomoName") == Path("deconv/t.mrc")
    assert (row.number_of("rlnSnrFalloff"), row.number_of("rlnDeconvStrength")) == (0.7, 1.0)
    with mrcfile.open("deconv/t.mrc") as mrc:
        np.testing.assert_allclose(mrc.data, published_deconvolution(data, 10, 3.5, 0.7), atol=2e-3)
        assert mrc.voxel_size.x == pytest.approx(10)
        assert int(mrc.header.nzstart) == 5
        statistics = (mrc.header.dmin, mrc.header.dmax, mrc.header.dmean, mrc.header.rms)
        expected = (mrc.data.min(), mrc.data.max(), mrc.data.mean(), mrc.data.std())
        np.testing.assert_allclose(statistics, expected, rtol=1e-5)


def test_blocks_of_a_deconvolution_show_no_seam(tmp_path):
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


def test_automatic_blocks_leave_no_step_where_the_density_drifts(tmp_path):
    ramp = np.linspace(-1, 1, 400, dtype=np.float32)[None, None]
    data = np.random.default_rng(0).normal(size=(12, 24, 400)).astype(np.float32) + ramp
    tomogram = open_tomogram(write_mrc(tmp_path / "t.mrc", data))
    filter_ = Deconvolution(Microscope(10.0, 30000.0))
    filter_tomogram(tomogram, tmp_path / "blocks.mrc", filter_.curve, filter_.reach, "blocks", 200)
    filter_tomogram(tomogram, tmp_path / "whole.mrc", filter_.curve, filter_.reach, "whole")
    blocks_, whole = (mrcfile.read(tmp_path / f"{name}.mrc") for name in ("blocks", "whole"))
    step = float((blocks_[..., 200] - blocks_[..., 199]).mean())
    assert abs(step - float((whole[..., 200] - whole[..., 199]).mean())) < 0.1


def test_tomograms_of_one_name_keep_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = []
    for index, name in enumerate(("d1/rec.mrc", "d2/rec.mrc"), start=1):
        write_mrc(Path(name), noise((8, 16, 16), index))
        rows.append(
            {"rlnIndex": str(index), "rlnMicrographName": name, "rlnPixelSize": "10", "rlnDefocus": "3e4"}
        )
    TomogramTable.new(Path("t.star"), rows).write()
    isonet(["deconv", "t.star"])
    found = [row.path("rlnDeconvTomoName") for row in TomogramTable.read(Path("t.star")).rows]
    assert found == [Path("deconv/d1_rec.mrc"), Path("deconv/d2_rec.mrc")]
    assert not np.allclose(*(mrcfile.read(path) for path in found))


@pytest.mark.parametrize(
    ("edit", "part"),
    [
        (("tomograms/a.mrc", "tomograms/gone.mrc"), "Missing files: tomograms/gone.mrc"),
        (("35000", "None"), "has no rlnDefocus above 0"),
        (("35000", "0"), "has no rlnDefocus above 0"),
        (("35000", "deep"), "rlnDefocus is deep"),
    ],
)
def test_bad_rows_are_one_sentence_and_leave_nothing(tmp_path, monkeypatch, capsys, edit, part):
    monkeypatch.chdir(tmp_path)
    write_mrc(Path("tomograms/a.mrc"), noise((8, 16, 16)))
    isonet("prepare_star tomograms --defocus 35000".split())
    path = Path("tomograms.star")
    path.write_text(path.read_text().replace(*edit))
    before = path.read_text()
    assert part in failure(["deconv", "tomograms.star"], capsys)
    assert path.read_text() == before
    assert not Path("deconv").exists()


def test_a_tomogram_with_nan_is_named_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = noise((8, 16, 16))
    data[3, 3, 3] = np.nan
    write_mrc(Path("tomograms/a.mrc"), data)
    isonet("prepare_star tomograms --defocus 35000".split())
    assert "NaN" in failure(["deconv", "tomograms.star"], capsys)
    assert list(Path("deconv").iterdir()) == []


# --- make_mask -----------------------------------------------------------------------------------------

OPTIONS = MaskOptions(patch_size=2, density_percentage=30, std_percentage=30, z_crop=0.0, gold_sigma=None)


def vesicle(shape: tuple[int, int, int] = (24, 40, 40)) -> tuple[np.ndarray, np.ndarray]:
    """A dark, structured ball in the middle of smooth ice."""
    z, y, x = (np.arange(n) - n // 2 for n in shape)
    inside = z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None] ** 2 < 9**2
    rng = np.random.default_rng(0)
    data = rng.normal(scale=0.05, size=shape) - inside * (1 + rng.normal(scale=0.5, size=shape))
    return data.astype(np.float32), inside


def test_the_mask_finds_what_is_dark_and_varies():
    data, inside = vesicle()
    mask = specimen_mask(data, OPTIONS)
    assert mask[inside].mean() > 0.9
    assert mask.mean() < 0.3
    corner = mask[:, :6, :6]
    assert corner.mean() < 0.2


def test_a_mask_does_not_depend_on_the_grey_scale_or_on_slabs(monkeypatch):
    data, _ = vesicle((40, 40, 40))
    mask = specimen_mask(data, OPTIONS)
    assert (specimen_mask(data * 20 + 5000, OPTIONS) == mask).mean() > 0.999
    monkeypatch.setattr("spisonet.tomography.masking.SLAB_VOXELS", 40 * 40 * 3)
    assert (specimen_mask(data, OPTIONS) == mask).mean() > 0.999


def test_z_crop_leaves_out_top_and_bottom_and_gold_its_surroundings():
    data, _ = vesicle()
    cropped = specimen_mask(data, MaskOptions(2, 100, 100, 0.25, None))
    assert not cropped[:6].any()
    assert not cropped[-6:].any()
    assert cropped[6:-6].all()
    data[12, 20, 20] = -40
    without = specimen_mask(data, MaskOptions(2, 100, 100, 0.0, 15.0))
    assert not without[10:15, 18:23, 18:23].any()
    assert without[0, 0, 0]


def test_edges_that_tilted_images_do_not_see():
    seen = seen_in_all_tilts((40, 10, 100), 60)
    assert seen[20].all()  # the untilted plane's neighbours
    assert not seen[0, 0]
    assert seen[0, 50]
    assert seen_in_all_tilts((40, 10, 100), 0).all()


def imod_model(contours: list[np.ndarray]) -> bytes:
    content = b"IMODV1.2" + bytes(232) + b"OBJT" + bytes(176)
    for contour in contours:
        content += b"CONT" + struct.pack(">iIii", len(contour), 0, 0, 0)
        content += np.asarray(contour, dtype=">f4").tobytes()
    return (
        content
        + b"MESH"
        + struct.pack(">iiIhh", 1, 2, 0, 0, 0)
        + bytes(20)
        + b"LABL"
        + struct.pack(">i", 3)
        + b"abc"
        + b"IEOF"
    )


def test_contours_of_imod_surround_the_specimen(tmp_path):
    square = np.array([(5, 5, 4), (15, 5, 4), (15, 12, 4), (5, 12, 4)], dtype=float)
    high = square * (1, 1, 0) + (0, 0, 9)
    path = tmp_path / "b.mod"
    path.write_bytes(imod_model([square, high]))
    contours = read_contours(path)
    np.testing.assert_array_equal(contours[1], high)
    mask = np.stack(list(inside_contours(contours, (14, 20, 20))))
    assert mask[6, 8, 10]
    assert not mask[6, 8, 3]
    assert not mask[2].any()
    assert not mask[11].any()
    alone = np.stack(list(inside_contours(contours[:1], (14, 20, 20))))
    assert alone[0, 8, 10]  # one contour alone holds for all planes
    half = np.stack(list(inside_contours(contours, (7, 10, 10), 2)))
    assert half[3, 4, 5]
    assert not half[1].any()
    text = tmp_path / "b.txt"
    text.write_text(
        "\n".join(f"{c + 1} {x} {y} {z}" for c, points in enumerate((square, high)) for x, y, z in points)
    )
    np.testing.assert_array_equal(read_contours(text)[1], high)
    (tmp_path / "c.mod").write_bytes(imod_model([square])[:-90])
    for broken in (tmp_path / "c.mod", Path(__file__)):
        with pytest.raises(SpisonetError):
            read_contours(broken)


def test_two_last_points_of_a_boundary_are_its_first_and_last_plane():
    square = [(5, 5, 20), (15, 5, 20), (15, 12, 20), (5, 12, 20)]
    clicks = [(1, 1, 8), (2, 2, 30)]
    in_one = [np.array(square + clicks, dtype=np.float32)]
    apart = [np.array(part, dtype=np.float32) for part in (square, clicks[:1], clicks[1:])]
    for contours in (in_one, apart):
        mask = np.stack(list(inside_contours(contours, (40, 20, 20))))
        assert np.flatnonzero(mask.any(axis=(1, 2))).tolist() == list(range(8, 31))
        assert mask[20].sum() == mask[9].sum() == pytest.approx(70, abs=20)


def test_a_model_that_was_drawn_on_its_side_is_turned_back(tmp_path):
    points = np.array([(5, 4, 6), (15, 4, 7), (15, 4, 12)], dtype=float)
    content = bytearray(imod_model([points]))
    content[152:156] = struct.pack(">I", 1 << 16)
    (tmp_path / "b.mod").write_bytes(content)
    np.testing.assert_array_equal(read_contours(tmp_path / "b.mod")[0], points[:, [0, 2, 1]])


def test_masks_are_written_and_noted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data, inside = vesicle((24, 40, 41))
    write_mrc(Path("tomograms/t.mrc"), data)
    Path("b.txt").write_text("0 0 0\n0 39 0\n20 39 0\n20 0 0\n")
    isonet(["prepare_star", "tomograms"])
    isonet("make_mask tomograms.star --patch_size 1 --density_percentage 40 --mask_boundary b.txt".split())
    (row,) = TomogramTable.read(Path("tomograms.star")).rows
    assert row.path("rlnMaskName") == Path("mask/t_mask.mrc")
    assert row.text("rlnMaskDensityPercentage") == "40"
    mask = mrcfile.read("mask/t_mask.mrc")
    assert mask.shape == data.shape
    assert set(np.unique(mask)) == {0, 1}
    assert not mask[:, :, 23:].any()
    assert mask[inside[:, :, :41]][:].mean() > 0.3
    assert "is empty" in failure(
        "make_mask tomograms.star --z_crop 0.49 --density_percentage 1".split(), capsys
    )


def test_what_others_change_in_a_table_meanwhile_is_kept(tmp_path):
    star = tmp_path / "tomograms.star"
    listed = [{"rlnTomoName": f"TS_{i}", "rlnTomoReconstructedTomogram": f"TS_{i}.mrc"} for i in (1, 2, 3)]
    TomogramTable.new(star, [row | {"rlnDefocus": "0"} for row in listed]).write()
    slow = TomogramTable.read(star)
    other = TomogramTable.read(star)
    other.set(other.rows[2], "rlnDefocus", 30000.0)
    other.remove([0])
    other.write()
    slow.note(slow.rows[1], {"rlnMaskName": "TS_2_mask.mrc"})
    found = [row.values for row in TomogramTable.read(star).rows]
    assert [(row["rlnTomoName"], row["rlnDefocus"]) for row in found] == [("TS_2", "0"), ("TS_3", "30000")]
    assert [row["rlnMaskName"] for row in found] == ["TS_2_mask.mrc", "None"]
    # Another output begins with what was read.
    copied = TomogramTable.read(star, tmp_path / "copy.star")
    copied.note(copied.rows[0], {"rlnMaskName": "a.mrc"})
    copied.note(copied.rows[1], {"rlnMaskName": "b.mrc"})
    rows = TomogramTable.read(tmp_path / "copy.star").rows
    assert [row.values["rlnMaskName"] for row in rows] == ["a.mrc", "b.mrc"]
