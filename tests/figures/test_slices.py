"""Central slices."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.figures.slices import central_slices, draw_slices, grey_range
from spisonet.io.mrc import Volume

N, VOXEL_SIZE = 16, 2.0


def volume(seed: int) -> Volume:
    return Volume(np.random.default_rng(seed).normal(size=(N, N, N)).astype(np.float32), VOXEL_SIZE)


def test_planes_are_named_after_their_axes():
    cube = np.zeros((N, N, N), np.float32)
    cube[N // 2, 3, 4] = 1  # z, y, x
    xy, xz, yz = central_slices(cube)
    assert xy[3, 4] == 1
    assert xz.max() == 0
    assert yz.max() == 0


def test_maps_share_the_grey_scale_of_the_first_and_axes_are_in_angstroms():
    maps = {"before": volume(0), "after": Volume(3 * volume(1).data, VOXEL_SIZE)}
    figure = draw_slices(maps, 4.25)
    *panels, bar = figure.axes
    assert len(panels) == 6
    assert bar.get_ylabel() == "density"
    limits = {axes.images[0].get_clim() for axes in panels}
    assert limits == {grey_range(maps["before"].data)}
    titles = [axes.get_title() for axes in panels]
    assert titles == [f"{plane}, {when}" for when in maps for plane in ("XY", "XZ", "YZ")]
    assert (figure.axes[1].get_xlabel(), figure.axes[1].get_ylabel()) == ("x (Å)", "z (Å)")
    assert figure.axes[0].images[0].get_extent() == pytest.approx((-16, 16, -16, 16))
    np.testing.assert_array_equal(figure.axes[4].images[0].get_array(), central_slices(maps["after"].data)[1])
    assert "4.25 Å" in figure.get_suptitle()
