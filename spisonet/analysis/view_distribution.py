"""Maximum-likelihood estimate of the view distribution and the SSNR from two half maps.

A conical 3D FSC averages over its cone, weighted by power, and overestimates the signal at the border of an
unmeasured region. The projection-slice theorem gives a sharper estimate: each view measures a central plane,
so the spectral signal-to-noise ratio of a map made of projections is

    SSNR(k) = q(|k|) D(k),    D(k) = 2 |k| sum over views v of f(v) max(0, 1 - |k · v|),

with a radial curve ``q`` and a view distribution ``f >= 0``, one number per view direction. These few
parameters are estimated from all coefficients together.

The likelihood does not depend on the local power, which regularised reconstructions attenuate where little
was measured. Coefficients with next to no power count as uncorrelated, since a real-space window leaks the
same signal into both halves there. With ``u, w = (F1 ± F2) / √2`` of a pair of coefficients with FSC ``M``,
the variances of ``u`` and ``w`` are as ``1 + M`` to ``1 - M``, and ``R = |u|² / (|u|² + |w|²)`` has the
density

    p(R) = (1 - M²) / (1 + (1 - 2 R) M)².
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import scipy.sparse

from spisonet.analysis.leakage import local_power
from spisonet.fourier.grids import frequency_axes_rfft, shell_index_rfft
from spisonet.geometry.sphere import AxisGrid
from spisonet.geometry.view_sampling import sampling_density

if TYPE_CHECKING:
    from numpy.typing import NDArray

NODES_PER_EDGE = 17  # 5.6 degrees between view directions
MAX_SLAB_RADIUS = 1 / math.radians(90 / (NODES_PER_EDGE - 1))  # Fourier voxels: slabs as wide as the grid
DENSITY_NODES_PER_EDGE = 91  # 1 degree
SAMPLES_PER_SHELL = 3000
UPDATES = 300
LEARNING_RATE = 0.5  # of logarithms; weights of absent views have to fall by orders of magnitude
ADAM_DECAY, ADAM_EPSILON = (0.9, 0.999), 1e-8  # the usual constants
MAX_FSC = 0.9995
MIN_RELATIVE_WEIGHT = 1e-6  # of the largest view weight; smaller ones are neglected
UNSAMPLED_POWER, STRONG_PERCENTILE = 0.03, 90  # power of an empty region, relative to the strong coefficients
UNCORRELATED = 0.5  # mean of R for noise


@dataclass(frozen=True)
class ViewDistribution:
    """A view distribution and an SSNR curve that explain the correlation of two half maps.

    Attributes
    ----------
    directions : ndarray
        ``(v, 3)`` unit view directions ``(x, y, z)``.
    view_weights : ndarray
        ``(v,)`` fraction of the views in each direction; the sum is 1.
    shell_ssnr : ndarray
        ``(last_shell + 1,)`` spectral signal-to-noise ratio of one half map (whole box) for a uniform view
        distribution.
    """

    directions: NDArray[np.float64]
    view_weights: NDArray[np.float64]
    shell_ssnr: NDArray[np.float64]

    def ssnr_rfft(self, n: int) -> NDArray[np.float32]:
        """SSNR of a half map's coefficients, ``(n, n, n // 2 + 1)``; 0 beyond the last shell."""
        last = len(self.shell_ssnr) - 1
        density = self.density()
        shell = shell_index_rfft((n, n, n))
        kz, ky, kx = frequency_axes_rfft((n, n, n))
        ssnr = np.zeros(shell.shape, dtype=np.float32)
        for plane, z in enumerate(kz.ravel()):  # plane by plane, to save memory
            rows, columns = np.nonzero(shell[plane] <= last)
            if len(rows):
                x, y = kx.ravel()[columns], ky.ravel()[rows]
                points = np.stack([x, y, np.full_like(x, z)], axis=1)
                ssnr[plane, rows, columns] = self.curve(np.linalg.norm(points, axis=1)) * density.at(points)
        return ssnr

    def density(self) -> SamplingDensity:
        """Return the sampling density of Fourier space by the views."""
        used = self.view_weights > MIN_RELATIVE_WEIGHT * self.view_weights.max()
        return SamplingDensity(self.directions[used], self.view_weights[used])

    def curve(self, radius: NDArray[np.floating]) -> NDArray[np.float64]:
        """SSNR for a uniform view distribution at radii in Fourier voxels."""
        shells = np.arange(len(self.shell_ssnr))
        return np.asarray(np.exp(np.interp(radius, shells, np.log(self.shell_ssnr))), dtype=np.float64)


class SamplingDensity:
    """Sampling density of views in Fourier space, with the angular resolution of a `ViewDistribution`.

    Parameters
    ----------
    directions : ndarray
        ``(n, 3)`` unit view directions ``(x, y, z)``.
    view_weights : ndarray, optional
        ``(n,)`` fraction of the views in each direction; uniform by default.
    """

    def __init__(
        self, directions: NDArray[np.float64], view_weights: NDArray[np.float64] | None = None
    ) -> None:
        self._directions, self._view_weights = directions, view_weights
        # Beyond this radius the density depends on the direction only.
        self._grid = AxisGrid(DENSITY_NODES_PER_EDGE)
        self._far = sampling_density(directions, MAX_SLAB_RADIUS * self._grid.directions, view_weights)

    def at(self, frequencies: NDArray[np.floating]) -> NDArray[np.float32]:
        """Density at frequencies ``(m, 3)`` ``(x, y, z)``, ``(m,)``, relative to uniform views."""
        near = np.linalg.norm(frequencies, axis=1) < MAX_SLAB_RADIUS
        nodes, weights = self._grid.bilinear(frequencies)
        density = (self._far[nodes] * weights).sum(axis=0).astype(np.float32)
        density[near] = sampling_density(self._directions, frequencies[near], self._view_weights)
        return cast("NDArray[np.float32]", density)


def fit_view_distribution(
    spectrum1: NDArray[np.complex64], spectrum2: NDArray[np.complex64], first_shell: int, last_shell: int
) -> ViewDistribution:
    """Estimate the view distribution that best explains the correlation of two half maps.

    Parameters
    ----------
    spectrum1, spectrum2 : ndarray
        ``(n, n, n // 2 + 1)`` half spectra of the half maps, not masked: a mask leaks signal into
        unmeasured directions.
    first_shell, last_shell : int
        Shells to use, from `spisonet.fourier.shells.FIRST_SLICE_SHELL` on.

    Returns
    -------
    ViewDistribution
        The fit. It is deterministic.
    """
    frequencies, ratio = _samples(spectrum1, spectrum2, first_shell, last_shell)
    likelihood = ViewLikelihood(frequencies, ratio, first_shell, last_shell)
    n_views, n_shells = len(likelihood.directions), last_shell + 1 - first_shell
    parameters = np.zeros(n_views + n_shells)
    log_weights, log_ssnr = parameters[:n_views], parameters[n_views:]  # views of the vector
    optimiser = _Adam(len(parameters))
    for update in range(UPDATES):
        rate = LEARNING_RATE * (1 + math.cos(math.pi * update / UPDATES)) / 2
        gradient = np.concatenate(likelihood.gradients(log_weights, log_ssnr))
        parameters += optimiser.step(gradient, rate)
    curve = np.exp(log_ssnr)
    shell_ssnr = np.concatenate([np.full(first_shell, curve[0]), curve])
    return ViewDistribution(likelihood.directions, _softmax(log_weights), shell_ssnr)


class ViewLikelihood:
    """Mean log-likelihood of pairs of coefficients under a view distribution and an SSNR curve.

    Parameters
    ----------
    frequencies : ndarray
        ``(m, 3)`` frequencies ``(x, y, z)`` in Fourier voxels.
    ratio : ndarray
        ``(m,)`` ratios ``R`` of the coefficients there, in 0..1.
    first_shell, last_shell : int
        Shells of the frequencies.

    Attributes
    ----------
    directions : ndarray
        ``(v, 3)`` unit view directions ``(x, y, z)`` of the parameters.
    """

    def __init__(
        self,
        frequencies: NDArray[np.floating],
        ratio: NDArray[np.floating],
        first_shell: int,
        last_shell: int,
    ) -> None:
        grid = AxisGrid(NODES_PER_EDGE)
        one_sided = grid.directions * np.sign(grid.directions @ (1, 1e-3, 1e-6))[:, None]
        self.directions = np.unique(one_sided.round(9), axis=0)  # faces share the nodes of their common edges
        shell = np.rint(np.linalg.norm(frequencies, axis=1)).astype(np.int64)
        self._shape = last_shell + 1 - first_shell, len(grid.directions)
        self._cells = (shell - first_shell) * len(grid.directions) + grid.nearest(frequencies)
        self._counts = np.bincount(self._cells, minlength=math.prod(self._shape)).reshape(self._shape)
        self._slopes = 1 - 2 * ratio.astype(np.float64)
        # Beyond the largest slab radius all shells have the same slabs, so they share a matrix.
        edges = np.minimum(np.arange(first_shell, last_shell + 1), math.ceil(MAX_SLAB_RADIUS))
        radii, self._first_of_radius, self._radius_of_shell = np.unique(
            edges, return_index=True, return_inverse=True
        )
        dots = np.abs(grid.directions @ self.directions.T)
        slabs = [_slab(dots, min(float(radius), MAX_SLAB_RADIUS)) for radius in radii]
        self._slabs = scipy.sparse.csr_array(np.concatenate(slabs))
        self._transposed_slabs = scipy.sparse.csr_array(self._slabs.T)

    def value(self, log_weights: NDArray[np.float64], log_ssnr: NDArray[np.float64]) -> float:
        """Mean log-likelihood.

        Parameters
        ----------
        log_weights : ndarray
            ``(v,)`` logarithms of the view weights, up to a constant.
        log_ssnr : ndarray
            ``(n_shells,)`` logarithms of the SSNR for a uniform view distribution.
        """
        fsc = _fsc_of_ssnr(np.exp(log_ssnr)[:, None] * self._density(_softmax(log_weights)))
        of_cells = float((self._counts * np.log1p(-np.square(fsc))).sum())
        of_samples = float(np.log1p(self._slopes * fsc.reshape(-1)[self._cells]).sum())
        return (of_cells - 2 * of_samples) / len(self._slopes)

    def gradients(
        self, log_weights: NDArray[np.float64], log_ssnr: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Gradients of `value` with respect to its two arguments."""
        view_weights, shell_ssnr = _softmax(log_weights), np.exp(log_ssnr)[:, None]
        ssnr = shell_ssnr * self._density(view_weights)
        fsc = _fsc_of_ssnr(ssnr)
        per_sample = self._slopes / (1 + self._slopes * fsc.reshape(-1)[self._cells])
        per_cell = np.bincount(self._cells, per_sample, self._counts.size).reshape(self._shape)
        by_fsc = -2 * (self._counts * fsc / (1 - np.square(fsc)) + per_cell) / len(self._slopes)
        by_ssnr = np.where(fsc < MAX_FSC, by_fsc / np.square(1 + ssnr), 0)
        by_slab = np.add.reduceat(by_ssnr * shell_ssnr, self._first_of_radius, axis=0)
        by_weight = self._transposed_slabs @ by_slab.reshape(-1)
        return view_weights * (by_weight - view_weights @ by_weight), (by_ssnr * ssnr).sum(axis=1)

    def _density(self, view_weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sampling density ``(n_shells, n_cells)`` of the cells of directions, by shell."""
        density = (self._slabs @ view_weights).reshape(-1, self._shape[1])
        return cast("NDArray[np.float64]", density[self._radius_of_shell])


class _Adam:
    """Steps of Adam towards a maximum (Kingma & Ba 2015, arXiv:1412.6980)."""

    def __init__(self, n_parameters: int) -> None:
        self._mean, self._square = np.zeros(n_parameters), np.zeros(n_parameters)
        self._n_steps = 0

    def step(self, gradient: NDArray[np.float64], learning_rate: float) -> NDArray[np.float64]:
        self._n_steps += 1
        decay, square_decay = ADAM_DECAY
        self._mean += (1 - decay) * (gradient - self._mean)
        self._square += (1 - square_decay) * (np.square(gradient) - self._square)
        mean = self._mean / (1 - decay**self._n_steps)
        square = self._square / (1 - square_decay**self._n_steps)
        return np.asarray(learning_rate * mean / (np.sqrt(square) + ADAM_EPSILON))


def _softmax(logarithms: NDArray[np.float64]) -> NDArray[np.float64]:
    powers: NDArray[np.float64] = np.exp(logarithms - logarithms.max())
    powers /= powers.sum()
    return powers


def _fsc_of_ssnr(ssnr: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.minimum(ssnr / (1 + ssnr), MAX_FSC)


def _slab(dots: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Density of a view at a radius, from ``|cos|`` of the angle between view and frequency."""
    return np.asarray(2 * radius * np.maximum(0, 1 - radius * dots))


def _samples(
    spectrum1: NDArray[np.complex64], spectrum2: NDArray[np.complex64], first_shell: int, last_shell: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Frequencies ``(m, 3)`` ``(x, y, z)`` and the ratios ``R`` of a random sample of every shell."""
    n = len(spectrum1)
    kz, ky, kx = frequency_axes_rfft((n, n, n))
    shell = shell_index_rfft((n, n, n))
    shell[(kx == 0) & ((ky < 0) | ((ky == 0) & (kz < 0)))] = 0  # Friedel mates of others
    for axis in (kz, ky, kx):
        shell[np.broadcast_to(2 * np.abs(axis) == n, shell.shape)] = 0  # stand for two directions each
    rng = np.random.default_rng(0)
    by_shell = np.argsort(shell, axis=None, kind="stable")
    borders = np.searchsorted(shell.reshape(-1)[by_shell], np.arange(first_shell, last_shell + 2))
    shells = [by_shell[start:end] for start, end in itertools.pairwise(borders)]
    index = np.concatenate(
        [m if len(m) <= SAMPLES_PER_SHELL else rng.choice(m, SAMPLES_PER_SHELL, False) for m in shells]
    )
    first, second = (spectrum.reshape(-1)[index] for spectrum in (spectrum1, spectrum2))
    total = 2 * (np.abs(first) ** 2 + np.abs(second) ** 2)
    ratio = np.divide(
        np.abs(first + second) ** 2, total, out=np.full_like(total, UNCORRELATED), where=total > 0
    )
    power = local_power((spectrum1, spectrum2), n).reshape(-1)[index]
    for part in np.split(np.arange(len(index)), np.cumsum([min(len(m), SAMPLES_PER_SHELL) for m in shells])):
        if len(part):
            empty = power[part] < UNSAMPLED_POWER * np.percentile(power[part], STRONG_PERCENTILE)
            ratio[part[empty]] = UNCORRELATED
    points = np.stack([np.broadcast_to(k, shell.shape).reshape(-1)[index] for k in (kx, ky, kz)], axis=1)
    return points, np.clip(ratio, 0, 1).astype(np.float32)
