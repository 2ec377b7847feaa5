"""``prepare_star`` on projects of Warp, lists of Dynamo and files of EMAN2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spisonet.errors import SpisonetError
from spisonet.io.dynamo import read_listed_tomograms, read_table_positions
from spisonet.io.mrc import read_volume
from spisonet.io.mrc_file import conversion_by_eman2
from spisonet.io.tomogram_table import TomogramTable
from tests.tomography.isonet import failure, run
from tests.tomography.simulation import gaussian_noise, write_mrc

ANGLES = range(-51, 55, 3)
TOMOSTAR = "data_\n\nloop_\n_wrpMovieName #1\n_wrpAngleTilt #2\n" + "".join(
    f"../warp_frameseries/{angle}.eer {angle}\n" for angle in ANGLES
)
SMALL = (8, 16, 20)


def write_warp_project(processed: str = "warp_tiltseries") -> None:
    """Write the files of WarpTools' tilt series steps into the working folder."""
    write_mrc(Path(f"{processed}/matching/TS_1_10.00Apx_ribosome_corr.mrc"), gaussian_noise(SMALL))
    for kind in ("", "even/", "odd/", "deconv/"):
        write_mrc(Path(f"{processed}/reconstruction/{kind}TS_1_10.00Apx.mrc"), gaussian_noise(SMALL))
    Path("tomostar").mkdir(exist_ok=True)
    Path("tomostar/TS_1.tomostar").write_text(TOMOSTAR)


@pytest.mark.parametrize("folder", [".", "warp_tiltseries", "warp_tiltseries/reconstruction", "tomostar"])
def test_every_folder_of_a_warp_project_gives_its_tomograms_and_tilts(tmp_path, monkeypatch, folder, capsys):
    monkeypatch.chdir(tmp_path)
    write_warp_project()
    run(f"prepare_star {folder}")
    (row,) = TomogramTable.read(Path("tomograms.star")).rows
    reconstructions = tmp_path / "warp_tiltseries" / "reconstruction"
    assert row.full.resolve() == reconstructions / "TS_1_10.00Apx.mrc"
    assert [half.resolve().parent.name for half in row.halves] == ["even", "odd"]
    assert (row.number_of("rlnTiltMin"), row.number_of("rlnTiltMax")) == (-51.0, 54.0)
    assert row.text("rlnTiltRangeSource").endswith("tomostar/TS_1.tomostar")
    printed = capsys.readouterr().out
    assert "Left out" in printed
    assert "deconv (the tomograms beside it are used)" in printed


def test_tilts_of_a_warp_stack_precede_the_nominal_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_warp_project()
    Path("warp_tiltseries/tiltstack/TS_1").mkdir(parents=True)
    Path("warp_tiltseries/tiltstack/TS_1/TS_1.tlt").write_text("-49.5\n55.5\n")
    run("prepare_star warp_tiltseries")
    (row,) = TomogramTable.read(Path("tomograms.star")).rows
    assert row.number_of("rlnTiltMin") == -49.5


def test_warp_projects_without_one_folder_of_tomograms_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("tomostar").mkdir()
    Path("tomostar/TS_1.tomostar").write_text(TOMOSTAR)
    message = failure("prepare_star tomostar", capsys)
    assert "tilt series of Warp (.tomostar), but its project has no folder reconstruction" in message
    write_warp_project()
    write_warp_project("warp_tiltseries_aretomo")
    message = failure("prepare_star .", capsys)
    assert "warp_tiltseries/reconstruction and warp_tiltseries_aretomo/reconstruction; give one" in message


def test_tomograms_of_aretomo_beside_stacks_of_warp(tmp_path, monkeypatch, capsys):
    """As waretomo writes them: ``imod/TS_1/TS_1_aretomo.mrc`` beside ``TS_1.mrc.st`` and ``.mrc.rawtlt``."""
    monkeypatch.chdir(tmp_path)
    write_mrc(Path("imod/TS_1/TS_1_aretomo.mrc"), gaussian_noise(SMALL))
    write_mrc(Path("imod/TS_1/TS_1.mrc.st"), gaussian_noise((36, 16, 20)))
    Path("imod/TS_1/TS_1.mrc.rawtlt").write_text("\n".join(map(str, ANGLES)))
    run("prepare_star imod --dry_run")
    printed = capsys.readouterr().out
    assert printed.startswith("TS_1: full imod/TS_1/TS_1_aretomo.mrc; ")
    assert "tilts -51 to 54°" in printed


# --- Dynamo --------------------------------------------------------------------------------------------


def table_row(tomogram: int, position: tuple[float, float, float], tilts=(-48, 60), sampling: int = 1) -> str:
    row = [0.0] * 35
    row[:6] = [1, 1, 1, 0.5, -0.5, 0.25]
    row[12:15] = [sampling, *tilts]
    row[19] = tomogram
    row[23:26] = position
    return " ".join(f"{value:g}" for value in row)


def write_dynamo() -> None:
    for number in (1, 2):
        write_mrc(Path(f"tomograms/TS_{number}.mrc"), gaussian_noise(SMALL), voxel_size=1.0)
    rows = [
        table_row(1, (5, 6, 4)),
        table_row(2, (8, 9, 3)),
        table_row(1, (7, 6, 5)),
        table_row(2, (4, 4, 4)),
    ]
    Path("particles.tbl").write_text("\n".join(rows) + "\n")
    Path("particles.doc").write_text("1 tomograms/TS_1.mrc\n2 tomograms/TS_2.mrc\n3 other.mrc\n")


def test_a_volume_list_gives_the_tomograms_that_are_cropped_from(tmp_path, monkeypatch):
    """As Warp's users write it: the deconvolved tomogram is displayed, another one is cropped from."""
    monkeypatch.chdir(tmp_path)
    write_dynamo()
    write_mrc(Path("deconv/TS_1.mrc"), gaussian_noise(SMALL))
    Path("all.vll").write_text(
        "# tomograms\ndeconv/TS_1.mrc\n* cropFromFile = tomograms/TS_1.mrc\n* cropFromElsewhere = 1\n"
        "* label = TS_1\n* apix = 13.480\n\ntomograms/TS_2.mrc\n*apix = 13.48\n"
    )
    run("prepare_star all.vll")
    first, second = TomogramTable.read(Path("tomograms.star")).rows
    assert (first.full, second.full) == (Path("tomograms/TS_1.mrc"), Path("tomograms/TS_2.mrc"))
    assert [row.number_of("rlnPixelSize") for row in (first, second)] == [13.48, 13.48]


def test_a_volume_list_gives_the_tilt_range(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_dynamo()
    Path("tomograms/TS_2.tlt").write_text("-40\n62\n")
    Path("all.vll").write_text(
        "tomograms/TS_1.mrc\n* ftype = 1\n* ytilt = -51 54\n* xtilt = 0 0\n* apix = 10\n"
        "tomograms/TS_2.mrc\n* yTilt = [-51, 54]\n"
    )
    run("prepare_star all.vll --pixel_size 10")
    first, second = TomogramTable.read(Path("tomograms.star")).rows
    assert (first.number_of("rlnTiltMin"), first.number_of("rlnTiltMax")) == (-51, 54)
    assert first.text("rlnTiltRangeSource") == "all.vll"
    assert second.number_of("rlnTiltMin") == -40  # a tilt file precedes


@pytest.mark.parametrize("entry", ["ytilt = 0", "ytilt = 1", "xtilt = 0", "ytilt = -60:3:60", "ytilt = wide"])
def test_entries_of_a_volume_list_that_are_no_tilt_range_are_ignored(tmp_path, caplog, entry):
    (tmp_path / "a.vll").write_text(f"TS_1.mrc\n* {entry}\n* apix = 10\n")
    (found,) = read_listed_tomograms(tmp_path / "a.vll")
    assert (found.tilts_degrees, found.voxel_size_angstrom) == (None, 10)
    assert f"a.vll has {entry}, which is not a minimum and a maximum tilt" in caplog.text


def test_a_few_degrees_about_another_axis_are_no_tilt_series(tmp_path, caplog):
    (tmp_path / "a.vll").write_text("TS_1.mrc\n* xtilt = -2 2\n* ytilt = -51 54\n")
    (found,) = read_listed_tomograms(tmp_path / "a.vll")
    assert found.tilts_degrees == (-51, 54)
    assert not caplog.text


def test_a_table_gives_tomograms_tilts_and_subvolume_centres(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_dynamo()
    Path("tomograms/TS_2.tlt").write_text("-40\n62\n")
    run("prepare_star particles.tbl --pixel_size 10")
    first, second = TomogramTable.read(Path("tomograms.star")).rows
    assert (first.number_of("rlnTiltMin"), first.number_of("rlnTiltMax")) == (-48, 60)
    assert first.text("rlnTiltRangeSource") == "particles.tbl"
    assert second.number_of("rlnTiltMin") == -40  # a tilt file precedes
    assert first.path("rlnBoxFile") == Path("particles.tbl")
    assert "2 subvolume centres in particles.tbl" in capsys.readouterr().out
    positions = read_table_positions(Path("particles.tbl"), ["TS_1"])
    np.testing.assert_allclose(positions, [[5.5, 5.5, 4.25], [7.5, 5.5, 5.25]])


def test_a_table_of_one_tomogram_needs_no_list(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_dynamo()
    Path("picks").mkdir()
    Path("picks/TS_1.tbl").write_text(table_row(7, (5, 6, 4)) + "\n")
    run("prepare_star tomograms --coordinate_folder picks --pixel_size 10")
    assert TomogramTable.read(Path("tomograms.star")).rows[0].path("rlnBoxFile") == Path("picks/TS_1.tbl")


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("a.vll", "", "a.vll lists no tomograms"),
        ("a.vll", "none.mrc\n", "none.mrc, listed in a.vll, does not exist"),
        ("a.vll", "tomograms/TS_1.mrc\n* apix = wide\n", "apix = wide, which is not a voxel size in Å"),
        (
            "a.vll",
            "tomograms/TS_1.mrc\n* ytilt = 60 -60\n",
            "ytilt = 60 -60, which is not a minimum and",
        ),
        (
            "a.vll",
            "tomograms/TS_1.mrc\n* xtilt = -51 54\n",
            "a.vll has xtilt = -51 54 for tomograms/TS_1.mrc, which are tilts about x; rotate the volume by "
            "90° about z such that the tilt axis is y and the beam z",
        ),
        (
            "a.vll",
            "tomograms/TS_1.mrc\n* ztilt = -51 54\n",
            "about z; rotate the volume by 90° about x",
        ),
        ("a.tbl", "1 2 3\n", "a.tbl is not a Dynamo table: line 1 has no 26 numbers"),
        ("a.tbl", "", "a.tbl lists no particles"),
        ("a.tbl", table_row(1, (5, 6, float("nan"))), "a.tbl contains NaN or infinite values"),
        ("a.tbl", table_row(9, (5, 6, 4)), "particles of tomogram 9, which its .doc does not list"),
        ("none.vll", None, "none.vll does not exist"),
    ],
)
def test_invalid_lists_are_refused_in_one_sentence(tmp_path, monkeypatch, capsys, name, text, part):
    monkeypatch.chdir(tmp_path)
    write_dynamo()
    if text is not None:
        Path(name).write_text(text)
    assert part in failure(f"prepare_star {name}", capsys)
    assert not Path("tomograms.star").exists()


def test_tables_without_a_usable_list_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_dynamo()
    with pytest.raises(SpisonetError, match="lists no particles of TS_5"):
        read_table_positions(Path("particles.tbl"), ["TS_5"])
    Path("particles.doc").write_text("one tomograms/TS_1.mrc\n")
    with pytest.raises(SpisonetError, match=r"particles.doc is not a table map of Dynamo: 'one tomo"):
        read_listed_tomograms(Path("particles.tbl"))
    Path("particles.doc").unlink()
    with pytest.raises(SpisonetError, match=r"has no .doc file beside it; put the table map"):
        read_listed_tomograms(Path("particles.tbl"))


# --- EMAN2 ---------------------------------------------------------------------------------------------


def test_volumes_of_eman2_are_refused_with_the_conversion(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("eman").mkdir()
    hdf5 = Path("eman/TS_1__bin4.hdf")
    hdf5.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(2000))
    command = "convert it first: e2proc3d.py eman/TS_1__bin4.hdf eman/TS_1__bin4.mrc"
    assert conversion_by_eman2(Path("a b.hdf")) == "convert it first: e2proc3d.py 'a b.hdf' 'a b.mrc'"
    message = failure("prepare_star eman", capsys)
    assert message.endswith(f"no tomograms but TS_1__bin4.hdf, an HDF5 file of EMAN2; {command}.")
    write_mrc(Path("eman/TS_2.mrc"), gaussian_noise(SMALL))
    run("prepare_star eman --dry_run")
    assert f"Left out: eman/TS_1__bin4.hdf (an HDF5 file of EMAN2; {command})" in capsys.readouterr().out
    with pytest.raises(SpisonetError, match="is an HDF5 file, as EMAN2 writes it; convert it first"):
        read_volume(hdf5)
