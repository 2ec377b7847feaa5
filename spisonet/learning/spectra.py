"""Fourier transforms, resampling and weights on the device, always in float32.

Points in Fourier space are in cycles per voxel, ordered ``(x, y, z)`` as rotations act on them; arrays are
``(..., z, y, x)``.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, cast

import numpy as np
import scipy.fft
import torch
from torch.nn import functional

from spisonet.fourier.grids import centred_from_half
from spisonet.fourier.wedges import measured_by_tilts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from spisonet.fourier.filters import RadialCurve

SPATIAL = (-3, -2, -1)
TRILINEAR_BAND_FRACTION = 0.5  # of Nyquist: up to here trilinear interpolation is accurate
MAX_OVERSAMPLING = 2.0


def rfft3(volumes: Tensor) -> Tensor:
    """Half spectra of the last three axes."""
    return cast("Tensor", torch.fft.rfftn(volumes.float(), dim=SPATIAL))


def irfft3(spectra: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Real volumes of `shape` from half spectra of the last three axes."""
    return cast("Tensor", torch.fft.irfftn(spectra, s=shape, dim=SPATIAL))


def apply_filter(volumes: Tensor, weights_rfft: Tensor) -> Tensor:
    """Multiply the spectra of `volumes` by real half-spectrum weights."""
    z, y, x = volumes.shape[-3:]
    return irfft3(rfft3(volumes) * weights_rfft, (z, y, x))


def frequency_points_rfft(shape: int | tuple[int, int, int], device: torch.device) -> Tensor:
    """Frequencies of a half spectrum, ``(z, y, x // 2 + 1, 3)`` as ``(x, y, z)``.

    Parameters
    ----------
    shape : int or tuple of int
        ``(z, y, x)``, or the edge of a cube.
    device : torch.device
        Device of the result.
    """
    z, y, x = (shape,) * 3 if isinstance(shape, int) else shape
    fftfreq, rfftfreq = torch.fft.fftfreq, torch.fft.rfftfreq
    axes = fftfreq(z, device=device), fftfreq(y, device=device), rfftfreq(x, device=device)
    kz, ky, kx = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([kx, ky, kz], dim=-1)


def shell_index_rfft(shape: tuple[int, int, int], device: torch.device) -> Tensor:
    """Return the shell, ``round(|k|)``, of each coefficient ``(z, y, x // 2 + 1)`` of a cubic box."""
    radius: Tensor = frequency_points_rfft(shape, device).norm(dim=-1) * shape[0]
    return radius.round().long()


def shell_sums(values_rfft: Tensor, shell_rfft: Tensor) -> Tensor:
    """Sum values ``(z, y, x // 2 + 1)`` over the shells of `shell_index_rfft`; return ``(n_shells,)``."""
    sums = values_rfft.new_zeros(int(shell_rfft.max()) + 1)
    return sums.index_add(0, shell_rfft.reshape(-1), values_rfft.reshape(-1))


class FourierWeight:
    """A Fourier weight that can be evaluated at any frequency.

    The weight is stored as a centred cube of odd edge, so that DC is a voxel and the weight is exactly
    symmetric about it. It is interpolated linearly, and it is zero outside the box.

    Parameters
    ----------
    weight_rfft : ndarray
        ``(n, n, n // 2 + 1)`` half spectrum, DC at index 0.
    n : int
        Box edge in voxels.
    device : torch.device
        Device of the weight.
    """

    def __init__(self, weight_rfft: NDArray[np.float32], n: int, device: torch.device) -> None:
        centred = centred_from_half(weight_rfft, n)
        if n % 2 == 0:
            centred = np.pad(centred, ((0, 1),) * 3, mode="wrap")
        self._field = torch.from_numpy(np.ascontiguousarray(centred)).to(device)[None, None]
        self._points_to_grid = n / (centred.shape[0] // 2)

    def at(self, points: Tensor) -> Tensor:
        """Weight at frequencies ``(..., 3)`` given as ``(x, y, z)`` in cycles per voxel."""
        grid = (points * self._points_to_grid).reshape(1, 1, 1, -1, 3)
        values = functional.grid_sample(self._field, grid, align_corners=True, padding_mode="zeros")
        return values.reshape(points.shape[:-1])


class RadialWeight:
    """A radial curve over spatial frequency as a Fourier weight."""

    def __init__(self, curve: RadialCurve) -> None:
        self._curve = curve

    def at(self, points: Tensor) -> Tensor:
        """Weight at frequencies ``(..., 3)``."""
        radius = points.norm(dim=-1)
        return torch.from_numpy(self._curve.at(radius.cpu().numpy())).to(radius.device)


class WedgeWeight:
    """Weight of a tilt series about ``y``: 1 between its lowest and highest tilt, 0 in the missing wedge.

    Parameters
    ----------
    lowest_tilt_degrees, highest_tilt_degrees : float
        First and last tilt; see `spisonet.fourier.wedges` for the convention.
    """

    def __init__(self, lowest_tilt_degrees: float, highest_tilt_degrees: float) -> None:
        self._tilt_range_degrees = lowest_tilt_degrees, highest_tilt_degrees

    def at(self, points: Tensor) -> Tensor:
        """Weight at frequencies ``(..., 3)`` given as ``(x, y, z)``."""
        measured = measured_by_tilts(points[..., 0], points[..., 2], self._tilt_range_degrees, torch)
        return cast("Tensor", measured.to(points.dtype))


def useful_oversampling(band_fraction: float) -> float:
    """Oversampling factor that suffices for trilinear interpolation of a band up to a fraction of Nyquist."""
    return max(1.0, min(band_fraction / TRILINEAR_BAND_FRACTION, MAX_OVERSAMPLING))


class OversampledVolumes:
    """Band-limited volumes on a finer grid, for trilinear interpolation at any position.

    The volumes are zero-padded in Fourier space and divided by the transfer function of trilinear
    interpolation, ``sinc²(kx) sinc²(ky) sinc²(kz)``, so that interpolation does not blur, and aliases of
    the spectrum are small.

    Parameters
    ----------
    volumes : Tensor
        ``(n_volumes, z, y, x)``.
    band_fraction : float
        Upper limit of the volumes' band, as a fraction of Nyquist.
    max_oversampling : float
        Maximum oversampling factor of the grid.
    """

    def __init__(
        self, volumes: Tensor, band_fraction: float, max_oversampling: float = MAX_OVERSAMPLING
    ) -> None:
        factor = max(1.0, min(useful_oversampling(band_fraction), max_oversampling))
        self.shape = tuple(volumes.shape[-3:])
        z, y, x = (scipy.fft.next_fast_len(round(factor * n), real=True) for n in self.shape)
        fine = z, y, x
        self._fine = volumes.new_empty(len(volumes), *fine)
        for volume, oversampled in zip(volumes, self._fine, strict=True):  # one by one, to save memory
            oversampled.copy_(_oversample(volume, fine))
        step = [2 * f / (n * (f - 1)) for f, n in zip(fine, self.shape, strict=True)]
        self._voxels_to_grid = torch.tensor(step[::-1], device=volumes.device)

    def at(self, positions: Tensor, which: NDArray[np.int64]) -> Tensor:
        """Sample volume ``which[b]`` at ``positions[b]``; zero outside the box.

        Parameters
        ----------
        positions : Tensor
            ``(batch, z, y, x, 3)`` voxel coordinates ``(x, y, z)``.
        which : ndarray of int
            ``(batch,)`` indices of volumes, equal ones adjacent. On the host, which avoids a
            synchronisation with the device.

        Returns
        -------
        Tensor
            ``(batch, z, y, x)``.
        """
        grid = positions * self._voxels_to_grid - 1.0
        borders = [0, *(np.flatnonzero(np.diff(which)) + 1), len(which)]
        sampled = []
        for start, end in itertools.pairwise(borders):
            # expand() shares the map among its subvolumes: one copy for each would not fit large boxes.
            shared = self._fine[which[start]].expand(end - start, 1, *self._fine.shape[1:])
            values = functional.grid_sample(shared, grid[start:end], align_corners=True, padding_mode="zeros")
            sampled.append(values[:, 0])
        return torch.cat(sampled)


def fourier_interpolate(volume: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Resample a volume on a finer grid by zero-padding its spectrum.

    Values at points that both grids have in common are unchanged. The Nyquist planes of even edges are shared
    equally between the positive and the negative frequency, as the spectrum of a real volume requires.

    Parameters
    ----------
    volume : Tensor
        ``(z, y, x)``.
    shape : tuple of int
        Edges ``(z, y, x)`` of the fine grid, none smaller than the volume's.
    """
    return irfft3(_padded_spectrum(volume, shape) * _fine_per_coarse_voxel(volume.shape, shape), shape)


def fourier_crop(volume: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Resample a volume on a coarser grid by cutting off the spectrum beyond its Nyquist frequency.

    Values at points that both grids have in common are unchanged, if the volume has no power there. The
    coefficients at the new Nyquist frequencies are set to 0.

    Parameters
    ----------
    volume : Tensor
        ``(z, y, x)``.
    shape : tuple of int
        Even edges ``(z, y, x)``, none larger than the volume's; an edge that is equal is not changed.
    """
    spectrum = rfft3(volume)
    for axis, (n, coarse) in enumerate(zip(volume.shape, shape, strict=True)):
        if coarse == n:
            continue
        positive = spectrum.narrow(axis, 0, coarse // 2)
        nyquist = torch.zeros_like(spectrum.narrow(axis, 0, 1))
        negative = [] if axis == 2 else [spectrum.narrow(axis, n - coarse // 2 + 1, coarse // 2 - 1)]
        spectrum = torch.cat([positive, nyquist, *negative], dim=axis)
    return irfft3(spectrum / _fine_per_coarse_voxel(shape, volume.shape), shape)


def _padded_spectrum(volume: Tensor, shape: tuple[int, int, int]) -> Tensor:
    spectrum = rfft3(volume)
    for axis, (n, fine) in enumerate(zip(volume.shape, shape, strict=True)):
        spectrum = _pad_axis(spectrum, axis, n, fine)
    return spectrum


def _fine_per_coarse_voxel(coarse: Sequence[int], fine: Sequence[int]) -> float:
    return float(np.prod(fine)) / float(np.prod(coarse))


def _pad_axis(spectrum: Tensor, axis: int, n: int, fine: int) -> Tensor:
    """Pad one axis of a half spectrum, of edge `n` in real space, to the frequencies of edge `fine`."""
    if fine == n:
        return spectrum
    is_half = axis == 2
    size = list(spectrum.shape)
    size[axis] = fine // 2 + 1 if is_half else fine
    padded = spectrum.new_zeros(size)
    n_positive = n // 2 + 1 if is_half else (n + 1) // 2
    padded.narrow(axis, 0, n_positive).copy_(spectrum.narrow(axis, 0, n_positive))
    if not is_half:
        n_negative = n - n_positive
        padded.narrow(axis, fine - n_negative, n_negative).copy_(
            spectrum.narrow(axis, n_positive, n_negative)
        )
    if n % 2 == 0:
        nyquist = n // 2
        half = spectrum.narrow(axis, nyquist, 1) / 2
        padded.narrow(axis, nyquist, 1).copy_(half)
        if not is_half:
            padded.narrow(axis, fine - nyquist, 1).copy_(half)
    return padded


def _oversample(volume: Tensor, fine: tuple[int, int, int]) -> Tensor:
    """Resample a volume on a finer grid, with compensation for the trilinear interpolation to follow."""
    padded = _padded_spectrum(volume, fine)
    frequencies = torch.fft.fftfreq, torch.fft.fftfreq, torch.fft.rfftfreq
    for axis, (edge, frequency) in enumerate(zip(fine, frequencies, strict=True)):
        transfer = torch.sinc(frequency(edge, device=volume.device)) ** 2
        padded /= transfer.reshape([-1 if a == axis else 1 for a in range(3)])
    padded *= _fine_per_coarse_voxel(volume.shape, fine)
    return irfft3(padded, fine)
