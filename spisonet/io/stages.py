"""Progress of one stage of a run: a bar on a terminal, and events in ``progress.jsonl``."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from spisonet.io.events import report_progress
from spisonet.io.logs import runs_a_command

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

Unit = TypeVar("Unit")

SECONDS_BETWEEN_EVENTS = 1.0


class StageProgress:
    """Report how far a stage has come, at its start, at most once a second, and at its end.

    Parameters
    ----------
    stage : str
        Code of the stage, see `ProgressEvent`.
    title : str
        What the stage works on.
    total : int
        Units of work; nothing is reported if it is 0.
    unit : str
        Name of the units.
    shown : bool
        Whether to report; False in all but the main process.
    bar : bool
        Whether to show a bar on a terminal, too; False where several stages run at the same time.
    """

    def __init__(
        self, stage: str, title: str, total: int, unit: str, shown: bool = True, bar: bool = True
    ) -> None:
        self._stage, self._title, self._total, self._unit = stage, title, total, unit
        self._done, self._shown = 0, shown and total > 0
        self._started = self._reported = time.monotonic()
        self._bar = terminal_bar(bar and self._shown, TextColumn(unit))
        self._task = self._bar.add_task(f"{stage}: {title}" if title else stage, total=total)

    def __enter__(self) -> Self:
        """Show the bar, and report that the stage has begun."""
        self._bar.start()
        self._report(None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the bar."""
        self._bar.stop()

    def advance(self, n_units: int = 1) -> None:
        """Count finished units."""
        self._done += n_units
        self._bar.update(self._task, completed=self._done)
        now = time.monotonic()
        if now - self._reported >= SECONDS_BETWEEN_EVENTS or self._done >= self._total:
            self._reported = now
            self._report((now - self._started) / self._done * max(self._total - self._done, 0))

    def over(self, units: Iterable[Unit]) -> Iterator[Unit]:
        """Yield units of work, and count each when it is finished."""
        for unit in units:
            yield unit
            self.advance()

    def _report(self, seconds_left: float | None) -> None:
        if self._shown:
            report_progress(
                self._stage, self._title, self._done, self._total, self._unit, seconds_left=seconds_left
            )


def terminal_bar(shown: bool, *columns: TextColumn) -> Progress:
    """Return a bar with a name, a count, the given columns and the time left, on standard error.

    It is shown only by a command, and only if standard error is a terminal.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *columns,
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        disable=not (shown and runs_a_command() and sys.stderr.isatty()),
        transient=True,
    )
