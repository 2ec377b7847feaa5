"""Half maps with preferred orientation and known truth, simulated from atomic models.

With ``X`` the density of the model, each half map is ``g (X + noise / sqrt(ssnr))`` in Fourier space,
``ssnr(k) = ssnr0(|k|) D(k)``, ``g = ssnr / (ssnr + 0.1)``. ``ssnr0`` falls from a peak to 1 at the
resolution of the case, and ``D`` is the density with which the central slices of the views sample
Fourier space. Unsampled directions are therefore empty, as in a regularised reconstruction with perfect
alignment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from benchmarks.quality.densities import model_density
from benchmarks.quality.masks import soften, truth_mask
from benchmarks.quality.views import draw_views
from spisonet.fourier.grids import centred_from_half, frequency_axes_rfft, irfft3, radius_rfft, rfft3
from spisonet.fourier.shells import shell_counts, shell_sums
from spisonet.geometry.view_sampling import sampling_density

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

REGULARISATION = 0.1
N_VIEWS = 3000
SPREAD_DEGREES = 8.0
USER_MASK_SOFTNESS_ANGSTROM, USER_MASK_LEVEL, USER_MASK_DILATION = 6.0, 0.15, 2


@dataclass(frozen=True)
class Case:
    """A particle, its view distribution, and its signal-to-noise ratio.

    Attributes
    ----------
    name : str
        Name of the particle.
    model : str
        File name of the coordinates.
    box : int
        Edge of the box in voxels.
    voxel_size : float
        Voxel size in Å.
    resolution : float
        Resolution in Å at which the signal-to-noise ratio of evenly spread views is 1.
    tilt : float
        Rotation of the model about x before imaging, in degrees.
    views : str
        ``top``, ``side``, ``two`` (two clusters) or ``even``.
    peak : float
        Signal-to-noise ratio at the lowest resolution.
    mask : str
        ``truth``: made from the low-pass filtered truth; ``user``: made from the smeared half maps.
    """

    name: str
    model: str
    box: int
    voxel_size: float
    resolution: float
    tilt: float = 0.0
    views: str = "top"
    peak: float = 300.0
    mask: str = "truth"

    @property
    def limit_shell(self) -> float:
        """The resolution in Fourier voxels."""
        return self.box * self.voxel_size / self.resolution


@dataclass(frozen=True)
class Simulated:
    """Volumes ``(n, n, n)`` and centred Fourier-space arrays of a simulated case.

    Attributes
    ----------
    truth, half1, half2 : ndarray
        Densities.
    mask : ndarray
        Soft mask used by the correction.
    region : ndarray
        Soft mask made from the truth, used for scoring.
    sampling, ssnr : ndarray
        Sampling density relative to even views, and signal-to-noise ratio; DC at ``n // 2``.
    """

    truth: NDArray[np.float32]
    half1: NDArray[np.float32]
    half2: NDArray[np.float32]
    mask: NDArray[np.float32]
    region: NDArray[np.float32]
    sampling: NDArray[np.float32]
    ssnr: NDArray[np.float32]


def simulate(case: Case, models: Path, seed: int, without: NDArray[np.float32] | None = None) -> Simulated:
    """Simulate the two half maps of a case.

    Parameters
    ----------
    case : Case
        The case to simulate.
    models : Path
        Folder of the coordinate files.
    seed : int
        Seed of views and noise.
    without : ndarray, optional
        ``(n, n, n)`` in 0..1, fraction of the density that is deleted.
    """
    rng = np.random.default_rng(seed)
    n = case.box
    finest = max(0.8 * case.resolution, 2 * case.voxel_size)
    truth = model_density(models / case.model, n, case.voxel_size, finest, centre="extent")
    if case.tilt:
        truth = ndimage.rotate(truth, case.tilt, axes=(0, 1), reshape=False, order=3)
    truth = (truth / truth.std()).astype(np.float32)
    if without is not None:
        truth = truth * (1 - without)
    radius = radius_rfft((n, n, n))
    kz, ky, kx = (np.broadcast_to(k, radius.shape) for k in frequency_axes_rfft((n, n, n)))
    frequencies = np.stack([kx, ky, kz], axis=-1).reshape(-1, 3)
    views = draw_views(case.views, N_VIEWS, SPREAD_DEGREES, rng)
    sampling = sampling_density(views, frequencies).reshape(radius.shape)
    spectrum = rfft3(truth)
    power = shell_sums(np.abs(spectrum) ** 2, n) / shell_counts(n)
    power_rfft = power[np.minimum(np.rint(radius).astype(int), n // 2)]
    relative = radius / (n * case.voxel_size) * case.resolution
    ssnr = case.peak * np.exp(-np.log(case.peak) * relative**2) * sampling
    halves = []
    for _ in range(2):
        noise = rfft3(rng.normal(size=truth.shape).astype(np.float32)) / n**1.5
        noisy = spectrum + noise * np.sqrt(power_rfft / np.maximum(ssnr, 1e-6))
        halves.append(irfft3((noisy * ssnr / (ssnr + REGULARISATION)).astype(np.complex64), truth.shape))
    region = truth_mask(truth, case.voxel_size)
    return Simulated(
        truth,
        halves[0],
        halves[1],
        _user_mask(halves[0] + halves[1], case.voxel_size) if case.mask == "user" else region,
        region,
        centred_from_half(sampling, n),
        centred_from_half(ssnr.astype(np.float32), n),
    )


def _user_mask(mean: NDArray[np.float32], voxel_size: float) -> NDArray[np.float32]:
    """Low-pass filter and threshold the map, keep the largest connected component, dilate and soften it."""
    sigma = USER_MASK_SOFTNESS_ANGSTROM / voxel_size
    soft = ndimage.gaussian_filter(mean, sigma)
    components, _ = ndimage.label(soft > USER_MASK_LEVEL * soft.max())
    largest = components == np.bincount(components.ravel())[1:].argmax() + 1
    return soften(ndimage.binary_dilation(largest, iterations=USER_MASK_DILATION), sigma)
