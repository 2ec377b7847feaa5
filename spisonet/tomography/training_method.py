"""What a network learns from tomograms: denoising, filling of missing wedges, added noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.fourier.filters import RadialCurve
from spisonet.io.tomogram_table import HALVES
from spisonet.learning.self_training import MISSING_WEIGHT
from spisonet.tomography.training_config import RefineConfig

if TYPE_CHECKING:
    from spisonet.io.tomogram_table import TomogramRow
    from spisonet.tomography.denoiser import Denoiser
    from spisonet.tomography.noise_schedule import NoiseSchedule
    from spisonet.tomography.training_config import TomogramTrainingConfig

DENOISED, FILLED_HALVES, FILLED = "n2n", "isonet2-n2n", "isonet2"  # IsoNet2's names of the methods


HALVES_METHODS = (DENOISED, FILLED_HALVES)


NOISE_POINTS = 257


@dataclass(frozen=True)
class TrainingMethod:
    """Method of training and its parameters.

    Attributes
    ----------
    fill : bool
        Whether the network learns to fill missing wedges as well as to denoise.
    cube_size : int
        Edge of training subvolumes in voxels.
    missing_weight : float
        Weight of the residual inside the artificial missing wedge relative to the residual outside it.
    added_noise : tuple of (int, float)
        Pairs of first epoch (counted from 0) and standard deviation of the noise added to the inputs, in
        standard deviations of the data.
    noise_filter : str
        Spectrum of the added noise: that of white noise backprojected with ``noFilter``, a ``ramp`` or a
        ``hamming`` filter, or ``white``.
    denoiser : Denoiser or None
        Denoises the inputs; the targets remain the data.
    """

    fill: bool
    cube_size: int
    missing_weight: float = MISSING_WEIGHT
    added_noise: tuple[tuple[int, float], ...] = ()
    noise_filter: str = "white"
    denoiser: Denoiser | None = None

    def noise_level(self, epoch: int) -> float:
        """Return the standard deviation of the added noise in an epoch, in those of the data."""
        return next((level for start, level in reversed(self.added_noise) if epoch >= start), 0.0)

    @property
    def noise_curve(self) -> RadialCurve:
        """Relative amplitude of the added noise by spatial frequency.

        Projections of white noise, filtered by ``g(k)``, sample Fourier space with a density that falls as
        ``1/k`` with the distance from the tilt axis, so the amplitude of their backprojection is
        ``g(k) / sqrt(k)``.
        """
        k = np.linspace(0, 1, NOISE_POINTS)
        k[0] = k[1] / 2
        filters = {
            "white": np.sqrt(k),
            "noFilter": np.ones_like(k),
            "ramp": k,
            "hamming": k * (0.54 + 0.46 * np.cos(np.pi * k)),
        }
        return RadialCurve(filters[self.noise_filter] / np.sqrt(k))


def choose_method(config: TomogramTrainingConfig, rows: list[TomogramRow]) -> str:
    """Return the name of the method: ``n2n``, ``isonet2-n2n`` or ``isonet2``.

    Parameters
    ----------
    config : RefineConfig or DenoiseConfig
        Options of the training.
    rows : list of TomogramRow
        Chosen rows of the table.

    Raises
    ------
    SpisonetError
        If even and odd tomograms are required and a row lists none or only one of them.
    """
    single = [row.shown for row in rows if (row.path(HALVES[0]) is None) != (row.path(HALVES[1]) is None)]
    if single:
        raise SpisonetError(f"The table lists only one of even and odd for {', '.join(single)}.")
    if isinstance(config, RefineConfig):
        has_halves = any(row.halves is not None for row in rows)
        if config.method == FILLED_HALVES and not has_halves:
            raise SpisonetError(
                f"--method {FILLED_HALVES} requires even and odd tomograms, but the table lists none.",
                field="method",
            )
        if config.method == FILLED or not has_halves:
            return FILLED
    without = [row.shown for row in rows if row.halves is None]
    if without:
        raise SpisonetError(f"The table lists no even and odd tomograms for {', '.join(without)}.")
    return FILLED_HALVES if isinstance(config, RefineConfig) else DENOISED


def training_method(
    config: TomogramTrainingConfig, method: str, cube_size: int, schedule: NoiseSchedule
) -> TrainingMethod:
    """Return the parameters of a method.

    Parameters
    ----------
    config : RefineConfig or DenoiseConfig
        Options of the training.
    method : str
        Name of the method; see `choose_method`.
    cube_size : int
        Edge of training subvolumes in voxels.
    schedule : NoiseSchedule
        Noise that is added to the inputs.
    """
    if not isinstance(config, RefineConfig):
        return TrainingMethod(method != DENOISED, cube_size)
    missing_weight = config.mw_weight if config.mw_weight > 0 else 1.0
    return TrainingMethod(True, cube_size, missing_weight, schedule.noise, config.noise_mode or "white")
