"""What a person sees while a network trains: a bar on a terminal, plain lines in the log."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from types import TracebackType

log = logging.getLogger("spisonet")


class TrainingProgress:
    """Report training: every update to a terminal, every epoch to the log.

    Parameters
    ----------
    title : str
        What is being trained.
    n_subvolumes : int
        Crops in the whole run.
    n_done : int
        Crops already done when the run was resumed.
    shown : bool
        False in all but one of the processes that train together.
    """

    def __init__(self, title: str, n_subvolumes: int, n_done: int = 0, shown: bool = True) -> None:
        self._title, self._shown = title, shown
        self._start = time.monotonic()
        self._n_done, self._n_subvolumes, self._n_at_start = n_done, n_subvolumes, n_done
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f} crops/s  loss {task.fields[loss]:.4f}"),
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
            disable=not (shown and sys.stderr.isatty()),
            transient=True,
        )
        self._task = self._bar.add_task(
            title, total=n_subvolumes, completed=n_done, rate=0.0, loss=float("nan")
        )

    def __enter__(self) -> Self:
        """Start the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        self._bar.stop()

    @property
    def rate(self) -> float:
        """Crops per second since the start."""
        return (self._n_done - self._n_at_start) / max(time.monotonic() - self._start, 1e-9)

    def update(self, n_subvolumes: int, loss: float) -> None:
        """Count an update's crops and show its loss."""
        self._n_done += n_subvolumes
        self._bar.update(self._task, completed=self._n_done, rate=self.rate, loss=loss)

    def epoch(self, epoch: int, n_epochs: int, loss: float) -> None:
        """Write an epoch's mean loss to the log."""
        if not self._shown:
            return
        left = (self._n_subvolumes - self._n_done) / max(self.rate, 1e-9)
        log.info(
            "%s: epoch %d of %d, loss %.4f, %.1f crops/s, %.0f s left",
            self._title,
            epoch,
            n_epochs,
            loss,
            self.rate,
            left,
        )
