"""Training objective for tomograms: denoising and filling of missing wedges."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from spisonet.learning.objectives import MIN_REFRESH_INTERVAL
from spisonet.learning.self_training import TrainingBatch
from spisonet.learning.spectra import (
    RadialWeight,
)
from spisonet.tomography.training_region import TrainingRegion
from spisonet.tomography.training_set import UPDATED_PER_SUBVOLUME, SubvolumeRegion, TrainingSet

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from spisonet.tomography.training_method import TrainingMethod


class TomogramObjective:
    """`FilledMapTraining` on several tomograms, each with its own missing wedge.

    Parameters
    ----------
    training_set : TrainingSet
        Tomograms and subvolume centres.
    method : TrainingMethod
        Method of training.
    subvolumes_per_epoch : int
        Length of an epoch. The same regions are used for a round of epochs, long enough that the cost of
        filling them stays small beside that of training.
    """

    def __init__(self, training_set: TrainingSet, method: TrainingMethod, subvolumes_per_epoch: int) -> None:
        self._training_set, self._method = training_set, method
        self._chosen = training_set.draw_regions(0, method.cube_size)
        n_voxels = [training_set.n_voxels(region, method.cube_size) for region in self._chosen]
        self._mean_voxels = float(np.mean(n_voxels))
        updated_per_epoch = UPDATED_PER_SUBVOLUME * subvolumes_per_epoch * method.cube_size**3
        self._epochs_per_round = math.ceil(sum(n_voxels) / updated_per_epoch)
        self._round = -1
        self._regions: list[TrainingRegion] = []
        self._probabilities = np.empty(0)
        self._next, self._at_start, self._filled = 0, True, False

    def begin_epoch(self, number: int) -> None:
        """Load the regions of the tomograms that this epoch uses."""
        training_set, cube_size = self._training_set, self._method.cube_size
        round_number = number // self._epochs_per_round
        same_round = round_number == self._round
        chosen = self._chosen if same_round else training_set.draw_regions(round_number, cube_size)
        if chosen != self._chosen or not self._regions:
            self._regions.clear()  # frees memory before the new ones are read
            n_voxels = sum(training_set.n_voxels(region, cube_size) for region in chosen)
            oversampling = training_set.oversampling(n_voxels)
            self._regions = [self._load(region, oversampling) for region in chosen]
            self._probabilities = training_set.probabilities(chosen)
        self._filled = self._filled and same_round
        self._chosen, self._round = chosen, round_number
        level = self._method.noise_level(number)
        for region in self._regions:
            region.training.add_noise(RadialWeight(self._method.noise_curve), level)
        self._next, self._at_start = 0, True

    def _load(self, region: SubvolumeRegion, oversampling: float) -> TrainingRegion:
        tomogram = self._training_set.tomograms[region.tomogram_index]
        centres = self._training_set.centres[region.tomogram_index]
        device = self._training_set.device
        return TrainingRegion(tomogram, region, centres, self._method, device, oversampling)

    def refresh_interval(self, batch_size: int) -> int:
        """Return the number of batches between two updates of a region: a quarter of the cost of training."""
        update = UPDATED_PER_SUBVOLUME * batch_size * self._method.cube_size**3
        return max(MIN_REFRESH_INTERVAL, math.ceil(self._mean_voxels / update))

    def refresh(self, predict: Callable[[Tensor], Tensor]) -> None:
        """Update all regions at the start of a round of epochs, later one region at a time."""
        if not self._filled:
            for region in self._regions:
                region.update_missing_region(predict)
        elif not self._at_start:
            self._regions[self._next % len(self._regions)].update_missing_region(predict)
            self._next += 1
        self._filled, self._at_start = True, False

    def loss(
        self, network: Callable[[Tensor], Tensor], n_subvolumes: int, rng: np.random.Generator
    ) -> Tensor:
        """Mean squared residual, weighted in Fourier space, of randomly drawn subvolumes."""
        counts = rng.multinomial(n_subvolumes, self._probabilities)
        drawn = [r.training.draw(int(n), rng) for r, n in zip(self._regions, counts, strict=True) if n]
        return TrainingBatch.join(drawn).loss(network)

    def predict(self, predict: Callable[[Tensor], Tensor]) -> None:
        """Do nothing: tomograms are predicted by a separate command."""
