"""The option ``--pretrained`` of ``reconstruct`` and ``refine``; needs no PyTorch."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, BeforeValidator

from spisonet.io.config import CommandLine

DEFAULT_PRETRAINED, NOT_PRETRAINED = "default", "none"
PRETRAINED_FILTER_BASE = 16  # base width of the networks of --pretrained default


def width_of_start(pretrained: str, requested: int | None, default: int) -> int:
    """Return the base width of the trained network; that of a file given by `pretrained` is not read."""
    return requested or (PRETRAINED_FILTER_BASE if pretrained == DEFAULT_PRETRAINED else default)


def _start_as_text(value: object) -> object:
    """Accept the values of the earlier option --pretrained_model: a path or nothing."""
    return "none" if value is None else str(value)


StartOption = Annotated[
    str,
    BeforeValidator(_start_as_text),
    CommandLine(aliases=("--pretrained_model", "--pretrained-model")),
]
EARLIER_NAMES = AliasChoices("pretrained", "pretrained_model")
