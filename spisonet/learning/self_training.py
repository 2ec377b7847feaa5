"""Filled-map self-training: rotated subvolumes of incompletely measured volumes as inputs and targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from spisonet.learning.spectra import (
    MAX_OVERSAMPLING,
    OversampledVolumes,
    apply_filter,
    frequency_points_rfft,
    irfft3,
    rfft3,
)
from spisonet.learning.subvolumes import draw_rotations, draw_subvolumes

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from torch import Tensor

    from spisonet.learning.subvolumes import SubvolumeBatch

MISSING_WEIGHT = 20.0


class SpectralWeight(Protocol):
    """A real function of the spatial frequency."""

    def at(self, points: Tensor) -> Tensor:
        """Value at frequencies ``(..., 3)`` given as ``(x, y, z)`` in cycles per voxel."""


@dataclass(frozen=True)
class TrainingBatch:
    """Subvolumes for one update.

    Attributes
    ----------
    inputs, targets : Tensor
        ``(batch, z, y, x)``.
    residual_weight_rfft : Tensor
        ``(batch, z, y, x // 2 + 1)`` weight of the residual's Fourier coefficients.
    transfer_rfft : Tensor or None
        ``(batch, z, y, x // 2 + 1)`` transfer function of the imaging, applied to predictions.
    """

    inputs: Tensor
    targets: Tensor
    residual_weight_rfft: Tensor
    transfer_rfft: Tensor | None = None

    @classmethod
    def join(cls, batches: list[TrainingBatch]) -> TrainingBatch:
        """Concatenate batches, all with or all without a transfer function."""
        transfers = [batch.transfer_rfft for batch in batches if batch.transfer_rfft is not None]
        return cls(
            torch.cat([batch.inputs for batch in batches]),
            torch.cat([batch.targets for batch in batches]),
            torch.cat([batch.residual_weight_rfft for batch in batches]),
            torch.cat(transfers) if transfers else None,
        )

    def loss(self, network: Callable[[Tensor], Tensor]) -> Tensor:
        """Mean squared residual, weighted in Fourier space."""
        prediction = network(self.inputs)
        if self.transfer_rfft is not None:
            prediction = apply_filter(prediction, self.transfer_rfft)
        return apply_filter(prediction - self.targets, self.residual_weight_rfft).square().mean()


def fill_unmeasured(
    data: Tensor, prediction: Tensor, weight_rfft: Tensor, transfer_rfft: Tensor | None = None
) -> Tensor:
    """Replace the unmeasured part of the data by a prediction.

    Parameters
    ----------
    data, prediction : Tensor
        ``(z, y, x)``.
    weight_rfft : Tensor
        ``(z, y, x // 2 + 1)`` weight of the data in 0..1.
    transfer_rfft : Tensor, optional
        Transfer function that the prediction was corrected for.
    """
    expected = rfft3(prediction)
    if transfer_rfft is not None:
        expected *= transfer_rfft
    z, y, x = data.shape
    return irfft3(expected + weight_rfft * (rfft3(data) - expected), (z, y, x))


class FilledMapTraining:
    """Source of rotated subvolumes of one volume or of two half volumes: *filled-map self-training*.

    The missing region of the volume is filled with the network's own prediction (`update_missing_region`).
    The completed volume is rotated at random and filtered by the unrotated weight ``C`` of the measurement,
    which simulates the same experiment on a rotated object. The target is the rotated raw data of the other
    half, or of the only map. The residual is weighted by the rotated weight ``R C`` of the target, with
    separate factors for the part visible in the input (``C``) and for the part missing from it (``1 - C``).
    Predictions are never targets, so the loss does not confirm errors in them.

    Parameters
    ----------
    targets : Tensor
        ``(n_halves, z, y, x)`` measured data.
    weight : SpectralWeight
        ``C``; for tomograms, the missing wedge.
    subvolume_centres : Tensor
        ``(n, 3)`` voxel coordinates ``(x, y, z)`` at which subvolumes may be centred.
    cube_size : int
        Subvolume edge in voxels.
    band_fraction : float
        Upper limit of the data's band, as a fraction of Nyquist.
    missing_weight : float
        Weight of the missing part of the residual relative to the visible part.
    max_oversampling : float
        Maximum oversampling factor of the interpolation grid; a lower one saves memory.
    noise : SpectralWeight, optional
        Standard deviation of the data's noise by frequency, relative to white noise of 1. Noise of this
        amplitude is added to the filled part of an input, which then is as noisy as measured data.
    transfer : SpectralWeight, optional
        Transfer function that predictions are corrected for.
    own_orientation : float
        Fraction of the subvolumes that are drawn in the orientation of the volume or after a half turn about
        one of its axes. They contain no information on unmeasured frequencies, but match the orientation in
        which a network that denoises is applied.

    References
    ----------
    Wiedemann & Heckel (2024) Nat. Commun. 15, 8255 (DeepDeWedge), for the filled input and the split loss;
    Lehtinen et al. (2018) Noise2Noise, arXiv:1803.04189.
    """

    def __init__(
        self,
        targets: Tensor,
        weight: SpectralWeight,
        subvolume_centres: Tensor,
        cube_size: int,
        band_fraction: float,
        missing_weight: float = MISSING_WEIGHT,
        max_oversampling: float = MAX_OVERSAMPLING,
        noise: SpectralWeight | None = None,
        transfer: SpectralWeight | None = None,
        own_orientation: float = 0.0,
    ) -> None:
        self._own_orientation = own_orientation
        self._subvolume_centres, self._cube_size = subvolume_centres, cube_size
        self._band_fraction, self._max_oversampling = band_fraction, max_oversampling
        self._weight = weight
        self._points = frequency_points_rfft(cube_size, targets.device)
        self._input_weight = weight.at(self._points)
        visible = self._input_weight
        self._residual_weight = torch.sqrt(visible**2 + missing_weight * (1.0 - visible) ** 2)
        self._noise_rfft = None if noise is None else noise.at(self._points)
        self._transfer_rfft = None if transfer is None else transfer.at(self._points)
        self._targets = OversampledVolumes(targets, band_fraction, max_oversampling)
        self._inputs = self._targets
        self._n_halves = len(targets)
        self._added_noise_rfft: Tensor | None = None

    def add_noise(self, noise: SpectralWeight | None, level: float = 0.0) -> None:
        """Set the noise that is added to inputs, beside the noise of the filled part.

        Parameters
        ----------
        noise : SpectralWeight or None
            Relative amplitude by frequency; None for no noise.
        level : float
            Standard deviation after filtering by the measurement's weight.
        """
        self._added_noise_rfft = None
        if noise is not None and level:
            amplitude = noise.at(self._points)
            passed = (amplitude * self._input_weight).square().mean().sqrt()
            self._added_noise_rfft = amplitude * (level / passed)

    def update_missing_region(self, completed: Tensor) -> None:
        """Draw inputs from completed volumes ``(n_halves, z, y, x)`` from now on."""
        self.discard_completed()  # before the new one is oversampled, to save memory
        self._inputs = OversampledVolumes(completed, self._band_fraction, self._max_oversampling)

    def discard_completed(self) -> None:
        """Free the memory of the completed volumes; inputs are then drawn from the data."""
        self._inputs = self._targets

    def draw(self, n_subvolumes: int, rng: np.random.Generator) -> DrawnBatch:
        """Draw subvolumes at random positions and in random orientations."""
        device = self._points.device
        rotations = draw_rotations(n_subvolumes, rng, device, self._own_orientation)
        subvolumes = draw_subvolumes(self._subvolume_centres, self._n_halves, rotations, self._cube_size, rng)
        noisy = self._noise_rfft is not None or self._added_noise_rfft is not None
        noise_seed = int(rng.integers(2**63)) if noisy else 0
        return DrawnBatch(((self, subvolumes, noise_seed),))

    def sample(self, subvolumes: SubvolumeBatch, noise_seed: int, part: slice) -> TrainingBatch:
        """Interpolate a part of the drawn subvolumes.

        Parameters
        ----------
        subvolumes : SubvolumeBatch
            Positions and orientations.
        noise_seed : int
            Seed of the noise that is added to the inputs.
        part : slice
            Part of the subvolumes.
        """
        device, drawn = self._points.device, subvolumes.part(part)
        # The weight of the rotated data at frequency k is C(R^T k).
        rotated_weight = self._weight.at(torch.einsum("bji,zyxj->bzyxi", drawn.rotations, self._points))
        positions = drawn.positions()
        inputs = self._inputs.at(positions, drawn.inputs)
        amplitude = self._noise_amplitude(rotated_weight)
        if amplitude is not None:
            generator = torch.Generator(device).manual_seed(noise_seed)
            # For the whole batch, so that the noise of a subvolume does not depend on the parts.
            shape = len(subvolumes), *inputs.shape[1:]
            white = torch.randn(shape, device=device, generator=generator)[part]
            inputs = inputs + apply_filter(white, amplitude)
        transfer = self._transfer_rfft
        return TrainingBatch(
            inputs=apply_filter(inputs, self._input_weight),
            targets=self._targets.at(positions, drawn.targets),
            residual_weight_rfft=rotated_weight * self._residual_weight,
            transfer_rfft=None if transfer is None else transfer.expand(rotated_weight.shape),
        )

    def _noise_amplitude(self, rotated_weight: Tensor) -> Tensor | None:
        """Amplitude by frequency of the noise that is added to inputs; None for no noise."""
        if self._noise_rfft is None:
            return self._added_noise_rfft
        matching = self._noise_rfft * (1.0 - rotated_weight)
        if self._added_noise_rfft is None:
            return matching
        return torch.sqrt(matching**2 + self._added_noise_rfft**2)


@dataclass(frozen=True)
class DrawnBatch:
    """Random choices for a batch, whose subvolumes are interpolated when a part of it is computed.

    Attributes
    ----------
    pieces : tuple of (FilledMapTraining, SubvolumeBatch, int)
        Source, positions and orientations, and seed of the noise, for each source of subvolumes.
    """

    pieces: tuple[tuple[FilledMapTraining, SubvolumeBatch, int], ...]

    @classmethod
    def join(cls, batches: list[DrawnBatch]) -> DrawnBatch:
        """Concatenate batches of several sources."""
        return cls(tuple(piece for batch in batches for piece in batch.pieces))

    def sample(self, part: slice) -> TrainingBatch:
        """Interpolate a part of the batch."""
        sampled, first = [], 0
        for source, subvolumes, noise_seed in self.pieces:
            start, stop = max(part.start - first, 0), min(part.stop - first, len(subvolumes))
            if start < stop:
                sampled.append(source.sample(subvolumes, noise_seed, slice(start, stop)))
            first += len(subvolumes)
        return TrainingBatch.join(sampled)

    def loss(self, network: Callable[[Tensor], Tensor], part: slice) -> Tensor:
        """Mean squared residual of a part of the batch, weighted in Fourier space."""
        return self.sample(part).loss(network)
