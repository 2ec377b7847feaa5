"""Small measurements for tests."""

from __future__ import annotations

import numpy as np
import torch

from spisonet.fourier.grids import frequency_axes_rfft, irfft3, radius_rfft, rfft3
from spisonet.fourier.windows import soft_lowpass_weights
from spisonet.learning.measurement import Measurement


def make_measurement(n: int = 24, n_halves: int = 2, seed: int = 0, noise: float = 0.2) -> Measurement:
    """Blobs whose frequencies near the z axis were not measured."""
    rng = np.random.default_rng(seed)
    band = soft_lowpass_weights(n, 0.3 * n, 3)
    kz, _, _ = frequency_axes_rfft((n, n, n))
    missing = (np.abs(kz) > 0.7 * radius_rfft((n, n, n))) & (radius_rfft((n, n, n)) > 1)
    weight = np.where(missing | (band == 0), 0.0, 1.0).astype(np.float32)
    axis = np.arange(n) - n // 2
    r2 = axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2
    support = (r2 < (0.38 * n) ** 2).astype(np.float32)
    truth = np.zeros((n, n, n), np.float32)
    for centre in rng.normal(scale=n / 9, size=(20, 3)):
        z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
        truth += np.exp(-((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2) / 4)
    truth = truth * support / truth.std()
    halves = [truth + noise * rng.normal(size=truth.shape) for _ in range(n_halves)]
    data = np.stack([irfft3(rfft3(h.astype(np.float32)) * weight * band, h.shape) for h in halves])
    return Measurement(
        data=torch.from_numpy(data),
        fsc_weight_rfft=torch.from_numpy(weight),
        view_weight_rfft=None,
        noise_fraction_in_mask=0.1,
        band_rfft=torch.from_numpy(band),
        band_fraction=0.9,
        subvolume_centres=torch.from_numpy(np.argwhere(support > 0)[:, ::-1].astype(np.float32)),
        support=torch.from_numpy(support),
        positivity=True,
    )
