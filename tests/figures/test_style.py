"""Resolution axes and figure files."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from spisonet.figures.style import (
    DPI,
    PRINT_DPI,
    label_resolutions,
    resolution_ticks,
    save_figure,
    set_equal_ticks,
)


def test_ticks_are_round_resolutions_inside_the_limits_and_apart():
    ticks = resolution_ticks(0, 0.25, 0.1)
    frequencies = 1 / np.array(ticks)
    assert ticks == [50, 20, 10, 6, 5]
    assert (frequencies < 0.25).all()
    assert (np.diff(frequencies) >= 0.025).all()


def test_labels_are_resolutions_at_their_spatial_frequencies():
    axes = Figure().subplots()
    axes.set_xlim(0, 0.25)
    label_resolutions(axes)
    labels = [float(label.get_text()) for label in axes.get_xticklabels()]
    assert labels
    assert np.allclose(axes.get_xticks(), 1 / np.array(labels))
    assert axes.get_xlabel() == "resolution (Å)"


def test_a_figure_is_written_as_png_and_on_request_as_svg(tmp_path):
    figure = Figure(figsize=(2, 1))
    save_figure(tmp_path / "a.png", figure)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (2 * DPI, DPI)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]
    save_figure(tmp_path / "a.png", figure, vector=True)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (2 * PRINT_DPI, PRINT_DPI)
    assert "<svg" in (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize("span", [(0, 1), (-83.2, 83.2), (0, 4000), (-0.19, 0.19)])
def test_both_axes_have_ticks_at_the_same_few_round_distances(span):
    axes = Figure().subplots()
    axes.set(xlim=span, ylim=(span[0] / 2, span[1] / 2))
    set_equal_ticks(axes)
    steps = {round(step, 9) for ticks in (axes.get_xticks(), axes.get_yticks()) for step in np.diff(ticks)}
    assert len(steps) == 1
    (step,) = steps
    assert 2 <= (span[1] - span[0]) / step <= 5.01
    assert f"{step:e}"[0] in "125"


@pytest.mark.parametrize("name", ["caf\udce9.mrc", "a$b_{$c", "$\\nonsense$"])
def test_any_file_name_is_drawn(tmp_path, name):
    figure = Figure(figsize=(1, 1))
    figure.text(0.5, 0.5, name)
    save_figure(tmp_path / "x.png", figure, vector=True)
    assert (tmp_path / "x.svg").is_file()


def test_a_figure_is_what_savefig_writes(tmp_path):
    def drawn() -> Figure:
        figure = Figure(figsize=(3, 2), layout="constrained")
        axes = figure.subplots()
        axes.imshow(np.arange(12.0).reshape(3, 4))
        axes.set_xlabel("a label")
        return figure

    save_figure(tmp_path / "ours.png", drawn(), vector=True)
    drawn().savefig(tmp_path / "theirs.png", dpi=PRINT_DPI)
    ours, theirs = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("ours", "theirs"))
    np.testing.assert_array_equal(ours, theirs)
    assert "<svg" in (tmp_path / "ours.svg").read_text()
