"""Reconstruct a map from what RELION's expectation step has summed in Fourier space.

The steps agree with ``relion_external_reconstruct`` of RELION 3.1.3, with and without ``--skip_gridding``;
where particles are volumes, the scale is that of RELION's internal reconstruction, not of that program.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import scipy.fft
from scipy.special import iv, jv

from spisonet.fourier.grids import distance_from_centre, frequency_axes_rfft, irfft3, radius_rfft

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHT_FLOOR = 1e-3  # of the shell's mean
TAU2_FLOOR = 1e-3
GRIDDING_ITERATIONS = 10
GRIDDING_SMALLEST = 1e-6
BLOB_RADIUS, BLOB_ALPHA = 3.8, 15.0  # voxels of the padded transform; order 0
BLOB_TABLE_STEP = 0.5 / 10000
EDGE_VOXELS = 3.0


@dataclass(frozen=True)
class BackProjector:
    """Sums over all particles of one half (or class, or body) in one iteration.

    Attributes
    ----------
    data_rfft : ndarray of complex64
        ``(p, p, p // 2 + 1)`` CTF-weighted sum of the slices, DC at index 0, ``p = padding * box``.
    weight_rfft : ndarray of float32
        ``(p, p, p // 2 + 1)`` sum of the squared CTFs over the noise power.
    tau2 : ndarray
        ``(box // 2 + 1,)`` prior power of every shell.
    box : int
        Edge of the map in voxels.
    padding : float
        Fourier voxels of these arrays per Fourier voxel of the map.
    last_shell : int
        Shell of the map at which the sums end.
    tau2_fudge : float
        Factor of the prior power.
    data_dimensionality : int
        2 where slices were inserted (images, and the tilt images of RELION 5's stacks), 3 where volumes
        were (the subtomograms of RELION 3.1, the pseudo-subtomograms of RELION 4).
    prior_from_shell : int
        Nearer to DC, RELION's maps have no prior (its option ``--minres_map``).
    """

    data_rfft: NDArray[np.complex64]
    weight_rfft: NDArray[np.float32]
    tau2: NDArray[np.float64]
    box: int
    padding: float
    last_shell: int
    tau2_fudge: float = 1.0
    data_dimensionality: int = 2
    prior_from_shell: int = 0

    @property
    def padded_box(self) -> int:
        """Edge of the padded transform."""
        return len(self.data_rfft)

    @cached_property
    def _inside(self) -> NDArray[np.bool_]:
        limit = round(self.last_shell * self.padding)
        return radius_rfft((self.padded_box,) * 3) ** 2 < limit**2 - 0.5

    def _weight(self, regularised: bool) -> NDArray[np.float64]:
        """Weight of the data and, for a MAP map, that of the prior."""
        n, padding = self.padded_box, self.padding
        inside = self._inside
        weight = np.where(inside, self.weight_rfft, 0).astype(np.float64)
        if regularised:
            radius = radius_rfft((n, n, n)) / padding
            tau2 = self._tau2_at(radius)
            prior = padding**3 * self.tau2_fudge * tau2
            from_data = np.divide(1, TAU2_FLOOR * weight, out=np.zeros_like(weight), where=weight > 1e-20)
            regular = inside & (np.floor(radius + 0.5) >= self.prior_from_shell)
            weight += np.where(regular, np.divide(1, prior, out=from_data, where=tau2 > 0), 0)
        return weight

    def _tau2_at(self, radius: NDArray[np.floating]) -> NDArray[np.float64]:
        """Prior power at radii in voxels of the map; RELION rounds halves up."""
        shell = np.floor(radius + 0.5).astype(int)
        return cast("NDArray[np.float64]", self.tau2[np.minimum(shell, len(self.tau2) - 1)])

    def _floored(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Lift weights that are next to nothing to a share of their shell's mean."""
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
            With the prior ``tau2`` (the maximum a posteriori map), or as measured.
        gridding : bool
            Iterate the weights towards an even density of samples, as RELION does without
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
            weight = self._floored(weight)
            spectrum = np.divide(self.data_rfft, weight, out=np.zeros_like(self.data_rfft), where=weight > 0)
        return self._to_map(np.where(inside, spectrum, 0).astype(np.complex64))

    def _gridding_weight(self, weight: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
        # RELION iterates on a grid that just holds the sums, yet scales the kernel by the padded box.
        n = 2 * (round(self.last_shell * self.padding) + 1) + 1
        small, small_inside = _rewindowed(weight, n), _rewindowed(inside, n)
        axis = (np.arange(n) + n // 2 + 1) % n - (n // 2 + 1)  # the middle counts as negative
        distance = np.sqrt((axis**2)[:, None, None] + (axis**2)[None, :, None] + (axis**2)[None, None, :]) / (
            self.box * self.padding
        )
        kernel = _blob_transform(distance)
        found = small_inside.astype(np.float64)
        for _ in range(GRIDDING_ITERATIONS):
            real = scipy.fft.irfftn(found * small, s=(n, n, n), workers=-1)
            density = scipy.fft.rfftn(real * kernel, workers=-1)
            found = np.where(small_inside, found / np.maximum(np.abs(density), GRIDDING_SMALLEST), 0)
        return _rewindowed(found, self.padded_box)

    def _to_map(self, spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
        p, n = self.padded_box, self.box
        # RELION divides a transform by the particle's number of pixels or voxels: n of the slices are worth
        # one volume.
        scale = p**3 / self.padding**3 / (n if self.data_dimensionality == 2 else 1)
        padded = np.fft.fftshift(irfft3(spectrum, (p, p, p))) * np.float32(scale)
        first = p // 2 - n // 2
        volume = _soft_mask(padded[(slice(first, first + n),) * 3])
        envelope = np.sinc(distance_from_centre(n) / (n * self.padding)) ** 2
        return np.asarray(volume / envelope, dtype=np.float32)

    @cached_property
    def gathered_weight(self) -> NDArray[np.float64]:
        """Weight of unpadded sums, ``(box, box, box // 2 + 1)``.

        A coarse trilinear kernel is a sum of fine ones where the padding is a whole number, so that sums on
        a padded grid tell what those on the map's own grid would have been.
        """
        return _gather(np.where(self._inside, self.weight_rfft, 0).astype(np.float64), self.box, self.padding)

    def measurement_weight(self) -> NDArray[np.float32]:
        """Share ``W / (W + 1 / tau2)`` in 0..1 that the sums have of every coefficient of the MAP map.

        Returns
        -------
        ndarray
            ``(box, box, box // 2 + 1)``, 0 where the sums have ended.
        """
        radius = radius_rfft((self.box,) * 3)
        signal = self.gathered_weight * self._tau2_at(radius) * self.tau2_fudge
        return np.asarray(np.where(radius < self.last_shell, signal / (1 + signal), 0), dtype=np.float32)


def _gather(values: NDArray[np.float64], n: int, padding: float) -> NDArray[np.float64]:
    """Sum a padded, Friedel-symmetric half spectrum into the voxels of an unpadded one."""
    p = len(values)
    if p == n:
        return values
    offsets = np.arange(-int(padding), int(padding) + 1)
    share = np.maximum(1 - np.abs(offsets) / padding, 0)
    # The sum over neighbours is a product in real space.
    axis = np.fft.fftfreq(p)
    kernel = np.cos(2 * np.pi * np.outer(axis * p, offsets) / p) @ share
    real = scipy.fft.irfftn(values, s=(p, p, p), workers=-1)
    real *= kernel[:, None, None] * kernel[None, :, None] * kernel[None, None, :]
    spread = scipy.fft.rfftn(real, workers=-1).real
    kz, ky, kx = (np.rint(k * padding).astype(int) for k in frequency_axes_rfft((n, n, n)))
    return cast("NDArray[np.float64]", np.maximum(spread[kz, ky, np.minimum(kx, p // 2)], 0))


def _rewindowed(values: NDArray[Any], n: int) -> NDArray[Any]:
    """Cut a half spectrum down to a box of `n`, or put it into one, with 0 outside."""
    old = len(values)
    reach = (min(old, n) - 1) // 2
    kept = np.arange(-reach, reach + 1)
    window = np.zeros((n, n, n // 2 + 1), dtype=values.dtype)
    old_rows, rows = np.ix_(kept % old, kept % old), np.ix_(kept % n, kept % n)
    window[..., : reach + 1][rows] = values[..., : reach + 1][old_rows]
    return window


def _blob_transform(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fourier transform of RELION's gridding kernel, 1 at the origin, from the table that it uses.

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
    """Replace the corners outside the inscribed sphere by their mean, over a cosine edge."""
    n = len(volume)
    outside = 0.5 - 0.5 * np.cos(np.pi * np.clip((distance_from_centre(n) - n / 2) / EDGE_VOXELS, 0, 1))
    background = float((volume * outside).sum(dtype=np.float64) / outside.sum())
    return np.asarray(volume + outside * (background - volume), dtype=np.float32)
