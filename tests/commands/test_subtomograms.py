"""``extract`` and ``prepare_subtomo_star``."""

from __future__ import annotations

import shutil
from pathlib import Path

import mrcfile
import numpy as np

from spisonet.io.tomogram_table import TomogramTable
from tests.tomography.isonet import run
from tests.tomography.simulation import (
    write_mrc,
)


def test_subtomograms_are_regions_of_the_tomogram(project):
    data = np.arange(32 * 40 * 48, dtype=np.float32).reshape(32, 40, 48)
    write_mrc(project / "t" / "a.mrc", data)
    run("prepare_star t --number_subtomos 5 --pixel_size 10")
    run("extract tomograms.star --cube_size 16")
    rows = TomogramTable.read(Path("subtomo.star")).rows
    assert len(rows) == 5
    for row in rows:
        cut = mrcfile.read(row.path("rlnImageName"))
        assert cut.shape == (24, 24, 24)
        z, y, x = np.unravel_index(int(cut[12, 12, 12]), data.shape)
        assert all(8 <= place <= n - 8 for place, n in zip((z, y, x), data.shape, strict=True))
        inner = data[z - 4 : z + 4, y - 4 : y + 4, x - 4 : x + 4]
        np.testing.assert_array_equal(cut[8:16, 8:16, 8:16], inner)
    shutil.copytree("subtomo", "others")
    run("prepare_subtomo_star others --output_star others.star --pixel_size 10")
    assert {row.text("rlnCubeSize") for row in TomogramTable.read(Path("others.star")).rows} == {"16"}
