"""Simulated half maps of an object, with the noise level of a set of views."""

from __future__ import annotations

import numpy as np

from spisonet.fourier.grids import frequency_axes_rfft, irfft3, radius_rfft, rfft3
from spisonet.fourier.shells import shell_counts, shell_sums
from spisonet.geometry.view_sampling import sampling_density

REGULARISATION = 0.1
BOX, VOXEL_SIZE, LIMIT_SHELL = 40, 3.0, 14  # of `particle`


def views_about_z(spread_degrees: float, n: int = 2000, seed: int = 1) -> np.ndarray:
    """Unit view directions within about `spread_degrees` of z."""
    rng = np.random.default_rng(seed)
    views = np.array([0, 0, 1.0]) + np.tan(np.radians(spread_degrees)) * rng.normal(size=(n, 3))
    return views / np.linalg.norm(views, axis=1, keepdims=True)


def even_views(n: int = 3000, seed: int = 4) -> np.ndarray:
    """Unit view directions spread evenly."""
    views = np.random.default_rng(seed).normal(size=(n, 3))
    return views / np.linalg.norm(views, axis=1, keepdims=True)


def simulate_half_maps(
    truth: np.ndarray, views: np.ndarray, limit_shell: float, peak: float = 300.0, seed: int = 0
) -> list[np.ndarray]:
    """Two regularised half maps; the signal-to-noise ratio falls from `peak` to 1 at a shell."""
    rng = np.random.default_rng(seed)
    shape, n = truth.shape, len(truth)
    radius = radius_rfft(shape)
    kz, ky, kx = (np.broadcast_to(k, radius.shape) for k in frequency_axes_rfft(shape))
    density = sampling_density(views, np.stack([kx, ky, kz], -1).reshape(-1, 3)).reshape(radius.shape)
    ssnr = peak ** (1 - (radius / limit_shell) ** 2) * density
    signal = rfft3(truth.astype(np.float32))
    power = shell_sums(np.abs(signal) ** 2, n) / shell_counts(n)
    spread = np.sqrt(power[np.minimum(np.rint(radius).astype(int), n // 2)] / np.maximum(ssnr, 1e-8))
    halves = []
    for _ in range(2):
        noise = rfft3(rng.normal(size=shape).astype(np.float32)) / n**1.5 * spread
        wiener = ssnr / (ssnr + REGULARISATION)
        halves.append(irfft3(((signal + noise) * wiener).astype(np.complex64), shape))
    return halves


def particle(without_domain: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Atoms in a ball, with a domain beside it or not; a mask around both, and the domain's own."""
    rng = np.random.default_rng(2)
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")

    def atoms(centres: np.ndarray) -> np.ndarray:
        return sum(np.exp(-((z - c[0]) ** 2 + (y - c[1]) ** 2 + (x - c[2]) ** 2) / 2.5) for c in centres)

    body = atoms(rng.normal(size=(50, 3)) * 3)
    domain_centre = np.array([13, 0, 0])  # along z, which top views do not resolve
    domain = atoms(domain_centre + rng.normal(size=(12, 3)) * 1.2)
    density = body if without_domain else body + domain
    ball = x**2 + y**2 + z**2 < 11**2
    beside = (z - 13) ** 2 + y**2 + x**2 < 5**2
    mask = (ball | beside).astype(np.float32)
    return (density / body.std()).astype(np.float32), mask, beside & (z >= 11)
