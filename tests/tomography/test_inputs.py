"""The tomograms that a table lists, and what is doubtful about them."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import pytest

from spisonet.errors import SpisonetError
from spisonet.io.tomogram_table import TomogramTable
from spisonet.tomography.inputs import read_tomograms
from tests.tomography.simulation import gaussian_noise, write_mrc

SHAPE = (8, 10, 12)


def tomogram_of(folder: Path, **columns: str):
    defaults = {"rlnMicrographName": str(folder / "t.mrc"), "rlnTiltMin": "-50", "rlnTiltMax": "60"}
    table = TomogramTable.new(folder / "t.star", [defaults | columns])
    return read_tomograms(table.rows, use_halves=False, columns=[None])[0]


@pytest.mark.parametrize(
    ("nstart", "origin", "warns"),
    [
        ((3, -2, 5), (0, 0, 0), False),
        ((0, 0, 0), (0, 0, 0), False),
        ((9, -2, 5), (0, 0, 0), True),
        ((0, 0, 0), (30, -20, 50), False),
        ((0, 0, 0), (30, -20, 150), True),
    ],
)
def test_a_mask_with_another_origin_is_named(tmp_path, caplog, nstart, origin, warns):
    write_mrc(tmp_path / "t.mrc", gaussian_noise(SHAPE))
    with mrcfile.open(write_mrc(tmp_path / "m.mrc", gaussian_noise(SHAPE)), "r+") as mrc:
        mrc.nstart = nstart
        mrc.header.origin = origin
    tomogram_of(tmp_path, rlnMaskName=str(tmp_path / "m.mrc"))
    assert ("m.mrc has another origin than" in caplog.text) == warns


def test_a_voxel_size_of_exactly_1_angstrom_and_an_assumed_tilt_range_are_named(tmp_path, caplog):
    write_mrc(tmp_path / "t.mrc", gaussian_noise(SHAPE), voxel_size=1.0)
    assumed = {"rlnTiltRangeSource": "assumed_no_tilt_file_found"}
    tomogram = tomogram_of(tmp_path, rlnTiltMin="-60", rlnTiltMax="60", **assumed)
    assert tomogram.tilt_range_is_assumed
    assert "t.mrc is exactly 1 Å, which programs write that do not know it" in caplog.text
    assert "tilt range -60 to 60 degrees is assumed, no tilt file found" in caplog.text
    caplog.clear()
    corrected = tomogram_of(tmp_path, rlnPixelSize="1", rlnTiltMin="-50", rlnTiltMax="60", **assumed)
    assert not corrected.tilt_range_is_assumed
    assert not caplog.records


def test_a_tomogram_without_a_voxel_size_refers_to_the_table(tmp_path):
    write_mrc(tmp_path / "t.mrc", gaussian_noise(SHAPE), voxel_size=0)
    with pytest.raises(
        SpisonetError, match=r"no voxel size in its header; enter it as rlnPixelSize in the table"
    ):
        tomogram_of(tmp_path)
