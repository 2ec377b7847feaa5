"""A prior from other structures: the prediction of a network that was trained on maps of known proteins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from spisonet.errors import SpisonetError
from spisonet.geometry.rotations import tetrahedral_rotations
from spisonet.learning.checkpoint import load_network
from spisonet.learning.devices import Backend
from spisonet.learning.measurement import CONTEXT_VOXELS, SUPPORT_THRESHOLD
from spisonet.learning.rotational_averaging import rotate90
from spisonet.learning.spectra import (
    apply_filter,
    fourier_crop,
    fourier_interpolate,
)
from spisonet.learning.tiling import predict_volumes
from spisonet.learning.unet import PriorUNet, fused
from spisonet.learning.whitening import shell_amplitude_rfft, whitening_rfft, whitening_scale

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from spisonet.learning.measurement import Measurement
    from spisonet.learning.memory import Memory

PRIOR_NETWORK_FILE = Path(__file__).parent / "networks" / "structural_prior.safetensors"
DEFAULT_PRIOR, NO_PRIOR = "default", "none"
BAND_FRACTION = 0.7  # of Nyquist, on the grid of the network: details have a similar size in voxels


@dataclass(frozen=True)
class PriorInputs:
    """What the prior network is applied to, and how its prediction is converted back.

    Attributes
    ----------
    volumes : Tensor
        ``(n_halves, 2, m, m, m)``: the data weighted by ``M``, and the map completed by constraints, both
        divided by the shell amplitudes of the signal and by `scales`, on the grid of the network.
    amplitude_rfft : Tensor
        ``(z, y, x // 2 + 1)`` shell amplitude of the signal; 0 outside the band.
    scales : Tensor
        ``(n_halves,)`` root mean square of the second volume inside the support.
    """

    volumes: Tensor
    amplitude_rfft: Tensor
    scales: Tensor


class StructuralPrior:
    """Prediction of a map by a network that was trained on simulated maps of other structures.

    The network completes the map that was completed by constraints, as it completes maps of the
    structures that it was trained on. It was trained in all orientations of the grid, and averages over
    rotated copies are not better than the prediction of the map as it is (``benchmarks/RESULTS.md``).

    Parameters
    ----------
    network : PriorUNet
        The trained network.
    memory : Memory
        Memory of the device of the measurements.

    References
    ----------
    Kimanius et al. (2024) Nat. Methods 21, 1216-1221 (Blush), for a network trained on other structures as
    prior of a reconstruction.
    """

    def __init__(self, network: PriorUNet, memory: Memory) -> None:
        self._backend = Backend(memory.device, bfloat16=False)
        self._network = self._backend.to_device(fused(network))
        self._tile_size = memory.largest_tile(network)

    def predict(
        self, measurement: Measurement, completed: Tensor, rotations: NDArray[np.float64] | None = None
    ) -> Tensor:
        """Predict the maps ``(n_halves, z, y, x)`` of a measurement with a support and a view weight.

        Parameters
        ----------
        measurement : Measurement
            The measurement.
        completed : Tensor
            ``(n_halves, z, y, x)`` its maps, completed by constraints.
        rotations : ndarray, optional
            ``(n, 3, 3)`` rotations of the cube over which predictions are averaged; none by default.
        """
        inputs = prior_inputs(measurement, completed)
        region = _region_of_network(measurement, inputs.volumes.shape[-1])
        within = inputs.volumes[(slice(None), slice(None), *region)]
        rotations = tetrahedral_rotations()[:1] if rotations is None else rotations
        predicted = torch.zeros_like(inputs.volumes[:, 0])
        for rotation in rotations:
            copies = torch.stack([torch.stack([rotate90(v, rotation) for v in pair]) for pair in within])
            with torch.no_grad():
                of_copies = predict_volumes(
                    lambda v: self._backend.apply(self._network, v), copies, self._tile_size
                )
            back = torch.stack([rotate90(v, rotation.T) for v in of_copies])
            predicted[(slice(None), *region)] += back / len(rotations)
        predicted *= inputs.scales[:, None, None, None]
        whole = torch.stack([fourier_interpolate(volume, measurement.shape) for volume in predicted])
        return apply_filter(whole, inputs.amplitude_rfft)


def read_prior_network(prior: str) -> PriorUNet | None:
    """Read the network of the option ``--prior``.

    Parameters
    ----------
    prior : str
        ``default`` for the network that comes with the program, ``none``, or a file.

    Raises
    ------
    SpisonetError
        If the file does not contain a prior network.
    """
    if prior == NO_PRIOR:
        return None
    path = PRIOR_NETWORK_FILE if prior == DEFAULT_PRIOR else Path(prior)
    network, _ = load_network(path)
    if not isinstance(network, PriorUNet):
        raise SpisonetError(
            f"{path} contains a network that was trained on one map, not a prior network.", field="prior"
        )
    return network


def prior_inputs(measurement: Measurement, completed: Tensor) -> PriorInputs:
    """Return what the prior network is applied to.

    Parameters
    ----------
    measurement : Measurement
        With a support and a view weight.
    completed : Tensor
        ``(n_halves, z, y, x)`` maps completed by constraints.
    """
    amplitude = shell_amplitude_rfft(measurement)
    whitening = whitening_rfft(measurement, amplitude)
    grid = network_grid(measurement)
    volumes, scales = [], []
    for data, whole in zip(measurement.data, completed, strict=True):
        weighted = apply_filter(data, whitening * measurement.data_weight_rfft)
        whitened = apply_filter(whole, whitening)
        scale = whitening_scale(measurement, whitened)
        volumes.append(torch.stack([fourier_crop(v / scale, grid) for v in (weighted, whitened)]))
        scales.append(scale)
    return PriorInputs(torch.stack(volumes), amplitude, torch.stack(scales))


def network_grid(measurement: Measurement) -> tuple[int, int, int]:
    """Box on which the network is applied: the band ends near 0.7 of Nyquist, if it ends below that."""
    factor = min(1.0, measurement.band_fraction / BAND_FRACTION)
    z, y, x = (min(n, 2 * math.ceil(factor * n / 2)) for n in measurement.shape)
    return z, y, x


def _region_of_network(measurement: Measurement, edge: int) -> tuple[slice, slice, slice]:
    """Box around the support on the grid of the network, with context."""
    assert measurement.support is not None
    factor, region = edge / measurement.shape[0], []
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        inside = torch.nonzero(measurement.support.amax(dim=others) > SUPPORT_THRESHOLD)
        first, last = (int(inside[0]), int(inside[-1])) if len(inside) else (0, measurement.shape[0] - 1)
        start = max(0, math.floor(first * factor) - CONTEXT_VOXELS)
        region.append(slice(start, min(edge, math.ceil(last * factor) + 1 + CONTEXT_VOXELS)))
    return region[0], region[1], region[2]
