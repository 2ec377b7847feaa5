"""The exception for faults of the input: a sentence for users, a code and a field for programs."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Self

SYSTEM_ERROR = "system_error"  # code of errors that the operating system reports


class SpisonetError(Exception):
    """A fault of an input or an option: one sentence that names it and the remedy.

    Command lines print the sentence and exit with status 1. Any other exception that escapes is a defect of
    this program and keeps its traceback.

    Parameters
    ----------
    message : str
        The sentence.
    code : str
        Kind of fault, such as ``invalid_option``, ``invalid_input``, ``file_not_found`` or ``out_of_memory``.
    field : str, optional
        Option (name of a configuration's field) at fault.
    path : Path, optional
        File at fault.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "invalid_input",
        field: str | None = None,
        path: Path | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.field, self.path = code, field, path

    def as_record(self) -> dict[str, str | None]:
        """Return ``message``, ``code`` and ``field``, as written to ``job.json``."""
        return {"message": str(self), "code": self.code, "field": self.field}

    def locate(self, options: Iterable[tuple[str, object]]) -> Self:
        """Set the missing `field` to the only one of the options whose value is the file at fault.

        Parameters
        ----------
        options : iterable
            Names and values of the options, such as a configuration.
        """
        if self.field is None and self.path is not None:
            fields = [name for name, value in options if value == self.path]
            self.field = fields[0] if len(fields) == 1 else None
        return self


def known_error(error: BaseException) -> SpisonetError | None:
    """Return the sentence for an exception that is not a defect of this program; None for any other.

    Parameters
    ----------
    error : BaseException
        A `SpisonetError`, which is returned as it is, an error of the operating system, or lack of memory.
    """
    if isinstance(error, SpisonetError):
        return error
    if isinstance(error, OSError):
        return _system_error(error)
    if isinstance(error, MemoryError):
        return SpisonetError(
            "The memory of this machine does not suffice; check the sizes in the headers and options.",
            code="out_of_memory",
        )
    return None


def _system_error(error: OSError) -> SpisonetError:
    """Return what the system says, with the file if it is known."""
    reason = (error.strerror or str(error) or type(error).__name__).rstrip(".")
    name = error.filename
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    if not isinstance(name, str):
        return SpisonetError(f"The system reports: {reason}.", code=SYSTEM_ERROR)
    shown = name or "A file without a name"
    return SpisonetError(f"{shown} cannot be used: {reason}.", code=SYSTEM_ERROR, path=Path(name))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Note a file in the `SpisonetError` that leaves the block, unless it has one already."""
    try:
        yield
    except SpisonetError as error:
        error.path = error.path or path
        raise
