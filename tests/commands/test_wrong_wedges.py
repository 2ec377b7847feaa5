"""Wrong tilt axes and ranges of a real tomogram are refused before training."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest

from tests.tomography.isonet import QUICK, failure, run
from tests.tomography.simulation import write_mrc

MICROTUBULE = Path(__file__).parents[1] / "tomography" / "microtubule" / "microtubule.mrc"
AS_IT_IS, AXIS_X, SLICES_XZ, UPSIDE_DOWN = (0, 1, 2), (0, 2, 1), (1, 0, 2), None


def prepare(order: tuple[int, int, int] | None, tilts: tuple[int, int]) -> None:
    """List the microtubule, with its axes in another order or mirrored in z, with a tilt range."""
    data = mrcfile.read(MICROTUBULE)
    changed = data[::-1] if order is None else data.transpose(order)
    write_mrc(Path("tomograms/microtubule.mrc"), np.ascontiguousarray(changed), voxel_size=10.52)
    run(f"prepare_star tomograms --tilt_min {tilts[0]} --tilt_max {tilts[1]} --number_subtomos 4")


@pytest.mark.parametrize("tilts", [(-66, 57), (-60, 60)])
def test_tilts_that_a_real_tomogram_shows_are_accepted(project, capsys, tilts):
    prepare(AS_IT_IS, tilts)
    capsys.readouterr()
    run("check tomograms.star")
    shown = capsys.readouterr().out
    assert "The power spectrum shows tilts of -66 to 58° (±3°) about y" in shown
    assert ("in agreement with the table" in shown) == (tilts == (-66, 57))


@pytest.mark.parametrize(
    ("order", "tilts", "part"),
    [
        (AXIS_X, (-66, 57), "rotate the volume by 90° about z such that the tilt axis is y"),
        (SLICES_XZ, (-66, 57), "rotate the volume by 90° about x (IMOD: trimvol -rx)"),
        (AS_IT_IS, (-57, 66), "exchange the two tilts and their signs (-66 to 58)"),
        (UPSIDE_DOWN, (-66, 57), "exchange the two tilts and their signs (-58 to 66)"),
        (AS_IT_IS, (-45, 45), "set rlnTiltMin and rlnTiltMax to -66 and 58"),
        (AS_IT_IS, (-75, 75), "set rlnTiltMin and rlnTiltMax to -66 and 58"),
    ],
)
def test_wrong_tilts_of_a_real_tomogram_are_refused_before_training(project, capsys, order, tilts, part):
    prepare(order, tilts)
    for line in ("check tomograms.star", f"refine tomograms.star {QUICK}"):
        message = failure(line, capsys)
        assert "microtubule.mrc: The power spectrum shows tilts of" in message
        assert f"but the table is {tilts[0]} to {tilts[1]}° about y" in message
        assert part in message
    assert not Path("isonet_maps").exists()
