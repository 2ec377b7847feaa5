"""How well each Fourier coefficient was measured, from two half maps and the geometry of projections.

A conical 3D FSC is an average over its cone, weighted by power: at the border of an unmeasured region
it says far too much. The half maps know more. Views fill planes (projection-slice theorem), so the
signal-to-noise ratio of a map made of projections is

    SSNR(k) = q(|k|) D(k),    D(k) = 2 |k| sum over views v of f(v) max(0, 1 - |k · v|),

with a curve ``q`` and a view distribution ``f >= 0`` of one number per view direction, and these few
numbers are found from all coefficients together by maximum likelihood.

The likelihood needs no idea of the local power, which regularised reconstructions attenuate to nothing
where little was measured; only such voids count as uncorrelated, since what a window leaks into them is the
same in both halves. With ``u, w = (F1 ± F2) / √2`` of a pair of coefficients with FSC ``M``, the
variances of ``u`` and ``w`` are as ``1 + M`` to ``1 - M``, and ``R = |u|² / (|u|² + |w|²)`` has the density

    p(R) = (1 - M²)⁻¹ (R / (1 + M) + (1 - R) / (1 - M))⁻².
"""

from __future__ import annotations

import contextlib
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from spisonet.analysis.leakage import local_power
from spisonet.fourier.grids import frequency_axes_rfft, shell_index_rfft
from spisonet.geometry.sphere import AxisGrid
from spisonet.geometry.view_sampling import sampling_density

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

NODES_PER_EDGE = 17  # 5.6 degrees between view directions
SHARPEST_SLAB = 1 / math.radians(90 / (NODES_PER_EDGE - 1))  # Fourier voxels: slabs as wide as the grid
DENSITY_NODES_PER_EDGE = 91  # 1 degree
FIRST_SHELL = 3  # closer to DC every slab covers most directions
SAMPLES_PER_SHELL = 3000
UPDATES = 300
LEARNING_RATE = 0.5  # of logarithms; views that the data refuse have to fall by orders of magnitude
HIGHEST_FSC = 0.9995
SMALLEST_SHARE = 1e-6
VOID_POWER, STRONG_PERCENTILE = 0.03, 90  # a void's power, relative to the shell's strong coefficients
UNCORRELATED = 0.5  # what noise has for a ratio on average


@dataclass(frozen=True)
class ViewDistribution:
    """A view distribution and a curve that explain how two half maps correlate.

    Attributes
    ----------
    directions : ndarray
        ``(v, 3)`` unit view directions ``(x, y, z)``.
    view_weights : ndarray
        ``(v,)`` share of the views in each direction; the sum is 1.
    shell_ssnr : ndarray
        ``(last_shell + 1,)`` spectral signal-to-noise ratio of one half map, whole box, if the views
        were even.
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
        """Return the density with which the views sample Fourier space."""
        used = self.view_weights > SMALLEST_SHARE * self.view_weights.max()
        return SamplingDensity(self.directions[used], self.view_weights[used])

    def curve(self, radius: NDArray[np.floating]) -> NDArray[np.float64]:
        """SSNR for even views at radii in Fourier voxels."""
        shells = np.arange(len(self.shell_ssnr))
        return np.asarray(np.exp(np.interp(radius, shells, np.log(self.shell_ssnr))), dtype=np.float64)


def fit_view_distribution(
    spectrum1: NDArray[np.complex64], spectrum2: NDArray[np.complex64], first_shell: int, last_shell: int
) -> ViewDistribution:
    """Find the view distribution that best explains how two half maps correlate.

    Parameters
    ----------
    spectrum1, spectrum2 : ndarray
        ``(n, n, n // 2 + 1)`` half spectra of the half maps, not masked: a mask leaks signal into
        unmeasured directions.
    first_shell, last_shell : int
        Shells to look at, from `FIRST_SHELL` on.

    Returns
    -------
    ViewDistribution
        The fit; the same input gives the same model.
    """
    grid = AxisGrid(NODES_PER_EDGE)
    one_sided = grid.directions * np.sign(grid.directions @ (1, 1e-3, 1e-6))[:, None]
    nodes = np.unique(one_sided.round(9), axis=0)  # faces share the nodes of their common edges
    frequencies, ratio = _samples(spectrum1, spectrum2, first_shell, last_shell)
    shell = np.rint(np.linalg.norm(frequencies, axis=1)).astype(np.int64)
    cells = grid.nearest(frequencies)
    n_shells = last_shell + 1 - first_shell
    flat = torch.from_numpy((shell - first_shell) * len(grid.directions) + cells)
    r = torch.from_numpy(ratio)

    # Beyond the sharpest slab all shells see the same slabs, so they share a matrix.
    edges = np.minimum(np.arange(first_shell, last_shell + 1), math.ceil(SHARPEST_SLAB))
    radii, which = np.unique(edges, return_inverse=True)
    dots = np.abs(grid.directions @ nodes.T)
    slabs = torch.from_numpy(np.stack([_slab(dots, min(float(k), SHARPEST_SLAB)) for k in radii]))
    which_slab = torch.from_numpy(which)

    log_share = torch.zeros(len(nodes), requires_grad=True)
    log_ssnr = torch.zeros(n_shells, requires_grad=True)
    optimiser = torch.optim.Adam([log_share, log_ssnr], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, UPDATES)
    with _one_thread():
        for _ in range(UPDATES):
            density = (slabs @ torch.softmax(log_share, dim=0))[which_slab]
            ssnr = torch.exp(log_ssnr)[:, None] * density
            fsc = (ssnr / (1 + ssnr)).clamp(max=HIGHEST_FSC).reshape(-1)[flat]
            likelihood = -torch.log1p(-fsc.square()) - 2 * torch.log(r / (1 + fsc) + (1 - r) / (1 - fsc))
            optimiser.zero_grad()
            (-likelihood.mean()).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    view_weights = torch.softmax(log_share.detach().double(), dim=0).numpy()
    curve = torch.exp(log_ssnr.detach().double()).numpy()
    return ViewDistribution(nodes, view_weights, np.concatenate([np.full(first_shell, curve[0]), curve]))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Add up in one order, so that the model does not depend on the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _samples(
    spectrum1: NDArray[np.complex64], spectrum2: NDArray[np.complex64], first_shell: int, last_shell: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Frequencies ``(m, 3)`` ``(x, y, z)`` and the ratios ``R`` of some coefficients of every shell."""
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
            void = power[part] < VOID_POWER * np.percentile(power[part], STRONG_PERCENTILE)
            ratio[part[void]] = UNCORRELATED
    points = np.stack([np.broadcast_to(k, shell.shape).reshape(-1)[index] for k in (kx, ky, kz)], axis=1)
    return points, np.clip(ratio, 0, 1).astype(np.float32)


def _slab(dots: NDArray[np.float64], radius: float) -> NDArray[np.float32]:
    """Density that a view puts at a radius, from ``|cos|`` of the angle between view and frequency."""
    return cast("NDArray[np.float32]", (2 * radius * np.maximum(0, 1 - radius * dots)).astype(np.float32))


class SamplingDensity:
    """Sampling density of views in Fourier space, with slabs no sharper than a `ViewDistribution` resolves.

    Parameters
    ----------
    directions : ndarray
        ``(n, 3)`` unit view directions ``(x, y, z)``.
    view_weights : ndarray, optional
        ``(n,)`` share of the views in each direction; even if not given.
    """

    def __init__(
        self, directions: NDArray[np.float64], view_weights: NDArray[np.float64] | None = None
    ) -> None:
        self._directions, self._view_weights = directions, view_weights
        # Beyond the sharpest slab the density depends on the direction only.
        self._grid = AxisGrid(DENSITY_NODES_PER_EDGE)
        self._far = sampling_density(directions, SHARPEST_SLAB * self._grid.directions, view_weights)

    def at(self, frequencies: NDArray[np.floating]) -> NDArray[np.float32]:
        """Density at frequencies ``(m, 3)`` ``(x, y, z)``, ``(m,)``, relative to even views."""
        near = np.linalg.norm(frequencies, axis=1) < SHARPEST_SLAB
        nodes, weights = self._grid.bilinear(frequencies)
        density = (self._far[nodes] * weights).sum(axis=0).astype(np.float32)
        density[near] = sampling_density(self._directions, frequencies[near], self._view_weights)
        return cast("NDArray[np.float32]", density)
