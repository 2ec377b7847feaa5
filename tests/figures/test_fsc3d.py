"""Figures of a 3D FSC."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.analysis.fsc3d import estimate_fsc3d, summarise_fsc3d
from spisonet.figures.fsc3d import draw_comparison, draw_fsc3d

N, VOXEL_SIZE, LIMIT = 24, 2.0, 6.0


@pytest.fixture(scope="module")
def fsc3d():
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(N, N, N))
    halves = [(signal + 0.5 * rng.normal(size=signal.shape)).astype(np.float32) for _ in range(2)]
    return estimate_fsc3d(*halves, None, VOXEL_SIZE, LIMIT, 20.0, 1)


def test_global_curve_directions_and_limit_are_drawn(fsc3d):
    metrics = summarise_fsc3d(fsc3d)
    figure = draw_fsc3d(fsc3d, metrics)
    curves, histogram, *slices, bar = figure.axes
    drawn = {line.get_label(): line for line in curves.lines}
    np.testing.assert_array_equal(drawn["global FSC"].get_ydata(), fsc3d.global_fsc)
    limit = drawn[f"resolution limit, {fsc3d.limit_resolution_angstrom:.2f} Å"]
    assert limit.get_xdata()[0] == pytest.approx(1 / fsc3d.limit_resolution_angstrom)
    assert "range over directions" in [text.get_text() for text in curves.get_legend().texts]
    assert histogram.get_ylabel() == "directions (%)"
    heights = np.concatenate([patch.get_data().values for patch in histogram.patches])
    assert heights.sum() == pytest.approx(100)
    assert [axes.texts[0].get_text() for axes in slices] == [
        f"3D FSC, central {plane} slice" for plane in ("XY", "XZ", "YZ")
    ]
    centre = np.asarray(slices[0].images[0].get_array())
    assert centre[len(centre) // 2, len(centre) // 2 + 3] == fsc3d.fsc_rfft[0, 0, 3]
    assert f"{metrics.resolution_0143_angstrom:.2f} Å overall" in figure.texts[0].get_text()
    assert bar.get_ylabel().startswith("FSC (contours: 0.5 solid")


def test_pairs_are_compared_in_panels_with_their_numbers(fsc3d):
    metrics = summarise_fsc3d(fsc3d)
    figure = draw_comparison({"before": (fsc3d, metrics), "after": (fsc3d, metrics)})
    numbers = f"cFAR {metrics.cfar:.2f}, sphericity {metrics.sphericity:.2f}"
    titles = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert f"before: {numbers}" in titles
    assert f"after: {numbers}" in titles
