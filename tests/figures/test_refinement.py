"""Figures of a refinement."""

from __future__ import annotations

import numpy as np

from spisonet.figures.refinement import draw_progress


def test_each_quantity_has_a_panel_and_each_class_a_curve():
    classes = {"class001": [(1, 2.0), (2, 8.0), (4, 4.0)], "class002": []}
    figure = draw_progress({"Resolution (Å)": classes, "Sphericity": {"class001": [(1, 0.9)]}})
    resolution, sphericity = figure.axes
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["Resolution (Å)", "Sphericity"]
    first, second = resolution.get_lines()
    assert np.array_equal(first.get_xydata(), [[1, 2], [2, 8], [4, 4]])
    assert len(second.get_xdata()) == 0
    assert [text.get_text() for text in resolution.get_legend().get_texts()] == ["class001", "class002"]
    assert sphericity.get_legend() is None
