"""Figures of a correction: slices, Fourier amplitudes, FSC curves and the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from spisonet.analysis.fsc3d import without_solvent
from spisonet.figures.output import save_figure
from spisonet.fourier.grids import centred_from_half, rfft3
from spisonet.fourier.shells import fourier_shell_correlation

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from spisonet.io.mrc import Volume

NO_CLAIM = "not for resolution claims"
PLANES = ("XY", "XZ", "YZ")
CONTRAST_PERCENTILES = (0.5, 99.8)
FSC_THRESHOLD = 0.143


def write_figures(
    folder: Path,
    inputs: list[Volume],
    corrected: list[Volume],
    mask: NDArray[np.float32] | None,
    weight_rfft: NDArray[np.float32],
    limit_angstrom: float,
    losses: dict[str, list[float]],
) -> list[Path]:
    """Draw all figures of a correction.

    Parameters
    ----------
    folder : Path
        Where to write ``slices.png``, ``fourier.png``, ``fsc.png`` and ``loss.png``, and the same as SVG.
    inputs, corrected : list of Volume
        One or two maps before and after; the first is shown in slices.
    mask : ndarray or None
        Mask under which FSC curves are computed.
    weight_rfft : ndarray
        Fourier weight of the measurement.
    limit_angstrom : float
        Resolution limit.
    losses : dict
        Mean loss per epoch of every network.

    Returns
    -------
    list of Path
        The figures, in reading order.
    """
    drawn = {
        "slices.png": draw_slices({"before": inputs[0], "after": corrected[0]}, limit_angstrom),
        "fourier.png": _draw_fourier(inputs[0], corrected[0], weight_rfft, limit_angstrom),
        "fsc.png": _draw_fsc(inputs, corrected, mask, limit_angstrom),
    }
    if any(losses.values()):
        drawn["loss.png"] = _draw_loss(losses)
    for name, figure in drawn.items():
        save_figure(folder / name, figure, vector=True)
    return [folder / name for name in drawn]


def central_slices(cube: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Cut the XY, XZ and YZ planes through the centre of a cube ``(z, y, x)``."""
    middle = cube.shape[0] // 2
    return [cube[middle], cube[:, middle], cube[:, :, middle]]


def draw_slices(maps: dict[str, Volume], limit_angstrom: float) -> Figure:
    """Draw central slices of a map and of what became of it up to a resolution.

    Parameters
    ----------
    maps : dict
        Maps by title, a row for each; the first sets the grey scale.
    limit_angstrom : float
        Up to where they differ.
    """
    figure = Figure(figsize=(9.6, 0.3 + 3.15 * len(maps)), layout="constrained")
    axes = figure.subplots(len(maps), 3)
    first = next(iter(maps.values()))
    low, high = np.percentile(first.data, CONTRAST_PERCENTILES)
    half_edge = first.box * first.voxel_size_angstrom / 20  # nm
    for row, (title, volume) in enumerate(maps.items()):
        for axis, plane, image in zip(axes[row], PLANES, central_slices(volume.data), strict=True):
            extent = (-half_edge, half_edge, -half_edge, half_edge)
            axis.imshow(image, cmap="gray", vmin=low, vmax=high, origin="lower", extent=extent)
            axis.set_title(f"{plane}, {title}", fontsize=10)
            axis.set_xlabel(f"{plane[0].lower()} / nm", fontsize=8)
            axis.set_ylabel(f"{plane[1].lower()} / nm", fontsize=8)
            axis.tick_params(labelsize=7)
    figure.suptitle(f"Central slices, changed up to {limit_angstrom:.2f} Å (same grey scale)", fontsize=11)
    return figure


def _draw_fourier(
    before: Volume, after: Volume, weight_rfft: NDArray[np.float32], limit_angstrom: float
) -> Figure:
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
        ("log amplitude, before", spectra[0], low, high, "magma"),
        ("log amplitude, after", spectra[1], low, high, "magma"),
        ("measurement weight", centred_from_half(weight_rfft, n), 0.0, 1.0, "viridis"),
    )
    half = 0.5 / before.voxel_size_angstrom
    for row, (title, cube, bottom, top, colours) in zip(axes, rows, strict=True):
        for axis_, plane, image in zip(row, PLANES, central_slices(cube), strict=True):
            axis_.imshow(
                image, cmap=colours, vmin=bottom, vmax=top, origin="lower", extent=(-half, half, -half, half)
            )
            angle = np.linspace(0, 2 * np.pi, 200)
            axis_.plot(np.cos(angle) / limit_angstrom, np.sin(angle) / limit_angstrom, "w--", lw=0.8)
            axis_.set_title(f"{plane}: {title}", fontsize=9)
            axis_.tick_params(labelsize=7)
            axis_.set_xlabel(f"k{plane[0].lower()} / Å⁻¹", fontsize=8)
            axis_.set_ylabel(f"k{plane[1].lower()} / Å⁻¹", fontsize=8)
    figure.suptitle(
        f"Central Fourier slices; dashed: the resolution limit, {limit_angstrom:.2f} Å", fontsize=11
    )
    return figure


def _draw_fsc(
    inputs: list[Volume], corrected: list[Volume], mask: NDArray[np.float32] | None, limit_angstrom: float
) -> Figure:
    n, voxel_size = inputs[0].box, inputs[0].voxel_size_angstrom

    def spectrum(volume: Volume) -> NDArray[np.complex64]:
        return rfft3(volume.data if mask is None else without_solvent(volume.data, mask) * mask)

    curves = {}
    if len(inputs) == 2:
        curves["half 1 and half 2, before"] = (inputs[0], inputs[1], "-", "0.6")
        curves[f"half 1 and half 2, after ({NO_CLAIM})"] = (corrected[0], corrected[1], "-", "k")
    for index, style in zip(range(len(inputs)), ("--", ":"), strict=False):
        curves[f"map {index + 1}: before and after"] = (inputs[index], corrected[index], style, f"C{index}")
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    axis = figure.subplots()
    frequency = np.arange(n // 2 + 1) / (n * voxel_size)
    for name, (first, second, style, colour) in curves.items():
        curve = fourier_shell_correlation(spectrum(first), spectrum(second), n)
        axis.plot(frequency, curve, linestyle=style, color=colour, label=name)
    axis.axhline(FSC_THRESHOLD, color="k", lw=0.7, ls="--")
    axis.axvline(1 / limit_angstrom, color="k", lw=0.7, ls=":")
    axis.set_ylim(-0.1, 1.03)
    axis.set_xlabel("spatial frequency / Å⁻¹")
    axis.set_ylabel("FSC" if mask is None else "FSC inside the mask")
    axis.legend(fontsize=8, loc="lower left")
    label_resolutions(axis)
    return figure


def label_resolutions(axis: Axes) -> None:
    """Put the resolution in Å on top of an axis of spatial frequency in Å⁻¹."""
    top = axis.secondary_xaxis("top")
    ticks = [tick for tick in axis.get_xticks() if tick > 0]
    top.set_xticks(ticks, [f"{1 / tick:.3g}" for tick in ticks])
    top.set_xlabel("resolution / Å")


def _draw_loss(losses: dict[str, list[float]]) -> Figure:
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axis = figure.subplots()
    for name, values in losses.items():
        axis.plot(np.arange(1, len(values) + 1), values, "o-", ms=3, label=name)
    axis.set_xlabel("epoch")
    axis.set_ylabel("mean training loss")
    axis.legend(fontsize=8)
    return figure
