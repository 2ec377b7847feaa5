"""Grey scale and noise spectrum of tomograms, estimated in their central region."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.fourier.filters import RadialCurve
from spisonet.fourier.grids import frequency_rfft, rfft3
from spisonet.fourier.wedges import measured_rfft
from spisonet.io.mrc import checked_densities, require_different
from spisonet.tomography.chunks import central_chunk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.tomography.tomogram import Tomogram

SAMPLE_EDGE = 160  # voxels along each axis of the central region
PERCENTILES = (4.0, 96.0)  # of IsoNet
PERCENTILE_DISTANCE = 3.5014  # between these percentiles of Gaussian noise, in standard deviations
NOISE_SHELLS = 40


def normalise(tomogram: Tomogram) -> Tomogram:
    """Return a tomogram with grey scale, noise spectrum and digest of its central region.

    Raises
    ------
    SpisonetError
        If the voxels cannot be read or are all equal, or both halves are the same.
    """
    samples = read_central_region(tomogram)
    percentiles = (PERCENTILES[0], 50.0, PERCENTILES[1])
    low, median, high = np.mean([np.percentile(sample, percentiles) for sample in samples], axis=0)
    deviation = float(high - low) / PERCENTILE_DISTANCE
    if deviation <= 0:
        raise SpisonetError(f"{tomogram.volumes[0].path} is empty: all of its voxels are equal.")
    noise_amplitude = None
    if len(samples) == 2:
        difference = (samples[0] - samples[1]) / deviation
        noise_amplitude = RadialCurve(_noise_amplitude(difference, tomogram.tilt_range_degrees))
    return replace(
        tomogram,
        mean=float(median),
        deviation=deviation,
        noise_amplitude=noise_amplitude,
        digest=_digest(tomogram, samples),
    )


def read_central_region(tomogram: Tomogram) -> list[NDArray[np.float32]]:
    """Read the central region of a tomogram, or of its halves, and check its densities.

    Raises
    ------
    SpisonetError
        See `normalise`.
    """
    chunk = central_chunk(tomogram.shape, (SAMPLE_EDGE,) * 3)
    names = [str(volume.path) for volume in tomogram.volumes]
    unscaled = replace(tomogram, mean=0.0, deviation=1.0).read_halves(chunk)
    samples = [checked_densities(sample, name) for sample, name in zip(unscaled, names, strict=True)]
    if len(samples) == 2:
        require_different(names[0], samples[0], names[1], samples[1])
    return samples


def _digest(tomogram: Tomogram, samples: list[NDArray[np.float32]]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for sample in samples:
        digest.update(sample.tobytes())
    digest.update(repr((tomogram.tilt_range_degrees, tomogram.shape, tomogram.n_subvolumes)).encode())
    return digest.hexdigest()


def _noise_amplitude(
    difference: NDArray[np.float32], tilt_range_degrees: tuple[float, float]
) -> NDArray[np.float32]:
    """Noise of one half from the difference of both, by spatial frequency outside the missing wedge."""
    power = np.abs(rfft3(difference)) ** 2 / (2 * difference.size)
    frequency = frequency_rfft(difference.shape)
    measured = measured_rfft(difference.shape, tilt_range_degrees) & (frequency <= 0.5)
    shell = np.minimum((frequency * 2 * NOISE_SHELLS).astype(int), NOISE_SHELLS - 1)
    count = np.bincount(shell[measured], minlength=NOISE_SHELLS)
    total = np.bincount(shell[measured], weights=power[measured], minlength=NOISE_SHELLS)
    centres = (np.arange(NOISE_SHELLS) + 0.5)[count > 0]
    mean = total[count > 0] / count[count > 0]
    steps = np.linspace(0, NOISE_SHELLS, NOISE_SHELLS + 1)
    return np.sqrt(np.interp(steps, centres, mean)).astype(np.float32)
