"""Tomograms of folders, paired by the names of their tilt series."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest

from spisonet.errors import SpisonetError
from spisonet.io.series_names import pairs_of_halves
from spisonet.io.tomogram_sources import LeftOut, TomogramPaths, find_tomograms, match_files


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_folders_of_full_even_and_odd_tomograms_are_paired(tmp_path):
    full, even, odd = (tmp_path / kind for kind in ("full", "even", "odd"))
    touch(
        full / "TS_2.rec", full / "TS_1.rec", even / "TS_1_EVN.mrc", odd / "TS_1_ODD.mrc", odd / "notes.txt"
    )
    found = find_tomograms(None, full, even, odd).series
    assert list(found) == ["TS_1", "TS_2"]
    assert found["TS_1"] == TomogramPaths(full / "TS_1.rec", even / "TS_1_EVN.mrc", odd / "TS_1_ODD.mrc")
    assert found["TS_2"] == TomogramPaths(full / "TS_2.rec")
    assert [paths.first.name for paths in found.values()] == ["TS_1_EVN.mrc", "TS_2.rec"]


def test_a_half_without_counterpart_in_a_mixed_folder_is_a_full_tomogram(tmp_path):
    touch(tmp_path / "a_EVN.mrc", tmp_path / "b_even.mrc", tmp_path / "b_odd.mrc")
    found = find_tomograms(tmp_path, None, None, None).series
    assert found == {
        "a": TomogramPaths(tmp_path / "a_EVN.mrc"),
        "b": TomogramPaths(None, tmp_path / "b_even.mrc", tmp_path / "b_odd.mrc"),
    }


def test_two_files_of_one_tomogram_are_refused(tmp_path):
    touch(tmp_path / "TS_1.mrc", tmp_path / "TS_1_bin4.mrc")
    message = r"TS_1\.mrc and .*TS_1_bin4\.mrc appear to belong to the same tilt series; move one of them"
    with pytest.raises(SpisonetError, match=message):
        find_tomograms(tmp_path, None, None, None)


HALVES = [
    ("9x9_ts_01_sort_EVN_Vol-rotx.mrc", "9x9_ts_01_sort_ODD_Vol-rotx.mrc", "9x9_ts_01"),
    ("even_TS.mrc", "odd_TS.mrc", "TS"),
    ("TS_EVN_filtered.mrc", "TS_ODD_filtered.mrc", "TS"),
    ("TS.EVN.mrc", "TS.ODD.mrc", "TS"),
    ("TS_1_EVN_rec_bin_4.mrc", "TS_1_ODD_rec_bin_4.mrc", "TS_1"),
    ("TS-2-Even.rec", "TS-2-Odd.rec", "TS-2"),
    ("TS_2_EVN.MRC", "TS_2_ODD.MRC", "TS_2"),
    ("TS 3 even rec.mrc.gz", "TS 3 odd rec.mrc.gz", "TS 3"),
    ("rec_TS_4_half1.mrc", "rec_TS_4_half2.mrc", "TS_4"),
    ("odd_couple_even.mrc", "odd_couple_odd.mrc", "couple"),
    ("even.mrc", "odd.mrc", "folder"),
]


@pytest.mark.parametrize(("even", "odd", "name"), HALVES)
@pytest.mark.parametrize("in_one_folder", [True, False])
def test_names_that_differ_in_one_word_are_halves(tmp_path, even, odd, name, in_one_folder):
    folders = [tmp_path / "folder"] * 2 if in_one_folder else [tmp_path / "folder", tmp_path / "b"]
    paths = folders[0] / even, folders[1] / odd
    touch(*paths)
    mixed = folders[0] if in_one_folder else None
    found = find_tomograms(mixed, None, *([None, None] if in_one_folder else folders)).series
    assert list(found.values()) == [TomogramPaths(None, *paths)]
    assert list(found) == [name] or not in_one_folder


GLUED = [
    ("TS1even.mrc", "TS1odd.mrc", "TS1"),
    ("TS2EVN_Vol.mrc", "TS2ODD_Vol.mrc", "TS2"),
    ("tomo_evenTilts.mrc", "tomo_oddTilts.mrc", "tomo_Tilts"),
]


@pytest.mark.parametrize(("even", "odd", "name"), GLUED)
@pytest.mark.parametrize("in_one_folder", [True, False])
def test_glued_words_tell_halves_of_two_names_that_differ_in_nothing_else(
    tmp_path, even, odd, name, in_one_folder
):
    folders = [tmp_path / "e", tmp_path / ("e" if in_one_folder else "o")]
    paths = folders[0] / even, folders[1] / odd
    touch(*paths)
    mixed = folders[0] if in_one_folder else None
    found = find_tomograms(mixed, None, *([None, None] if in_one_folder else folders)).series
    assert found == {name: TomogramPaths(None, *paths)}
    if in_one_folder:
        touch(folders[0] / even.replace("even", "EVEN").replace("EVN", "evn"))  # which of them is the half?
        found = find_tomograms(mixed, None, None, None).series
        assert [paths.even for paths in found.values()] == [None] * 3


def test_words_that_only_contain_even_or_odd_are_no_halves(tmp_path):
    touch(tmp_path / "evening_1.mrc", tmp_path / "oddity_1.mrc")
    found = find_tomograms(tmp_path, None, None, None).series
    assert [paths.even for paths in found.values()] == [None, None]


def test_other_names_in_two_folders_are_paired_in_order(tmp_path):
    even, odd = tmp_path / "e", tmp_path / "o"
    touch(even / "x1.mrc", even / "x2.mrc", odd / "y1.mrc", odd / "y2.mrc")
    found = find_tomograms(None, None, even, odd).series
    assert [(p.even.name, p.odd.name, p.by_order) for p in found.values()] == [
        ("x1.mrc", "y1.mrc", True),
        ("x2.mrc", "y2.mrc", True),
    ]
    touch(even / "a_EVN.mrc", odd / "a_ODD.mrc")  # the names of the tilt series are in use
    with pytest.raises(SpisonetError, match=r"other half is missing for .*x1.*x2.*y1.*y2\.mrc\."):
        find_tomograms(None, None, even, odd)


def test_volumes_are_preferred_in_folders_of_aretomo_and_imod(tmp_path):
    aretomo, imod = tmp_path / "aretomo", tmp_path / "imod"
    names = "TS_1.mrc TS_1_Vol.mrc TS_1_EVN.mrc TS_1_EVN_Vol.mrc TS_1_ODD.mrc TS_1_ODD_Vol.mrc TS_1_CTF.mrc"
    touch(*(aretomo / name for name in (*names.split(), "TS_1_2ND_Vol.mrc", "._TS_1_Vol.mrc")))
    found = find_tomograms(aretomo, None, None, None)
    assert found.series == {
        "TS_1": TomogramPaths(*(aretomo / f"TS_1{kind}_Vol.mrc" for kind in ("", "_EVN", "_ODD")))
    }
    assert {item.path.name: item.reason for item in found.left_out} == {
        "._TS_1_Vol.mrc": "hidden files, such as those of macOS, are not tomograms",
        **dict.fromkeys(
            ("TS_1.mrc", "TS_1_CTF.mrc", "TS_1_EVN.mrc", "TS_1_ODD.mrc"),
            "appears to be a stack of images of AreTomo, whose volumes have Vol in their names",
        ),
        "TS_1_2ND_Vol.mrc": "TS_1_Vol.mrc is used for this tilt series",
    }
    touch(
        *(
            imod / f"g1{e}"
            for e in (".st", "_ali.mrc", "_full_rec.mrc", "_rec.mrc", "_mask.mrc", ".ali", ".tlt")
        )
    )
    found = find_tomograms(imod, None, None, None)
    assert found.series == {"g1": TomogramPaths(imod / "g1_rec.mrc")}
    assert LeftOut(imod / "g1.st", "a stack of tilt images") in found.left_out
    assert len(found.left_out) == 5


def test_a_folder_of_stacks_contains_no_tomograms(tmp_path):
    touch(tmp_path / "g1.st")
    with pytest.raises(SpisonetError, match=r"no tomograms .* besides g1\.st"):
        find_tomograms(tmp_path, None, None, None)


def test_masks_are_found_by_the_name_of_the_tilt_series(tmp_path):
    touch(tmp_path / "TS_1_EVN_mask.mrc", tmp_path / "TS_7.mrc")
    matched = match_files(tmp_path, ["TS_1"], (".mrc",))
    assert matched.by_series == {"TS_1": tmp_path / "TS_1_EVN_mask.mrc"}
    touch(tmp_path / "notes.txt")
    message = r"TS_1_EVN_mask\.mrc \(its .*, notes\.txt \(not an MRC file\); names such as TS_2 are expected"
    with pytest.raises(SpisonetError, match=message):
        match_files(tmp_path, ["TS_2"], (".mrc",))


def test_folders_of_halves_differ_in_one_word():
    names = ["full", "Even_tomos", "ODD tomos", "odd_tomos", "a_even", "a_odd"]
    assert [(even.name, odd.name) for even, odd in pairs_of_halves(map(Path, names))] == [
        ("Even_tomos", "odd_tomos"),
        ("a_even", "a_odd"),
    ]
    assert pairs_of_halves([Path("even")]) == []


def test_a_folder_for_each_tilt_series_or_half_is_searched(tmp_path):
    touch(*(tmp_path / "imod" / name / f"{name}{end}" for name in ("a", "b") for end in (".st", "_rec.mrc")))
    found = find_tomograms(tmp_path / "imod", None, None, None)
    assert found.series == {name: TomogramPaths(tmp_path / f"imod/{name}/{name}_rec.mrc") for name in "ab"}
    assert [item.path.name for item in found.left_out] == ["a.st", "b.st"]
    halves = [tmp_path / "halves" / kind / "a.mrc" for kind in ("EVN", "ODD")]
    touch(*halves)
    assert find_tomograms(tmp_path / "halves", None, None, None).series == {"a": TomogramPaths(None, *halves)}


def used_and_left_out(folder: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Return the files of each tilt series, and what is left out, relative to the folder."""
    found = find_tomograms(folder, None, None, None)
    series = {
        name: [str(p.relative_to(folder)) for p in (paths.full, paths.even, paths.odd) if p is not None]
        for name, paths in found.series.items()
    }
    return series, [str(item.path.relative_to(folder)) for item in found.left_out]


LAYOUTS = [
    (
        "TS_01_even/TS_01.mrc TS_01_odd/TS_01.mrc TS_02_even/TS_02.mrc TS_02_odd/TS_02.mrc TS_03/TS_03.mrc",
        {name: [f"{name}_even/{name}.mrc", f"{name}_odd/{name}.mrc"] for name in ("TS_01", "TS_02")},
        ["TS_03"],
    ),
    (
        "TS_01_10.00Apx.mrc even/TS_01_10.00Apx.mrc odd/TS_01_10.00Apx.mrc deconv/TS_01_10.00Apx.mrc",
        {"TS_01": ["TS_01_10.00Apx.mrc", "even/TS_01_10.00Apx.mrc", "odd/TS_01_10.00Apx.mrc"]},
        ["deconv"],
    ),
    (
        "even/TS_01.mrc odd/TS_01.mrc full/TS_01.mrc full/TS_02.mrc ._TS_01.mrc notes/readme.txt",
        {"TS_01": ["full/TS_01.mrc", "even/TS_01.mrc", "odd/TS_01.mrc"], "TS_02": ["full/TS_02.mrc"]},
        ["._TS_01.mrc"],
    ),
    ("overview.mrc TS_01/TS_01.mrc TS_02/TS_02.mrc", {"overview": ["overview.mrc"]}, ["TS_01", "TS_02"]),
    ("._junk.mrc TS_01.st TS_01/TS_01.mrc", {"TS_01": ["TS_01/TS_01.mrc"]}, ["._junk.mrc", "TS_01.st"]),
    ("TS_01.mrc TS_01_deconv.mrc", {"TS_01": ["TS_01.mrc"]}, ["TS_01_deconv.mrc"]),
    ("TS_01.mrc even/TS_01.st odd/TS_01.st", {"TS_01": ["TS_01.mrc"]}, ["even", "odd"]),
]


@pytest.mark.parametrize(("files", "series", "left_out"), LAYOUTS)
def test_every_folder_is_used_or_left_out_by_name(tmp_path, files, series, left_out):
    touch(*(tmp_path / name for name in files.split()))
    assert used_and_left_out(tmp_path) == (series, left_out)


def test_folders_that_are_given_are_used_once(tmp_path):
    touch(*(tmp_path / name for name in ("TS_01.mrc", "even/TS_01.mrc", "odd/TS_01.mrc", "old/TS_01.mrc")))
    even, odd = tmp_path / "even", tmp_path / "odd"
    for mixed, full in ((tmp_path, None), (None, tmp_path)):
        found = find_tomograms(mixed, full, even, odd)
        assert list(found.series.values()) == [
            TomogramPaths(tmp_path / "TS_01.mrc", even / "TS_01.mrc", odd / "TS_01.mrc")
        ]
        assert [item.path.name for item in found.left_out] == ["old"]


def write_header(path: Path, shape: tuple[int, int, int], is_volume: bool = False) -> Path:
    """Write an MRC file of zeros with the space group of images, or of a volume."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path) as mrc:
        mrc.set_data(np.zeros(shape, np.int8))
        mrc.header.ispg = int(is_volume)
    return path


OTHER_STACKS = [
    ("g.st g.rec g_full.rec", "g", ["g.rec"]),
    ("g_EVN.rec g_EVN_full.rec g_ODD.rec g_ODD_full.rec g.st", "g", ["g_EVN.rec", "g_ODD.rec"]),
    ("TS_01_EVN.mrc TS_01_ODD.mrc TS_01_Vol.mrc", "TS_01", ["TS_01_Vol.mrc"]),
    ("TS_01_Vol.mrc TS_02.mrc TS_02_EVN.mrc TS_02_ODD.mrc", "TS_01", ["TS_01_Vol.mrc"]),
    ("TS_01_orig.mrc TS_01_fixed.mrc TS_01_ctfcorr.mrc TS_01_rec.mrc", "TS_01", ["TS_01_rec.mrc"]),
    ("TS_01.mrc corrected_TS_01.mrc", "TS_01", ["TS_01.mrc"]),
]


@pytest.mark.parametrize(("files", "name", "used"), OTHER_STACKS)
def test_stacks_and_untrimmed_volumes_beside_a_tomogram_are_left_out(tmp_path, files, name, used):
    for file in files.split():
        write_header(tmp_path / file, (4, 8, 8))
    series, left_out = used_and_left_out(tmp_path)
    assert series == {name: used}
    assert sorted(left_out) == sorted(set(files.split()) - set(used))


@pytest.mark.parametrize(
    "files",
    [
        "TS_01_Vol.mrc TS_02.mrc TS_03_even.mrc TS_03_odd.mrc",
        "cell1.mrc cell1_fixed.mrc",
        "lamella_half_a.mrc lamella_half_b.mrc",
        "half_1.mrc half_2.mrc half_3.mrc",
    ],
)
def test_volumes_by_their_headers_are_used_whatever_their_names(tmp_path, files):
    for file in files.split():
        write_header(tmp_path / file, (4, 8, 8), is_volume=True)
    series, left_out = used_and_left_out(tmp_path)
    assert sorted(name for names in series.values() for name in names) == sorted(files.split())
    assert not left_out


def test_images_and_volumes_of_other_formats_are_left_out_by_name(tmp_path):
    write_header(tmp_path / "TS_01_rec.mrc", (8, 8, 8))
    write_header(tmp_path / "overview.mrc", (1, 8, 8))
    touch(tmp_path / "TS_02.em")
    found = find_tomograms(tmp_path, None, None, None)
    assert list(found.series) == ["TS_01"]
    assert {item.path.name: item.reason for item in found.left_out} == {
        "overview.mrc": "a 2D image",
        "TS_02.em": "an EM file, as TOM and Dynamo write them; convert it first: "
        f"e2proc3d.py {tmp_path / 'TS_02.em'} {tmp_path / 'TS_02.mrc'}",
    }


def test_a_half_beside_a_full_tomogram_lacks_its_counterpart(tmp_path):
    touch(tmp_path / "TS_01.mrc", tmp_path / "TS_01_EVN.mrc")
    with pytest.raises(
        SpisonetError, match=r"other half is missing for .*TS_01_EVN\.mrc, beside .*TS_01\.mrc"
    ):
        find_tomograms(tmp_path, None, None, None)


def test_pairs_by_order_follow_the_numbers_of_the_names(tmp_path):
    even, odd = tmp_path / "e", tmp_path / "o"
    touch(*(even / f"x{n}_1.mrc" for n in (1, 2, 10)), *(odd / f"y{n}_2.mrc" for n in ("01", "02", "10")))
    found = find_tomograms(None, None, even, odd).series.values()
    assert {p.even.name: p.odd.name for p in found} == {
        "x1_1.mrc": "y01_2.mrc",
        "x2_1.mrc": "y02_2.mrc",
        "x10_1.mrc": "y10_2.mrc",
    }
    (odd / "y10_2.mrc").rename(odd / "y11_2.mrc")
    with pytest.raises(SpisonetError, match=r"x10_1\.mrc and .*y11_2\.mrc .* but their numbers differ"):
        find_tomograms(None, None, even, odd)


def test_other_numbers_such_as_times_may_differ_in_pairs_by_order(tmp_path):
    even, odd = tmp_path / "e", tmp_path / "o"
    touch(even / "a_1_0930.mrc", even / "a_2_0945.mrc", odd / "b_1_0931.mrc", odd / "b_2_0946.mrc")
    found = find_tomograms(None, None, even, odd).series.values()
    assert {p.even.name: p.odd.name for p in found} == {
        "a_1_0930.mrc": "b_1_0931.mrc",
        "a_2_0945.mrc": "b_2_0946.mrc",
    }
