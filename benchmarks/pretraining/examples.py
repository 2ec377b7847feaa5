"""Training examples, from which subvolumes are drawn: maps and tomograms in one form.

An example has inputs, the true density on their grey scale, and Fourier weights that say what was measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from spisonet.fourier.filters import RadialCurve
from spisonet.geometry.rotations import cube_rotations, random_rotations
from spisonet.learning.rotational_averaging import rotate90
from spisonet.learning.spectra import (
    FourierWeight,
    RadialWeight,
    WedgeWeight,
    apply_filter,
    frequency_points_rfft,
    rfft3,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from spisonet.learning.self_training import SpectralWeight

CPU = torch.device("cpu")
MEASURED_WEIGHT = 0.3  # of a residual where the data are perfectly measured
GAIN_SHARE, GAIN_DEVIATION, GAIN_NODES = 0.5, 0.5, 5
AVERAGE_TWICE = (0, 0, 1, 2)  # of the average and of both halves
INVERTED_SHARE = 0.25  # of the subvolumes of tomograms, in which density is bright
MAX_SHIFT = 6  # voxels, of a subvolume from a voxel inside the support
MAX_CENTRES = 50_000
SHELLS, WHITENING = (
    24,
    0.25,
)  # of the residuals of tomograms: amplitudes of shells to this negative power of 2


@dataclass(frozen=True)
class Example:
    """Inputs and target of one case.

    Attributes
    ----------
    inputs : ndarray
        ``(k, c, z, y, x)`` inputs of ``c`` channels.
    chosen : tuple of int
        Inputs to draw from; those that stand there twice are drawn twice as often.
    target : ndarray
        ``(z, y, x)``.
    centres : ndarray
        ``(n, 3)`` voxels inside the support.
    weight : SpectralWeight
        What was measured, 0 to 1; residuals count less there.
    input_weight : SpectralWeight or None
        Weight by which inputs are filtered; None for none.
    filters : tuple of {"none", "own", "rotated"}
        How: not at all, by the weight as it is, or by a rotated one. Each is drawn equally often.
    rotations : tuple of ndarray
        ``(3, 3)`` rotations of the cube in which subvolumes are seen.
    frequency_factor : float
        From frequencies of the grid of the network to those of the weights.
    residual_curve : RadialWeight or None
        Further weight of the residuals by frequency.
    inverted_share : float
        Fraction of the subvolumes whose contrast is inverted.
    """

    inputs: NDArray[np.float16]
    chosen: tuple[int, ...]
    target: NDArray[np.float16]
    centres: NDArray[np.int64]
    weight: SpectralWeight
    input_weight: SpectralWeight | None
    filters: tuple[str, ...]
    rotations: tuple[NDArray[np.float64], ...]
    frequency_factor: float = 1.0
    residual_curve: RadialWeight | None = None
    inverted_share: float = 0.0

    @classmethod
    def read(cls, path: Path) -> Example:
        """Read a case of maps or of tomograms."""
        with np.load(path) as file:
            arrays = {name: file[name] for name in file}
        return _of_tomograms(arrays) if "tilt_range_degrees" in arrays else _of_maps(arrays)

    def draw(self, edge: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw a subvolume: inputs ``(c, ...)``, target, and weights of the residual's spectrum."""
        which = int(rng.choice(self.chosen))
        shift = rng.integers(-MAX_SHIFT, MAX_SHIFT + 1, 3)
        centre = self.centres[rng.integers(len(self.centres))] + shift
        first = np.clip(centre - edge // 2, 0, np.array(self.target.shape) - edge)
        part = tuple(slice(int(start), int(start) + edge) for start in first)
        inputs = torch.from_numpy(self.inputs[(which, slice(None), *part)].astype(np.float32))
        target = torch.from_numpy(self.target[part].astype(np.float32))
        points = frequency_points_rfft(edge, CPU) * self.frequency_factor
        if rng.random() < GAIN_SHARE:
            gain = _smooth_gain(edge, rng)
            inputs, target = inputs * gain, target * gain
        if rng.random() < self.inverted_share:
            inputs, target = -inputs, -target
        inputs = self._filtered(inputs, points, rng)
        rotation = self.rotations[rng.integers(len(self.rotations))]
        inputs = torch.stack([rotate90(volume, rotation) for volume in inputs])
        target = rotate90(target, rotation)
        matrix = torch.from_numpy(rotation.astype(np.float32))
        weights = 1 - (1 - MEASURED_WEIGHT) * self.weight.at(points @ matrix)
        if self.residual_curve is not None:
            weights = weights * self.residual_curve.at(points)
        return inputs, target, weights

    def _filtered(self, inputs: Tensor, points: Tensor, rng: np.random.Generator) -> Tensor:
        how = str(rng.choice(self.filters))
        if self.input_weight is None or how == "none":
            return inputs
        if how == "rotated":
            points = points @ torch.from_numpy(random_rotations(1, rng)[0].astype(np.float32))
        return apply_filter(inputs, self.input_weight.at(points))


def matched_truth(
    truth: Tensor, data: Tensor, weight_rfft: Tensor, n_shells: int, signed: bool = False
) -> Tensor:
    """Scale every shell of the truth to the signal of the data, by regression in measured directions.

    Parameters
    ----------
    truth, data : Tensor
        ``(z, y, x)``.
    weight_rfft : Tensor
        ``(z, y, x // 2 + 1)`` weight of the data, 0 to 1.
    n_shells : int
        Number of shells to Nyquist.
    signed : bool
        Whether shells of the data may have inverted contrast, as with a CTF.
    """
    spectrum, of_data = rfft3(truth), rfft3(data)
    shell = _shells(truth.shape, n_shells)
    cross = _sums(weight_rfft * (of_data * spectrum.conj()).real, shell)
    scale = cross / _sums(weight_rfft * spectrum.abs().square(), shell).clamp(min=1e-20)
    return apply_filter(truth, (scale if signed else scale.clamp(min=0))[shell])


def _shells(shape: tuple[int, ...], n_shells: int) -> Tensor:
    points = frequency_points_rfft((shape[0], shape[1], shape[2]), CPU)
    return (points.norm(dim=-1) * 2 * n_shells).round().long()


def _sums(values: Tensor, shell: Tensor) -> Tensor:
    return torch.zeros(int(shell.max()) + 1).index_add(0, shell.reshape(-1), values.reshape(-1))


def _of_maps(arrays: dict[str, NDArray[np.float16]]) -> Example:
    """Return an example of half maps; inputs of the start of a training have the weight ``C``."""
    box = int(arrays["box"])
    weights = {
        name: FourierWeight(arrays[name].astype(np.float32), box, CPU)
        for name in ("weight_rfft", "input_weight_rfft")
        if name in arrays
    }
    inputs, target = arrays["inputs"], arrays["target"]
    is_of_start = len(weights) > 1
    return Example(
        inputs=inputs,
        chosen=tuple(range(len(inputs))) if is_of_start else AVERAGE_TWICE,
        target=target,
        centres=_centres(arrays["support"]),
        weight=weights["weight_rfft"],
        input_weight=weights.get("input_weight_rfft"),
        filters=("own", "rotated") if is_of_start else ("none",),
        rotations=tuple(cube_rotations()),
        frequency_factor=len(target) / box,
    )


def _of_tomograms(arrays: dict[str, NDArray[np.float16]]) -> Example:
    """Return an example of tomograms, seen in the rotations by 180 degrees that map a wedge onto a wedge."""
    lowest, highest = (float(tilt) for tilt in arrays["tilt_range_degrees"])
    wedge = WedgeWeight(lowest, highest)
    target = arrays["target"]
    return Example(
        inputs=arrays["inputs"],
        chosen=(0, 1),
        target=target,
        centres=_centres(arrays["support"]),
        weight=wedge,
        input_weight=wedge,
        filters=("none", "own"),
        rotations=tuple(r for r in cube_rotations() if np.array_equal(np.abs(r), np.eye(3))),
        residual_curve=_whitening(target),
        inverted_share=INVERTED_SHARE,
    )


def _centres(support: NDArray[np.float16]) -> NDArray[np.int64]:
    centres = np.argwhere(support > 0.5 * support.max())
    return centres[:: max(1, len(centres) // MAX_CENTRES)]


def _whitening(target: NDArray[np.float16]) -> RadialWeight:
    """Weights by frequency that make the residuals of fine shells count, with a mean weighted power of 1."""
    volume = torch.from_numpy(target.astype(np.float32))
    power = rfft3(volume - volume.mean()).abs().square() / volume.numel()
    shell = _shells(target.shape, SHELLS).clamp(max=SHELLS)
    count = _sums(torch.ones_like(power), shell)
    mean = _sums(power, shell) / count
    amplitude = mean.clamp(min=1e-3 * float(mean.max())) ** -WHITENING
    total = float((count * mean * amplitude**2).sum() / count.sum())
    return RadialWeight(RadialCurve((amplitude / total**0.5).numpy()))


def _smooth_gain(edge: int, rng: np.random.Generator) -> Tensor:
    nodes = rng.normal(0, GAIN_DEVIATION, (1, 1, *[GAIN_NODES] * 3)).astype(np.float32)
    smooth = functional.interpolate(
        torch.from_numpy(nodes), size=(edge,) * 3, mode="trilinear", align_corners=True
    )
    return smooth[0, 0].clamp(-1, 0.5).exp()
