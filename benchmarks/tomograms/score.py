"""Score a corrected tomogram against the truth, inside and outside the missing wedge."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from spisonet.fourier.grids import rfft3
from spisonet.fourier.wedges import measured_by_tilts

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCORES = ("missing", "measured", "all", "power")
FINEST, COARSEST = 30.0, 250.0  # Å
SHELL_WIDTH = 1.5  # Fourier voxels
EDGE_DEGREES = 2.0  # of the wedge, left out
MIN_COEFFICIENTS = 8  # per shell


def score(
    tomogram: NDArray[np.float32],
    truth: NDArray[np.float32],
    voxel_size: float,
    tilt_range_degrees: tuple[float, float],
) -> dict[str, float]:
    """Compare with the truth between two resolutions.

    ``missing``, ``measured`` and ``all`` are FSCs, averaged over shells, inside the wedge (at least 2 degrees
    from its edge), outside, and everywhere. ``power`` is the power in the wedge relative to the truth, scaled
    to equal power outside.
    """
    window = np.ones(1, np.float32)
    for n in truth.shape:
        edge = max(4, n // 12)
        taper = np.ones(n, np.float32)
        taper[:edge] = 0.5 - 0.5 * np.cos(np.pi * np.arange(edge) / edge)
        taper[-edge:] = taper[:edge][::-1]
        window = np.multiply.outer(window, taper)
    spectra = [rfft3(((v - v.mean()) * window[0]).astype(np.float32)) for v in (truth, tomogram)]
    z, y, x = np.meshgrid(
        *(np.fft.fftfreq(n) for n in truth.shape[:2]), np.fft.rfftfreq(truth.shape[2]), indexing="ij"
    )
    radius = np.sqrt(z**2 + y**2 + x**2)
    lowest, highest = tilt_range_degrees
    wedge = ~measured_by_tilts(x, z, (lowest - EDGE_DEGREES, highest + EDGE_DEGREES))
    edges = np.arange(voxel_size / COARSEST, voxel_size / FINEST, SHELL_WIDTH / min(truth.shape[1:]))
    shells = [(radius >= low) & (radius < high) for low, high in itertools.pairwise(edges)]
    band = (radius >= edges[0]) & (radius < edges[-1])
    inside, outside = band & wedge, band & ~wedge
    scale = _power(spectra[0], outside) / _power(spectra[1], outside)
    return {
        "missing": _fsc(*spectra, [shell & wedge for shell in shells]),
        "measured": _fsc(*spectra, [shell & ~wedge for shell in shells]),
        "all": _fsc(*spectra, shells),
        "power": scale * _power(spectra[1], inside) / _power(spectra[0], inside),
    }


def _power(spectrum: NDArray[np.complex64], chosen: NDArray[np.bool_]) -> float:
    return float((np.abs(spectrum[chosen]) ** 2).sum())


def _fsc(
    first: NDArray[np.complex64], second: NDArray[np.complex64], shells: list[NDArray[np.bool_]]
) -> float:
    values = [
        np.vdot(first[shell], second[shell]).real / np.sqrt(_power(first, shell) * _power(second, shell))
        for shell in shells
        if shell.sum() > MIN_COEFFICIENTS
    ]
    return float(np.mean(values))
