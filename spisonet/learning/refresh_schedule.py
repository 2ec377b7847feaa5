"""When a training updates the missing region of its data with the network's own prediction."""

from __future__ import annotations

import math
from dataclasses import dataclass

MIN_REFRESH_INTERVAL = 10  # updates
MAX_REFRESH_COST = 0.2  # of the cost of the updates
UPDATE_COST = 3  # of a forward and a backward pass, in forward passes


def refresh_interval(n_voxels: int, batch_size: int, cube_size: int) -> int:
    """Return the number of updates between two refreshes, which cost at most a fifth of the updates.

    Parameters
    ----------
    n_voxels : int
        Voxels that are predicted in a refresh.
    batch_size, cube_size : int
        Subvolumes of an update, and their edge in voxels.
    """
    update = UPDATE_COST * batch_size * cube_size**3
    return max(MIN_REFRESH_INTERVAL, math.ceil(n_voxels / update / MAX_REFRESH_COST))


@dataclass(frozen=True)
class RefreshSchedule:
    """Refreshes of a training: at its start, and then at equal intervals.

    A refresh that is followed by less than an interval of training is left out (but not the first one), so
    that all refreshes together cost at most the fraction that the interval is made for.

    Attributes
    ----------
    interval : int
        Updates between two refreshes; 0 for no refreshes.
    n_updates : int
        Updates of the whole training.
    """

    interval: int
    n_updates: int

    @property
    def n_refreshes(self) -> int:
        """Number of refreshes in the whole training."""
        return max(1, self.n_updates // self.interval) if self.interval else 0

    def is_due(self, update: int) -> bool:
        """Whether a refresh precedes an update, counted from 0."""
        if not self.interval:
            return False
        number, remainder = divmod(update, self.interval)
        return remainder == 0 and number < self.n_refreshes

    def number(self, update: int) -> int:
        """Return the number, from 0, of the last refresh that precedes an update."""
        return min(update // self.interval, self.n_refreshes - 1)
