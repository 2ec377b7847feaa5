"""The figure of the likelihood along a motion, also of no motion at all."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.analysis.pose_drift import PoseDrift
from spisonet.figures.pose_drift import draw_drift
from spisonet.figures.style import save_figure

FRACTIONS = np.array([-0.5, 0.0, 0.5, 1.0])


@pytest.mark.parametrize("degrees", [0.0, 6.0])
def test_the_curve_is_drawn_in_degrees_with_error_bars(tmp_path, degrees):
    rise = np.array([-1.0, 0.0, 0.7, 1.0]) * (degrees > 0)
    drift = PoseDrift(500, 900, 60.0, 15.0, degrees, 1.0, 1e-6, 50.0, FRACTIONS, rise, 0.1 * np.abs(rise))
    figure = draw_drift(drift)
    (bars,) = figure.axes[0].containers
    x, y = bars.lines[0].get_data()
    np.testing.assert_allclose(x, FRACTIONS * degrees)
    np.testing.assert_allclose(y, rise)
    save_figure(tmp_path / "drift.png", figure)
    assert drift.is_detected is (degrees > 0)
