"""Turned crops of volumes that were measured in part: what the network sees, and what it is to tell."""

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

MISSING_WEIGHT = 20.0


class SpectralWeight(Protocol):
    """A real function of the spatial frequency."""

    def at(self, points: Tensor) -> Tensor:
        """Value at frequencies ``(..., 3)`` given as ``(x, y, z)`` in cycles per voxel."""


@dataclass(frozen=True)
class TrainingBatch:
    """Crops for one update.

    Attributes
    ----------
    inputs, targets : Tensor
        ``(batch, z, y, x)``.
    residual_weight_rfft : Tensor
        ``(batch, z, y, x // 2 + 1)`` factor of the residual's Fourier coefficients.
    transfer_rfft : Tensor or None
        ``(batch, z, y, x // 2 + 1)`` by which an imaged object's coefficients became the data's.
    """

    inputs: Tensor
    targets: Tensor
    residual_weight_rfft: Tensor
    transfer_rfft: Tensor | None = None

    @classmethod
    def join(cls, batches: list[TrainingBatch]) -> TrainingBatch:
        """Make one batch of several, all with or all without a transfer function."""
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
    """Put a prediction ``(z, y, x)`` where data know nothing, as they would show it.

    Parameters
    ----------
    data, prediction : Tensor
        ``(z, y, x)``.
    weight_rfft : Tensor
        ``(z, y, x // 2 + 1)`` 1 where the data count.
    transfer_rfft : Tensor, optional
        What the prediction was corrected for.
    """
    expected = rfft3(prediction)
    if transfer_rfft is not None:
        expected *= transfer_rfft
    z, y, x = data.shape
    return irfft3(expected + weight_rfft * (rfft3(data) - expected), (z, y, x))


class FilledMapTraining:
    """Source of turned crops of one volume, or of the two halves of one.

    The volume is filled with the network's own prediction where it was not measured (see `refill`),
    turned at random, and filtered by the measurement's weight ``M`` as it stands: the network sees a turned
    object as the same microscope session would have recorded it. The target is the turned raw data of the
    other half, or of the only one. The residual counts only where the turned data are known, ``R M``, in
    two parts: what the input still held (``M``) and what was hidden from it (``1 - M``). The prediction is
    never a target, so errors in it are not confirmed by the loss.

    Parameters
    ----------
    targets : Tensor
        ``(n_halves, z, y, x)`` measured data.
    weight : SpectralWeight
        ``M``.
    subvolume_centres : Tensor
        ``(n, 3)`` voxel coordinates ``(x, y, z)`` around which crops may be drawn.
    cube_size : int
        Crop edge in voxels.
    band_fraction : float
        Where the data's band ends, as a fraction of Nyquist.
    missing_weight : float
        Weight of the hidden part of the residual relative to the visible part.
    max_oversampling : float
        How much finer the grid may be that turned crops are read from; a coarser one saves memory.
    noise : SpectralWeight, optional
        Standard deviation of the data's noise in every coefficient, for white noise of 1; the filled part of
        an input gets as much, so that what is turned into view is as noisy as what a measurement shows.
    transfer : SpectralWeight, optional
        Transfer function that predictions are to be corrected for.

    References
    ----------
    Wiedemann & Heckel (2024) Nat. Commun. 15, 8255 (DeepDeWedge), for refilling and the split loss;
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
    ) -> None:
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
        """Add noise to the inputs from now on, in addition to what makes the filled part as noisy.

        Parameters
        ----------
        noise : SpectralWeight or None
            Relative amplitude of its coefficients; None for no noise.
        level : float
            Its standard deviation once it has passed the measurement's weight.
        """
        self._added_noise_rfft = None
        if noise is not None and level:
            amplitude = noise.at(self._points)
            passed = (amplitude * self._input_weight).square().mean().sqrt()
            self._added_noise_rfft = amplitude * (level / passed)

    def update_missing_region(self, filled: Tensor) -> None:
        """Take other volumes ``(n_halves, z, y, x)`` for inputs: the data, filled where they know little."""
        self.release()  # before the new one is oversampled, to save memory
        self._inputs = OversampledVolumes(filled, self._band_fraction, self._max_oversampling)

    def release(self) -> None:
        """Forget the filled volumes."""
        self._inputs = self._targets

    def draw(self, n_subvolumes: int, rng: np.random.Generator) -> TrainingBatch:
        """Draw crops at random places and in random orientations."""
        device = self._points.device
        rotations = draw_rotations(n_subvolumes, rng, device)
        crops = draw_subvolumes(self._subvolume_centres, self._n_halves, rotations, self._cube_size, rng)
        # The weight of the turned map at frequency k is M(R^T k).
        known = self._weight.at(torch.einsum("bji,zyxj->bzyxi", rotations, self._points))
        inputs = self._inputs.at(crops.positions, crops.inputs)
        amplitude = self._noise_amplitude(known)
        if amplitude is not None:
            generator = torch.Generator(device).manual_seed(int(rng.integers(2**63)))
            white = torch.randn(inputs.shape, device=device, generator=generator)
            inputs = inputs + apply_filter(white, amplitude)
        return TrainingBatch(
            inputs=apply_filter(inputs, self._input_weight),
            targets=self._targets.at(crops.positions, crops.targets),
            residual_weight_rfft=known * self._residual_weight,
            transfer_rfft=None if self._transfer_rfft is None else self._transfer_rfft.expand(known.shape),
        )

    def _noise_amplitude(self, known: Tensor) -> Tensor | None:
        """Amplitude of the noise that inputs get, if they get any."""
        if self._noise_rfft is None:
            return self._added_noise_rfft
        matching = self._noise_rfft * (1.0 - known)
        if self._added_noise_rfft is None:
            return matching
        return torch.sqrt(matching**2 + self._added_noise_rfft**2)
