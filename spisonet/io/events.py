"""Progress of a run as data: one JSON object a line in ``progress.jsonl``.

Other programs (the graphical interface, RELION jobs) read this file, never the sentences of the log.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from spisonet.io.atomic import open_for_appending
from spisonet.io.json_files import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROGRESS_FILE = "progress.jsonl"
TAIL_BYTES = 2**22  # read from the end of a long file

_listeners: list[Callable[[ProgressEvent], None]] = []


@dataclass(frozen=True)
class ProgressEvent:
    """How far a stage of a run has come.

    Attributes
    ----------
    stage : str
        Code of the stage, such as ``training``, ``prediction`` or ``validation``.
    title : str
        What the stage works on, such as ``both halves`` or the name of a tomogram.
    done, total : int
        Completed and planned units of work.
    unit : str
        Of `done` and `total`, such as ``epochs`` or ``tiles``.
    time : float
        Seconds since the Unix epoch when the event was written.
    loss : float or None
        Mean training loss since the previous event; None if there is none or if it is not finite.
    seconds_left : float or None
        Estimated time to the end of the stage.
    part : float or None
        Completed fraction of the next unit, in an event within it; None at the end of a unit.
    loss_reduction : float or None
        ``1 - L / L0`` on subvolumes that are not used for training: loss ``L`` of the network, ``L0`` of the
        untrained one.
    """

    stage: str
    title: str
    done: int
    total: int
    unit: str
    time: float
    loss: float | None = None
    seconds_left: float | None = None
    part: float | None = None
    loss_reduction: float | None = None


@contextmanager
def progress_to(listener: Callable[[ProgressEvent], None] | None) -> Iterator[None]:
    """Call `listener` with the events of `report_progress`; None changes nothing."""
    if listener is None:
        yield
        return
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextmanager
def progress_to_folder(folder: Path) -> Iterator[None]:
    """Append the events that `report_progress` is called with to ``progress.jsonl`` in `folder`.

    A run does not end because its progress cannot be written; lines that do not fit onto a full disk are
    written with a later event.
    """
    file = open_for_appending(folder / PROGRESS_FILE)

    def write(event: ProgressEvent) -> None:
        with suppress(OSError):
            file.write(json.dumps(asdict(event)) + "\n")
            file.flush()

    try:
        with progress_to(write):
            yield
    finally:
        with suppress(OSError):
            file.close()


def report_progress(
    stage: str,
    title: str,
    done: int,
    total: int,
    unit: str,
    loss: float | None = None,
    seconds_left: float | None = None,
    part: float | None = None,
    loss_reduction: float | None = None,
) -> None:
    """Report an event to every listener; see `ProgressEvent` for the parameters."""
    event = ProgressEvent(
        stage,
        title,
        done,
        total,
        unit,
        round(time.time(), 3),
        _finite(loss),
        _finite(seconds_left),
        _finite(part),
        _finite(loss_reduction),
    )
    for listener in tuple(_listeners):
        listener(event)


def read_progress(folder: Path, max_bytes: int = TAIL_BYTES) -> list[ProgressEvent]:
    """Read the events of a run, oldest first; lines that are incomplete or damaged are left out.

    Parameters
    ----------
    folder : Path
        Output folder of the run; without a progress file the list is empty.
    max_bytes : int
        How much of the end of a long file is read.
    """
    path = folder / PROGRESS_FILE
    try:
        if not path.is_file():  # reading a pipe would wait
            return []
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - max_bytes))
            content = file.read()
    except OSError:
        return []
    events = []
    for line in content.splitlines():
        try:
            event = ProgressEvent(**parse_json(line))
        except (ValueError, TypeError):
            continue
        if _is_valid(event):
            events.append(event)
    return events


def _is_valid(event: ProgressEvent) -> bool:
    texts = (event.stage, event.title, event.unit)
    numbers = (event.time, event.loss, event.seconds_left, event.part, event.loss_reduction)
    return (
        all(isinstance(text, str) for text in texts)
        and all(isinstance(count, int) and count >= 0 for count in (event.done, event.total))
        and all(n is None or (isinstance(n, int | float) and math.isfinite(n)) for n in numbers)
    )


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 6)
