"""Run configurations: one pydantic model per command.

Command line and graphical forms are generated from these models, so a default or
a help text stands in one place. Modules that define them import nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from typing import Self

    from pydantic.fields import FieldInfo


@dataclass(frozen=True)
class CommandLine:
    """How a field appears on the command line; put it into the field's ``Annotated``.

    Attributes
    ----------
    positional : bool
        The field may be given without its name, in the order of the model's fields.
    aliases : tuple of str
        Further spellings, such as ``-o``.
    """

    positional: bool = False
    aliases: tuple[str, ...] = ()


Positional = CommandLine(positional=True)


class CommandConfig(BaseModel):
    """Base of every command's configuration: immutable and strict about unknown fields.

    Class attributes ``command`` and ``examples`` name the command and show it in its help;
    ``free_on_resume`` names the options that may be others when a run is resumed; ``obsolete`` those of
    published programs that are accepted, with any value, and mean nothing here.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: ClassVar[str]
    examples: ClassVar[tuple[str, ...]] = ()
    free_on_resume: ClassVar[frozenset[str]] = frozenset()
    obsolete: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Self:
        """Build the configuration, turning a validation failure into one sentence.

        Raises
        ------
        SpisonetError
            Naming the first option at fault.
        """
        try:
            return cls(**options)
        except ValidationError as error:
            field, message = next(iter(field_faults(error).items()))
            sentence = f"--{field}: {message}" if field else _capitalised(message)
            raise SpisonetError(sentence, code="invalid_option", field=field or None) from error


def field_faults(error: ValidationError) -> dict[str, str]:
    """Return what is wrong by field, in sentences without their beginning; "" stands for the whole."""
    faults: dict[str, str] = {}
    for fault in error.errors():
        message = fault["msg"].removeprefix("Value error, ").rstrip(".")
        faults.setdefault(".".join(map(str, fault["loc"])), f"{message[0].lower()}{message[1:]}.")
    return faults


def _capitalised(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def is_output(name: str, info: FieldInfo) -> bool:
    """Tell whether a field names what a command writes: ``o``, ``output_...``, or a path with a default."""
    return name == "o" or name.startswith("out") or isinstance(info.default, Path)


def command_words(config: CommandConfig) -> list[str]:
    """Write a configuration as the words of its command line, leaving out what is the default anyway."""
    positional: list[str] = []
    options: list[str] = []
    in_order = True
    for name, info in type(config).model_fields.items():
        value = getattr(config, name)
        shape = next((m for m in info.metadata if isinstance(m, CommandLine)), CommandLine())
        if value == info.default:
            in_order = in_order and not shape.positional
        elif shape.positional and in_order:
            positional.append(str(value))
        elif cast("Any", info.annotation) is bool:
            options.append(f"--{name}" if value else f"--no-{name}")
        else:
            options += [f"--{name}", str(value)]
    return [config.command, *positional, *options]
