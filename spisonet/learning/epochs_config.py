"""The option ``--epochs`` of trainings: a number, or ``auto``; needs no PyTorch."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

from spisonet.io.config import LARGEST_INTEGER, CommandLine

AUTO = "auto"
AUTO_DESCRIPTION = "auto: until more of them hardly improve the prediction, at most the default number"


def _parsed(value: object) -> int | str:
    """Accept a whole number, also as text, or ``auto``."""
    if isinstance(value, str) and value.strip().lower() == AUTO:
        return AUTO
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


def _parsed_or_default(value: object) -> int | str | None:
    """Accept nothing as well, also as the word None of published command lines."""
    return None if value in (None, "None") else _parsed(value)


def number_of_epochs(epochs: int | str | None, default: int) -> int:
    """Return the number of epochs; the default, which is the largest one of ``auto``, unless one is given."""
    return epochs if isinstance(epochs, int) else default


Epochs = Annotated[int | str, BeforeValidator(_parsed), CommandLine(word=AUTO)]
OptionalEpochs = Annotated[int | str | None, BeforeValidator(_parsed_or_default), CommandLine(word=AUTO)]
