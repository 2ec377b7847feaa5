"""``prepare_star``: tomograms of folders in a STAR file."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest

from spisonet.io.tomogram_table import TomogramTable
from spisonet.io.tomograms import open_tomogram
from spisonet.tomography.inputs import read_tomograms
from tests.tomography.isonet import failure, run
from tests.tomography.simulation import gaussian_noise, write_mrc


def test_a_folder_is_listed_as_in_isonet_1(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.mrc", "a.rec"):
        write_mrc(Path("tomograms") / name, gaussian_noise((8, 16, 20)))
    Path("tomograms/a.tlt").write_text("-40\n62\n")
    run("prepare_star tomograms --output_star t.star --defocus 30000 --number_subtomos 50")
    a, b = TomogramTable.read(Path("t.star")).rows
    assert (a.full, b.full) == (Path("tomograms/a.rec"), Path("tomograms/b.mrc"))
    assert "rlnMicrographName" in a.values
    assert (a.number_of("rlnPixelSize"), a.number_of("rlnDefocus")) == (10.0, 30000.0)
    assert (a.number_of("rlnTiltMin"), a.number_of("rlnTiltMax")) == (-40.0, 62.0)
    assert (b.number_of("rlnTiltMin"), b.number_of("rlnTiltMax")) == (-60.0, 60.0)
    assert a.text("rlnNumberSubtomo") == "50"
    sources = [row.text("rlnTiltRangeSource") for row in (a, b)]
    assert sources == ["tomograms/a.tlt", "assumed_no_tilt_file_found"]


def test_halves_are_paired_by_name_and_summed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for index, name in enumerate(("TS_1", "TS_10")):
        write_mrc(Path(f"even/{name}_EVN_Vol.mrc"), gaussian_noise((8, 16, 20), index))
        write_mrc(Path(f"odd/{name}_ODD_Vol.mrc"), gaussian_noise((8, 16, 20), 5 + index))
    run("prepare_star --even even --odd odd --star_name t.star --create_average True")
    first, second = TomogramTable.read(Path("t.star")).rows
    assert second.halves == (Path("even/TS_10_EVN_Vol.mrc"), Path("odd/TS_10_ODD_Vol.mrc"))
    assert first.full == Path("sum_even_odd_tomograms/TS_1_full.mrc")
    with mrcfile.open(first.full) as mrc:
        np.testing.assert_allclose(
            mrc.data, gaussian_noise((8, 16, 20), 0) + gaussian_noise((8, 16, 20), 5), rtol=1e-6
        )
        assert int(mrc.header.nystart) == -2


def test_halves_in_one_folder_are_recognised(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("TS_1_EVN_Vol.mrc", "TS_1_ODD_Vol.mrc", "TS_1_Vol.mrc"):
        write_mrc(Path("aretomo") / name, gaussian_noise((8, 16, 20)))
    run("prepare_star aretomo --output_star t.star")
    (row,) = TomogramTable.read(Path("t.star")).rows
    assert row.full == Path("aretomo/TS_1_Vol.mrc")
    assert row.halves == (Path("aretomo/TS_1_EVN_Vol.mrc"), Path("aretomo/TS_1_ODD_Vol.mrc"))


def test_the_published_command_line_of_isonet2_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        for half in ("even", "odd"):
            write_mrc(Path(half) / f"{name}.mrc", gaussian_noise((8, 16, 20)), voxel_size=0)
        write_mrc(Path(f"masks/{name}_EVN_mask.mrc"), gaussian_noise((8, 16, 20)))
    line = (
        "prepare_star --full None --even even --odd odd --create_average True --pixel_size 5.4 "
        "--number_subtomos auto --coordinate_folder None --mask_folder masks --tilt_min -60 --tilt_max 60"
    )
    run(f"{line} --defocus [39057,14817]")
    first, second = TomogramTable.read(Path("tomograms.star")).rows
    assert (first.number_of("rlnDefocus"), second.number_of("rlnDefocus")) == (39057.0, 14817.0)
    assert second.path("rlnMaskName") == Path("masks/b_EVN_mask.mrc")
    assert open_tomogram(first.full).voxel_size_angstrom == pytest.approx(5.4)
    run("prepare_star sum_even_odd_tomograms --output_star sums.star")
    sums = [row.full for row in TomogramTable.read(Path("sums.star")).rows]
    assert sums == [first.full, second.full]


def test_the_plan_names_what_was_found_assumed_and_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("e/a_EVN", "o/a_ODD", "e/x_EVN", "o/x_ODD", "masks/a_mask", "masks/b_mask"):
        write_mrc(Path(f"{name}.mrc"), gaussian_noise((8, 16, 20)), voxel_size=1.0)
    write_mrc(Path("full/a.mrc"), gaussian_noise((5, 16, 20)))
    Path("e/._x.mrc").touch()
    run("prepare_star --even e --odd o --full full --mask_folder masks --dry_run")
    assert not Path("tomograms.star").exists()
    printed = capsys.readouterr().out
    for part in (
        "a: even e/a_EVN.mrc, odd o/a_ODD.mrc, mask masks/a_mask.mrc; 20 x 16 x 8 voxels of 1 Å; "
        "tilts -60 to 60° (assumed, no tilt file found)",
        "Assumed: a: the tilt range -60 to 60 degrees is assumed, no tilt file found; give --tilt_folder",
        "Assumed: a: the voxel size of e/a_EVN.mrc is exactly 1 Å",
        "Not found: mask of x.",
        "Left out: masks/b_mask.mrc (its name is that of no tomogram)",
        "Left out: e/._x.mrc (hidden files, such as those of macOS, are not tomograms)",
        "Left out: full/a.mrc (its shape (5, 16, 20) is not that of the halves, (8, 16, 20))",
        "tomograms.star was not written (--dry_run).",
    ):
        assert part in printed


def test_masks_of_another_shape_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        write_mrc(Path(f"t/{name}.mrc"), gaussian_noise((8, 16, 20)))
    write_mrc(Path("masks/a_mask.mrc"), gaussian_noise((4, 8, 10)), voxel_size=0)
    write_mrc(Path("masks/b_mask.mrc"), gaussian_noise((8, 16, 20)), voxel_size=0)
    message = failure("prepare_star t --mask_folder masks", capsys)
    assert "masks/a_mask.mrc has the shape (4, 8, 10), but t/a.mrc has (8, 16, 20)" in message
    assert not Path("tomograms.star").exists()


def test_files_that_may_be_halves_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a_half_1", "a_half_2"):
        write_mrc(Path(f"t/{name}.mrc"), gaussian_noise((8, 16, 20)))
    run("prepare_star t --dry_run")
    printed = capsys.readouterr().out
    assert printed.count("if it is a half, call the halves even and odd.") == 2


def test_halves_that_are_paired_by_order_and_tilts_of_the_folder_above_are_named(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for name in ("c/even/x", "c/odd/y"):
        write_mrc(Path(f"{name}.mrc"), gaussian_noise((8, 16, 20)))
    Path("c/y.tlt").write_text("-40\n62\n")
    run("prepare_star c --dry_run")
    printed = capsys.readouterr().out
    assert "Assumed: x: c/even/x.mrc and c/odd/y.mrc are paired by the order of their names" in printed
    assert "tilts -40 to 62° (from c/y.tlt)" in printed


def test_stacks_of_tilt_images_are_left_out_by_their_tilt_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("f").mkdir()
    angles = "-60\n-20\n20\n60\n"
    for name, n, space_group in (("a", 4, 0), ("b", 8, 0), ("c_EVN", 4, 0), ("c_ODD", 4, 0), ("d", 4, 1)):
        path = write_mrc(Path(f"f/{name}.mrc"), gaussian_noise((n, 16, 20)))
        with mrcfile.open(path, mode="r+") as mrc:
            mrc.header.ispg = space_group
    for name in "abcd":
        Path(f"f/{name}.tlt").write_text(angles)
    run("prepare_star f")
    assert [row.full.stem for row in TomogramTable.read(Path("tomograms.star")).rows] == ["b", "d"]
    printed = capsys.readouterr().out
    for name in ("a", "c_EVN", "c_ODD"):
        assert (
            f"Left out: f/{name}.mrc (appears to be a stack of tilt images: it has 4 sections, as many as "
            f"there are tilts in f/{name[0]}.tlt; if it is a tomogram, set ispg to 1 in its header, or give "
            "--tilt_min and --tilt_max)"
        ) in printed
    Path("f/b.mrc").unlink()
    Path("f/d.mrc").unlink()
    assert "There are no tomograms: f/" in failure("prepare_star f", capsys)
    run("prepare_star f --tilt_min -60 --tilt_max 60")
    assert len(TomogramTable.read(Path("tomograms.star")).rows) == 2


def test_a_folder_of_tilt_files_has_to_exist_and_to_name_the_tomograms(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_mrc(Path("f/a.mrc"), gaussian_noise((8, 16, 20)))
    assert "nowhere is not a folder" in failure("prepare_star f --tilt_folder nowhere", capsys)
    Path("tilts").mkdir()
    run("prepare_star f --tilt_folder tilts --tilt_min -40")
    assert "name its file in tilts after it, such as a.tlt, or give --tilt_min" in capsys.readouterr().out
    (tomogram,) = read_tomograms(TomogramTable.read(Path("tomograms.star")).rows, False, [None])
    assert tomogram.tilt_range_degrees == (-40, 60)
    assert tomogram.tilt_range_is_assumed


def test_files_of_coordinates_are_listed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        write_mrc(Path(f"t/{name}_EVN_Vol.mrc"), gaussian_noise((8, 16, 20)))
    Path("picks").mkdir()
    Path("picks/a_coords.txt").write_text("1 5 6 7\n1 6 7 4\n")
    run("prepare_star t --coordinate_folder picks")
    a, b = TomogramTable.read(Path("tomograms.star")).rows
    assert (a.path("rlnBoxFile"), b.path("rlnBoxFile")) == (Path("picks/a_coords.txt"), None)
    printed = capsys.readouterr().out
    assert "2 subvolume centres in picks/a_coords.txt" in printed
    assert "Not found: subvolume centres of b." in printed


@pytest.mark.parametrize("option", ["", " --dry_run"])
def test_coordinates_outside_of_a_tomogram_are_refused(tmp_path, monkeypatch, capsys, option):
    monkeypatch.chdir(tmp_path)
    write_mrc(Path("t/a_EVN_Vol.mrc"), gaussian_noise((8, 16, 20)))
    Path("picks").mkdir()
    Path("picks/a.txt").write_text("1 5 6 7\n1 70 60 30\n1 6 70 4\n")
    message = failure(f"prepare_star t --coordinate_folder picks{option}", capsys)
    assert "picks/a.txt has 2 of 3 coordinates outside of t/a_EVN_Vol.mrc, which has 20 x 16 x 8" in message
    assert "all are inside if divided by a number such as 5" in message
    assert not Path("tomograms.star").exists()


def test_sums_of_halves_are_full_tomograms(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_mrc(Path("averaged/TS_01_EVN_full.mrc"), gaussian_noise((8, 16, 20)))
    run("prepare_star averaged")
    (row,) = TomogramTable.read(Path("tomograms.star")).rows
    assert row.full == Path("averaged/TS_01_EVN_full.mrc")


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("prepare_star", "needs a folder"),
        ("prepare_star even --defocus 30000,40000,50000", "one for each of 2 tomograms"),
        ("prepare_star even --mask_folder empty", "empty contains no file that is named after a tomogram"),
        ("prepare_star nowhere", "is not a folder"),
        ("prepare_star empty", "contains no tomograms"),
        ("prepare_star --even even", "both --even and --odd"),
        ("prepare_star --even even --odd odd", "other half is missing for even/b.mrc"),
        ("prepare_star --even even --odd even", "--even and --odd are the same folder, even"),
        ("prepare_star --even even --odd link", "--even and --odd are the same folder: link is even"),
        ("prepare_star --even odd --odd linked", "even and odd are the same file: linked/a.mrc is odd/a.mrc"),
        ("prepare_star even --pixel_size big", "--pixel_size: big is neither"),
        ("prepare_star blank", "blank/a.mrc is not a readable MRC file: it is empty"),
        ("prepare_star unknown", "has no voxel size in its header; give the voxel size with --pixel_size."),
        ("prepare_star even --tilt_min 10 --tilt_max -10", "not below"),
    ],
)
def test_invalid_folders_are_refused_in_one_sentence(tmp_path, monkeypatch, capsys, line, part):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    for name in ("even/a.mrc", "odd/a.mrc", "even/b.mrc"):
        write_mrc(Path(name), gaussian_noise((8, 8, 8)))
    write_mrc(Path("unknown/a.mrc"), gaussian_noise((8, 8, 8)), voxel_size=0)
    Path("link").symlink_to("even")
    Path("linked").mkdir()
    Path("linked/a.mrc").symlink_to("../odd/a.mrc")
    Path("blank").mkdir()
    Path("blank/a.mrc").touch()
    assert part in failure(line, capsys)
    assert not Path("tomograms.star").exists()
