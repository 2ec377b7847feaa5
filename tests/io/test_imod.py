"""Contours in IMOD models and text files."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from spisonet.errors import SpisonetError
from spisonet.io.imod import is_own_model, read_contours, write_contours
from tests.io.imod_models import imod_model


def test_a_model_has_the_lengths_of_imods_format(tmp_path):
    path = tmp_path / "b.mod"
    write_contours(path, [[[1, 2, 3]] * 5, [[4, 5, 6]] * 3], (8, 16, 16))
    content = path.read_bytes()
    assert content[:8] == b"IMODV1.2"
    assert content[136:152] == b"".join(n.to_bytes(4, "big") for n in (16, 16, 8, 1))  # x, y, z, objects
    assert content[240:244] == b"OBJT"
    assert content[240 + 4 + 176 :].startswith(b"CONT" + (5).to_bytes(4, "big"))
    assert content.endswith(b"IEOF")
    assert len(content) == 240 + 4 + 176 + 2 * (4 + 16) + 12 * 8 + 4
    assert is_own_model(path)
    contours = read_contours(path)
    np.testing.assert_array_equal(contours[0], [[1, 2, 3]] * 5)
    np.testing.assert_array_equal(contours[1], [[4, 5, 6]] * 3)


def test_y_and_z_of_a_flipped_model_are_exchanged_back(tmp_path):
    points = np.array([(5, 4, 6), (15, 4, 7), (15, 4, 12)], dtype=float)
    content = bytearray(imod_model([points]))
    content[152:156] = struct.pack(">I", 1 << 16)
    (tmp_path / "b.mod").write_bytes(content)
    np.testing.assert_array_equal(read_contours(tmp_path / "b.mod")[0], points[:, [0, 2, 1]])


SQUARE = np.array([(5, 5, 4), (15, 5, 4), (15, 12, 4), (5, 12, 4)], dtype=float)


def test_contours_are_read_from_models_with_other_parts(tmp_path):
    high = SQUARE * (1, 1, 0) + (0, 0, 9)
    (tmp_path / "b.mod").write_bytes(imod_model([SQUARE, high]))
    contours = read_contours(tmp_path / "b.mod")
    assert len(contours) == 2
    np.testing.assert_array_equal(contours[0], SQUARE)
    np.testing.assert_array_equal(contours[1], high)
    assert not is_own_model(tmp_path / "b.mod")


def test_contours_are_read_from_text(tmp_path):
    lines = [f"{number} {x} {y} {z}" for number in (1, 2) for x, y, z in np.add(SQUARE, (0, 0, number))]
    (tmp_path / "b.txt").write_text("\n".join(lines))
    contours = read_contours(tmp_path / "b.txt")
    assert len(contours) == 2
    np.testing.assert_array_equal(contours[1], np.add(SQUARE, (0, 0, 2)))


@pytest.mark.parametrize("lines", ["12 510 120 1\n25 330 140 2\n40 700 90 1\n", "412 510 120 7.2\n"])
def test_columns_of_a_text_that_may_be_picks_are_not_guessed(tmp_path, lines):
    (tmp_path / "b.txt").write_text(lines)
    with pytest.raises(SpisonetError, match=r"b\.txt has 4 columns, .* keep only x, y and z in each line"):
        read_contours(tmp_path / "b.txt")


@pytest.mark.parametrize("numbers", [(0,), (1,), (0, 1), (3, 4, 5)])
def test_contours_of_a_text_count_without_gaps(tmp_path, numbers):
    (tmp_path / "b.txt").write_text("".join(f"{number} 5 6 7\n" for number in numbers))
    assert len(read_contours(tmp_path / "b.txt")) == len(numbers)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (imod_model([SQUARE])[:-90], "damaged IMOD model"),
        (b"a square\n", "neither an IMOD model nor a text file of points"),
        (b"1 2\n", "must contain x, y and z in each line"),
        (b"1 2 3 nan\n", "invalid number"),
    ],
)
def test_files_without_contours_are_refused(tmp_path, content, message):
    (tmp_path / "b.mod").write_bytes(content)
    with pytest.raises(SpisonetError, match=rf"b\.mod.*{message}"):
        read_contours(tmp_path / "b.mod")
