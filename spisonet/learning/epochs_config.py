"""The option ``--epochs`` of trainings: a number, or ``auto``; needs no PyTorch."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

from spisonet.io.config import LARGEST_INTEGER, CommandLine

AUTO = "auto"
AUTO_DESCRIPTION = "auto: until more of them hardly improve the prediction, at most the default number"


def _parsed(value: object) -> object:
    """Accept a whole number, also as text, ``auto``, or None for the default."""
    if value is None or (isinstance(value, str) and value.strip().lower() == AUTO):
        return None if value is None else AUTO
    number = value
    if isinstance(value, str):
        try:
            number = int(value)
        except ValueError:
            number = None
    if isinstance(number, bool) or not isinstance(number, int):
        raise ValueError(f"must be a whole number or {AUTO}; {value} was given")
    if not 0 <= number <= LARGEST_INTEGER:
        raise ValueError(f"must be at least 0; {number} was given")
    return number


Epochs = Annotated[int | str, BeforeValidator(_parsed), CommandLine(word=AUTO)]
OptionalEpochs = Annotated[int | str | None, BeforeValidator(_parsed), CommandLine(word=AUTO)]
