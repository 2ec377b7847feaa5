"""A region of a tomogram in device memory, from which training subvolumes are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.learning.self_training import FilledMapTraining, fill_unmeasured
from spisonet.learning.spectra import RadialWeight, WedgeWeight, frequency_points_rfft
from spisonet.tomography.tomogram import CLIP

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from spisonet.tomography.tomogram import Tomogram
    from spisonet.tomography.training_method import TrainingMethod
    from spisonet.tomography.training_set import SubvolumeRegion

OWN_ORIENTATION = 0.5  # fraction of subvolumes in the tomogram's own axes, for a network that only denoises


class TrainingRegion:
    """A region of a tomogram in device memory, with a margin that is mirrored at the tomogram's borders.

    Parameters
    ----------
    tomogram : Tomogram
        The tomogram.
    region : SubvolumeRegion
        Region of the tomogram.
    centres : ndarray
        ``(n, 3)`` voxel coordinates ``(x, y, z)`` in the tomogram. Used are those whose subvolume lies inside
        the region.
    method : TrainingMethod
        Method of training.
    device : torch.device
        Device that holds the region.
    max_oversampling : float
        See `FilledMapTraining`.
    """

    def __init__(
        self,
        tomogram: Tomogram,
        region: SubvolumeRegion,
        centres: NDArray[np.int16],
        method: TrainingMethod,
        device: torch.device,
        max_oversampling: float,
    ) -> None:
        chunk = region.chunk(tomogram, method.cube_size)
        self.data = torch.from_numpy(tomogram.read_halves(chunk)).clamp_(-CLIP, CLIP).to(device)
        centre_ranges = [
            _centre_range(axis, n, method.cube_size)
            for axis, n in zip(region.slices, tomogram.shape, strict=True)
        ]
        first, last = np.array(centre_ranges)[::-1].T
        inside = np.all((centres >= first) & (centres <= last), axis=1)
        centres_in_chunk = (centres[inside] - np.array(chunk.first[::-1])).astype(np.float32)
        self._fill = method.fill
        wedge = WedgeWeight(*(tomogram.tilt_range_degrees if method.fill else (-90.0, 90.0)))
        points = frequency_points_rfft(chunk.shape, device)
        self._wedge_rfft = wedge.at(points)
        amplitude = tomogram.ctf_amplitude
        ctf = None if amplitude is None else RadialWeight(amplitude)
        denoiser = method.denoiser
        # What is denoised is also corrected for the CTF, as the predictions that fill it.
        self._ctf_rfft = None if ctf is None or denoiser is not None else ctf.at(points)
        self._inputs = self.data if denoiser is None else denoiser.apply(self.data)
        # Inputs that are denoised need no noise in their filled part.
        noise = tomogram.noise_amplitude if method.fill and denoiser is None else None
        self.training = FilledMapTraining(
            self.data,
            wedge,
            torch.from_numpy(centres_in_chunk).to(device),
            method.cube_size,
            1.0,
            method.missing_weight,
            max_oversampling,
            None if noise is None else RadialWeight(noise),
            ctf,
            0.0 if method.fill else OWN_ORIENTATION,
        )

    def update_missing_region(self, predict: Callable[[Tensor], Tensor]) -> None:
        """Replace the missing wedge of the inputs by the network's prediction."""
        if not self._fill:
            return
        filled = [
            fill_unmeasured(half, prediction, self._wedge_rfft, self._ctf_rfft)
            for half, prediction in zip(self._inputs, predict(self._inputs), strict=True)
        ]
        self.training.update_missing_region(torch.stack(filled))


def _centre_range(axis: slice, n: int, cube_size: int) -> tuple[int, int]:
    """First and last centre of subvolumes inside a section of an axis of `n` voxels."""
    half = min(cube_size, n) // 2
    return axis.start + half, max(axis.stop - half, axis.start + half)
