"""Reconstruct a map from the accumulators of RELION's `BackProjector`.

The steps agree with ``relion_external_reconstruct`` of RELION 3.1.3, with and without ``--skip_gridding``.
For particles that are volumes, the scale is that of RELION's internal reconstruction, which that program
does not reproduce.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np
import scipy.fft
from scipy.special import iv, jv

from spisonet.fourier.grids import (
    crop_or_pad_rfft,
    distance_from_centre,
    frequency_axes_rfft,
    irfft3,
    radius_rfft,
)
from spisonet.fourier.windows import soft_sphere

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHT_FLOOR = 1e-3  # of the mean weight of the shell
TAU2_FLOOR = 1e-3
GRIDDING_ITERATIONS = 10
GRIDDING_MIN_DENSITY = 1e-6
BLOB_RADIUS, BLOB_ALPHA = 3.8, 15.0  # voxels of the padded transform; order 0
BLOB_TABLE_STEP = 0.5 / 10000
BOX_EDGE_VOXELS = 3.0


@dataclass(frozen=True)
class BackProjector:
    """Accumulators over the particles of one half (or class, or body) in one iteration.

    Attributes
    ----------
    data_rfft : ndarray of complex64
        ``(p, p, p // 2 + 1)`` CTF-weighted sum of the slices, DC at index 0, ``p = padding * box``.
    weight_rfft : ndarray of float32
        ``(p, p, p // 2 + 1)`` sum of CTF^2 / sigma2.
    tau2 : ndarray
        ``(box // 2 + 1,)`` prior signal power per shell.
    box : int
        Edge of the map in voxels.
    padding : float
        RELION's padding factor: Fourier voxels of these arrays per Fourier voxel of the map.
    r_max : int
        Radius in Fourier voxels of the map from which on the accumulators are zero.
    tau2_fudge : float
        Factor of the prior power.
    data_dimensionality : int
        2 for inserted slices (images, and the tilt images of RELION 5's stacks), 3 for inserted volumes
        (the subtomograms of RELION 3.1, the pseudo-subtomograms of RELION 4).
    minres_map : int
        First shell with a prior (RELION's ``--minres_map``).
    """

    data_rfft: NDArray[np.complex64]
    weight_rfft: NDArray[np.float32]
    tau2: NDArray[np.float64]
    box: int
    padding: float
    r_max: int
    tau2_fudge: float = 1.0
    data_dimensionality: int = 2
    minres_map: int = 0

    @property
    def padded_box(self) -> int:
        """Edge of the padded Fourier transform in voxels."""
        return len(self.data_rfft)

    @cached_property
    def _inside(self) -> NDArray[np.bool_]:
        limit = round(self.r_max * self.padding)
        return radius_rfft((self.padded_box,) * 3) ** 2 < limit**2 - 0.5

    def _weight(self, regularised: bool) -> NDArray[np.float64]:
        """Return the weight of the data plus, for a MAP map, the weight ``1 / tau2`` of the prior."""
        n, padding = self.padded_box, self.padding
        inside = self._inside
        weight = np.where(inside, self.weight_rfft, 0).astype(np.float64)
        if regularised:
            radius = radius_rfft((n, n, n)) / padding
            tau2 = self._tau2_at(radius)
            prior = padding**3 * self.tau2_fudge * tau2
            from_data = np.divide(1, TAU2_FLOOR * weight, out=np.zeros_like(weight), where=weight > 1e-20)
            regular = inside & (np.floor(radius + 0.5) >= self.minres_map)
            weight += np.where(regular, np.divide(1, prior, out=from_data, where=tau2 > 0), 0)
        return weight

    def _tau2_at(self, radius: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the prior power at radii in Fourier voxels of the map; RELION rounds halves up."""
        shell = np.floor(radius + 0.5).astype(int)
        return cast("NDArray[np.float64]", self.tau2[np.minimum(shell, len(self.tau2) - 1)])

    def _with_floor(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Raise very small weights to `WEIGHT_FLOOR` times the mean weight of their shell."""
        inside = self._inside
        shell = np.floor(radius_rfft((self.padded_box,) * 3) / self.padding).astype(int)[inside]
        sums, counts = np.bincount(shell, weight[inside]), np.bincount(shell)
        floor = WEIGHT_FLOOR * np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
        floored = weight.copy()
        floored[inside] = np.maximum(weight[inside], floor[shell])
        return floored

    def reconstruct(self, regularised: bool = True, gridding: bool = False) -> NDArray[np.float32]:
        """Return the map ``(box, box, box)`` with its centre at voxel ``box // 2``.

        Parameters
        ----------
        regularised : bool
            Apply the prior ``tau2`` (maximum a posteriori map) or not (unregularised map).
        gridding : bool
            Iterate the weights towards a uniform sampling density, as RELION does without
            ``--skip_gridding``.

        References
        ----------
        Scheres (2012) J. Struct. Biol. 180, 519-530 (the prior); Pipe & Menon (1999) Magn. Reson. Med. 41,
        179-186 (the iteration).
        """
        weight, inside = self._weight(regularised), self._inside
        if gridding:
            spectrum = self.data_rfft * self._gridding_weight(weight, inside)
        else:
            weight = self._with_floor(weight)
            spectrum = np.divide(self.data_rfft, weight, out=np.zeros_like(self.data_rfft), where=weight > 0)
        return self._to_map(np.where(inside, spectrum, 0).astype(np.complex64))

    def _gridding_weight(self, weight: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
        # RELION iterates on the smallest grid that contains r_max, but scales the kernel by the padded box.
        n = 2 * (round(self.r_max * self.padding) + 1) + 1
        small, small_inside = crop_or_pad_rfft(weight, n), crop_or_pad_rfft(inside, n)
        axis = (np.arange(n) + n // 2 + 1) % n - (n // 2 + 1)  # index n // 2 is negative
        distance = np.sqrt((axis**2)[:, None, None] + (axis**2)[None, :, None] + (axis**2)[None, None, :]) / (
            self.box * self.padding
        )
        kernel = _blob_transform(distance)
        gridding_weight = small_inside.astype(np.float64)
        for _ in range(GRIDDING_ITERATIONS):
            real = scipy.fft.irfftn(gridding_weight * small, s=(n, n, n), workers=-1)
            density = scipy.fft.rfftn(real * kernel, workers=-1)
            density = np.maximum(np.abs(density), GRIDDING_MIN_DENSITY)
            gridding_weight = np.where(small_inside, gridding_weight / density, 0)
        return crop_or_pad_rfft(gridding_weight, self.padded_box)

    def _to_map(self, spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
        p, n = self.padded_box, self.box
        # RELION divides a Fourier transform by the particle's number of pixels or voxels, so the scales of
        # inserted slices and inserted volumes differ by a factor n.
        scale = p**3 / self.padding**3 / (n if self.data_dimensionality == 2 else 1)
        padded = np.fft.fftshift(irfft3(spectrum, (p, p, p))) * np.float32(scale)
        first = p // 2 - n // 2
        volume = _soft_mask(padded[(slice(first, first + n),) * 3])
        envelope = np.sinc(distance_from_centre(n) / (n * self.padding)) ** 2
        return np.asarray(volume / envelope, dtype=np.float32)

    @cached_property
    def unpadded_weight_rfft(self) -> NDArray[np.float64]:
        """Weight that unpadded accumulators would have, ``(box, box, box // 2 + 1)``.

        For an integer padding factor the trilinear kernel of the map's own grid is a sum of kernels of the
        padded grid, so the padded weights determine the unpadded ones.
        """
        return _sum_to_unpadded(
            np.where(self._inside, self.weight_rfft, 0).astype(np.float64), self.box, self.padding
        )

    def data_weight_rfft(self) -> NDArray[np.float32]:
        """Return the weight ``W / (W + 1 / tau2)`` in 0..1 of the data, against the prior, in the MAP map.

        Returns
        -------
        ndarray
            ``(box, box, box // 2 + 1)``; 0 from `r_max` on.
        """
        radius = radius_rfft((self.box,) * 3)
        signal = self.unpadded_weight_rfft * self._tau2_at(radius) * self.tau2_fudge
        return np.asarray(np.where(radius < self.r_max, signal / (1 + signal), 0), dtype=np.float32)


def _sum_to_unpadded(values: NDArray[np.float64], n: int, padding: float) -> NDArray[np.float64]:
    """Sum a padded, Friedel-symmetric half spectrum into the voxels of the unpadded half spectrum."""
    p = len(values)
    if p == n:
        return values
    offsets = np.arange(-int(padding), int(padding) + 1)
    kernel_values = np.maximum(1 - np.abs(offsets) / padding, 0)
    # The convolution with the kernel is a product in real space.
    axis = np.fft.fftfreq(p)
    kernel = np.cos(2 * np.pi * np.outer(axis * p, offsets) / p) @ kernel_values
    real = scipy.fft.irfftn(values, s=(p, p, p), workers=-1)
    real *= kernel[:, None, None] * kernel[None, :, None] * kernel[None, None, :]
    convolved = scipy.fft.rfftn(real, workers=-1).real
    kz, ky, kx = (np.rint(k * padding).astype(int) for k in frequency_axes_rfft((n, n, n)))
    return cast("NDArray[np.float64]", np.maximum(convolved[kz, ky, np.minimum(kx, p // 2)], 0))


def _blob_transform(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Fourier transform of RELION's gridding kernel, 1 at the origin, with RELION's table steps.

    References
    ----------
    Lewitt (1990) J. Opt. Soc. Am. A 7, 1834-1846 (Kaiser-Bessel blob of order 0).
    """
    tabulated = np.floor(distance / BLOB_TABLE_STEP) * BLOB_TABLE_STEP
    argument = BLOB_ALPHA**2 - (2 * np.pi * BLOB_RADIUS * tabulated) ** 2
    sigma = np.sqrt(np.abs(argument))
    transform = np.where(argument >= 0, iv(1.5, sigma), jv(1.5, sigma)) / np.maximum(sigma, 1e-9) ** 1.5
    centre = iv(1.5, BLOB_ALPHA) / BLOB_ALPHA**1.5
    return np.where(distance < 0.5, transform / centre, 0)


def _soft_mask(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace the density outside the inscribed sphere by its mean, with a raised-cosine edge."""
    n = len(volume)
    outside = 1 - soft_sphere(n, n / 2, BOX_EDGE_VOXELS)
    background = float((volume * outside).sum(dtype=np.float64) / outside.sum())
    return np.asarray(volume + outside * (background - volume), dtype=np.float32)
