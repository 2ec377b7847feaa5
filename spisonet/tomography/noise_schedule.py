"""Number of training epochs, and the epochs at which noise is added to the inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.tomography.training_config import RefineConfig, parse_numbers

if TYPE_CHECKING:
    from spisonet.tomography.training_config import TomogramTrainingConfig

SINGLE_TOMOGRAM_NOISE = ((0, 0.7),)  # without halves, added noise teaches the network to denoise
PUBLISHED_NOISE_LEVELS = (0.05, 0.1, 0.15, 0.2)  # of IsoNet 0.2
NOISE_FREE_FRACTION = 1 / 3  # of a training, before several levels of noise are added


@dataclass(frozen=True)
class NoiseSchedule:
    """Length of a training and the noise that is added to its inputs.

    Attributes
    ----------
    epochs : int
        Number of epochs.
    noise : tuple of (int, float)
        Pairs of first epoch (counted from 0) and standard deviation of the noise, relative to the data.
    """

    epochs: int
    noise: tuple[tuple[int, float], ...]


def read_schedule(config: TomogramTrainingConfig, adds_noise: bool) -> NoiseSchedule:
    """Return the schedule that the options describe.

    As in IsoNet 0.2, several noise levels without start epochs begin after a third of the training, evenly
    spaced.

    Parameters
    ----------
    config : RefineConfig or DenoiseConfig
        Options of the training.
    adds_noise : bool
        Whether the method adds noise (``isonet2``).

    Raises
    ------
    SpisonetError
        If the numbers of noise levels and start epochs differ, or one is not a valid number.
    """
    if not isinstance(config, RefineConfig):
        return NoiseSchedule(config.total_epochs, ())
    epochs = config.total_epochs
    unit = 1 if config.iterations is None else max(epochs // config.iterations, 1)
    levels = parse_numbers(config.noise_level or "")
    starts = parse_numbers(config.noise_start_iter or "")
    if not adds_noise:
        return NoiseSchedule(epochs, ())
    if not levels and not starts:
        return NoiseSchedule(epochs, SINGLE_TOMOGRAM_NOISE)
    levels = levels or list(PUBLISHED_NOISE_LEVELS)
    if not starts:
        noisy_epochs = epochs * (1 - NOISE_FREE_FRACTION)
        begin = [epochs * NOISE_FREE_FRACTION + noisy_epochs * i / len(levels) for i in range(len(levels))]
        starts = [start / unit + 1 for start in begin] if len(levels) > 1 else [1.0]
    if len(starts) != len(levels):
        raise SpisonetError(
            f"--noise_level has {len(levels)} levels, but --noise_start_iter has {len(starts)} starts.",
            field="noise_start_iter",
        )
    pairs = [(max(0, round((s - 1) * unit)), level) for s, level in zip(starts, levels, strict=True)]
    return NoiseSchedule(epochs, tuple(sorted(pairs)))
