"""Run configurations: one pydantic model per command.

Command lines, graphical forms and RELION jobs are generated from these models, so every default and
help text has one home. Modules that define configurations import nothing that is slow to load.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails


# Sentences about an invalid value by the type of pydantic's error; its details fill the braces.
WHOLE_NUMBER, NUMBER, YES_OR_NO = "must be a whole number", "must be a number", "must be yes or no"
FAULTS = {
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "multiple_of": "must be a multiple of {multiple_of:g}",
    "int_parsing": WHOLE_NUMBER,
    "int_parsing_size": WHOLE_NUMBER,
    "int_type": WHOLE_NUMBER,
    "int_from_float": WHOLE_NUMBER,
    "float_parsing": NUMBER,
    "float_type": NUMBER,
    "finite_number": "must be a finite number",
    "bool_parsing": YES_OR_NO,
    "bool_type": YES_OR_NO,
    "literal_error": "must be {expected}",
    "string_type": "must be text",
    "path_type": "must be the name of a file or folder",
}
MISSING, UNKNOWN = "missing", "extra_forbidden"  # types of errors without a value
LONGEST_SHOWN = 40  # characters of a value in a message
LARGEST_INTEGER = 2**31 - 1
LARGEST_BOX = 8192  # voxels along an edge; three of them fit into any array's index
LARGEST_WIDTH = 4096  # channels of the first level of a network
LARGEST = 1e9  # magnitude of a number; its inverse is the smallest
KINDS: dict[Any, str] = {bool: "switch", int: "integer", float: "number", Path: "path", str: "text"}
BOUNDS = ("ge", "gt", "le", "lt", "multiple_of")


Profile = Literal["quick", "standard", "careful"]
STANDARD: Profile = "standard"
PROFILE_DESCRIPTION = (
    "Values of the training options that are not given: quick (a first look), standard, or careful."
)
WIDTH_OPTIONS = frozenset({"filter_base", "arch"})  # of a network that starts from random weights


@dataclass(frozen=True)
class CommandLine:
    """Form of a field on the command line, given in its ``Annotated``.

    Attributes
    ----------
    positional : bool
        Whether the field may be given without its name, in the order of the fields.
    aliases : tuple of str
        Other spellings, such as ``-o``.
    shown_by_name : bool
        Whether command lines that are printed give the name of a positional field.
    word : str
        A word that is accepted in place of a number.
    """

    positional: bool = False
    aliases: tuple[str, ...] = ()
    shown_by_name: bool = False
    word: str = ""


Positional = CommandLine(positional=True)
NamedPositional = CommandLine(positional=True, shown_by_name=True)


class CommandConfig(BaseModel):
    """Base of every command's configuration: immutable and strict about unknown fields.

    Attributes
    ----------
    command : str
        Name of the command.
    examples : tuple of str
        Command lines shown in its help.
    free_on_resume : frozenset of str
        Options that may change when a run is resumed.
    obsolete : frozenset of str
        Options of published programs that are accepted with any value and have no effect.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    command: ClassVar[str]
    examples: ClassVar[tuple[str, ...]] = ()
    free_on_resume: ClassVar[frozenset[str]] = frozenset()
    obsolete: ClassVar[frozenset[str]] = frozenset()

    @field_validator("*", mode="after")
    @classmethod
    def _require_magnitude(cls, value: Any) -> Any:
        """Refuse numbers that no calculation can hold."""
        if isinstance(value, bool) or not isinstance(value, int | float) or value == 0:
            return value
        low, high = (0, LARGEST_INTEGER) if isinstance(value, int) else (1 / LARGEST, LARGEST)
        if not low <= abs(value) <= high:
            raise ValueError(f"{value:.4g} is too large or too small")
        return value

    def check_options(self) -> None:
        """Check options that exclude or need each other, before any file is read.

        Raises
        ------
        SpisonetError
            Naming the field at fault.
        """

    def default_values(self) -> dict[str, Any]:
        """Return the values of options that are not given: the defaults, or those of the profile."""
        return {name: info.default for name, info in type(self).model_fields.items()}

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Self:
        """Build the configuration; a validation failure becomes an error of one sentence.

        Raises
        ------
        SpisonetError
            Naming the first invalid option.
        """
        try:
            return cls(**options)
        except ValidationError as error:
            field, message = next(iter(field_faults(error).items()))
            sentence = f"--{field}: {message}" if field else _capitalised(message)
            raise SpisonetError(sentence, code="invalid_option", field=field or None) from error


class ProfiledConfig(CommandConfig):
    """Configuration of a training command: a profile sets the options that are not given.

    Attributes
    ----------
    profiles : mapping
        Values of options by the name of the profile; the other options keep their defaults.
    """

    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    profile: Profile = Field(STANDARD, description=PROFILE_DESCRIPTION)

    @classmethod
    def profile_values(cls, profile: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that a profile sets beside the options that are given.

        A network to start from has its own width, so that the profile sets none.
        """
        values = dict(cls.profiles.get(profile, {}))
        start = given.get("pretrained", given.get("pretrained_model"))
        if start not in (None, "none"):
            values = {name: value for name, value in values.items() if name not in WIDTH_OPTIONS}
        return values

    @model_validator(mode="before")
    @classmethod
    def _fill_profile(cls, values: Any) -> Any:
        """Enter the values of the profile where no option is given."""
        return filled_by_profile(values, cls.profile_values)

    def default_values(self) -> dict[str, Any]:
        """See `CommandConfig.default_values`."""
        given = {name: value for name, value in self if name != "profile"}
        return super().default_values() | self.profile_values(self.profile, given)


def filled_by_profile(
    values: Any, profile_values: Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
) -> Any:
    """Return the options that are given, and those of their profile; values that are no options unchanged.

    Parameters
    ----------
    values : Any
        Options by name, before validation. None counts as not given.
    profile_values : callable
        Returns the values of a profile beside the given options.
    """
    if not isinstance(values, dict):
        return values
    filled = profile_values(str(values.get("profile", STANDARD)), values)
    return values | {name: value for name, value in filled.items() if values.get(name) is None}


def invalid_option(field: str, message: str) -> SpisonetError:
    """Return the error of an option that does not fit the others."""
    return SpisonetError(message, code="invalid_option", field=field)


def field_faults(error: ValidationError) -> dict[str, str]:
    """Return the error message of every invalid field; "" is the key of errors of the whole model."""
    faults: dict[str, str] = {}
    for fault in error.errors():
        faults.setdefault(".".join(map(str, fault["loc"])), f"{_sentence(fault)}.")
    return faults


def _sentence(fault: ErrorDetails) -> str:
    kind = fault["type"]
    if kind == MISSING:
        return "a value is required"
    if kind == UNKNOWN:
        return "this command has no such option"
    if kind in FAULTS:
        value = fault["input"]
        given = f"{value:g}" if isinstance(value, float) else str(value)
        shown = given if len(given) <= LONGEST_SHOWN else f"{given[:LONGEST_SHOWN]}..."
        return f"{FAULTS[kind].format(**fault.get('ctx', {})).replace(chr(39), '')}; {shown} was given"
    message = fault["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{message[0].lower()}{message[1:]}"


def _capitalised(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def command_line_shape(info: FieldInfo) -> CommandLine:
    """Return the form of a field on the command line."""
    return next((m for m in info.metadata if isinstance(m, CommandLine)), CommandLine())


def is_output(name: str, info: FieldInfo) -> bool:
    """Return whether a field is an output: a path called ``o`` or ``out...``, or with a default."""
    is_path = Path in (info.annotation, *get_args(info.annotation))
    return is_path and (name == "o" or name.startswith("out") or isinstance(info.default, Path))


def option_kind(info: FieldInfo) -> tuple[str, list[str]]:
    """Return the kind of an option and its choices; an empty choice stands for the default.

    Kinds are switch, integer, number, path, text and choice.
    """
    members = [member for member in get_args(info.annotation) if member is not NoneType]
    if choices := option_choices(info):
        return "choice", [*([""] if NoneType in get_args(info.annotation) else []), *choices]
    return KINDS[members[0] if members else info.annotation], []


def option_choices(info: FieldInfo) -> dict[str, Any]:
    """Return the permitted values of an option by their text; empty if any value is permitted."""
    for annotation in (info.annotation, *get_args(info.annotation)):
        if get_origin(annotation) is Literal:
            return {str(value): value for value in get_args(annotation)}
    return {}


def option_bounds(info: FieldInfo) -> dict[str, float]:
    """Return the bounds of a number: ge, gt, le, lt and multiple_of, as far as they are set."""
    return {
        bound: value
        for constraint in info.metadata
        for bound in BOUNDS
        if (value := getattr(constraint, bound, None)) is not None
    }


def command_words(config: CommandConfig) -> list[str]:
    """Return a configuration as the words of its command line, without defaults."""
    positional: list[str] = []
    options: list[str] = []
    in_order, defaults = True, config.default_values()
    for name, info in type(config).model_fields.items():
        value = getattr(config, name)
        shape = command_line_shape(info)
        if value == defaults[name]:
            in_order = in_order and not shape.positional
        elif shape.positional and in_order and not shape.shown_by_name:
            positional.append(str(value))
        elif cast("Any", info.annotation) is bool:
            options.append(f"--{name}" if value else f"--no-{name}")
        else:
            options += [f"--{name}", str(value)]
    return [config.command, *positional, *options]
