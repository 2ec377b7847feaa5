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

SECONDS_BETWEEN_EVENTS = 5.0  # within an epoch


class TrainingProgress:
    """Report a training: updates on a terminal and as progress events, epochs also in the log.

    Parameters
    ----------
    title : str
        Name of the training.
    n_subvolumes : int
        Subvolumes in the whole run.
    n_done : int
        Subvolumes already done when the run was resumed.
    n_epochs : int
        Planned epochs.
    shown : bool
        Whether to report; False in all but the main process.
    """

    def __init__(
        self, title: str, n_subvolumes: int, n_done: int = 0, n_epochs: int = 1, shown: bool = True
    ) -> None:
        self._title, self._shown, self._n_epochs = title, shown, n_epochs
        self._start = self._reported = time.monotonic()
        self._n_done, self._n_subvolumes, self._n_at_start = n_done, n_subvolumes, n_done
        self._bar = terminal_bar(
            shown, TextColumn("{task.fields[rate]:.1f} subvolumes/s  loss {task.fields[loss]:.4f}")
        )
        self._task = self._bar.add_task(
            title, total=n_subvolumes, completed=n_done, rate=0.0, loss=float("nan")
        )

    def __enter__(self) -> Self:
        """Show the bar, and report where the training starts."""
        self._bar.start()
        self._report_part(None)
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

    def plan(self, n_subvolumes: int, n_epochs: int) -> None:
        """Change the length of the whole run."""
        self._n_subvolumes, self._n_epochs = n_subvolumes, n_epochs
        self._bar.update(self._task, total=n_subvolumes)

    def update(self, n_subvolumes: int, loss: float) -> None:
        """Count the subvolumes of updates and show their loss."""
        self._n_done += n_subvolumes
        self._bar.update(self._task, completed=self._n_done, rate=self.rate, loss=loss)
        if time.monotonic() - self._reported >= SECONDS_BETWEEN_EVENTS:
            self._report_part(self._seconds_left)

    @property
    def _seconds_left(self) -> float:
        return (self._n_subvolumes - self._n_done) / max(self.rate, 1e-9)

    def _report_part(self, seconds_left: float | None) -> None:
        """Report a time within an epoch, as its completed fraction."""
        self._reported = time.monotonic()
        if not self._shown or self._n_done >= self._n_subvolumes:
            return
        epochs, part = divmod(self._n_done * self._n_epochs / self._n_subvolumes, 1)
        report_progress(
            "training", self._title, int(epochs), self._n_epochs, "epochs", None, seconds_left, part
        )

    def epoch(
        self, epoch: int, loss: float, seconds_after: float = 0.0, loss_reduction: float | None = None
    ) -> None:
        """Report the end of an epoch and its mean loss.

        Parameters
        ----------
        epoch : int
            Completed epochs.
        loss : float
            Mean loss of the epoch.
        seconds_after : float
            Estimated duration of the prediction that follows the training.
        loss_reduction : float or None
            See `ProgressEvent`.
        """
        if not self._shown:
            return
        self._reported = time.monotonic()
        seconds_left = self._seconds_left + seconds_after
        log.info(
            "%s: epoch %d of %d, loss %.4f, %.1f subvolumes/s, %.0f s left%s",
            self._title,
            epoch,
            self._n_epochs,
            loss,
            self.rate,
            seconds_left,
            " with the prediction" if seconds_after else "",
        )
        report_progress(
            "training",
            self._title,
            epoch,
            self._n_epochs,
            "epochs",
            loss,
            seconds_left,
            loss_reduction=loss_reduction,
        )
