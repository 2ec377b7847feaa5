"""``deconv``, ``make_mask`` and ``resize``."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest

from spisonet.io.imod import write_contours
from spisonet.io.tomogram_table import TomogramTable
from spisonet.io.tomograms import open_tomogram
from tests.tomography.isonet import failure, run
from tests.tomography.simulation import (
    gaussian_noise,
    vesicle,
    write_mrc,
)


def published_deconvolution(volume: np.ndarray, apix: float, defocus_um: float, falloff: float) -> np.ndarray:
    """The published filter from its description, by whole complex transforms."""
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
    data = gaussian_noise((20, 33, 40))
    write_mrc(Path("tomograms/t.mrc"), data)
    run("prepare_star tomograms --defocus 35000")
    run("deconv tomograms.star --snrfalloff 0.7 --deconvstrength 1 --ncpu 1")
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


def test_a_table_of_a_relion_job_gets_its_results_in_another_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_mrc(Path("tomograms/t.mrc"), gaussian_noise((8, 16, 16)))
    job = Path("Tomograms/job007")
    job.mkdir(parents=True)
    run(f"prepare_star tomograms --output_star {job}/tomograms.star")
    (job / "job.star").touch()
    before = (job / "tomograms.star").read_bytes()
    run(f"make_mask {job}/tomograms.star --mask_folder masks")
    assert (job / "tomograms.star").read_bytes() == before
    (row,) = TomogramTable.read(Path("masks/tomograms.star")).rows
    assert row.path("rlnMaskName") == Path("masks/t_mask.mrc")


@pytest.mark.parametrize("command", ["check", "resize --apix 20 --out_folder small", "make_mask"])
def test_the_folder_of_a_relion_job_stands_for_its_table(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    write_mrc(Path("tomograms/t.mrc"), gaussian_noise((16, 16, 16)))
    job = Path("Tomograms/job005")
    job.mkdir(parents=True)
    name, _, options = command.partition(" ")
    assert f"{job}/tomograms.star does not exist" in failure(f"{name} {job} {options}", capsys)
    run(f"prepare_star tomograms --output_star {job}/tomograms.star")
    capsys.readouterr()
    run(f"{name} {job} {options}")
    expected = "t.mrc: The missing wedge cannot be measured" if name == "check" else "tomograms/t.mrc: "
    assert expected in capsys.readouterr().out


def test_a_table_of_halves_only_is_deconvolved_and_masked_by_their_sum(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    halves = [gaussian_noise((20, 33, 40), seed) for seed in (1, 2)]
    for name, data in zip(("even/t.mrc", "odd/t.mrc", "full/t.mrc"), (*halves, sum(halves)), strict=True):
        write_mrc(Path(name), data)
    run("prepare_star --even even --odd odd --create_average False --defocus 35000 --output_star halves.star")
    run("prepare_star full --defocus 35000 --output_star full.star")
    for table in ("halves", "full"):
        run(f"deconv {table}.star --deconv_folder deconv_{table} --ncpu 1")
        run(f"make_mask {table}.star --mask_folder mask_{table}")
    for kind, name in (("deconv", "t.mrc"), ("mask", "t_mask.mrc")):
        summed, full = (mrcfile.read(f"{kind}_{table}/{name}") for table in ("halves", "full"))
        np.testing.assert_allclose(summed, full, atol=1e-5)
    write_mrc(Path("odd/t.mrc"), gaussian_noise((20, 33, 38)))
    assert "has the shape (20, 33, 38), but even/t.mrc has" in failure("deconv halves.star", capsys)


def test_tomograms_of_one_name_in_two_folders_have_two_outputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = []
    for index, name in enumerate(("d1/rec.mrc", "d2/rec.mrc"), start=1):
        write_mrc(Path(name), gaussian_noise((8, 16, 16), index))
        rows.append(
            {"rlnIndex": str(index), "rlnMicrographName": name, "rlnPixelSize": "10", "rlnDefocus": "3e4"}
        )
    TomogramTable.new(Path("t.star"), rows).write()
    run("deconv t.star")
    found = [row.path("rlnDeconvTomoName") for row in TomogramTable.read(Path("t.star")).rows]
    assert found == [Path("deconv/d1_rec.mrc"), Path("deconv/d2_rec.mrc")]
    assert not np.allclose(*(mrcfile.read(path) for path in found))


@pytest.mark.parametrize(
    ("edit", "part"),
    [
        (("tomograms/a.mrc", "tomograms/gone.mrc"), "Missing files: tomograms/gone.mrc"),
        (("35000", "None"), "has no rlnDefocus above 0"),
        (("35000", "0"), "has no rlnDefocus above 0"),
        (("35000", "deep"), "rlnDefocus is 'deep'"),
    ],
)
def test_invalid_rows_are_refused_in_one_sentence_and_nothing_is_written(
    tmp_path, monkeypatch, capsys, edit, part
):
    monkeypatch.chdir(tmp_path)
    write_mrc(Path("tomograms/a.mrc"), gaussian_noise((8, 16, 16)))
    run("prepare_star tomograms --defocus 35000")
    path = Path("tomograms.star")
    path.write_text(path.read_text().replace(*edit))
    before = path.read_text()
    assert part in failure("deconv tomograms.star", capsys)
    assert path.read_text() == before
    assert not Path("deconv").exists()


def test_a_tomogram_with_nan_is_named_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = gaussian_noise((8, 16, 16))
    data[3, 3, 3] = np.nan
    write_mrc(Path("tomograms/a.mrc"), data)
    run("prepare_star tomograms --defocus 35000")
    assert "NaN" in failure("deconv tomograms.star", capsys)
    assert list(Path("deconv").iterdir()) == []


def test_masks_are_written_and_listed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data, inside = vesicle((24, 40, 41))
    write_mrc(Path("tomograms/t.mrc"), data)
    Path("b.txt").write_text("0 0 0\n0 39 0\n20 39 0\n20 0 0\n")
    run("prepare_star tomograms")
    run("make_mask tomograms.star --patch_size 1 --density_percentage 40 --mask_boundary b.txt")
    (row,) = TomogramTable.read(Path("tomograms.star")).rows
    assert row.path("rlnMaskName") == Path("mask/t_mask.mrc")
    assert row.text("rlnMaskDensityPercentage") == "40"
    mask = mrcfile.read("mask/t_mask.mrc")
    assert mask.shape == data.shape
    assert set(np.unique(mask)) == {0, 1}
    assert not mask[:, :, 23:].any()
    assert mask[inside].mean() > 0.3
    assert "is empty" in failure("make_mask tomograms.star --z_crop 0.49 --density_percentage 1", capsys)


def test_a_boundary_has_the_scale_of_the_tomogram_on_which_it_was_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_mrc(Path("tomograms/t.mrc"), gaussian_noise((32, 48, 48)))
    run("prepare_star tomograms")
    square = np.array([(10, 10, 16), (26, 10, 16), (26, 30, 16), (10, 30, 16)], dtype=float)
    masks = []
    for scale, shape in ((1, (32, 48, 48)), (0.5, (16, 24, 24)), (2, (64, 96, 96))):
        write_contours(Path("b.mod"), [(scale * square).tolist()], shape)
        run("make_mask tomograms.star --density_percentage 100 --std_percentage 100 --mask_boundary b.mod")
        masks.append(mrcfile.read("mask/t_mask.mrc"))
    assert masks[0].mean() == pytest.approx(16 * 20 / 48**2, abs=0.02)
    for mask in masks[1:]:
        np.testing.assert_array_equal(mask, masks[0])
    write_contours(Path("b.mod"), [square.tolist()], (100, 300, 200))
    message = failure("make_mask tomograms.star --mask_folder none --mask_boundary b.mod", capsys)
    assert "b.mod was drawn on an image of 200 x 300 x 100 voxels" in message
    assert "but tomograms/t.mrc has 48 x 48 x 32;" in message
    assert not Path("none").exists()


@pytest.mark.parametrize("apix", [15.0, 7.0])
def test_resized_tomograms_show_the_same_at_another_voxel_size(project, monkeypatch, apix):
    monkeypatch.setattr("spisonet.tomography.resizing.CHUNK_EDGE", 20)
    z, y, x = np.indices((48, 60, 64)) * 10.0

    def wave(*axes: np.ndarray) -> np.ndarray:
        return sum(np.sin(2 * np.pi * axis / 120.0 + k) for k, axis in enumerate(axes)).astype(np.float32)

    write_mrc(project / "t" / "a.mrc", wave(z, y, x))
    run("prepare_star t --pixel_size 10")
    write_mrc(project / "m.mrc", (z > 200).astype(np.int8))
    table = TomogramTable.read(Path("tomograms.star"))
    table.set(table.rows[0], "rlnMaskName", "m.mrc")
    table.write()
    run(f"resize tomograms.star --apix {apix}")
    row = TomogramTable.read(Path("tomograms_resized.star")).rows[0]
    resized = open_tomogram(row.full)
    assert resized.voxel_size_angstrom == pytest.approx(apix)
    assert row.number_of("rlnPixelSize") == apix
    expected = wave(*(np.indices(resized.shape) * apix))
    inner = (slice(6, -6),) * 3
    np.testing.assert_allclose(resized.read()[inner], expected[inner], atol=0.06)
    mask = open_tomogram(row.path("rlnMaskName")).read()
    edges = np.flatnonzero(np.diff(mask[:, 5, 5]))
    assert abs(edges[0] * apix - 200) <= 10 + apix


def test_resizing_does_not_alias(project):
    fast = np.sin(2 * np.pi * np.arange(64) / 2.6).astype(np.float32)
    write_mrc(project / "t" / "a.mrc", np.broadcast_to(fast, (24, 24, 64)).copy())
    run("prepare_star t --pixel_size 10")
    run("resize tomograms.star --apix 20")
    row = TomogramTable.read(Path("tomograms_resized.star")).rows[0]
    assert np.abs(open_tomogram(row.full).read()[..., 4:-4]).max() < 0.05


def test_psf_is_one_where_the_tilts_measure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.tlt").write_text("-30\n50\n")
    run("psf --size 16 --tilt_file a.tlt --output wedge.mrc --w 8 --between_tilts False")
    wedge = mrcfile.read("wedge.mrc")
    assert wedge.shape == (16, 16, 16)
    assert wedge[8, 8, 8] == 1
    # In the plane of x and z, directions at -30 to 50 degrees from x are measured.
    assert [wedge[8 + z, 8, 8 + x] for x, z in ((4, 0), (4, 4), (2, 4), (4, -2), (4, -4), (0, 4))] == [
        1,
        1,
        0,
        1,
        0,
        0,
    ]
