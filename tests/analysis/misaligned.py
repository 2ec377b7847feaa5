"""Half maps of particles of which some have wrong poses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from spisonet.fourier.grids import frequency_axes_rfft, irfft3, radius_rfft, rfft3
from spisonet.fourier.shells import shell_counts, shell_sums
from spisonet.geometry.view_sampling import sampling_density

if TYPE_CHECKING:
    from collections.abc import Callable

REGULARISATION = 0.1


def rotated(truth: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Return ``X(E r)`` for a rotation E that acts on ``(x, y, z)``."""
    matrix = rotation[::-1, ::-1]  # on (z, y, x)
    centre = np.array(truth.shape) // 2
    return ndimage.affine_transform(truth, matrix, offset=centre - matrix @ centre, order=3)


def simulate_misaligned(
    truth: np.ndarray,
    right: np.ndarray,
    wrong: np.ndarray,
    errors: Callable[[np.random.Generator], np.ndarray],
    limit_shell: float,
    peak: float = 300.0,
    seed: int = 0,
) -> tuple[list[np.ndarray], np.ndarray]:
    """Reconstruct two half maps from views of which some are placed wrongly.

    An image of the truth X taken in the pose R and placed as if in the pose R E puts the values of
    ``X(E r)`` into the plane of R E.

    Parameters
    ----------
    truth : ndarray
        ``(n, n, n)``.
    right, wrong : ndarray
        ``(m, 3)`` views as they are placed: those with true poses, and those with wrong ones.
    errors : callable
        Draws the rotations E ``(j, 3, 3)`` of one half; each goes to an equal part of the wrong views.
    limit_shell, peak, seed
        As in `simulate_half_maps`.

    Returns
    -------
    halves : list of ndarray
        Two half maps.
    angles : ndarray
        ``(k, 3)`` all views as they are placed.
    """
    rng = np.random.default_rng(seed)
    shape, n = truth.shape, len(truth)
    radius = radius_rfft(shape)
    kz, ky, kx = (np.broadcast_to(k, radius.shape) for k in frequency_axes_rfft(shape))
    frequencies = np.stack([kx, ky, kz], -1).reshape(-1, 3)
    n_views = len(right) + len(wrong)

    def density(views: np.ndarray) -> np.ndarray:
        return sampling_density(views, frequencies).reshape(radius.shape) * len(views) / n_views

    signal = rfft3(truth)
    power = (shell_sums(np.abs(signal) ** 2, n) / shell_counts(n))[
        np.minimum(np.rint(radius).astype(int), n // 2)
    ]
    curve = peak ** (1 - (radius / limit_shell) ** 2)
    halves = []
    for _ in range(2):
        sampled = density(right)
        gathered = sampled * signal
        rotations = errors(rng)
        for number, rotation in enumerate(rotations):
            part = density(wrong[number :: len(rotations)])
            sampled = sampled + part
            gathered = gathered + part * rfft3(rotated(truth, rotation))
        ssnr = np.maximum(curve * sampled, 1e-8)
        noise = rfft3(rng.normal(size=shape).astype(np.float32)) / n**1.5 * np.sqrt(power * ssnr)
        halves.append(
            irfft3(((curve * gathered + noise) / (ssnr + REGULARISATION)).astype(np.complex64), shape)
        )
    return halves, np.concatenate([right, wrong])
