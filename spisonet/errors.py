"""The exception for faults of input, which users read and programs handle by its code."""

from __future__ import annotations


class SpisonetError(Exception):
    """A fault in an input or an option: one sentence that names it and says what to do.

    Command lines print the sentence and exit with status 1; any other exception that escapes is a defect
    of this program and keeps its traceback.

    Parameters
    ----------
    message : str
        The sentence.
    code : str
        What kind of fault it is, for programs, such as ``invalid_option`` or ``out_of_memory``.
    field : str, optional
        Option (name of a configuration's field) at fault.
    """

    def __init__(self, message: str, *, code: str = "invalid_input", field: str | None = None) -> None:
        super().__init__(message)
        self.code, self.field = code, field

    def as_record(self) -> dict[str, str | None]:
        """Return the error as it stands in ``job.json``: ``message``, ``code`` and ``field``."""
        return {"message": str(self), "code": self.code, "field": self.field}
