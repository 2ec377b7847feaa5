"""Pages of PDF documents."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.figures.pages import draw_amplitudes_page, draw_sampling_page, draw_text_page
from spisonet.io.mrc import Volume


def test_long_values_are_wrapped_and_move_the_next_row_down():
    figure = draw_text_page("Title", {"first": "word " * 60, "second": "b"}, "footer")
    texts = {text.get_text(): text for text in figure.texts}
    wrapped = next(text for text in texts if text.startswith("word"))
    assert wrapped.count("\n") >= 3
    assert texts["second"].get_position()[1] < texts["first"].get_position()[1] - 0.1
    assert "footer" in texts


def test_amplitudes_of_a_filtered_map_are_lower():
    noise = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
    figure = draw_amplitudes_page({"before": Volume(noise, 2.0), "after": Volume(noise / 4, 2.0)})
    before, after = figure.axes[0].get_lines()
    assert after.get_ydata() == pytest.approx(before.get_ydata() / 4, rel=1e-5)
    assert before.get_xdata()[-1] == pytest.approx(0.25)  # Nyquist at 2 Å


def test_a_sampling_density_is_shown_in_three_slices():
    density = np.zeros((8, 8, 8), np.float32)
    density[4] = 1
    panels = draw_sampling_page(density, "Sampling").axes
    assert [panel.get_title() for panel in panels] == ["kx, ky", "kx, kz", "ky, kz"]
    assert panels[0].images[0].get_array().min() == 1
    assert panels[1].images[0].get_array().min() == 0
