"""Pages of a PDF document: text, pictures, and maps before and after filtering."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import image
from matplotlib.figure import Figure

from spisonet.figures.slices import PLANES, central_slices
from spisonet.figures.tomograms import middle_slices
from spisonet.fourier.grids import rfft3
from spisonet.fourier.shells import shell_counts, shell_sums

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.io.mrc import Volume
    from spisonet.io.tomograms import TomogramFile

A4_INCHES = (11.69, 8.27)
LINE_HEIGHT, NAME_WIDTH = 0.045, 0.24  # relative to the page
CHARACTERS_PER_LINE, CAPTION_CHARACTERS_PER_LINE = 95, 130


def draw_text_page(title: str, rows: dict[str, str], footer: str) -> Figure:
    """Draw a page with a title and a table of names and values."""
    figure = Figure(figsize=A4_INCHES)
    figure.text(0.06, 0.9, title, fontsize=18)
    height = 0.82
    for name, value in rows.items():
        figure.text(0.06, height, name, fontsize=10, color="0.35", va="top")
        lines = textwrap.wrap(value, CHARACTERS_PER_LINE) or [""]
        figure.text(0.06 + NAME_WIDTH, height, "\n".join(lines), fontsize=10, va="top")
        height -= LINE_HEIGHT * (1 + 0.6 * (len(lines) - 1))
    figure.text(0.06, 0.05, footer, fontsize=8, color="0.35")
    return figure


def draw_picture_page(path: Path, caption: str = "") -> Figure:
    """Draw a page with a PNG file and its caption."""
    figure = Figure(figsize=A4_INCHES)
    axis = figure.add_axes((0.04, 0.1, 0.92, 0.86))
    axis.imshow(image.imread(path), interpolation="lanczos")
    axis.set_axis_off()
    figure.text(0.06, 0.03, "\n".join(textwrap.wrap(caption, CAPTION_CHARACTERS_PER_LINE)), fontsize=9)
    return figure


def draw_amplitudes_page(volumes: dict[str, Volume]) -> Figure:
    """Draw a page with the rotational mean of the Fourier amplitudes of maps, by their names."""
    figure = Figure(figsize=A4_INCHES, layout="constrained")
    axis = figure.subplots()
    for name, volume in volumes.items():
        frequency = np.arange(1, volume.box // 2 + 1) / (volume.box * volume.voxel_size_angstrom)
        axis.semilogy(frequency, _rms_amplitudes(volume.data)[1:], label=name)
    axis.set_xlabel("spatial frequency / Å⁻¹")
    axis.set_ylabel("root mean square Fourier amplitude")
    axis.legend()
    return figure


def draw_sampling_page(density: NDArray[np.float32], title: str) -> Figure:
    """Draw a page with the central slices of a Fourier sampling density ``(n, n, n)`` in 0..1."""
    figure = Figure(figsize=A4_INCHES, layout="constrained")
    names = ("kx, ky", "kx, kz", "ky, kz")
    for axis, name, plane in zip(figure.subplots(1, 3), names, central_slices(density), strict=True):
        axis.imshow(plane, origin="lower", vmin=0, vmax=1)
        axis.set_title(name)
        axis.set_axis_off()
    figure.suptitle(title)
    return figure


def draw_tomogram_page(tomogram: TomogramFile, name: str) -> Figure:
    """Draw a page with the central slices of a tomogram."""
    figure = Figure(figsize=A4_INCHES, layout="constrained")
    for axis, plane, title in zip(figure.subplots(1, 3), middle_slices((tomogram,)), PLANES, strict=True):
        axis.imshow(plane, cmap="gray", origin="lower")
        axis.set_title(f"{title}, {name}")
        axis.set_axis_off()
    return figure


def _rms_amplitudes(data: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the root mean square amplitude of each shell up to Nyquist."""
    n = len(data)
    power = shell_sums(np.abs(rfft3(data)) ** 2, n)
    return np.asarray(np.sqrt(power / shell_counts(n)))[: n // 2 + 1]
