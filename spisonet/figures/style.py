"""What all figures share: colours, sizes, resolution axes, and how they are saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spisonet.io.atomic import atomic_path

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110  # of figures for the screen, and of the pictures in vector graphics
PRINT_DPI = 300
PNG_COMPRESSION = 1  # the default of 6 takes several times as long for files little smaller
WIDTH_INCHES = 11.0  # of a figure as wide as a page
TITLE_SIZE, LABEL_SIZE, TICK_SIZE = 10, 9, 8  # points
SMALL_LABEL_SIZE, SMALL_TICK_SIZE = 8, 7  # of grids of many panels

BLUE, ORANGE, GREY = "#1f5f99", "#c8501e", "0.45"
CORRELATION_COLOURS = "viridis"  # FSC, weights and densities
FRACTION_COLOURS = "cividis"
SPECTRUM_COLOURS = "magma"

ROUND_RESOLUTIONS_ANGSTROM = (50, 20, 10, 8, 6, 5, 4, 3.5, 3, 2.5, 2, 1.8, 1.6, 1.4, 1.2, 1, 0.8, 0.6)
EQUAL_TICKS = 5  # at most, on the longer axis
LABEL_DISTANCE = 0.075  # of the axis, between labels


def save_figure(path: Path, figure: Figure, vector: bool = False) -> None:
    """Write a figure atomically as PNG; with `vector`, at 300 dpi for printing, and as SVG beside it.

    The canvases are used directly: `Figure.savefig` draws a figure twice if it has a layout engine.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow to import
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415

    make_text_drawable(figure)
    figure.set_dpi(PRINT_DPI if vector else DPI)
    with atomic_path(path) as temporary:
        FigureCanvasAgg(figure).print_png(  # type: ignore[no-untyped-call]
            temporary, pil_kwargs={"compress_level": PNG_COMPRESSION}
        )
    if vector:
        figure.set_layout_engine("none")  # the layout is done
        figure.set_dpi(DPI)
        with atomic_path(path.with_suffix(".svg")) as temporary:
            FigureCanvasSVG(figure).print_svg(temporary)  # type: ignore[no-untyped-call]


def make_text_drawable(figure: Figure) -> None:
    """Replace what fonts cannot draw, such as bytes of names that are not UTF-8; ``$`` begins no formula."""
    from matplotlib.text import Text  # noqa: PLC0415 - slow to import

    for text in figure.findobj(Text):
        shown = text.get_text()
        drawable = shown.encode("utf-8", errors="replace").decode("utf-8")
        if "$" in shown or drawable != shown:
            text.set_parse_math(False)
            text.set_text(drawable)


def add_title(axes: Axes, text: str) -> None:
    """Put a title above the left end of a panel.

    A matplotlib title is placed by measuring every label, which takes a fifth of the drawing time.
    """
    axes.text(0, 1.03, text, transform=axes.transAxes, fontsize=TITLE_SIZE)


def add_legend_above(axes: Axes, columns: int = 1) -> None:
    """Put the legend above a panel, where it covers no data."""
    axes.legend(
        fontsize=TICK_SIZE, frameon=False, loc="lower left", bbox_to_anchor=(0, 1.01), ncols=columns,
        borderaxespad=0, borderpad=0.2,
    )  # fmt: skip


def set_equal_ticks(axes: Axes) -> None:
    """Put ticks at the same round distance on both axes, which have the same unit."""
    from matplotlib.ticker import MultipleLocator  # noqa: PLC0415 - slow to import

    spans = [abs(high - low) for low, high in (axes.get_xlim(), axes.get_ylim())]
    rough = max(spans) / EQUAL_TICKS
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= 0.999 * rough)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(step))


def label_resolutions(axes: Axes) -> None:
    """Label an x axis of spatial frequency in 1/Å with round resolutions in Å, within its limits."""
    ticks = resolution_ticks(*axes.get_xlim(), LABEL_DISTANCE)
    axes.set_xticks([1 / tick for tick in ticks], [f"{tick:g}" for tick in ticks])
    axes.tick_params(labelsize=TICK_SIZE)
    axes.set_xlabel("resolution (Å)", fontsize=LABEL_SIZE)
    axes.spines[["top", "right"]].set_visible(False)


def resolution_ticks(low: float, high: float, distance: float) -> list[float]:
    """Choose round resolutions whose spatial frequencies lie between two limits.

    Parameters
    ----------
    low, high : float
        Limits in 1/Å.
    distance : float
        Smallest distance between two labels, as a fraction of the range.

    Returns
    -------
    list of float
        Resolutions in Å, coarse to fine.
    """
    ticks: list[float] = []
    last = -np.inf
    for resolution in ROUND_RESOLUTIONS_ANGSTROM:
        frequency = 1 / resolution
        if low < frequency < high and frequency - last >= distance * (high - low):
            ticks.append(resolution)
            last = frequency
    return ticks
