"""Plots of the quality benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from benchmarks.quality.methods import INPUT, PUBLISHED, SELF_TRAINING
from benchmarks.quality.scoring import EMPTY, GOOD, WEAK
from benchmarks.quality.suite import KINDS
from benchmarks.quality.tables import MAPS
from spisonet.figures.slices import PLANES, central_slices, draw_slice, grey_range
from spisonet.figures.style import (
    BLUE,
    GREY,
    LABEL_SIZE,
    ORANGE,
    SMALL_TICK_SIZE,
    TICK_SIZE,
    WIDTH_INCHES,
    add_title,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.quality.cases import Case
    from benchmarks.quality.suite import Result

PANELS = {EMPTY: "FSC, empty", WEAK: "FSC, weak", GOOD: "FSC, good", "ccmask": "correlation in the mask"}
COLOURS = {INPUT.name: GREY, PUBLISHED.name: BLUE, SELF_TRAINING.name: ORANGE}
OTHER_COLOURS = ("#7a9e3f", "#8b6bb1", "#3a9a9a", "#b08d2e", "#c06090")
MARKERS = "osD^vP*X"


def plot_scores(results: Sequence[Result]) -> Figure:
    """Draw the scores of all methods, a row for each case.

    Parameters
    ----------
    results : sequence of Result
        Scores, one result for each case, method and kind of map.

    Returns
    -------
    Figure
        Half maps above, full maps below; from left to right FSC in ``empty``, ``weak`` and ``good``, and
        ``ccmask``.
    """
    cases = list(dict.fromkeys(result.case for result in results))
    methods = list(dict.fromkeys(result.method for result in results))
    others = iter(OTHER_COLOURS * len(methods))
    colours = {method: COLOURS.get(method) or next(others) for method in methods}
    figure = Figure((1.3 * WIDTH_INCHES, 1.2 + 2 * (0.6 + 0.22 * len(cases))), layout="constrained")
    panels = figure.subplots(len(KINDS), len(PANELS), sharey=True, squeeze=False)
    for row, kind in zip(panels, KINDS, strict=True):
        for axes, (score, title) in zip(row, PANELS.items(), strict=True):
            for method, marker in zip(methods, MARKERS * len(methods), strict=False):
                own = [result for result in results if (result.method, result.kind) == (method, kind)]
                x = [result.scores[score] for result in own]
                y = [cases.index(result.case) for result in own]
                axes.plot(x, y, marker, color=colours[method], markersize=5, alpha=0.85, label=method)
            add_title(axes, f"{title}, {MAPS[kind]}")
            axes.grid(alpha=0.3)
            axes.tick_params(labelsize=TICK_SIZE)
            axes.spines[["top", "right"]].set_visible(False)
        row[0].set_yticks(range(len(cases)), cases, fontsize=SMALL_TICK_SIZE)
        row[0].set_ylim(len(cases) - 0.5, -0.5)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(methods), fontsize=LABEL_SIZE)
    return figure


def plot_maps(case: Case, maps: Mapping[str, NDArray[np.float32]]) -> Figure:
    """Draw central slices of the truth of a case and of maps, each in its own grey range inside the mask.

    Parameters
    ----------
    case : Case
        The case.
    maps : mapping
        Maps ``(n, n, n)`` by name.

    Returns
    -------
    Figure
        A row for each map.
    """
    shown = {"truth": case.truth, **maps}
    figure = Figure((7.5, 2.5 * len(shown)), layout="constrained")
    panels = figure.subplots(len(shown), len(PLANES), squeeze=False)
    half_edge_nm = case.box * case.voxel_size_angstrom / 20
    extent = (-half_edge_nm, half_edge_nm, -half_edge_nm, half_edge_nm)
    for row, (name, volume) in zip(panels, shown.items(), strict=True):
        limits = grey_range(volume)
        for axes, plane, image in zip(row, PLANES, central_slices(volume), strict=True):
            draw_slice(axes, image, plane, name, extent, limits)
    return figure
