"""One iteration's regularisation: sums of one half (or both) in, references without directional bias out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.anisotropy.fourier_weights import FourierWeights, reference_share
from spisonet.anisotropy.preparation import correction_band, include_reference, prepare_measurement
from spisonet.anisotropy.recombination import recombine
from spisonet.fourier.filters import directional_whitening, shell_curve_to_rfft, whiten
from spisonet.fourier.grids import frequency_axes_rfft, irfft3, radius_rfft, rfft3
from spisonet.fourier.shells import shell_counts, shell_sums
from spisonet.geometry.view_sampling import sampling_density
from spisonet.learning.process_group import SINGLE_PROCESS
from spisonet.learning.spectra import apply_filter
from spisonet.learning.training_job import train
from spisonet.misalignment.prior import symmetrised, white_noise_fraction_in_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.learning.memory import Memory
    from spisonet.learning.training_config import TrainingConfig
    from spisonet.learning.unet import Network
    from spisonet.misalignment.anisotropy_check import AnisotropyCheck
    from spisonet.misalignment.backprojection import BackProjector
    from spisonet.misalignment.prior import Prior
    from spisonet.misalignment.settings import MisalignmentSettings

SMALLEST_WEIGHT = 1e-3
SMALLEST_SHELL_WEIGHT = 0.03
EQUAL_POWER_FROM_SHELL = 3
INITIAL_EDGE_SHELLS = 2


@dataclass(frozen=True)
class RegularisedReference:
    """A regularised reference and what became of it.

    Attributes
    ----------
    reference : ndarray
        ``(n, n, n)`` in RELION's grey values.
    inferred_share : float
        Share in 0..1 of the reference's power that was not measured, as the mean over the shells.
    inferred_angle_degrees : float
        Median angle from the z axis of that power.
    hidden_share : float
        Share in 0..1 of its Fourier coefficients that were not measured.
    losses : list of float
        Of the epochs.
    network : Network or None
        As trained.
    """

    reference: NDArray[np.float32]
    inferred_share: float
    inferred_angle_degrees: float
    hidden_share: float
    losses: list[float]
    network: Network | None


def regularise(
    halves: list[BackProjector],
    check: AnisotropyCheck,
    voxel_size_angstrom: float,
    prior: Prior,
    settings: MisalignmentSettings,
    training_config: TrainingConfig,
    memory: Memory,
    start: Network | None = None,
) -> list[RegularisedReference]:
    """Make references from the sums of one half, or of two that learn together.

    The MAP map of each is what was measured, known by ``C = W / (W + 1 / tau2)``. What is unknown is
    filled by a network that learns from turned copies of the map, under the mask and positivity: a reference
    that is weak where few views were taken costs wrong views through those directions too little.

    Parameters
    ----------
    halves : list of BackProjector
        One half or class, or both halves if they need not stay independent.
    check : AnisotropyCheck
        Of these sums.
    voxel_size_angstrom : float
        Of the map.
    prior : Prior
        Mask, symmetry, initial reference, views.
    settings : MisalignmentSettings
        What to do.
    training_config : TrainingConfig
        What to train.
    memory : Memory
        The device, and what of its memory may be used.
    start : Network, optional
        Whose weights to start from.
    """
    box, limit = halves[0].box, check.limit_shell
    maps = [half.reconstruct() for half in halves]
    weights = [_weight(half, prior, check) for half in halves]
    weight = np.asarray(np.mean(weights, axis=0), dtype=np.float32)
    if settings.whitening:
        first = box * voxel_size_angstrom / settings.whitening_low
        if first < limit:
            maps = [whiten(volume, first, limit, prior.mask) for volume in maps]
    if prior.initial_map is not None:
        # RELION has low-passed it with an edge of a shell to either side.
        shell = min(round(box * voxel_size_angstrom / prior.initial_resolution_angstrom), limit)
        low = reference_share(box, max(shell - 1, 1), INITIAL_EDGE_SHELLS)
        low_map = symmetrised(prior.initial_map, prior.symmetry)
        maps = [include_reference(volume, low_map, low, weight) for volume in maps]
        weight = np.maximum(weight, low)
    known = FourierWeights(
        weight,
        weight,
        check.shell_signal,
        check.resolution_angstrom,
        white_noise_fraction_in_mask(prior.mask),
    )
    band = correction_band(known, limit)
    measurement, scales = prepare_measurement(maps, known, band, prior.mask, memory.device, positivity=True)
    # The maps are weighted already; the engine takes data as measured, and their weight.
    raw = torch.from_numpy(
        np.where(weight > 0, 1 / np.maximum(weight, SMALLEST_WEIGHT), 0).astype(np.float32)
    )
    raw[0, 0, 0] = 1.0
    measurement = replace(measurement, data=apply_filter(measurement.data, raw.to(memory.device)))
    prediction, losses, network = measurement.weighted_data, [], None
    if training_config.epochs:
        training_job = training_config.training_job("this iteration", measurement, memory, start=start)
        trainer, answer = train(training_job, memory.device, SINGLE_PROCESS, None, resume=False)
        assert answer is not None
        prediction = answer
        losses, network = trainer.epoch_losses, trainer.average
    corrected = recombine(measurement, prediction, maps, scales)
    results = []
    for volume, result in zip(maps, corrected, strict=True):
        reference = result.whole
        inferred = _inferred_power(reference, volume, limit)
        if settings.angular_whiten:
            reference = directional_amplitude_equalisation(reference, weight, voxel_size_angstrom, limit)
        if not settings.fsc_weighting:
            gain = 1 / np.maximum(shell_sums(weight, box) / shell_counts(box), SMALLEST_SHELL_WEIGHT)
            reference = _with_shell_gain(reference, gain)
        if settings.lowpass:
            reference = irfft3((rfft3(reference) * band).astype(np.complex64), reference.shape)
        results.append(
            RegularisedReference(reference, *inferred, measurement.unmeasured_fraction, losses, network)
        )
    return results


def _weight(sums: BackProjector, prior: Prior, check: AnisotropyCheck) -> NDArray[np.float32]:
    """Return the measurement weight from the sums or, where views are given, from their sampling density."""
    measured = sums.measurement_weight()
    if prior.views is None:
        return measured
    n = sums.box
    radius = radius_rfft((n, n, n))
    fsc = np.clip(check.shell_signal, 0.0, 0.999)
    ssnr = shell_curve_to_rfft(fsc / (1 - fsc), n) * _relative_sampling(prior.views, n)
    return np.asarray(np.where(radius < sums.last_shell, ssnr / (1 + ssnr), 0), dtype=np.float32)


def _relative_sampling(views: NDArray[np.float64], n: int) -> NDArray[np.float32]:
    axes = np.broadcast_arrays(*frequency_axes_rfft((n, n, n)))
    frequencies = np.stack([axis.ravel() for axis in reversed(axes)], axis=1)
    return np.asarray(sampling_density(views, frequencies), np.float32).reshape(axes[0].shape)


def directional_amplitude_equalisation(
    volume: NDArray[np.float32], weight_rfft: NDArray[np.float32], voxel_size_angstrom: float, limit: int
) -> NDArray[np.float32]:
    """Make the power of every shell equal over directions, at the level that it has where it is measured.

    Parameters
    ----------
    volume : ndarray
        ``(n, n, n)``.
    weight_rfft : ndarray
        ``(n, n, n // 2 + 1)`` measurement weight.
    voxel_size_angstrom : float
        Of the map.
    limit : int
        Last shell that is known.
    """
    n = len(volume)
    box_angstrom = n * voxel_size_angstrom
    equal = directional_whitening(
        volume, voxel_size_angstrom, box_angstrom / EQUAL_POWER_FROM_SHELL, box_angstrom / limit
    )
    before, after = (shell_sums((np.abs(rfft3(v)) * weight_rfft) ** 2, n) for v in (volume, equal))
    gain = np.divide(before, after, out=np.ones_like(before), where=after > 0)
    return _with_shell_gain(equal, np.sqrt(gain))


def _with_shell_gain(volume: NDArray[np.float32], gain: NDArray[np.float64]) -> NDArray[np.float32]:
    spectrum = rfft3(volume) * shell_curve_to_rfft(gain, len(volume))
    return irfft3(spectrum.astype(np.complex64), volume.shape)


def _inferred_power(
    reference: NDArray[np.float32], measured: NDArray[np.float32], limit: int
) -> tuple[float, float]:
    """Mean over the shells of the share of power that was added, and its median angle from z in degrees."""
    n = len(reference)
    added, whole = (np.abs(rfft3(v)) ** 2 for v in (reference - measured, reference))
    sums = [shell_sums(power, n)[1 : limit + 1] for power in (added, whole)]
    shares = np.divide(sums[0], sums[1], out=np.zeros_like(sums[0]), where=sums[1] > 0)
    radius = radius_rfft((n, n, n))
    inside = (radius >= 1) & (radius <= limit)
    cosine = (np.abs(frequency_axes_rfft((n, n, n))[0]) / np.maximum(radius, 1))[inside]
    # Every shell counts alike, or the strong ones near DC would say it all.
    typical = shell_curve_to_rfft(np.append(1, sums[1]) / np.arange(1, limit + 2) ** 2, n)
    order = np.argsort(cosine)
    cumulative = np.cumsum((added / np.maximum(typical, 1e-30))[inside][order])
    if cumulative[-1] <= 0:
        return 0.0, 0.0
    median = float(cosine[order][np.searchsorted(cumulative, cumulative[-1] / 2)])
    return float(np.clip(shares, 0, 1).mean()), float(np.degrees(np.arccos(min(1.0, median))))
