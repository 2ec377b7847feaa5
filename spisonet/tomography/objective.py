"""Training objective for tomograms: denoising and filling of missing wedges."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spisonet.learning.refresh_schedule import refresh_interval
from spisonet.learning.self_training import DrawnBatch
from spisonet.learning.spectra import RadialWeight
from spisonet.tomography.denoiser import N_PREDICTIONS
from spisonet.tomography.training_region import TrainingRegion

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from spisonet.tomography.training_method import TrainingMethod
    from spisonet.tomography.training_set import SubvolumeRegion, TrainingSet

REFRESHES_PER_ROUND = 2  # of the same regions


class TomogramObjective:
    """`FilledMapTraining` on several tomograms, each with its own missing wedge.

    All regions in memory are refreshed together, at intervals that limit the cost to a fifth of the
    training. If the tomograms do not fit into memory, every second refresh replaces the regions by others.

    Parameters
    ----------
    training_set : TrainingSet
        Tomograms and subvolume centres.
    method : TrainingMethod
        Method of training.
    """

    def __init__(self, training_set: TrainingSet, method: TrainingMethod) -> None:
        self._training_set, self._method = training_set, method
        self._chosen: list[SubvolumeRegion] = []
        self._regions: list[TrainingRegion] = []
        self._probabilities = np.empty(0)
        self._noise_level = 0.0

    def begin_epoch(self, number: int) -> None:
        """Set the noise that is added in an epoch."""
        self._noise_level = self._method.noise_level(number)
        self._set_noise()

    def refresh_interval(self, batch_size: int) -> int:
        """Return the number of updates between two refreshes of all regions."""
        training_set, cube_size = self._training_set, self._method.cube_size
        n_voxels = training_set.max_voxels_per_round(cube_size)
        if self._method.denoiser is not None and not training_set.is_drawn_as_a_whole(cube_size):
            n_voxels += n_voxels * N_PREDICTIONS // REFRESHES_PER_ROUND  # of new regions by the denoiser
        return refresh_interval(n_voxels, batch_size, cube_size)

    def memory_settings(self) -> dict[str, float]:
        """Return the memory for the regions, on which their number, size and oversampling depend."""
        return {"memory_bytes": self._training_set.memory_bytes}

    def restore_memory_settings(self, settings: dict[str, float]) -> None:
        """Draw the same regions as the run that is resumed, whatever memory is free now."""
        self._training_set = replace(self._training_set, memory_bytes=settings["memory_bytes"])

    def refresh(self, number: int, predict: Callable[[Tensor], Tensor]) -> None:
        """Fill the missing wedges of all regions; load other regions first if a new round begins."""
        training_set, cube_size = self._training_set, self._method.cube_size
        chosen = training_set.draw_regions(number // REFRESHES_PER_ROUND, cube_size)
        if chosen != self._chosen:
            self._regions.clear()  # frees memory before the new ones are read
            n_voxels = sum(training_set.n_voxels(region, cube_size) for region in chosen)
            oversampling = training_set.oversampling(n_voxels)
            self._regions = [self._load(region, oversampling) for region in chosen]
            self._chosen, self._probabilities = chosen, training_set.probabilities(chosen)
            self._set_noise()
        for region in self._regions:
            region.update_missing_region(predict)

    def _load(self, region: SubvolumeRegion, oversampling: float) -> TrainingRegion:
        tomogram = self._training_set.tomograms[region.tomogram_index]
        centres = self._training_set.centres[region.tomogram_index]
        device = self._training_set.device
        return TrainingRegion(tomogram, region, centres, self._method, device, oversampling)

    def _set_noise(self) -> None:
        for region in self._regions:
            region.training.add_noise(RadialWeight(self._method.noise_curve), self._noise_level)

    def draw(self, n_subvolumes: int, rng: np.random.Generator) -> DrawnBatch:
        """Draw subvolumes from all regions, at random positions and in random orientations."""
        counts = rng.multinomial(n_subvolumes, self._probabilities)
        drawn = [r.training.draw(int(n), rng) for r, n in zip(self._regions, counts, strict=True) if n]
        return DrawnBatch.join(drawn)

    @property
    def n_predictions(self) -> int:
        """Nothing is predicted."""
        return 0

    def predict(self, predict: Callable[[Tensor], Tensor]) -> None:
        """Do nothing: tomograms are predicted by a separate command."""
