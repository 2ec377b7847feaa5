"""Figures of tomograms: slices, power spectra and wedges before and after, losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spisonet.figures.style import save_figure
from spisonet.fourier.grids import rfft3
from spisonet.geometry.tilts import slice_directions
from spisonet.tomography.chunks import central_crop

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from spisonet.io.tomograms import TomogramFile

SHOWN = 400  # voxels of a slice
SPECTRUM_EDGE = 192
AVERAGED = 3  # planes
CONTRAST_PERCENTILES = (0.5, 99.5)
PLANES = ("XY", "XZ", "YZ")


def middle_slices(tomograms: tuple[TomogramFile, ...]) -> list[NDArray[np.float32]]:
    """Read the central XY, XZ and YZ planes of a tomogram, each the mean of a few, and of all halves."""
    shape = tomograms[0].shape
    shown = [central_crop(n, SHOWN) for n in shape]
    slices = []
    for axis in range(3):
        region = [
            central_crop(n, AVERAGED) if a == axis else part
            for a, (n, part) in enumerate(zip(shape, shown, strict=True))
        ]
        slices.append(np.mean([tomogram.read(*region).mean(axis=axis) for tomogram in tomograms], axis=0))
    return slices


def power_by_x_and_z(tomograms: tuple[TomogramFile, ...]) -> NDArray[np.float32]:
    """Log power of the central part over ``(kz, kx)``, DC in the middle, mean over low ``ky`` and halves."""
    region = [central_crop(n, SPECTRUM_EDGE) for n in tomograms[0].shape]
    values = np.mean([tomogram.read(*region) for tomogram in tomograms], axis=0)
    values -= values.mean()
    for axis, n in enumerate(values.shape):
        taper = np.hanning(n + 2)[1:-1].astype(np.float32)
        values *= taper.reshape([-1 if a == axis else 1 for a in range(3)])
    power = np.abs(rfft3(values)) ** 2
    low = np.abs(np.fft.fftfreq(power.shape[1])) < 0.05
    half = power[:, low].mean(axis=1)
    whole = np.concatenate([half[-np.arange(len(half))][:, :0:-1], half], axis=1)
    return np.log10(np.fft.fftshift(whole, axes=0) + 1e-12).astype(np.float32)


def write_comparison(
    path: Path,
    before: tuple[TomogramFile, ...],
    after: TomogramFile,
    tilt_range_degrees: tuple[float, float],
) -> None:
    """Draw slices and power spectra of a tomogram before and after its correction."""
    figure = Figure(figsize=(11, 11), layout="constrained")
    axes = figure.subplots(3, 3)
    size = after.voxel_size_angstrom / 10
    for row, (title, files) in enumerate((("before", before), ("after", (after,)))):
        _draw_slices(axes[row], middle_slices(files), title, size)
    spectra = [power_by_x_and_z(files) for files in (before, (after,))]
    levels = [np.percentile(spectrum, (5, 99.9)) for spectrum in spectra]
    for axis, title, spectrum, (low, high) in zip(
        axes[2], ("before", "after"), spectra, levels, strict=False
    ):
        axis.imshow(spectrum, cmap="magma", vmin=low, vmax=high, origin="lower", extent=(-1, 1, -1, 1))
        _draw_wedge_lines(axis, tilt_range_degrees)
        axis.set_title(f"power over kx and kz, {title}", fontsize=10)
    draw_wedge(axes[2][2], tilt_range_degrees)
    figure.suptitle(after.path.name, fontsize=11)
    save_figure(path, figure)


def write_preview(path: Path, before: NDArray[np.float32], after: NDArray[np.float32], title: str) -> None:
    """Draw XY and XZ slices through a part of a tomogram ``(z, y, x)``, as it is and as predicted now."""
    figure = Figure(figsize=(9, 7), layout="constrained")
    axes = figure.subplots(2, 2)
    for row, (name, part) in zip(axes, (("data", before), ("prediction", after)), strict=True):
        planes = part[part.shape[0] // 2], part[:, part.shape[1] // 2]
        for axis, plane, which in zip(row, planes, PLANES, strict=False):
            low, high = np.percentile(part, CONTRAST_PERCENTILES)
            axis.imshow(plane, cmap="gray", vmin=low, vmax=high, origin="lower")
            axis.set_title(f"{which}, {name}", fontsize=10)
            axis.tick_params(labelsize=7)
    figure.suptitle(title, fontsize=11)
    save_figure(path, figure)


def write_loss(path: Path, losses: list[float]) -> None:
    """Draw the mean loss of every epoch."""
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axis = figure.subplots()
    axis.plot(np.arange(1, len(losses) + 1), losses, "o-", ms=3)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("epoch")
    axis.set_ylabel("mean training loss")
    save_figure(path, figure)


def draw_wedge(axis: Axes, tilt_range_degrees: tuple[float, float]) -> None:
    """Draw what a tilt series measures of the plane across its tilt axis."""
    for offset in (0, 180):
        x, z = slice_directions(np.linspace(*tilt_range_degrees, 50) + offset).T
        axis.fill(np.r_[0, x], np.r_[0, z], color="C0", alpha=0.5)
    circle = np.linspace(0, 2 * np.pi, 200)
    axis.plot(np.cos(circle), np.sin(circle), "k-", lw=0.7)
    axis.set_aspect("equal")
    axis.set_title(f"measured: tilts {tilt_range_degrees[0]:g} to {tilt_range_degrees[1]:g}°", fontsize=10)
    axis.set_xlabel("kx / Nyquist", fontsize=8)
    axis.set_ylabel("kz / Nyquist", fontsize=8)
    axis.tick_params(labelsize=7)


def _draw_slices(
    axes: NDArray[np.object_], slices: list[NDArray[np.float32]], title: str, size_nm: float
) -> None:
    for axis, plane, image in zip(axes, PLANES, slices, strict=True):
        low, high = np.percentile(image, CONTRAST_PERCENTILES)
        extent = (0, image.shape[1] * size_nm, 0, image.shape[0] * size_nm)
        axis.imshow(image, cmap="gray", vmin=low, vmax=high, origin="lower", extent=extent)
        axis.set_title(f"{plane}, {title}", fontsize=10)
        axis.set_xlabel(f"{plane[0].lower()} / nm", fontsize=8)
        axis.set_ylabel(f"{plane[1].lower()} / nm", fontsize=8)
        axis.tick_params(labelsize=7)


def _draw_wedge_lines(axis: Axes, tilt_range_degrees: tuple[float, float]) -> None:
    for end in slice_directions(tilt_range_degrees):
        x, z = end / np.abs(end).max()
        axis.plot([-x, x], [-z, z], "w--", lw=0.8)
    axis.set_xlim(-1, 1)
    axis.set_ylim(-1, 1)
    axis.set_xlabel("kx / Nyquist", fontsize=8)
    axis.set_ylabel("kz / Nyquist", fontsize=8)
    axis.tick_params(labelsize=7)
