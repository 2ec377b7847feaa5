"""The log of a run: ``run.log`` in the output folder contains every line that the terminal shows.

A run keeps its ``run.log`` locked, so that no other writes into its folder meanwhile.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from spisonet.errors import SpisonetError
from spisonet.io.atomic import open_for_appending
from spisonet.io.locks import is_locked, lock_open_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LOG_FILE = "run.log"
IN_USE = "folder_in_use"  # code of the error of a second run in a folder
VERDICT = {"is_verdict": True}  # ``extra`` of the line that states the result of a run
BOLD, NORMAL = "\033[1m", "\033[0m"


class _EarlyRecords(logging.Handler):
    """Keeps log records until `log_to_folder` opens the first file."""

    def __init__(self, records: Sequence[logging.LogRecord] = ()) -> None:
        super().__init__()
        self.records = list(records)
        self._is_open = True

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        if self._is_open:
            self.records.append(record)

    def take(self) -> list[logging.LogRecord]:
        """Return the records and keep no more: later ones go to a file."""
        self._is_open = False
        records, self.records = self.records, []
        return records


class TerminalHandler(logging.StreamHandler[TextIO]):
    """Writes to the current standard output, which a progress bar replaces temporarily.

    The line with the `VERDICT` is bold on a terminal.
    """

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """Standard output."""
        return sys.stdout

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a line."""
        text = super().format(record)
        takes_colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        return f"{BOLD}{text}{NORMAL}" if takes_colours and hasattr(record, "is_verdict") else text

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - of logging
        """Go on without the line: whoever read the output may have ended, and ``run.log`` has it."""


class _LogFile(logging.StreamHandler[TextIO]):
    """Appends to a log file, which stays locked. A run does not end because its log cannot be written."""

    def __init__(self, path: Path) -> None:
        super().__init__(open_for_appending(path))
        self.path = path
        if not lock_open_file(self.stream.fileno()):
            self.close()
            raise SpisonetError(
                f"Another run is writing into {path.parent} and keeps {path.name} locked; wait until it has "
                "ended, stop it, or choose another output folder.",
                code=IN_USE,
            )

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name of the base class
        """Go on without the line where the disk is full; the text stays in the buffer of the file."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self.stream.close()
        super().close()


def runs_a_command() -> bool:
    """Return whether a command of this program prints its log; otherwise a Python program calls functions."""
    return any(isinstance(handler, TerminalHandler) for handler in logging.getLogger("spisonet").handlers)


@contextmanager
def keep_early_records(records: Sequence[logging.LogRecord] = ()) -> Iterator[None]:
    """Keep what a command logs before its output folder exists; `log_to_folder` writes it.

    Parameters
    ----------
    records : sequence of LogRecord
        Records of the process that started this one, from `take_early_records`.
    """
    logger = logging.getLogger("spisonet")
    handler = _EarlyRecords(records)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def take_early_records() -> list[logging.LogRecord]:
    """Return the records that `keep_early_records` has kept so far, and keep no more."""
    handlers = logging.getLogger("spisonet").handlers
    return [record for handler in handlers if isinstance(handler, _EarlyRecords) for record in handler.take()]


def is_in_use(folder: Path, seconds: float = 0.0) -> bool:
    """Tell whether a run is writing into a folder, for some seconds, as far as the file system has locks."""
    return is_locked(folder / LOG_FILE, seconds)


@contextmanager
def log_to_folder(folder: Path) -> Iterator[None]:
    """Append all lines of the ``spisonet`` logger to ``run.log`` in `folder`, with times.

    Lines that `keep_early_records` has kept are written first. An exception that leaves the block is noted
    in the file. A block within another one for the same folder changes nothing.

    Raises
    ------
    SpisonetError
        If another run is writing into the folder, or the file cannot be written.
    """
    logger = logging.getLogger("spisonet")
    path = (folder / LOG_FILE).absolute()
    if any(isinstance(h, _LogFile) and h.path == path for h in logger.handlers):
        yield
        return
    handler = _LogFile(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    for record in take_early_records():
        handler.handle(record)
    logger.addHandler(handler)
    try:
        yield
    except BaseException as error:
        reason = str(error) or type(error).__name__
        handler.handle(
            logger.makeRecord(logger.name, logging.ERROR, __file__, 0, f"stopped: {reason}", (), None)
        )
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()
