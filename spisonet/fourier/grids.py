"""Fourier grids and transforms.

Half spectra are those of ``rfftn`` with DC at index 0. A centred cube has DC at ``n // 2``, the
form in which 3D FSC volumes are exchanged on disk. Radii are in Fourier voxels, so that a radius
``r`` in a box of ``n`` voxels of ``a`` Å is the resolution ``n * a / r`` Å.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import scipy.fft

if TYPE_CHECKING:
    from numpy.typing import NDArray


def rfft3(volume: NDArray[np.float32], workers: int = -1) -> NDArray[np.complex64]:
    """Half spectrum ``(z, y, x // 2 + 1)`` of a real volume, in single precision."""
    return cast("NDArray[np.complex64]", scipy.fft.rfftn(volume, workers=workers))


def irfft3(spectrum: NDArray[np.complex64], shape: tuple[int, ...], workers: int = -1) -> NDArray[np.float32]:
    """Real volume of `shape` from its half spectrum."""
    return cast("NDArray[np.float32]", scipy.fft.irfftn(spectrum, s=shape, workers=workers))


def frequency_axes_rfft(shape: tuple[int, ...]) -> tuple[NDArray[np.float32], ...]:
    """Broadcastable ``(kz, ky, kx)`` of a half spectrum, in Fourier voxels."""
    full = [np.rint(np.fft.fftfreq(n) * n).astype(np.float32) for n in shape[:2]]
    half = np.arange(shape[2] // 2 + 1, dtype=np.float32)
    return full[0][:, None, None], full[1][None, :, None], half[None, None, :]


def radius_rfft(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Distance from DC of every half-spectrum voxel, in Fourier voxels (cubic box)."""
    kz, ky, kx = frequency_axes_rfft(shape)
    return cast("NDArray[np.float32]", np.sqrt(kz**2 + ky**2 + kx**2))


def frequency_rfft(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Spatial frequency of every half-spectrum voxel of a volume of any shape, in cycles per voxel."""
    axes = np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), np.fft.rfftfreq(shape[2])
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    return np.asarray(np.sqrt(z**2 + y**2 + x**2))


def distance_from_centre(n: int) -> NDArray[np.float32]:
    """Distance ``(n, n, n)`` of every voxel of a map from voxel ``n // 2``, in voxels."""
    square = (np.arange(n, dtype=np.float32) - n // 2) ** 2
    distance = np.sqrt(square[:, None, None] + square[None, :, None] + square[None, None, :])
    return cast("NDArray[np.float32]", distance)


def shell_index_rfft(shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Shell of every half-spectrum voxel: ``round(|k|)``, as RELION counts shells."""
    return np.rint(radius_rfft(shape)).astype(np.int32)


def hermitian_multiplicity(n: int) -> NDArray[np.float32]:
    """How often each ``kx`` plane of a half spectrum occurs in the whole one, ``(n // 2 + 1,)``."""
    weight = np.full(n // 2 + 1, 2.0, dtype=np.float32)
    weight[0] = 1.0
    if n % 2 == 0:
        weight[-1] = 1.0
    return weight


def half_from_centred(cube: NDArray[np.float32]) -> NDArray[np.float32]:
    """Half spectrum with DC at index 0 from a centred cube with DC at ``n // 2``.

    The cube is made symmetric first, ``C(k) = (C(k) + C(-k)) / 2``, so that a filter made of it
    keeps real volumes real.
    """
    full = np.fft.ifftshift(cube)
    mirrored = np.roll(full[::-1, ::-1, ::-1], 1, axis=(0, 1, 2))
    return np.ascontiguousarray((full + mirrored)[..., : cube.shape[2] // 2 + 1] / 2, dtype=np.float32)


def centred_from_half(half: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Centred cube of edge `n` with DC at ``n // 2`` from a Friedel-symmetric half spectrum."""
    full = np.empty((n, n, n), dtype=np.float32)
    n_half = n // 2 + 1
    full[..., :n_half] = half
    mates = half[..., (n - 1) // 2 : 0 : -1]
    # Frequency 0 is its own negative; the others are reversed.
    negative = ((slice(0, 1), slice(0, 1)), (slice(1, None), slice(None, 0, -1)))
    for z, z_mate in negative:
        for y, y_mate in negative:
            full[z, y, n_half:] = mates[z_mate, y_mate]
    return np.fft.fftshift(full)


def crop_or_pad_rfft(values: NDArray[Any], n: int) -> NDArray[Any]:
    """Crop a half spectrum to a box of `n` voxels, or pad it with zeros.

    The coefficients at the Nyquist frequency of the smaller box are set to 0.

    Parameters
    ----------
    values : ndarray
        ``(old, old, old // 2 + 1)``, DC at index 0.
    n : int
        New box in voxels.

    Returns
    -------
    ndarray
        ``(n, n, n // 2 + 1)`` of the same type, not scaled.
    """
    old = len(values)
    k_max = (min(old, n) - 1) // 2
    kept = np.arange(-k_max, k_max + 1)
    window = np.zeros((n, n, n // 2 + 1), dtype=values.dtype)
    old_rows, rows = np.ix_(kept % old, kept % old), np.ix_(kept % n, kept % n)
    window[..., : k_max + 1][rows] = values[..., : k_max + 1][old_rows]
    return window


def embed_odd_rfft(values: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Put a Friedel-symmetric filter of an odd box into a box of `n` voxels, with 0 outside.

    An odd box has no Nyquist plane, so each voxel is one frequency. A Nyquist voxel of an even box
    stands for both ``+n / 2`` and ``-n / 2`` and becomes the mean of the two, so that the result is
    Friedel-symmetric too.

    Parameters
    ----------
    values : ndarray of float32
        ``(2 * radius + 1, 2 * radius + 1, radius + 1)``, DC at index 0.
    n : int
        Box in voxels, at least ``2 * radius``.

    Returns
    -------
    ndarray of float32
        ``(n, n, n // 2 + 1)``, DC at index 0.
    """
    radius = values.shape[2] - 1
    if 2 * radius == n:
        return _folded_nyquist(values)
    kept = np.fft.ifftshift(np.arange(-radius, radius + 1)) % n
    embedded = np.zeros((n, n, n // 2 + 1), dtype=np.float32)
    embedded[kept[:, None], kept[None, :], : radius + 1] = values
    return embedded


def _folded_nyquist(values: NDArray[np.float32]) -> NDArray[np.float32]:
    radius = values.shape[2] - 1
    for axis in (0, 1):
        planes = np.moveaxis(values, axis, 0)
        nyquist = (planes[radius] + planes[radius + 1]) / 2
        planes = np.concatenate([planes[:radius], nyquist[None], planes[radius + 2 :]])
        values = np.moveaxis(planes, 0, axis)
    folded = np.ascontiguousarray(values)
    negative = -np.arange(2 * radius) % (2 * radius)
    folded[..., radius] = (folded[..., radius] + folded[negative][:, negative, radius]) / 2
    return folded
