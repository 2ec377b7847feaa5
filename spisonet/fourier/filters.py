"""Radial filters, whitening over shells and over directions (half spectra, DC at index 0)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from spisonet.fourier.cones import axis_sums, cone_weights, spectrum_slabs
from spisonet.fourier.grids import irfft3, radius_rfft, rfft3
from spisonet.fourier.shells import shell_counts, shell_sums
from spisonet.fourier.windows import cosine_edge
from spisonet.geometry.sphere import AxisGrid

if TYPE_CHECKING:
    from numpy.typing import NDArray

EDGE_SHELLS = 5
CONE_NODES_PER_FACE_EDGE = 25  # 3.75 degrees between nodes


@dataclass(frozen=True)
class RadialCurve:
    """A real function of spatial frequency alone, for volumes of any shape.

    Attributes
    ----------
    values : ndarray
        ``(n,)`` in equal steps from 0 to Nyquist; the last value applies beyond.
    """

    values: NDArray[np.floating]

    def at(self, radius: NDArray[np.floating]) -> NDArray[np.float32]:
        """Values at spatial frequencies in cycles per voxel."""
        steps = np.linspace(0, 0.5, len(self.values))
        return np.asarray(np.interp(radius, steps, self.values), dtype=np.float32)

    def apply(self, volume: NDArray[np.float32], workers: int = -1) -> NDArray[np.float32]:
        """Multiply the spectrum of a volume ``(z, y, x)`` by the curve."""
        spectrum = rfft3(volume, workers)
        z, y = (np.fft.fftfreq(n) for n in volume.shape[:2])
        plane = y[:, None] ** 2 + np.fft.rfftfreq(volume.shape[2]) ** 2
        for index, height in enumerate(z):  # plane by plane, to save memory
            spectrum[index] *= self.at(np.sqrt(plane + height**2))
        return irfft3(spectrum, volume.shape, workers)


def shell_curve_to_rfft(curve: NDArray[np.floating], n: int) -> NDArray[np.float32]:
    """Interpolate a curve over shells to a half spectrum, linearly in the radius.

    Parameters
    ----------
    curve : ndarray
        ``(n // 2 + 1,)`` value of each shell from DC.
    n : int
        Box in voxels.

    Returns
    -------
    ndarray
        ``(n, n, n // 2 + 1)`` float32; the corners beyond the last shell have its value.
    """
    radius = radius_rfft((n, n, n))
    return np.asarray(np.interp(radius, np.arange(len(curve)), curve), dtype=np.float32)


def shell_mean_amplitude(spectrum: NDArray[np.complex64], n: int) -> NDArray[np.float64]:
    """Mean of ``|F|`` in each shell, ``(n // 2 + 1,)``, from an ``(n, n, n // 2 + 1)`` half spectrum."""
    return shell_sums(np.abs(spectrum), n) / shell_counts(n)


def whiten(
    volume: NDArray[np.float32],
    low_shell: float,
    high_shell: float,
    mask: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Scale the mean amplitude of every shell in a band to that at the low edge of the band.

    The gain is ``A(low) / A(shell)`` between the edges and 1 elsewhere; beyond the high edge it
    returns to 1 within five shells.

    Parameters
    ----------
    volume : ndarray of float32
        ``(n, n, n)`` map.
    low_shell, high_shell : float
        Edges of the band in Fourier voxels.
    mask : ndarray, optional
        ``(n, n, n)``; applied before the amplitudes are measured.

    Returns
    -------
    ndarray of float32
        The filtered map.
    """
    n = volume.shape[0]
    spectrum = rfft3(volume)
    measured = spectrum if mask is None else rfft3(volume * mask)
    amplitude = shell_mean_amplitude(measured, n)
    shells = np.arange(len(amplitude))
    target, at_high = np.interp([low_shell, high_shell], shells, amplitude)
    within = np.where(shells > high_shell, at_high, amplitude)
    gain = np.divide(target, within, out=np.ones_like(within), where=within > 0)
    gain[shells < low_shell] = 1
    gain = 1 + (gain - 1) * cosine_edge(shells, high_shell, EDGE_SHELLS)
    return irfft3(spectrum * shell_curve_to_rfft(gain, n), volume.shape)


def combine_spectra(
    low_spectrum: NDArray[np.complex64],
    high_spectrum: NDArray[np.complex64],
    n: int,
    shell: float,
    ramp_shells: float = EDGE_SHELLS,
) -> NDArray[np.complex64]:
    """Join the low frequencies of one half spectrum to the high ones of another.

    Parameters
    ----------
    low_spectrum, high_spectrum : ndarray of complex64
        ``(n, n, n // 2 + 1)``.
    n : int
        Box in voxels.
    shell : float
        Radius in Fourier voxels at which both have a weight of 0.5.
    ramp_shells : float
        Width of the linear ramp between them.

    Returns
    -------
    ndarray of complex64
        ``(n, n, n // 2 + 1)``.
    """
    low_weight = np.clip(0.5 + (shell - radius_rfft((n, n, n))) / ramp_shells, 0, 1)
    return cast("NDArray[np.complex64]", high_spectrum + low_weight * (low_spectrum - high_spectrum))


def combine_volumes(
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    shell: float,
    mask: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Replace the low frequencies of a map by those of another.

    The mean amplitudes of the low map are matched to those of the high map, shell by shell, before
    `combine_spectra` joins them. The result has the mean and standard deviation of the high map.

    Parameters
    ----------
    low, high : ndarray of float32
        ``(n, n, n)`` maps.
    shell : float
        Radius in Fourier voxels at which they are joined.
    mask : ndarray, optional
        ``(n, n, n)``; applied before the amplitudes are measured.

    Returns
    -------
    ndarray of float32
        ``(n, n, n)``.
    """
    n = high.shape[0]
    weight = np.float32(1) if mask is None else mask
    amplitude_low, amplitude_high = (shell_mean_amplitude(rfft3(v * weight), n) for v in (low, high))
    gain = np.divide(amplitude_high, amplitude_low, out=np.zeros_like(amplitude_low), where=amplitude_low > 0)
    matched = rfft3(low) * shell_curve_to_rfft(gain, n)
    combined = irfft3(combine_spectra(matched, rfft3(high), n, shell), high.shape)
    scale = high.std(dtype=np.float64) / max(combined.std(dtype=np.float64), np.finfo(np.float64).tiny)
    shift = high.mean(dtype=np.float64) - scale * combined.mean(dtype=np.float64)
    return (combined * np.float32(scale) + np.float32(shift)).astype(np.float32)


def directional_whitening(
    volume: NDArray[np.float32],
    voxel_size_angstrom: float,
    low_resolution_angstrom: float,
    high_resolution_angstrom: float,
    cone_angle_degrees: float = 20.0,
    max_gain: float = 5.0,
) -> NDArray[np.float32]:
    """Equalise the Fourier power of every shell over directions.

    The gain is ``sqrt(P(shell) / P(shell, cone))``, with the mean power of the shell and that of a cone
    around the direction, whose weight falls as ``cos²`` to 0 at its edge. Outside the two resolutions
    the gain returns to 1 within five shells.

    Parameters
    ----------
    volume : ndarray of float32
        ``(n, n, n)`` map.
    voxel_size_angstrom : float
        Voxel size in Å.
    low_resolution_angstrom, high_resolution_angstrom : float
        Limits in Å between which the power is equalised.
    cone_angle_degrees : float
        Half-angle of the cones.
    max_gain : float
        Upper limit of the gain, for directions that contain only noise.

    Returns
    -------
    ndarray of float32
        The filtered map.
    """
    n = volume.shape[0]
    box_angstrom = n * voxel_size_angstrom
    low_shell, high_shell = box_angstrom / low_resolution_angstrom, box_angstrom / high_resolution_angstrom
    spectrum = rfft3(volume)
    grid = AxisGrid(CONE_NODES_PER_FACE_EDGE)
    gain = _directional_gain(spectrum, grid, cone_angle_degrees, max_gain)
    shells = np.arange(len(gain))
    below = cosine_edge(shells, low_shell - EDGE_SHELLS, EDGE_SHELLS)
    gain **= ((1 - below) * cosine_edge(shells, high_shell, EDGE_SHELLS))[:, None]
    for slab, vectors in spectrum_slabs(n):
        radius = np.linalg.norm(vectors, axis=1)
        inner = np.minimum(radius.astype(np.intp), len(gain) - 2)
        outward = np.clip(radius - inner, 0, 1)
        indices, weights = grid.bilinear(vectors)
        factor = sum(
            weight * ((1 - outward) * gain[inner, index] + outward * gain[inner + 1, index])
            for index, weight in zip(indices, weights, strict=True)
        )
        spectrum[slab] *= np.asarray(factor, dtype=np.float32).reshape(spectrum[slab].shape)
    return irfft3(spectrum, volume.shape)


def _directional_gain(
    spectrum: NDArray[np.complex64], grid: AxisGrid, cone_angle_degrees: float, max_gain: float
) -> NDArray[np.float64]:
    """Gain ``(n // 2 + 1, n_nodes)`` of every shell and node of the grid of directions."""
    n = spectrum.shape[0]
    counted = np.broadcast_to(np.float32(1), spectrum.shape)
    power, count = axis_sums((np.abs(spectrum) ** 2, counted), grid, 0, n // 2)
    cone = cone_weights(grid.directions, cone_angle_degrees, soft=True)
    cone_count, cone_power = count @ cone, power @ cone
    shell_mean = power.sum(axis=1, keepdims=True) / count.sum(axis=1, keepdims=True)
    # Cones without a voxel, near DC, have a gain of 1; those without power have the largest gain.
    square = np.full_like(power, max_gain**2)
    np.divide(shell_mean * cone_count, cone_power, out=square, where=cone_power > 0)
    square[(cone_count < 1) | (shell_mean == 0)] = 1
    return np.asarray(np.minimum(np.sqrt(square), max_gain))
