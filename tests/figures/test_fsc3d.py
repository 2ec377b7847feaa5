"""Figures of a 3D FSC."""

from __future__ import annotations

from dataclasses import replace

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
    curves, histogram, *slices, _ = figure.axes
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
    assert metrics.resolution_0143.number is None
    assert f"not reached to the limit of {LIMIT:.2f} Å overall" in figure.texts[0].get_text()
    assert any(text.get_text().startswith("0.143: not reached") for text in curves.texts)
    assert "100 % of the directions not reached" in [t.get_text() for t in histogram.get_legend().texts]
    for band in curves.collections:  # an FSC is at most 1
        assert band.get_paths()[0].vertices[:, 1].max() <= 1 + 1e-6
    assert "global FSC, not corrected" not in drawn


def test_curves_before_the_correction_for_the_mask_are_shown_beside_those_after(fsc3d):
    uncorrected = 0.5 + fsc3d.directional_curves / 2
    masked = replace(
        fsc3d,
        global_fsc_uncorrected=0.5 + fsc3d.global_fsc / 2,
        directional_curves_uncorrected=uncorrected,
    )
    curves = draw_fsc3d(masked, summarise_fsc3d(masked)).axes[0]
    drawn = {line.get_label(): line.get_ydata() for line in curves.lines}
    np.testing.assert_array_equal(drawn["global FSC, corrected for the mask"], fsc3d.global_fsc)
    np.testing.assert_array_equal(drawn["global FSC, not corrected"], masked.global_fsc_uncorrected)
    np.testing.assert_allclose(drawn["mean of the directions"], fsc3d.directional_curves.mean(axis=0))
    np.testing.assert_allclose(
        drawn["mean of the directions, not corrected"], uncorrected.mean(axis=0), rtol=1e-6
    )


def test_the_colour_bar_names_the_contours(fsc3d):
    bar = draw_fsc3d(fsc3d, summarise_fsc3d(fsc3d)).axes[-1]
    assert bar.get_ylabel().startswith("FSC (contours: 0.5 solid")


def test_pairs_are_compared_in_panels_with_their_numbers(fsc3d):
    metrics = summarise_fsc3d(fsc3d)
    figure = draw_comparison({"before": (fsc3d, metrics), "after": (fsc3d, metrics)})
    numbers = f"cFAR {metrics.cfar:.2f}, sphericity {metrics.sphericity:.2f}"
    titles = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert f"before: {numbers}" in titles
    assert f"after: {numbers}" in titles
    (legend,) = figure.legends
    assert "resolution limit" in [text.get_text() for text in legend.get_texts()]
    assert not any(axes.get_legend() for axes in figure.axes)
