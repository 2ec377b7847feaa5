"""Small tomograms with known truth: blobs in a slab, a missing wedge, noise."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import torch
from scipy import ndimage

from spisonet.fourier.grids import irfft3, rfft3
from spisonet.io.tomograms import open_tomogram
from spisonet.learning.spectra import WedgeWeight, frequency_points_rfft

if TYPE_CHECKING:
    from numpy.typing import NDArray

CPU = torch.device("cpu")


def write_mrc(path: Path, data: NDArray[np.generic], voxel_size: float = 10.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), mrcfile.new(path, overwrite=True) as mrc:
        warnings.simplefilter("ignore")  # of NaN
        mrc.set_data(data)
        mrc.voxel_size = voxel_size
        mrc.nstart = (3, -2, 5)
    return path


def wedge_rfft(
    shape: tuple[int, int, int], tilts: tuple[float, float] = (-60.0, 60.0)
) -> NDArray[np.float32]:
    return WedgeWeight(*tilts).at(frequency_points_rfft(shape, CPU)).numpy()


def slab_of_rods(shape: tuple[int, int, int], n: int, seed: int) -> NDArray[np.float32]:
    """Dark rods and balls at random places and in random directions."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(shape)
    total = np.zeros(shape, np.float32)
    for _ in range(n):
        centre = rng.uniform(4, np.array(shape) - 4)
        offsets = np.stack([z, y, x], -1) - centre
        axis = rng.normal(size=3)
        along = offsets @ (axis / np.linalg.norm(axis))
        across = np.sum(offsets**2, -1) - along**2
        total = np.maximum(total, np.exp(-across / 3) * (np.abs(along) < rng.uniform(2, 6)))
    return -total


def with_missing_wedge(
    truth: NDArray[np.float32], noise: float, seed: int, tilts=(-60.0, 60.0)
) -> NDArray[np.float32]:
    """Add noise and remove the missing wedge."""
    noisy = truth / truth.std() + noise * np.random.default_rng(seed).normal(size=truth.shape)
    return irfft3(rfft3(noisy.astype(np.float32)) * wedge_rfft(truth.shape, tilts), truth.shape)


def backprojection(
    truth: NDArray[np.float32], noise: float, seed: int, tilts=(-60.0, 60.0), step=3.0
) -> NDArray[np.float32]:
    """Weighted backprojection of noisy projections, which unlike `with_missing_wedge` is not periodic."""
    rng, (nz, _, nx) = np.random.default_rng(seed), truth.shape
    ramp = np.fft.rfftfreq(2 * nx)
    z, x = np.meshgrid(np.arange(nz) - nz / 2, np.arange(nx) - nx / 2, indexing="ij")
    total = np.zeros(truth.shape)
    for tilt in np.radians([*np.arange(*tilts, step).tolist(), tilts[1]]):
        rotated = ndimage.rotate(truth, np.degrees(tilt), axes=(0, 2), reshape=False, order=1)
        projection = rotated.sum(axis=0)
        projection += rng.normal(scale=noise * projection.std(), size=projection.shape)
        filtered = np.fft.irfft(np.fft.rfft(projection, 2 * nx) * ramp)[:, :nx]
        detector = x * np.cos(tilt) + z * np.sin(tilt) + nx / 2
        total += np.stack([np.interp(detector, np.arange(nx), row) for row in filtered], axis=1)
    return (total / total.std()).astype(np.float32)


def write_halves(
    folder: Path, name: str, shape=(32, 64, 64), noise=1.0, seed=0, n=60, tilts=(-60.0, 60.0)
) -> NDArray[np.float32]:
    """Write even and odd tomograms; return the truth."""
    truth = slab_of_rods(shape, n, seed)
    for half, (kind, offset) in enumerate((("even", 100), ("odd", 200))):
        data = with_missing_wedge(truth, noise, seed + offset + half, tilts)
        write_mrc(folder / kind / f"{name}.mrc", data)
    return truth


def correlation(first: NDArray[np.float32], second: NDArray[np.float32], chosen: NDArray[np.bool_]) -> float:
    """Correlation of Fourier coefficients."""
    a, b = (rfft3(volume - volume.mean())[chosen] for volume in (first, second))
    return float(np.real(np.vdot(a, b)) / np.sqrt(np.vdot(a, a).real * np.vdot(b, b).real))


def halves_of(folder: Path, name: str = "t") -> tuple:
    """Open the even and the odd half tomogram in a folder."""
    return tuple(open_tomogram(folder / kind / f"{name}.mrc") for kind in ("even", "odd"))


def gaussian_noise(shape: tuple[int, int, int], seed: int = 0) -> NDArray[np.float32]:
    """White noise of mean 10 and standard deviation 3."""
    return np.random.default_rng(seed).normal(10, 3, size=shape).astype(np.float32)


def vesicle(shape: tuple[int, int, int] = (24, 40, 40)) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A dark, structured ball in the middle of smooth ice, and where it is."""
    z, y, x = (np.arange(n) - n // 2 for n in shape)
    inside = z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None] ** 2 < 9**2
    rng = np.random.default_rng(0)
    data = rng.normal(scale=0.05, size=shape) - inside * (1 + rng.normal(scale=0.5, size=shape))
    return data.astype(np.float32), inside
