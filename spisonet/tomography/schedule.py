"""How long a network learns from tomograms, and when noise is added to what it sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.tomography.training_config import RefineConfig
from spisonet.tomography.training_method import FILLED

if TYPE_CHECKING:
    from spisonet.tomography.training_config import TomogramTrainingConfig

EPOCHS, EPOCHS_AN_ITERATION = 50, 10  # of IsoNet2, and of IsoNet 0.2
SINGLE_NOISE = ((0, 0.7),)  # where noise cannot be told from signal
PUBLISHED_NOISE = (0.05, 0.1, 0.15, 0.2)  # of IsoNet 0.2
WITHOUT_NOISE = 1 / 3  # of a training, before noise of several levels is added


@dataclass(frozen=True)
class Schedule:
    """Number of epochs, and from which of them on, from 0, how much noise is added."""

    epochs: int
    noise: tuple[tuple[int, float], ...]


def read_schedule(config: TomogramTrainingConfig, method: str) -> Schedule:
    """Work out how long to train, and when noise is added.

    Several levels without starts begin, as published, after a third of the training, evenly spaced.

    Raises
    ------
    SpisonetError
        If levels and starts of noise do not pair, or are no numbers.
    """
    if not isinstance(config, RefineConfig):
        return Schedule(config.epochs or EPOCHS, ())
    unit = 1 if config.iterations is None else config.epochs or EPOCHS_AN_ITERATION
    epochs = (config.epochs or EPOCHS) if config.iterations is None else config.iterations * unit
    levels = _numbers("--noise_level", config.noise_level or "")
    starts = _numbers("--noise_start_iter", config.noise_start_iter or "")
    if method != FILLED:
        return Schedule(epochs, ())
    if not levels and not starts:
        return Schedule(epochs, SINGLE_NOISE)
    levels = levels or list(PUBLISHED_NOISE)
    if not starts:
        rest = epochs * (1 - WITHOUT_NOISE)
        begin = [epochs * WITHOUT_NOISE + rest * i / len(levels) for i in range(len(levels))]
        starts = [start / unit + 1 for start in begin] if len(levels) > 1 else [1.0]
    if len(starts) != len(levels):
        raise SpisonetError(
            f"--noise_level gives {len(levels)} levels, but --noise_start_iter {len(starts)} starts."
        )
    pairs = [(max(0, round((s - 1) * unit)), level) for s, level in zip(starts, levels, strict=True)]
    return Schedule(epochs, tuple(sorted(pairs)))


def _numbers(option: str, text: str) -> list[float]:
    words = [word for word in text.strip("()[] ").split(",") if word.strip()]
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = [-1.0]
    if values and min(values) < 0:
        raise SpisonetError(f"{option} {text} is no list of numbers such as 0.05,0.1.")
    return values
