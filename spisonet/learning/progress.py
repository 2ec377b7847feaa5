"""Progress of a training: a bar on a terminal, lines in the log, and events in ``progress.jsonl``."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Self

from rich.progress import TextColumn

from spisonet.io.events import report_progress
from spisonet.io.stages import terminal_bar

if TYPE_CHECKING:
    from types import TracebackType

log = logging.getLogger("spisonet")


class TrainingProgress:
    """Report a training: every update on a terminal, every epoch in the log and as a progress event.

    Parameters
    ----------
    title : str
        Name of the training.
    n_subvolumes : int
        Subvolumes in the whole run.
    n_done : int
        Subvolumes already done when the run was resumed.
    shown : bool
        Whether to report; False in all but the main process.
    """

    def __init__(self, title: str, n_subvolumes: int, n_done: int = 0, shown: bool = True) -> None:
        self._title, self._shown = title, shown
        self._start = time.monotonic()
        self._n_done, self._n_subvolumes, self._n_at_start = n_done, n_subvolumes, n_done
        self._bar = terminal_bar(
            shown, TextColumn("{task.fields[rate]:.1f} subvolumes/s  loss {task.fields[loss]:.4f}")
        )
        self._task = self._bar.add_task(
            title, total=n_subvolumes, completed=n_done, rate=0.0, loss=float("nan")
        )

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the bar."""
        self._bar.stop()

    @property
    def rate(self) -> float:
        """Subvolumes per second since the start."""
        return (self._n_done - self._n_at_start) / max(time.monotonic() - self._start, 1e-9)

    def update(self, n_subvolumes: int, loss: float) -> None:
        """Count the subvolumes of updates and show their loss."""
        self._n_done += n_subvolumes
        self._bar.update(self._task, completed=self._n_done, rate=self.rate, loss=loss)

    def epoch(self, epoch: int, n_epochs: int, loss: float, seconds_after: float = 0.0) -> None:
        """Report the end of an epoch and its mean loss.

        Parameters
        ----------
        epoch, n_epochs : int
            Completed and planned epochs.
        loss : float
            Mean loss of the epoch.
        seconds_after : float
            Estimated duration of the prediction that follows the training.
        """
        if not self._shown:
            return
        seconds_left = (self._n_subvolumes - self._n_done) / max(self.rate, 1e-9) + seconds_after
        log.info(
            "%s: epoch %d of %d, loss %.4f, %.1f subvolumes/s, %.0f s left%s",
            self._title,
            epoch,
            n_epochs,
            loss,
            self.rate,
            seconds_left,
            " with the prediction" if seconds_after else "",
        )
        report_progress("training", self._title, epoch, n_epochs, "epochs", loss, seconds_left)
