"""Figures of tomograms: slices, power spectra and the tilt range before and after a correction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from spisonet.figures.slices import PLANES, draw_slice
from spisonet.figures.style import (
    SMALL_LABEL_SIZE,
    SMALL_TICK_SIZE,
    SPECTRUM_COLOURS,
    TITLE_SIZE,
    set_equal_ticks,
)
from spisonet.fourier.grids import rfft3
from spisonet.geometry.tilts import slice_directions
from spisonet.tomography.chunks import central_crop
from spisonet.tomography.wedge_check import FILLED, WRONG_AXIS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    from spisonet.io.tomograms import TomogramFile
    from spisonet.tomography.wedge_check import WedgeCheck

ANGSTROM_PER_NM = 10
MAX_SLICE_VOXELS = 400  # along an edge
SPECTRUM_VOXELS = 192  # along an edge of the central part
N_AVERAGED_PLANES = 3
CONTRAST_PERCENTILES = (0.5, 99.5)  # noisier than maps of particles, which have fewer bright voxels
LOW_KY = 0.05  # of the sampling frequency
MEASURED_LINE = "c:"
SPECTRUM_TITLES = {WRONG_AXIS: "another tilt axis", FILLED: "wedge not measurable"}


def middle_slices(tomograms: tuple[TomogramFile, ...]) -> list[NDArray[np.float32]]:
    """Return the central XY, XZ and YZ planes of a tomogram, each the mean of three planes and the halves."""
    shape = tomograms[0].shape
    shown = [central_crop(n, MAX_SLICE_VOXELS) for n in shape]
    slices = []
    for axis in range(3):
        region = [
            central_crop(n, N_AVERAGED_PLANES) if a == axis else part
            for a, (n, part) in enumerate(zip(shape, shown, strict=True))
        ]
        slices.append(np.mean([tomogram.read(*region).mean(axis=axis) for tomogram in tomograms], axis=0))
    return slices


def power_by_x_and_z(tomograms: tuple[TomogramFile, ...]) -> NDArray[np.float32]:
    """Return the log power of the central part, ``(kz, kx)`` with DC in the middle, mean over low ``ky``."""
    region = [central_crop(n, SPECTRUM_VOXELS) for n in tomograms[0].shape]
    values = np.mean([tomogram.read(*region) for tomogram in tomograms], axis=0)
    values -= values.mean()
    for axis, n in enumerate(values.shape):
        taper = np.hanning(n + 2)[1:-1].astype(np.float32)
        values *= taper.reshape([-1 if a == axis else 1 for a in range(3)])
    power = np.abs(rfft3(values)) ** 2
    low = np.abs(np.fft.fftfreq(power.shape[1])) < LOW_KY
    half = power[:, low].mean(axis=1)
    whole = np.concatenate([half[-np.arange(len(half))][:, :0:-1], half], axis=1)
    return np.log10(np.fft.fftshift(whole, axes=0) + 1e-12).astype(np.float32)


def draw_tomogram_comparison(
    before: tuple[TomogramFile, ...],
    after: TomogramFile,
    wedge: WedgeCheck,
) -> Figure:
    """Draw slices and power spectra of a tomogram before and after its correction, and its tilt range.

    Parameters
    ----------
    before : tuple of TomogramFile
        Input tomogram, or its even and odd halves.
    after : TomogramFile
        Corrected tomogram.
    wedge : WedgeCheck
        Tilt range of the table, and the measured one.
    """
    figure = Figure(figsize=(11, 11), layout="constrained")
    axes = figure.subplots(3, 3)
    voxel_size_nm = after.voxel_size_angstrom / ANGSTROM_PER_NM
    for row, (title, files) in enumerate((("before", before), ("after", (after,)))):
        _draw_slices(axes[row], middle_slices(files), title, voxel_size_nm)
        spectrum, panel = power_by_x_and_z(files), axes[2][row]
        low, high = np.percentile(spectrum, (5, 99.9))
        image = panel.imshow(
            spectrum, cmap=SPECTRUM_COLOURS, vmin=low, vmax=high, origin="lower", extent=(-1, 1, -1, 1)
        )
        _add_small_bar(figure, image, panel, "log10 power")
        _draw_wedge_lines(panel, wedge.assumed_range_degrees, "w--")
        if wedge.measured_range_degrees is not None:
            _draw_wedge_lines(panel, wedge.measured_range_degrees, MEASURED_LINE)
        panel.set_title(f"power over kx and kz, {title}", fontsize=TITLE_SIZE)
    draw_wedge(axes[2][2], wedge)
    figure.suptitle(after.path.name, fontsize=11)
    return figure


def draw_preview(
    data: NDArray[np.float32], prediction: NDArray[np.float32], title: str, voxel_size_angstrom: float
) -> Figure:
    """Draw XY and XZ slices of a part of a tomogram ``(z, y, x)`` and of its prediction."""
    voxel_size_nm = voxel_size_angstrom / ANGSTROM_PER_NM
    figure = Figure(figsize=(9, 7), layout="constrained")
    axes = figure.subplots(2, 2)
    for row, (name, part) in zip(axes, (("data", data), ("prediction", prediction)), strict=True):
        planes = part[part.shape[0] // 2], part[:, part.shape[1] // 2]
        low, high = (float(value) for value in np.percentile(part, CONTRAST_PERCENTILES))
        for panel, image, plane in zip(row, planes, PLANES, strict=False):
            extent = (0.0, image.shape[1] * voxel_size_nm, 0.0, image.shape[0] * voxel_size_nm)
            drawn = draw_slice(panel, image, plane, name, extent, (low, high), "nm")
        _add_small_bar(figure, drawn, row[-1], "density")
    figure.suptitle(title, fontsize=11)
    return figure


def draw_wedge(axis: Axes, wedge: WedgeCheck) -> None:
    """Draw the tilt ranges of the table and of the power spectrum in the plane perpendicular to the axis."""
    tilt_range_degrees, measured = wedge.assumed_range_degrees, wedge.measured_range_degrees
    for offset in (0, 180):
        x, z = slice_directions(np.linspace(*tilt_range_degrees, 50) + offset).T
        axis.fill(np.r_[0, x], np.r_[0, z], color="C0", alpha=0.5)
    circle = np.linspace(0, 2 * np.pi, 200)
    axis.plot(np.cos(circle), np.sin(circle), "k-", lw=0.7)
    axis.set_aspect("equal")
    table = "no tilt file found,\nassumed" if wedge.range_is_default else "table"
    title = f"tilts about y, {table}: {tilt_range_degrees[0]:g} to {tilt_range_degrees[1]:g}°"
    if measured is None:
        title += f"\nspectrum: {SPECTRUM_TITLES[wedge.result]}"
    else:
        title += f"\nspectrum: {measured[0]:.0f} to {measured[1]:.0f}°"
        _draw_wedge_lines(axis, measured, MEASURED_LINE)
    axis.set_title(title, fontsize=TITLE_SIZE)
    _label_frequencies(axis)


def _draw_slices(
    axes: NDArray[np.object_], slices: list[NDArray[np.float32]], title: str, voxel_size_nm: float
) -> None:
    for panel, plane, image in zip(axes, PLANES, slices, strict=True):
        low, high = np.percentile(image, CONTRAST_PERCENTILES)
        extent = (0.0, image.shape[1] * voxel_size_nm, 0.0, image.shape[0] * voxel_size_nm)
        draw_slice(panel, image, plane, title, extent, (float(low), float(high)), "nm")


def _label_frequencies(axis: Axes) -> None:
    axis.set(xlim=(-1, 1), ylim=(-1, 1))
    set_equal_ticks(axis)
    axis.set_xlabel("kx / Nyquist", fontsize=SMALL_LABEL_SIZE)
    axis.set_ylabel("kz / Nyquist", fontsize=SMALL_LABEL_SIZE)
    axis.tick_params(labelsize=SMALL_TICK_SIZE)


def _add_small_bar(figure: Figure, image: AxesImage, panel: Axes, label: str) -> None:
    bar = figure.colorbar(image, ax=panel, fraction=0.046, pad=0.02)
    bar.set_label(label, fontsize=SMALL_LABEL_SIZE)
    bar.ax.tick_params(labelsize=SMALL_TICK_SIZE)


def _draw_wedge_lines(axis: Axes, tilt_range_degrees: tuple[float, float], line: str) -> None:
    for end in slice_directions(tilt_range_degrees):
        x, z = end / np.abs(end).max()
        axis.plot([-x, x], [-z, z], line, lw=1.2)
    _label_frequencies(axis)
