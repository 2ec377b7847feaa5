"""``extract`` and ``prepare_subtomo_star``."""

from __future__ import annotations

import shutil
from pathlib import Path

import mrcfile
import numpy as np

from spisonet.io.tomogram_table import TomogramTable
from tests.tomography.isonet import failure, run
from tests.tomography.simulation import (
    gaussian_noise,
    write_mrc,
)


def test_subtomograms_are_regions_of_the_tomogram(project):
    data = np.arange(32 * 40 * 48, dtype=np.float32).reshape(32, 40, 48)
    write_mrc(project / "t" / "a.mrc", data)
    run("prepare_star t --number_subtomos 5 --pixel_size 8")
    run("extract tomograms.star --cube_size 16")
    rows = TomogramTable.read(Path("subtomo.star")).rows
    assert len(rows) == 5
    for row in rows:
        subtomogram = mrcfile.read(row.path("rlnImageName"))
        assert subtomogram.shape == (24, 24, 24)
        z, y, x = np.unravel_index(int(subtomogram[12, 12, 12]), data.shape)
        assert all(8 <= place <= n - 8 for place, n in zip((z, y, x), data.shape, strict=True))
        inner = data[z - 4 : z + 4, y - 4 : y + 4, x - 4 : x + 4]
        np.testing.assert_array_equal(subtomogram[8:16, 8:16, 8:16], inner)
    shutil.copytree("subtomo", "others")
    Path("others/._001_a_000000.mrc").touch()  # macOS
    run("prepare_subtomo_star others --output_star others.star")
    listed = TomogramTable.read(Path("others.star")).rows
    assert {(row.text("rlnCubeSize"), row.number_of("rlnPixelSize")) for row in listed} == {("16", 8.0)}
    run("prepare_subtomo_star others --output_star others.star --pixel_size 10")
    assert TomogramTable.read(Path("others.star")).rows[0].number_of("rlnPixelSize") == 10.0


def test_subtomograms_of_an_earlier_extraction_are_replaced_but_no_other_files(project, capsys):
    write_mrc(project / "t" / "a.mrc", gaussian_noise((24, 32, 32)))
    run("prepare_star t --number_subtomos 3")
    line = "extract tomograms.star --cube_size 16"
    run(line)
    before = Path("subtomo/001_a_000000.mrc").read_bytes()
    run(f"{line} --seed 1")
    assert Path("subtomo/001_a_000000.mrc").read_bytes() != before
    other = Path("subtomo/001_a_000123.mrc")
    other.touch()
    assert "contains files that subtomo.star does not list" in failure(line, capsys)
    assert "contains files that subtomo.star does not list" in failure(f"{line} --subtomo_folder t", capsys)
    assert other.is_file()
    assert Path("t/a.mrc").is_file()
