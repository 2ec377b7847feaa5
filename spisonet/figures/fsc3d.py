"""Figures of a 3D FSC and of directional FSC curves."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, cast

import numpy as np
from matplotlib.figure import Figure

from spisonet.analysis.fsc_metrics import (
    FSC_THRESHOLD_05,
    FSC_THRESHOLD_HALF_MAPS,
    NOT_REACHED,
    resolution_histogram,
)
from spisonet.figures.style import (
    BLUE,
    CORRELATION_COLOURS,
    GREY,
    LABEL_SIZE,
    ORANGE,
    TICK_SIZE,
    WIDTH_INCHES,
    add_legend_above,
    add_title,
    label_resolutions,
    resolution_ticks,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    from spisonet.analysis.fsc3d import DirectionalFsc, Fsc3d, Fsc3dMetrics
    from spisonet.analysis.fsc_metrics import Resolution

HEIGHT_INCHES = 8.0
CONTOUR_BLUR_VOXELS = 2.5
MOST_DIRECTIONS = (16, 84)  # percentiles
TITLE_CHARACTERS = 70  # in a line above one of two panels


def draw_fsc3d(fsc3d: Fsc3d, metrics: Fsc3dMetrics) -> Figure:
    """Draw the global and directional FSC, the directional resolutions and three central slices."""
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES))
    top = figure.add_gridspec(
        1, 2, left=0.065, right=0.98, bottom=0.60, top=0.905, width_ratios=(1.75, 1), wspace=0.17
    )
    curves = figure.add_subplot(top[0])
    draw_curves(curves, fsc3d, metrics)
    add_title(curves, "FSC of the half maps")
    add_legend_below(curves, columns=3)
    _draw_histogram(figure.add_subplot(top[1]), metrics)
    bottom = figure.add_gridspec(
        1, 4, left=0.065, right=0.94, bottom=0.075, top=0.435, width_ratios=(1, 1, 1, 0.045), wspace=0.16
    )
    image = _draw_slices([figure.add_subplot(bottom[column]) for column in range(3)], fsc3d)
    bar = figure.colorbar(
        image, cax=figure.add_subplot(bottom[3]), ticks=[0, FSC_THRESHOLD_HALF_MAPS, FSC_THRESHOLD_05, 1]
    )
    bar.ax.set_yticklabels(
        ["0", f"{FSC_THRESHOLD_HALF_MAPS}", f"{FSC_THRESHOLD_05}", "1"], fontsize=TICK_SIZE
    )
    bar.set_label(
        f"FSC (contours: {FSC_THRESHOLD_05} solid, {FSC_THRESHOLD_HALF_MAPS} dotted)", fontsize=TICK_SIZE
    )
    figure.text(0.065, 0.955, _headline(metrics), fontsize=11, fontweight="bold")
    return figure


def draw_comparison(curves: dict[str, tuple[DirectionalFsc, Fsc3dMetrics]]) -> Figure:
    """Draw the global and directional FSC of several pairs of half maps side by side.

    Parameters
    ----------
    curves : dict
        FSC by direction and summary, by title.
    """
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES / 1.9), layout="constrained")
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for panel, (title, (fsc, metrics)) in zip(panels, curves.items(), strict=True):
        draw_curves(panel, fsc, metrics)
        numbers = f"{title}: cFAR {metrics.cfar:.2f}, sphericity {metrics.sphericity:.2f}"
        add_title(panel, textwrap.fill(numbers, TITLE_CHARACTERS))
    # One legend for all panels; their resolution limits, the last entries, may differ.
    handles, labels = panels[0].get_legend_handles_labels()
    labels[-1] = "resolution limit"
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=TICK_SIZE, frameon=False)
    return figure


def _headline(metrics: Fsc3dMetrics) -> str:
    return (
        f"FSC {FSC_THRESHOLD_HALF_MAPS}: {metrics.resolution_0143} overall, worst direction "
        f"{metrics.directional_0143.worst}    sphericity {metrics.sphericity:.2f}    cFAR {metrics.cfar:.2f}"
    )


def draw_fsc(
    frequencies_per_angstrom: NDArray[np.float64],
    curves: dict[str, NDArray[np.float64]],
    resolutions: dict[float, Resolution],
) -> Figure:
    """Draw FSC curves over spatial frequency.

    Parameters
    ----------
    frequencies_per_angstrom : ndarray
        ``(n_shells,)`` spatial frequency of each shell.
    curves : dict
        ``(n_shells,)`` FSC by name.
    resolutions : dict
        Resolution of the first curve by threshold.
    """
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    for (label, curve), colour in zip(curves.items(), ("black", GREY), strict=False):
        axes.plot(frequencies_per_angstrom, curve, color=colour, linewidth=1.4, label=label)
    _draw_thresholds(axes, resolutions, frequencies_per_angstrom[-1])
    add_legend_above(axes, columns=2)
    return figure


def _draw_thresholds(axes: Axes, resolutions: dict[float, Resolution], last_frequency: float) -> None:
    """Draw the thresholds of an FSC with the resolutions there, and finish the axes."""
    for threshold, resolution in resolutions.items():
        axes.axhline(threshold, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
        axes.annotate(
            f"{threshold}: {resolution}",
            (last_frequency, threshold),
            xytext=(-3, 3),
            textcoords="offset points",
            ha="right",
            fontsize=TICK_SIZE,
            color="0.25",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )
    axes.axhline(0, color="0.7", linewidth=0.6, zorder=0)
    axes.set(xlim=(0, last_frequency), ylim=(-0.12, 1.03), ylabel="FSC")
    label_resolutions(axes)


def draw_curves(axes: Axes, fsc: DirectionalFsc, metrics: Fsc3dMetrics) -> None:
    """Draw the global FSC and the range of the FSC over directions, and both before the mask correction."""
    curves = fsc.directional_curves
    shells = np.arange(curves.shape[1]) / fsc.box_angstrom
    for low, high, alpha, label in (
        (0, 100, 0.13, "range over directions"),
        (*MOST_DIRECTIONS, 0.30, f"{MOST_DIRECTIONS[1] - MOST_DIRECTIONS[0]} % of the directions"),
    ):
        band = np.percentile(curves, (low, high), axis=0)
        axes.fill_between(shells, *band, color=BLUE, alpha=alpha, linewidth=0, label=label)
    axes.plot(shells, curves.mean(axis=0), color=BLUE, linewidth=1.2, label="mean of the directions")
    whole = np.arange(len(fsc.global_fsc)) / fsc.box_angstrom
    label = "global FSC"
    uncorrected = fsc.directional_curves_uncorrected
    if fsc.global_fsc_uncorrected is not None and uncorrected is not None:
        mean = uncorrected.mean(axis=0)
        axes.plot(shells, mean, ":", color=BLUE, linewidth=1.2, label="mean of the directions, not corrected")
        axes.plot(
            whole, fsc.global_fsc_uncorrected, color=GREY, linewidth=1.2, label="global FSC, not corrected"
        )
        label = "global FSC, corrected for the mask"
    axes.plot(whole, fsc.global_fsc, color="black", linewidth=1.6, label=label)
    axes.axvline(
        fsc.limit_shell / fsc.box_angstrom,
        color=ORANGE,
        linewidth=1,
        linestyle=":",
        label=f"resolution limit, {fsc.limit_resolution_angstrom:.2f} Å",
    )
    resolutions = {FSC_THRESHOLD_05: metrics.resolution_05, FSC_THRESHOLD_HALF_MAPS: metrics.resolution_0143}
    _draw_thresholds(axes, resolutions, whole[-1])


def add_legend_below(axes: Axes, columns: int) -> None:
    """Put the legend below the label of the x axis."""
    axes.legend(
        fontsize=TICK_SIZE, frameon=False, ncols=columns, loc="upper left", bbox_to_anchor=(0, -0.18),
        borderaxespad=0,
    )  # fmt: skip


def _draw_histogram(axes: Axes, metrics: Fsc3dMetrics) -> None:
    directional = metrics.directional_0143
    counts, edges = resolution_histogram(directional.angstrom)
    axes.stairs(100 * counts / counts.sum(), edges, fill=True, color=BLUE, alpha=0.55)
    for resolution, name, style in (
        (metrics.resolution_0143, "global", "-"),
        (directional.median, "median", "--"),
    ):
        axes.axvline(
            1 / resolution.angstrom,
            color="black",
            linewidth=1,
            linestyle=style,
            label=f"{name}, {resolution if resolution.is_reached else NOT_REACHED}",
        )
    if not directional.best.is_reached:
        percent = 100 * float(np.mean(~directional.is_reached))
        axes.plot([], [], " ", label=f"{percent:.0f} % of the directions {NOT_REACHED}")
    margin = 0.12 * (edges[-1] - edges[0])
    low = min(edges[0], 1 / metrics.resolution_0143.angstrom) - margin
    high = max(edges[-1], 1 / metrics.resolution_0143.angstrom) + margin
    axes.set(xlim=(low, high), ylabel="directions (%)")
    add_title(axes, f"Resolution of {len(directional.angstrom)} directions (FSC {FSC_THRESHOLD_HALF_MAPS})")
    add_legend_below(axes, columns=1)
    label_resolutions(axes)


def _draw_slices(panels: list[Axes], fsc3d: Fsc3d) -> AxesImage:
    shown = min(int(np.ceil(1.06 * fsc3d.limit_shell)) + 1, (fsc3d.box - 1) // 2)
    reach = (shown + 0.5) / fsc3d.box_angstrom
    half = fsc3d.fsc_rfft
    planes = {
        ("XY", "x", "y"): _centred_slice(half[0], shown),
        ("XZ", "x", "z"): _centred_slice(half[:, 0], shown),
        ("YZ", "y", "z"): _centred_slice(half[:, :, 0], shown),
    }
    for panel, ((plane, across, up), values) in zip(panels, planes.items(), strict=True):
        image = panel.imshow(
            values,
            origin="lower",
            extent=(-reach, reach, -reach, reach),
            cmap=CORRELATION_COLOURS,
            vmin=0,
            vmax=1,
            interpolation="nearest",
        )
        frequency = np.arange(-shown, shown + 1) / fsc3d.box_angstrom
        panel.contour(
            frequency,
            frequency,
            _smoothed(values),
            levels=[FSC_THRESHOLD_HALF_MAPS, FSC_THRESHOLD_05],
            colors=["white", "white"],
            linewidths=[0.7, 1.1],
            linestyles=["dotted", "solid"],
        )
        add_title(panel, f"3D FSC, central {plane} slice")
        panel.set_xlabel(f"k{across}: resolution (Å)", fontsize=LABEL_SIZE)
        panel.set_ylabel(f"k{up}", fontsize=LABEL_SIZE, labelpad=1)
        ticks = resolution_ticks(0, reach, distance=0.2)
        ticks = [tick for tick in ticks if 1 / tick > 0.14 * reach]
        positions = [-1 / t for t in reversed(ticks)] + [0] + [1 / t for t in ticks]
        labels = [f"{t:g}" for t in reversed(ticks)] + ["∞"] + [f"{t:g}" for t in ticks]
        panel.set_xticks(positions, labels, fontsize=TICK_SIZE)
        panel.set_yticks([])
    panels[0].set_yticks(positions, labels, fontsize=TICK_SIZE)
    return image


def _centred_slice(plane: NDArray[np.float32], shown: int) -> NDArray[np.float32]:
    """Slice of ``2 * shown + 1`` voxels with DC in its middle, from a plane with DC at index 0."""
    right = plane[np.arange(-shown, shown + 1), : shown + 1]
    return np.concatenate([right[::-1, :0:-1], right], axis=1)


def _smoothed(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blur a square slice by a Gaussian, for contours that follow the 3D FSC and not its noise."""
    distance = np.subtract.outer(np.arange(len(values)), np.arange(len(values)))
    weights: NDArray[np.float64] = np.exp(-((distance / CONTOUR_BLUR_VOXELS) ** 2) / 2)
    weights /= weights.sum(axis=1, keepdims=True)
    return cast("NDArray[np.float32]", (weights @ values @ weights.T).astype(np.float32))
