"""The published method of spIsoNet, reimplemented for comparison.

Three losses with 24 rotations of the cube, a U-Net with batch normalisation whose statistics are those of
half a batch, constant learning rate, float32. The half maps are low-pass filtered and normalised over the
box; the filter is the conical mean of the cosine of the phase difference of the masked half maps. The
corrected map has the shell amplitudes of the input inside the mask, and is the input beyond the resolution
limit.

References
----------
Liu, Fan, Hu & Zhou (2025) Nat. Methods 22, 113-123 (spIsoNet).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.analysis.fsc3d import estimate_fsc3d
from spisonet.anisotropy.preparation import build_measurement
from spisonet.fourier.grids import irfft3, radius_rfft, rfft3, shell_index_rfft
from spisonet.fourier.shells import shell_counts, shell_sums
from spisonet.learning.devices import keep_freed_memory
from spisonet.learning.memory import Memory
from spisonet.learning.objectives import EquivarianceObjective
from spisonet.learning.trainer import Trainer, TrainingOptions
from spisonet.learning.unet import PublishedUNet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.learning.measurement import Measurement

LEARNING_RATE, BATCH_SIZE, BATCH_PARTS = 3e-4, 4, 2
ALPHA, BETA = 1.0, 0.5
CONE_DEGREES = 10.0
LOWPASS_EDGE, RECOMBINATION_EDGE = 3, 5  # shells below the resolution limit
TINY = 1e-20


def published_measurement(
    halves: list[NDArray[np.float32]],
    mask: NDArray[np.float32],
    voxel_size: float,
    resolution: float,
    device: torch.device,
) -> Measurement:
    """Return the training data of spIsoNet.

    Parameters
    ----------
    halves : list of ndarray
        Two half maps ``(n, n, n)``.
    mask : ndarray
        ``(n, n, n)``; selects the training subvolumes and is applied before the 3D FSC.
    voxel_size, resolution : float
        Voxel size and resolution limit in Å.
    device : torch.device
        Device of the training.
    """
    n = len(mask)
    measurement = build_measurement(
        halves,
        _phase_fsc(halves, mask, voxel_size, resolution),
        None,
        _linear_lowpass(n, n * voxel_size / resolution, LOWPASS_EDGE),
        mask,
        device,
        positivity=False,
    )
    data = measurement.data
    mean, deviation = data.mean(dim=(1, 2, 3), keepdim=True), data.std(dim=(1, 2, 3), keepdim=True)
    return replace(measurement, data=(data - mean) / deviation)


def published_trainer(
    measurement: Measurement,
    device: torch.device,
    epochs: int,
    subvolumes_per_epoch: int,
    filter_base: int,
    cube_size: int,
    batch_parts: int = BATCH_PARTS,
    seed: int = 0,
) -> Trainer:
    """Return a trainer with the published method.

    Parameters
    ----------
    measurement : Measurement
        Data and weight, see `published_measurement`.
    device : torch.device
        Device of the training.
    epochs, subvolumes_per_epoch : int
        Length of the training.
    filter_base, cube_size : int
        Width of the network, and edge of the subvolumes in voxels.
    batch_parts : int
        Parts in which a batch is computed, each with its own statistics of the batch normalisation.
    seed : int
        Random seed.
    """
    keep_freed_memory()
    torch.manual_seed(seed)
    network = PublishedUNet(filter_base)
    objective = EquivarianceObjective(measurement, cube_size, ALPHA, BETA)
    options = TrainingOptions(
        epochs, subvolumes_per_epoch, BATCH_SIZE, batch_parts, LEARNING_RATE, seed=seed, published=True
    )
    return Trainer(network, objective, options, device, Memory(device).largest_tile(network))


def recombine_published(
    prediction: NDArray[np.float32],
    original: NDArray[np.float32],
    mask: NDArray[np.float32],
    limit_shell: float,
) -> NDArray[np.float32]:
    """Recombine a prediction with the input as spIsoNet does.

    The prediction is scaled to the mean amplitude of the input in each shell, inside the mask. Within five
    shells below the limit the input takes its place. Mean and standard deviation over the box are those of
    the input, first to the limit and then as a whole.

    Parameters
    ----------
    prediction, original : ndarray
        ``(n, n, n)``.
    mask : ndarray
        ``(n, n, n)``.
    limit_shell : float
        Resolution limit in Fourier voxels.
    """
    n, low = len(mask), _linear_lowpass(len(mask), limit_shell, RECOMBINATION_EDGE)
    spectrum, input_spectrum = rfft3(amplitude_matched(prediction, original, mask)), rfft3(original)
    coarse, coarse_input, fine = (
        irfft3((values * weight).astype(np.complex64), (n, n, n))
        for values, weight in ((spectrum, low), (input_spectrum, low), (input_spectrum, 1 - low))
    )
    return _standardised_like(_standardised_like(coarse, coarse_input) + fine, original)


def _standardised_like(volume: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((volume - volume.mean()) / volume.std() * other.std() + other.mean(), dtype=np.float32)


def amplitude_matched(
    volume: NDArray[np.float32], reference: NDArray[np.float32], mask: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Scale every shell of a map to the mean amplitude of a reference, both inside a mask."""
    n = len(mask)
    amplitude, target = (
        shell_sums(np.abs(rfft3(densities * mask)), n) / shell_counts(n) for densities in (volume, reference)
    )
    gain = (target / (amplitude + TINY))[np.minimum(shell_index_rfft((n, n, n)), n // 2)]
    return irfft3((rfft3(volume) * gain).astype(np.complex64), (n, n, n))


def _phase_fsc(
    halves: list[NDArray[np.float32]], mask: NDArray[np.float32], voxel_size: float, resolution: float
) -> NDArray[np.float32]:
    """Return the conical mean of the cosine of the phase difference, ``(n, n, n // 2 + 1)`` in 0..1.

    It is the conical FSC of coefficients of equal amplitudes.
    """
    spectra = (rfft3(half * mask) for half in halves)
    first, second = (irfft3(spectrum / (np.abs(spectrum) + TINY), mask.shape) for spectrum in spectra)
    fsc3d = estimate_fsc3d(first, second, None, voxel_size, resolution, CONE_DEGREES, torch.get_num_threads())
    return np.asarray(np.clip(fsc3d.fsc_rfft, 0, 1), dtype=np.float32)


def _linear_lowpass(n: int, limit_shell: float, edge: int) -> NDArray[np.float32]:
    """Return a low-pass filter that falls linearly over the last shells before a limit."""
    shell = np.rint(radius_rfft((n, n, n)))
    weight = np.clip((limit_shell - shell) / (edge + 1), 0, 1)
    return np.where(shell < limit_shell - edge, 1, weight).astype(np.float32)
