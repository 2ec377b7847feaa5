"""Coordinates in tomograms, by the origin and unit of the program that wrote them."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from spisonet.errors import SpisonetError
from spisonet.io import coordinates
from spisonet.io.coordinates import read_coordinates
from spisonet.io.series_names import series_name
from tests.io.imod_models import imod_model

POINTS = np.array([(5, 6, 7), (15, 16, 8)], dtype=float)
SHAPE, VOXEL_SIZE = (20, 40, 60), 10.0


def read(path, content, series=("TS_1",)):
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content, encoding="utf-8")
    return read_coordinates(path, SHAPE, VOXEL_SIZE, series)


def star(columns: dict[str, list], optics: str = "") -> str:
    labels = "".join(f"_{name} #{number}\n" for number, name in enumerate(columns, start=1))
    rows = "\n".join(" ".join(map(str, row)) for row in zip(*columns.values(), strict=True))
    return f"{optics}\ndata_particles\n\nloop_\n{labels}{rows}\n\n"


def columns(points, names=("rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ")) -> dict[str, list]:
    return dict(zip(names, np.asarray(points).T.tolist(), strict=True))


CENTRED = tuple(f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ")
OPTICS = "data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnTomoTiltSeriesPixelSize #2\n1 2.5\n2 5\n\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "5 6 7\n15 16 8\n"),
        ("a.txt", "\ufeff# x y z\n5,6,7\n15,16,8\n"),
        ("a.txt", "1 5 6 7\n2 15 16 8\n"),  # contour x y z
        ("a.txt", "1 1 5 6 7\n1 2 15 16 8\n"),  # object contour x y z
        ("a.txt", "1 1 5 6 7\n2 0 15 16 8\n"),
        ("a.mod", imod_model([POINTS[:1], POINTS[1:]])),
        ("a.star", star(columns((POINTS - (30, 20, 10)) * 10, CENTRED) | {"rlnTomoName": ["TS_1", "TS_1"]})),
        ("a.star", star(columns(POINTS) | {"rlnDetectorPixelSize": [10, 10]})),  # pytom-match-pick
        (
            "a.star",
            star(columns(POINTS) | {"rlnDetectorPixelSize": [5, 5], "rlnMagnification": [5000, 5000]}),
        ),
        (
            "a.star",
            star(columns(POINTS / (60, 40, 20)) | {"rlnMicrographName": ["TS_1.tomostar"] * 2}),
        ),  # Warp
        ("A.STAR", star(columns(POINTS * [[4], [2]]) | {"rlnOpticsGroup": [1, 2]}, OPTICS)),  # RELION 4
    ],
)
def test_coordinates_have_the_unit_and_origin_of_their_program(tmp_path, name, content):
    np.testing.assert_allclose(read(tmp_path / name, content), POINTS)


@pytest.mark.parametrize(
    ("content", "points"),
    [
        ("3 5 26 7\n7 15 36 8\n", [(5, 26, 7), (15, 36, 8)]),  # of contours that are not the first
        ("7 15 36 8\n", [(15, 36, 8)]),
        ("2 3 25 6 7\n3 1 35 16 8\n", [(25, 6, 7), (35, 16, 8)]),
    ],
)
def test_any_numbers_of_contours_are_read_if_they_cannot_be_coordinates(tmp_path, content, points):
    np.testing.assert_allclose(read(tmp_path / "a.txt", content), points)


PICKS = ["12 510 120 1\n25 330 140 2\n40 700 90 1\n", "412 510 120 7.2\n", "12 510 120 9.1 2\n"]
PICKS += ["3 5 6 7\n7 15 16 8\n", "1 510 120 2\n25 330 140 2\n", "2 3 5 6 7\n3 1 15 16 8\n"]


@pytest.mark.parametrize("content", PICKS)
def test_picks_with_a_score_or_class_are_not_taken_for_contours(tmp_path, content):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(SpisonetError, match=r"has \d columns, .* keep only x, y and z in each line"):
        read_coordinates(tmp_path / "a.txt", (300, 928, 960), VOXEL_SIZE, ["TS_1"])


def model_on(size, points):
    content = bytearray(imod_model([points]))
    content[136:148] = struct.pack(">3i", *size)
    return bytes(content)


SIZES = [((60, 40, 20), 1), ((30, 20, 10), 2), ((29, 19, 9), 2), ((120, 79, 40), 0.5), ((60, 20, 40), 1)]


@pytest.mark.parametrize(("size", "scale"), SIZES)
def test_models_of_binned_tomograms_are_scaled(tmp_path, size, scale):
    np.testing.assert_allclose(read(tmp_path / "a.mod", model_on(size, POINTS / scale)), POINTS, rtol=0.02)


@pytest.mark.parametrize("points", [POINTS, POINTS + 0.4, POINTS + 0.7])
def test_the_size_of_a_model_that_was_made_from_points_is_unknown(tmp_path, points):
    """IMOD's ``point2model`` without ``-image`` adds 10 to the largest x and y, and 1 to the largest z."""
    x, y, z = np.rint(points.max(axis=0)).astype(int)
    np.testing.assert_allclose(read(tmp_path / "a.mod", model_on((x + 10, y + 10, z + 1), points)), points)


@pytest.mark.parametrize("size", [(60, 40, 80), (60, 40, 22), (30, 20, 12)])
def test_a_model_of_another_volume_is_refused(tmp_path, size):
    x, y, z = size
    with pytest.raises(SpisonetError, match=f"drawn on an image of {x} x {y} x {z} voxels, but TS_1 has 60"):
        read(tmp_path / "a.mod", model_on(size, POINTS))


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        (
            "a.txt",
            "200 20 10\n20 120 40\n20 20 10\n",
            r"a\.txt has 2 of 3 coordinates outside of TS_1, which has 60 x 40 x 20 voxels; all are inside "
            r"if divided by a number such as 4, so they are .* before binning, or in Å: divide them by the "
            r"binning factor\.",
        ),
        ("a.txt", "5 6 7\n5 6 8\n5 6 20\n", "1 of 3 .* voxels; correct or remove them"),
        ("a.txt", "5 6 -1\n", "1 of 1 .* voxels; correct or remove them"),
        (
            "a.star",
            star(columns(POINTS * 8) | {"rlnDetectorPixelSize": [10, 10]}),
            "divided by a number such as 4, .*: correct the pixel size in the file",
        ),
        ("a.txt", "170 110 55\n", "divided by a number such as 3, so"),
        ("a.txt", "290 190 95\n", "divided by a number such as 5, so"),
    ],
)
def test_coordinates_outside_are_counted_with_the_scale_that_fits(tmp_path, name, content, part):
    with pytest.raises(SpisonetError, match=part):
        read(tmp_path / name, content)


def test_the_rows_of_the_tomogram_are_selected(tmp_path):
    names = {"rlnMicrographName": ["TS_1_10.00Apx.mrc", "TS_2.tomostar"], "rlnPixelSize": [10, 10]}
    content = star(columns(POINTS) | names)
    np.testing.assert_allclose(read(tmp_path / "a.star", content, ["tomograms/TS_2_EVN.mrc"]), POINTS[1:])
    with pytest.raises(SpisonetError, match=r"a\.star lists coordinates of other tomograms: TS_1, TS_2"):
        read(tmp_path / "a.star", content, ["TS_3"])


def test_a_fraction_of_1_is_in_the_last_voxel(tmp_path):
    content = star(columns([(1, 0.5, 0), (0.25, 1, 1)]) | {"rlnMicrographName": ["TS_1.tomostar"] * 2})
    np.testing.assert_allclose(read(tmp_path / "a.star", content), [(59, 20, 0), (15, 39, 19)])


def test_each_name_in_a_file_is_parsed_once(tmp_path, monkeypatch):
    parsed = []

    def counted(path):
        parsed.append(path.name)
        return series_name(path)

    monkeypatch.setattr(coordinates, "series_name", counted)
    names = {"rlnTomoName": ["TS_1.mrc", "TS_2.mrc", "TS_2_rec.mrc"] * 50, "rlnPixelSize": [10] * 150}
    content = star(columns(np.resize(POINTS, (150, 3))) | names)
    (tmp_path / "a.star").write_text(content)
    assert coordinates.stated_tomograms(tmp_path / "a.star") == ["TS_1", "TS_2"]
    for number, name in ((50, "TS_1"), (100, "TS_2")):
        assert len(read_coordinates(tmp_path / "a.star", SHAPE, VOXEL_SIZE, [name])) == number
    assert parsed == ["TS_1.mrc", "TS_2.mrc", "TS_2_rec.mrc", "TS_1", "TS_2"]


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("A.TBL", "1 2 3", "is not a Dynamo table"),
        ("a.txt", "", "must contain x, y and z"),
        ("a.txt", "1 2\n", "must contain x, y and z"),
        (
            "a.txt",
            "100 120 40 0.9\n",
            "has 4 columns, but the first are not the numbers of object and contour",
        ),
        ("a.txt", "1.5 5 6 7\n", "keep only x, y and z"),
        ("a.txt", "1 5 6 7\n0 5 6 7\n", "keep only x, y and z"),
        ("a.txt", "-1 5 6 7\n", "keep only x, y and z"),
        ("a.txt", "1 120 40 0.9 0.8\n", "has 5 columns"),
        ("a.txt", "5.5 6 7 8\n7 8 9 9\n", "whole numbers that never decrease"),
        ("a.txt", "3 5 6 7\n2 5 6 7\n", "whole numbers that never decrease"),
        ("a.txt", "x y z\n", "neither an IMOD model nor a text file"),
        ("a.mod", imod_model([]), "contains no coordinates"),
        ("a.star", star({"rlnAngleRot": [1]}), "has no columns rlnCoordinateX"),
        (
            "a.star",
            star(columns(POINTS) | {"rlnOpticsGroup": ["a", "b"]}, OPTICS),
            "rlnTomoTiltSeriesPixelSize is nan in row 1",
        ),
        ("a.star", star(columns(POINTS)), "does not give the size of the pixels"),
        (
            "a.star",
            star(columns(POINTS) | {"rlnPixelSize": [0, 0]}),
            "rlnPixelSize is 0 in row 1; the valid range is 0.001 to 10000",
        ),
    ],
)
def test_other_files_are_refused_in_one_sentence(tmp_path, name, content, part):
    with pytest.raises(SpisonetError, match=rf"{name}.*{part}"):
        read(tmp_path / name, content)
