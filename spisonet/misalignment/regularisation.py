"""Regularisation of one iteration: accumulators of one half (or both) in, regularised references out."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.anisotropy.constraints import deconvolve
from spisonet.anisotropy.fourier_weights import FourierWeights, reference_weight
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

log = logging.getLogger("spisonet")

MIN_WEIGHT = 1e-3
MIN_SHELL_WEIGHT = 0.03
EQUALISE_FROM_SHELL = 3
INITIAL_EDGE_SHELLS = 2


@dataclass(frozen=True)
class RegularisedReference:
    """A regularised reference, with its statistics.

    Attributes
    ----------
    reference : ndarray
        ``(n, n, n)`` in RELION's grey values.
    inferred_fraction : float
        Fraction in 0..1 of the power of the reference that was inferred, averaged over the shells.
    inferred_angle_degrees : float
        Median angle of the inferred power from the z axis.
    unmeasured_fraction : float
        Fraction in 0..1 of the Fourier coefficients that were not measured.
    kept_fraction_of_change : float
        Fraction in 0..1 of the change of RELION's map that the kept initial reference accounts for, averaged
        over the shells; 0 if none is kept.
    losses : list of float
        Training loss of each epoch.
    network : Network or None
        Trained network; None where the constraints were applied without one.
    """

    reference: NDArray[np.float32]
    inferred_fraction: float
    inferred_angle_degrees: float
    unmeasured_fraction: float
    kept_fraction_of_change: float
    losses: list[float]
    network: Network | None


def regularise(
    back_projectors: list[BackProjector],
    check: AnisotropyCheck,
    voxel_size_angstrom: float,
    prior: Prior,
    settings: MisalignmentSettings,
    training_config: TrainingConfig,
    memory: Memory,
    start: Network | None = None,
) -> list[RegularisedReference]:
    """Make regularised references from the accumulators of one half, or of two halves trained together.

    The MAP map of each half is the data, and ``W / (W + 1 / tau2)`` its Fourier weight. Coefficients of low
    weight are predicted by a network that is trained on rotated copies of the map, under the mask and
    positivity constraints. Without this, a reference with little signal in rarely viewed directions attracts
    particles to wrong poses.

    Parameters
    ----------
    back_projectors : list of BackProjector
        Of one half or class, or of both halves if these need not stay independent.
    check : AnisotropyCheck
        Resolution and signal of this iteration.
    voxel_size_angstrom : float
        Voxel size of the map.
    prior : Prior
        Mask, symmetry, initial reference and view directions.
    settings : MisalignmentSettings
        Which corrections to apply.
    training_config : TrainingConfig
        Training parameters; with 0 epochs the constraints are applied without a network.
    memory : Memory
        Device and its memory limit.
    start : Network, optional
        Network from whose weights the training starts.
    """
    limit = check.limit_shell
    relion_maps = maps = [back_projector.reconstruct() for back_projector in back_projectors]
    weights = [_fourier_weight(back_projector, prior, check) for back_projector in back_projectors]
    weight = np.asarray(np.mean(weights, axis=0), dtype=np.float32)
    if settings.whitening:
        first = _shell_at(settings.whitening_low, back_projectors[0].box, voxel_size_angstrom)
        if first < limit:
            maps = [whiten(volume, first, limit, prior.mask) for volume in maps]
    without_initial = maps
    if prior.initial_map is not None:
        maps, weight = _include_initial_map(maps, weight, prior, voxel_size_angstrom, limit)
    fourier_weights = FourierWeights(
        weight,
        weight,
        check.shell_signal,
        check.resolution_angstrom,
        white_noise_fraction_in_mask(prior.mask),
    )
    band = correction_band(fourier_weights, limit)
    measurement, scales = prepare_measurement(
        maps, fourier_weights, band, prior.mask, memory.device, positivity=True
    )
    # A MAP map is weighted already; the engine takes unweighted data, and their weight.
    inverse = torch.from_numpy(np.where(weight > 0, 1 / np.maximum(weight, MIN_WEIGHT), 0).astype(np.float32))
    inverse[0, 0, 0] = 1.0
    measurement = replace(measurement, data=apply_filter(measurement.data, inverse.to(memory.device)))
    losses, network = [], None
    if training_config.epochs:
        training_job = training_config.training_job("this iteration", measurement, memory, start=start)
        log.info(training_job.description)
        trainer, predicted = train(training_job, memory.device, SINGLE_PROCESS, None, resume=False)
        assert predicted is not None
        losses, network = trainer.epoch_losses, trainer.average
        corrected_maps = recombine(measurement, predicted, maps, scales)
    else:
        corrected_maps = deconvolve(measurement, maps, scales)
    references = []
    for i, (volume, corrected) in enumerate(zip(maps, corrected_maps, strict=True)):
        inferred = _inferred_power(corrected.whole, volume, limit)
        reference = _filtered(corrected.whole, weight, band, voxel_size_angstrom, limit, settings)
        kept = _fraction_of_change(volume - without_initial[i], reference - relion_maps[i], reference, limit)
        references.append(
            RegularisedReference(reference, *inferred, measurement.unmeasured_fraction, kept, losses, network)
        )
    return references


def _shell_at(resolution_angstrom: float, box: int, voxel_size_angstrom: float) -> float:
    return box * voxel_size_angstrom / resolution_angstrom


def _include_initial_map(
    maps: list[NDArray[np.float32]],
    weight: NDArray[np.float32],
    prior: Prior,
    voxel_size_angstrom: float,
    limit: int,
) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
    """Replace the low resolutions of maps by those of the initial reference; return maps and weight."""
    assert prior.initial_map is not None
    n = len(prior.initial_map)
    # RELION's low-pass filter has an edge of one shell to either side.
    shell = min(round(_shell_at(prior.initial_resolution_angstrom, n, voxel_size_angstrom)), limit)
    low = reference_weight(n, max(shell - 1, 1), INITIAL_EDGE_SHELLS)
    low_map = symmetrised(prior.initial_map, prior.symmetry)
    return [include_reference(volume, low_map, low, weight) for volume in maps], np.maximum(weight, low)


def _fraction_of_change(
    part: NDArray[np.float32], change: NDArray[np.float32], reference: NDArray[np.float32], limit: int
) -> float:
    """Return the fraction in 0..1 of a change that a part of it accounts for, by projection.

    Both are taken relative to the power of each shell of the reference, so that the strong shells near DC do
    not decide alone.
    """
    n = len(reference)
    spectra = rfft3(part), rfft3(change)
    power = shell_sums(np.abs(rfft3(reference)) ** 2, n)[1 : limit + 1]
    products = ((spectra[0] * spectra[1].conj()).real, np.abs(spectra[1]) ** 2)
    both = [shell_sums(product, n)[1 : limit + 1] for product in products]
    relative = [np.divide(sums, power, out=np.zeros_like(sums), where=power > 0).sum() for sums in both]
    return float(np.clip(relative[0] / relative[1], 0, 1)) if relative[1] > 0 else 0.0


def _filtered(
    reference: NDArray[np.float32],
    weight_rfft: NDArray[np.float32],
    band_rfft: NDArray[np.float32],
    voxel_size_angstrom: float,
    limit: int,
    settings: MisalignmentSettings,
) -> NDArray[np.float32]:
    """Apply the filters that the settings choose to a reference."""
    n = len(reference)
    if settings.angular_whiten:
        reference = directional_amplitude_equalisation(reference, weight_rfft, voxel_size_angstrom, limit)
    if not settings.fsc_weighting:
        gain = 1 / np.maximum(shell_sums(weight_rfft, n) / shell_counts(n), MIN_SHELL_WEIGHT)
        reference = _with_shell_gain(reference, gain)
    if settings.lowpass:
        reference = irfft3((rfft3(reference) * band_rfft).astype(np.complex64), reference.shape)
    return reference


def _fourier_weight(
    back_projector: BackProjector, prior: Prior, check: AnisotropyCheck
) -> NDArray[np.float32]:
    """Return the data weight of the accumulators or, if given, that of the view directions."""
    data_weight = back_projector.data_weight_rfft()
    if prior.view_directions is None:
        return data_weight
    n = back_projector.box
    radius = radius_rfft((n, n, n))
    fsc = np.clip(check.shell_signal, 0.0, 0.999)
    ssnr = shell_curve_to_rfft(fsc / (1 - fsc), n) * _relative_sampling(prior.view_directions, n)
    return np.asarray(np.where(radius < back_projector.r_max, ssnr / (1 + ssnr), 0), dtype=np.float32)


def _relative_sampling(view_directions: NDArray[np.float64], n: int) -> NDArray[np.float32]:
    axes = np.broadcast_arrays(*frequency_axes_rfft((n, n, n)))
    frequencies = np.stack([axis.ravel() for axis in reversed(axes)], axis=1)
    return np.asarray(sampling_density(view_directions, frequencies), np.float32).reshape(axes[0].shape)


def directional_amplitude_equalisation(
    volume: NDArray[np.float32], weight_rfft: NDArray[np.float32], voxel_size_angstrom: float, limit: int
) -> NDArray[np.float32]:
    """Equalise the power over the directions of each shell; the power of measured directions is kept.

    Parameters
    ----------
    volume : ndarray
        ``(n, n, n)`` map.
    weight_rfft : ndarray
        ``(n, n, n // 2 + 1)`` data weight.
    voxel_size_angstrom : float
        Voxel size of the map.
    limit : int
        Last shell with signal.
    """
    n = len(volume)
    box_angstrom = n * voxel_size_angstrom
    equal = directional_whitening(
        volume, voxel_size_angstrom, box_angstrom / EQUALISE_FROM_SHELL, box_angstrom / limit
    )
    before, after = (shell_sums((np.abs(rfft3(v)) * weight_rfft) ** 2, n) for v in (volume, equal))
    gain = np.divide(before, after, out=np.ones_like(before), where=after > 0)
    return _with_shell_gain(equal, np.sqrt(gain))


def _with_shell_gain(volume: NDArray[np.float32], gain: NDArray[np.float64]) -> NDArray[np.float32]:
    spectrum = rfft3(volume) * shell_curve_to_rfft(gain, len(volume))
    return irfft3(spectrum.astype(np.complex64), volume.shape)


def _inferred_power(
    reference: NDArray[np.float32], data_map: NDArray[np.float32], limit: int
) -> tuple[float, float]:
    """Return the inferred fraction of the power (mean over shells) and its median angle from z in degrees."""
    n = len(reference)
    added, whole = (np.abs(rfft3(v)) ** 2 for v in (reference - data_map, reference))
    sums = [shell_sums(power, n)[1 : limit + 1] for power in (added, whole)]
    fractions = np.divide(sums[0], sums[1], out=np.zeros_like(sums[0]), where=sums[1] > 0)
    radius = radius_rfft((n, n, n))
    inside = (radius >= 1) & (radius <= limit)
    cosine = (np.abs(frequency_axes_rfft((n, n, n))[0]) / np.maximum(radius, 1))[inside]
    # Added power is taken relative to the power of its shell s and weighted by (s + 1)^2, about the number of
    # coefficients, so that the strong shells near DC do not dominate the median.
    typical = shell_curve_to_rfft(np.append(1, sums[1]) / np.arange(1, limit + 2) ** 2, n)
    order = np.argsort(cosine)
    cumulative = np.cumsum((added / np.maximum(typical, 1e-30))[inside][order])
    if cumulative[-1] <= 0:
        return 0.0, 0.0
    median = float(cosine[order][np.searchsorted(cumulative, cumulative[-1] / 2)])
    return float(np.clip(fractions, 0, 1).mean()), float(np.degrees(np.arccos(min(1.0, median))))
