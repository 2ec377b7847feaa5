"""What a network learns from tomograms: denoising, filling of missing wedges, added noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spisonet.fourier.filters import RadialCurve
from spisonet.learning.self_training import MISSING_WEIGHT

DENOISED, FILLED_HALVES, FILLED = "n2n", "isonet2-n2n", "isonet2"  # IsoNet2's names of the methods


HALVES_METHODS = (DENOISED, FILLED_HALVES)


NOISE_POINTS = 257


@dataclass(frozen=True)
class TrainingMethod:
    """Method of training and its parameters.

    Attributes
    ----------
    fill : bool
        Whether the network learns to fill missing wedges as well as to denoise.
    cube_size : int
        Edge of training subvolumes in voxels.
    missing_weight : float
        Weight of the residual inside the artificial missing wedge relative to the residual outside it.
    added_noise : tuple of (int, float)
        Pairs of first epoch (counted from 0) and standard deviation of the noise added to the inputs, in
        standard deviations of the data.
    noise_filter : str
        Spectrum of the added noise: that of white noise backprojected with ``noFilter``, a ``ramp`` or a
        ``hamming`` filter, or ``white``.
    """

    fill: bool
    cube_size: int
    missing_weight: float = MISSING_WEIGHT
    added_noise: tuple[tuple[int, float], ...] = ()
    noise_filter: str = "white"

    def noise_level(self, epoch: int) -> float:
        """Return the standard deviation of the added noise in an epoch, in those of the data."""
        return next((level for start, level in reversed(self.added_noise) if epoch >= start), 0.0)

    @property
    def noise_curve(self) -> RadialCurve:
        """Relative amplitude of the added noise by spatial frequency.

        Projections of white noise, filtered by ``g(k)``, sample Fourier space with a density that falls as
        ``1/k`` with the distance from the tilt axis, so the amplitude of their backprojection is
        ``g(k) / sqrt(k)``.
        """
        k = np.linspace(0, 1, NOISE_POINTS)
        k[0] = k[1] / 2
        filters = {
            "white": np.sqrt(k),
            "noFilter": np.ones_like(k),
            "ramp": k,
            "hamming": k * (0.54 + 0.46 * np.cos(np.pi * k)),
        }
        return RadialCurve(filters[self.noise_filter] / np.sqrt(k))
