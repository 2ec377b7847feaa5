"""Predictions averaged over half turns (rotations by 180 degrees) about the axes of a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.geometry.rotations import half_turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

MAX_ASYMMETRY_DEGREES = 5.0  # of a tilt range that half turns about x and z leave unchanged
# The axes of (..., z, y, x) that the half turns about x, y and z reverse: x is the last one.
HALF_TURNS = tuple(tuple((-1 - np.flatnonzero(np.diag(turn) < 0)).tolist()) for turn in half_turns()[1:])
ABOUT_Y = HALF_TURNS[1]


def half_turns_of_wedge(tilt_range_degrees: tuple[float, float]) -> tuple[tuple[int, ...], ...]:
    """Return the half turns that map the missing wedge of tilts about y onto itself.

    Parameters
    ----------
    tilt_range_degrees : (float, float)
        Lowest and highest tilt. Half turns about x and z exchange their signs.

    Returns
    -------
    tuple of tuple of int
        For each half turn, the axes that it reverses.
    """
    lowest, highest = tilt_range_degrees
    return HALF_TURNS if abs(lowest + highest) <= MAX_ASYMMETRY_DEGREES else (ABOUT_Y,)


def average_over_half_turns(
    predict: Callable[[Tensor], Tensor], volume: Tensor, half_turns: tuple[tuple[int, ...], ...]
) -> Tensor:
    """Average the predictions of a volume and of its rotated copies (test-time augmentation).

    Parameters
    ----------
    predict : callable
        Maps a volume to its prediction, of the same shape.
    volume : Tensor
        ``(..., z, y, x)``.
    half_turns : tuple of tuple of int
        Axes that each half turn reverses; none for the prediction itself.
    """
    total = predict(volume)
    for axes in half_turns:
        total = total + torch.flip(predict(torch.flip(volume, axes)), axes)
    return total / (1 + len(half_turns))
