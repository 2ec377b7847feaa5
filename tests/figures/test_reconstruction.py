"""Figures of a correction."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.figures.reconstruction import draw_correction_fsc, draw_fourier_slices
from spisonet.figures.training import draw_loss, draw_tomogram_losses
from spisonet.io.mrc import Volume
from spisonet.validation.correction_fsc import CorrectionFsc

N, VOXEL_SIZE = 16, 2.0


def fsc(**changes) -> CorrectionFsc:
    curve = np.linspace(1, 0, N // 2 + 1)
    frequency = np.arange(N // 2 + 1) / (N * VOXEL_SIZE)
    values = {"halves_before": curve, "halves_after": curve**2, "before_and_after": [curve**3, curve**4]}
    return CorrectionFsc(frequency, **values | {"masked": True} | changes)


def test_every_fsc_curve_is_drawn_and_that_of_corrected_halves_is_marked():
    figure = draw_correction_fsc(fsc(), 8.0)
    (axes,) = figure.axes
    drawn = {line.get_label(): line for line in axes.lines}
    np.testing.assert_array_equal(drawn["half 1 and half 2, before"].get_ydata(), fsc().halves_before)
    after = drawn["half 1 and half 2, after (not for resolution claims)"]
    np.testing.assert_array_equal(after.get_ydata(), fsc().halves_after)
    assert {"map 1, before and after", "map 2, before and after"} <= set(drawn)
    assert drawn["resolution limit, 8.00 Å"].get_xdata()[0] == pytest.approx(1 / 8)
    assert axes.get_ylabel() == "FSC inside the mask"


def test_a_single_map_has_no_fsc_of_halves():
    single = fsc(halves_before=None, halves_after=None, before_and_after=[np.ones(N // 2 + 1)], masked=False)
    (axes,) = draw_correction_fsc(single, 8.0).axes
    labels = [line.get_label() for line in axes.lines]
    assert not any("half" in label for label in labels)
    assert axes.get_ylabel() == "FSC"


def test_fourier_slices_show_amplitudes_and_the_data_weight_with_the_limit():
    rng = np.random.default_rng(0)
    before, after = (Volume(rng.normal(size=(N,) * 3).astype(np.float32), VOXEL_SIZE) for _ in range(2))
    weight = rng.random((N, N, N // 2 + 1)).astype(np.float32)
    figure = draw_fourier_slices(before, after, weight, 8.0)
    assert [axes.get_ylabel() for axes in figure.axes[9:]] == [
        "log10 amplitude",
        "log10 amplitude",
        "data weight",
    ]
    assert [axes.get_title() for axes in figure.axes[:9:3]] == [
        "XY: log10 amplitude, before", "XY: log10 amplitude, after", "XY: data weight",
    ]  # fmt: skip
    centre = N // 2
    shown = np.asarray(figure.axes[6].images[0].get_array())
    np.testing.assert_array_equal(shown[centre, centre:], weight[0, 0, : N // 2])
    assert figure.axes[0].lines[0].get_xdata().max() == pytest.approx(1 / 8)
    assert figure.axes[0].images[0].get_extent()[1] == pytest.approx(0.25)


def test_losses_are_drawn_by_epoch_with_a_legend_for_several_networks():
    figure = draw_loss({"half1": [3.0, 2.0], "half2": [4.0, 1.0]})
    (axes,) = figure.axes
    assert [line.get_ydata().tolist() for line in axes.lines] == [[3, 2], [4, 1]]
    assert axes.lines[0].get_xdata().tolist() == [1, 2]
    assert axes.get_legend() is not None
    assert draw_loss({"both": [1.0]}).axes[0].get_legend() is None
    apart = draw_tomogram_losses([6.0, 5.0], [1.0]).axes
    assert [panel.lines[0].get_ydata().tolist() for panel in apart] == [[1], [6, 5]]
    assert [panel.get_title() for panel in apart] == ["denoising", "filling missing wedges"]
    assert len(draw_tomogram_losses([6.0], []).axes) == 1
