"""Figures of subtomogram averages.

figures.py sampling OUT.png NAME=DENSITY.mrc ...
    central slices of Fourier sampling densities, as fsd3d writes them
figures.py directions OUT.png MASK.mrc REFERENCE.mrc NAME=MAP.mrc ...
    FSC of maps to a reference by direction, in cones of 20 degrees; prints the means as well
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from spisonet.geometry.sphere import fibonacci_hemisphere
from spisonet.io.mrc import read_volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONE_DEGREES = 20.0
N_DIRECTIONS = 200
FIRST_SHELL = 4


def sampling_figure(out: Path, densities: dict[str, Path]) -> None:
    """Draw the central slices of sampling densities, a row for each."""
    figure, axes = plt.subplots(
        len(densities), 3, figsize=(7.2, 2.5 * len(densities)), squeeze=False, layout="constrained"
    )
    for row, (name, path) in zip(axes, densities.items(), strict=True):
        volume = read_volume(path)
        n, nyquist = volume.box, 1 / (2 * volume.voxel_size_angstrom)
        planes = {
            "kx, ky": volume.data[n // 2],
            "kx, kz": volume.data[:, n // 2],
            "ky, kz": volume.data[:, :, n // 2],
        }
        for panel, (plane, values) in zip(row, planes.items(), strict=True):
            edges = (-nyquist, nyquist, -nyquist, nyquist)
            image = panel.imshow(values, origin="lower", extent=edges, cmap="gray", vmin=0, vmax=1)
            panel.set(xlabel=plane[:2] + " (1/Å)", ylabel=plane[4:] + " (1/Å)")
            panel.tick_params(labelsize=7)
        row[1].set_title(name, fontsize=9)
    figure.colorbar(image, ax=axes, shrink=0.6, label="sampling density (1: even views)")
    figure.savefig(out, dpi=150)


def fsc_by_direction(
    volume: NDArray[np.float32], reference: NDArray[np.float32], mask: NDArray[np.float32], r_max: int
) -> NDArray[np.float64]:
    """Return the mean FSC over the shells in every cone, ``(n_directions,)``."""
    n = len(volume)
    a, b = (np.fft.fftn(v * mask) for v in (volume, reference))
    k = np.fft.fftfreq(n) * n
    z, y, x = np.meshgrid(k, k, k, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    shell = np.rint(radius).astype(int)
    cosine = np.cos(np.radians(CONE_DEGREES))
    values = []
    for direction in fibonacci_hemisphere(N_DIRECTIONS):
        along = np.abs(direction[0] * x + direction[1] * y + direction[2] * z)
        chosen = along >= cosine * np.maximum(radius, 1e-6)
        sums = [
            np.bincount(shell[chosen], v[chosen], r_max + 1)[FIRST_SHELL : r_max + 1]
            for v in ((a * b.conj()).real, np.abs(a) ** 2, np.abs(b) ** 2)
        ]
        values.append(float(np.mean(sums[0] / np.sqrt(sums[1] * sums[2]))))
    return np.array(values)


def directions_figure(
    out: Path, mask: Path, reference: Path, maps: dict[str, Path], limit: float = 27.0
) -> None:
    """Draw the FSC to a reference in every direction, sorted by that of the first map."""
    truth = read_volume(reference)
    inside = read_volume(mask, truth.voxel_size_angstrom).data
    last = int(truth.box * truth.voxel_size_angstrom / limit)
    figure, panel = plt.subplots(figsize=(5, 3.2), layout="constrained")
    order = None
    for (name, path), style in zip(maps.items(), ("k:", "k-", "k--"), strict=False):
        values = fsc_by_direction(read_volume(path).data, truth.data, inside, last)
        order = np.argsort(values) if order is None else order
        panel.plot(values[order], style, label=f"{name}: mean {values.mean():.3f}, worst {values.min():.3f}")
        tenth = order[: len(order) // 10]
        numbers = values.mean(), values.min(), values[tenth].mean()
        print(f"{name}:", "mean {:.3f}, worst {:.3f}, worst tenth {:.3f}".format(*numbers))
    panel.set(
        xlabel=f"direction (cones of {CONE_DEGREES:.0f}°, sorted by the first curve)",
        ylabel=f"mean FSC to the reference,\nshell {FIRST_SHELL} to {limit:.0f} Å",
    )
    panel.legend(fontsize=8)
    figure.savefig(out, dpi=150)


def _named(words: list[str]) -> dict[str, Path]:
    return {name: Path(path) for name, path in (word.split("=", 1) for word in words)}


if __name__ == "__main__":
    kind, target, *rest = sys.argv[1:]
    if kind == "sampling":
        sampling_figure(Path(target), _named(rest))
    else:
        directions_figure(Path(target), Path(rest[0]), Path(rest[1]), _named(rest[2:]))
