"""Figures of a correction: slices, Fourier amplitudes, FSC curves and the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from spisonet.analysis.fsc_metrics import FSC_THRESHOLD_HALF_MAPS
from spisonet.figures.slices import PLANES, central_slices, draw_slices
from spisonet.figures.style import (
    CORRELATION_COLOURS,
    SMALL_LABEL_SIZE,
    SMALL_TICK_SIZE,
    SPECTRUM_COLOURS,
    add_legend_above,
    label_resolutions,
    set_equal_ticks,
)
from spisonet.figures.training import draw_loss
from spisonet.fourier.grids import centred_from_half, rfft3

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.anisotropy.full_map import FullMap
    from spisonet.io.mrc import Volume
    from spisonet.validation.correction_fsc import CorrectionFsc

FULL_MAP_FIGURE = "full_map.png"
NO_CLAIM = "not for resolution claims"


def draw_correction(
    before: Volume,
    after: Volume,
    fsc: CorrectionFsc,
    weight_rfft: NDArray[np.float32],
    limit_angstrom: float,
    losses: dict[str, list[float]],
    full_map: FullMap | None = None,
) -> dict[str, Figure]:
    """Draw all figures of a correction.

    Parameters
    ----------
    before, after : Volume
        Half map 1 and its corrected map.
    fsc : CorrectionFsc
        FSC curves before and after.
    weight_rfft : ndarray
        ``(n, n, n // 2 + 1)`` data weight in 0..1.
    limit_angstrom : float
        Resolution limit in Å.
    losses : dict
        Mean loss per epoch of every network.
    full_map : FullMap, optional
        The corrected average of both half maps.

    Returns
    -------
    dict
        Figures by file name, in reading order: ``full_map.png`` of two half maps, ``slices.png``,
        ``fourier.png``, ``fsc.png`` and, if a network was trained, ``loss.png``.
    """
    figures = {}
    if full_map is not None:
        maps = {"average of the half maps": full_map.average, "corrected full map": full_map.volume}
        figures[FULL_MAP_FIGURE] = draw_slices(maps, limit_angstrom)
    figures |= {
        "slices.png": draw_slices({"before": before, "after": after}, limit_angstrom),
        "fourier.png": draw_fourier_slices(before, after, weight_rfft, limit_angstrom),
        "fsc.png": draw_correction_fsc(fsc, limit_angstrom),
    }
    if any(losses.values()):
        figures["loss.png"] = draw_loss(losses)
    return figures


def draw_fourier_slices(
    before: Volume, after: Volume, weight_rfft: NDArray[np.float32], limit_angstrom: float
) -> Figure:
    """Draw central slices of the amplitudes before and after, and of the data weight.

    Parameters
    ----------
    before, after : Volume
        Input and corrected map.
    weight_rfft : ndarray
        ``(n, n, n // 2 + 1)`` data weight in 0..1.
    limit_angstrom : float
        Resolution limit in Å, drawn as a circle.
    """
    figure = Figure(figsize=(9.6, 9.6), layout="constrained")
    axes = figure.subplots(3, 3)
    n = before.box
    spectra = [
        centred_from_half(np.log10(np.abs(rfft3(v.data - v.data.mean())) + 1e-12).astype(np.float32), n)
        for v in (before, after)
    ]
    limit_shell = n * before.voxel_size_angstrom / limit_angstrom
    axis = np.arange(n) - n // 2
    inside = axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2 < limit_shell**2
    low, high = np.percentile(spectra[0][inside], (2, 99.9))
    rows = (
        ("log10 amplitude, before", spectra[0], low, high, SPECTRUM_COLOURS),
        ("log10 amplitude, after", spectra[1], low, high, SPECTRUM_COLOURS),
        ("data weight", centred_from_half(weight_rfft, n), 0.0, 1.0, CORRELATION_COLOURS),
    )
    nyquist = 0.5 / before.voxel_size_angstrom
    extent = (-nyquist, nyquist, -nyquist, nyquist)
    angle = np.linspace(0, 2 * np.pi, 200)
    for row, (title, cube, bottom, top, colours) in zip(axes, rows, strict=True):
        for panel, plane, image in zip(row, PLANES, central_slices(cube), strict=True):
            drawn = panel.imshow(image, cmap=colours, vmin=bottom, vmax=top, origin="lower", extent=extent)
            set_equal_ticks(panel)
            panel.plot(np.cos(angle) / limit_angstrom, np.sin(angle) / limit_angstrom, "w--", lw=0.8)
            panel.set_title(f"{plane}: {title}", fontsize=9)
            panel.tick_params(labelsize=SMALL_TICK_SIZE)
            panel.set_xlabel(f"k{plane[0].lower()} (1/Å)", fontsize=SMALL_LABEL_SIZE)
            panel.set_ylabel(f"k{plane[1].lower()} (1/Å)", fontsize=SMALL_LABEL_SIZE)
        bar = figure.colorbar(drawn, ax=list(row), fraction=0.02, pad=0.01)
        bar.set_label(title.split(",")[0], fontsize=SMALL_LABEL_SIZE)
        bar.ax.tick_params(labelsize=SMALL_TICK_SIZE)
    figure.suptitle(f"Central Fourier slices (dashed: resolution limit, {limit_angstrom:.2f} Å)", fontsize=11)
    return figure


def draw_correction_fsc(fsc: CorrectionFsc, limit_angstrom: float) -> Figure:
    """Draw the FSC between the halves before and after, and between each map before and after."""
    figure = Figure(figsize=(7.2, 5.2), layout="constrained")
    panel = figure.subplots()
    frequency = fsc.frequency_per_angstrom
    for curve, uncorrected, color, label in (
        (fsc.halves_before, fsc.halves_before_uncorrected, "0.6", "half 1 and half 2, before"),
        (fsc.halves_after, fsc.halves_after_uncorrected, "black", f"half 1 and half 2, after ({NO_CLAIM})"),
    ):
        if curve is not None:
            panel.plot(frequency, curve, "-", color=color, label=label)
        if uncorrected is not None:
            name = f"{label.split(' (')[0]}, not corrected for the mask"
            panel.plot(frequency, uncorrected, "-.", color=color, lw=0.9, label=name)
    for index, (curve, style) in enumerate(zip(fsc.before_and_after, ("--", ":"), strict=False)):
        label = f"map {index + 1}, before and after"
        panel.plot(frequency, curve, style, color=f"C{index}", label=label)
    panel.axhline(FSC_THRESHOLD_HALF_MAPS, color="black", lw=0.7, ls="--")
    panel.axvline(
        1 / limit_angstrom, color="black", lw=0.7, ls=":", label=f"resolution limit, {limit_angstrom:.2f} Å"
    )
    panel.set(xlim=(0, frequency[-1]), ylim=(-0.1, 1.03))
    panel.set_ylabel("FSC inside the mask" if fsc.masked else "FSC")
    add_legend_above(panel, columns=2)
    label_resolutions(panel)
    return figure
