"""Options generated from configurations, in published and kebab-case spelling."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from typer.testing import CliRunner

from spisonet.anisotropy.config import ReconstructConfig
from spisonet.commands.options import (
    add_command,
    boolean_names,
    drop_none_values,
    drop_obsolete,
    join_boolean_values,
    optional_names,
)
from spisonet.errors import SpisonetError
from spisonet.integrations.config import RunConfig
from spisonet.io.config import CommandConfig, CommandLine, command_words
from spisonet.tomography.training_config import DenoiseConfig, RefineConfig


class ExampleConfig(CommandConfig):
    """Do an example."""

    command: ClassVar[str] = "example"
    examples: ClassVar[tuple[str, ...]] = ("program example a.mrc 3",)

    first: Annotated[Path, CommandLine(positional=True)] = Field(description="The first.")
    number: Annotated[float, CommandLine(positional=True)] = Field(gt=0, description="A number.")
    last: Annotated[Path | None, CommandLine(positional=True)] = Field(None, description="The last.")
    some_flag: Annotated[bool, CommandLine(aliases=("--flag",))] = Field(False, description="A flag.")
    o: Annotated[str, CommandLine(aliases=("-o",))] = Field("out", description="Output.")


def parse(*words: str) -> ExampleConfig:
    seen: list[CommandConfig] = []
    app = typer.Typer()
    app.callback()(lambda: None)
    add_command(app, ExampleConfig, seen.append)
    result = CliRunner().invoke(
        app, join_boolean_values(["example", *words], boolean_names([ExampleConfig])), catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return seen[0]


def test_positional_words_fill_fields_in_order():
    config = parse("a.mrc", "3", "b.mrc")
    assert (config.first, config.number, config.last) == (Path("a.mrc"), 3.0, Path("b.mrc"))


def test_positional_fields_may_be_named():
    config = parse("a.mrc", "3", "--last", "b.mrc")
    assert config.last == Path("b.mrc")
    assert parse("--first", "a.mrc", "--number", "2").number == 2


@pytest.mark.parametrize(
    ("words", "value"),
    [(["--flag"], True), (["--no-flag"], False), (["--flag", "True"], True), (["--some-flag"], True)],
)
def test_flags_may_have_further_names(words, value):
    assert parse("a", "1", *words).some_flag is value


@pytest.mark.parametrize("spelling", ["-o", "--o"])
def test_short_and_long_spellings(spelling):
    assert parse("a", "1", spelling, "x").o == "x"


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ((), False),
        (("--some_flag",), True),
        (("--some-flag",), True),
        (("--some_flag", "True"), True),
        (("--some_flag", "False"), False),
        (("--some_flag=True",), True),
        (("--some-flag=false",), False),
        (("--no-some_flag",), False),
    ],
)
def test_flags_with_and_without_values(words, value):
    assert parse("a", "1", *words).some_flag is value


def test_missing_and_doubled_words_are_named():
    with pytest.raises(SpisonetError, match="example needs NUMBER"):
        parse("a")
    with pytest.raises(SpisonetError, match="given twice"):
        parse("a", "1", "b", "--last", "c")


def test_an_invalid_value_is_one_sentence():
    with pytest.raises(SpisonetError, match=r"^--number: must be above 0; -2 was given\.$"):
        parse("a", "--number=-2")


@given(st.lists(st.text(min_size=1, max_size=8)))
def test_words_without_boolean_options_pass_unchanged(words):
    words = [word for word in words if not word.startswith("--")]
    assert join_boolean_values(words, {"flag"}) == words


def test_obsolete_options_are_left_out_with_their_values_and_named():
    words = [
        "refine",
        "t.star",
        "--drop_out",
        "0.3",
        "--epochs",
        "2",
        "--compile-model",
        "--kernel=3,3",
        "--seed",
        "1",
    ]
    kept, dropped = drop_obsolete(words, frozenset({"drop_out", "compile_model", "kernel"}))
    assert kept == ["refine", "t.star", "--epochs", "2", "--seed", "1"]
    assert dropped == ["--drop_out", "--compile-model", "--kernel"]


def test_reconstruct_takes_the_3d_fsc_and_the_mask_in_the_published_order():
    configs: list[ReconstructConfig] = []
    app = typer.Typer()
    add_command(app, ReconstructConfig, configs.append)
    app(["h1.mrc", "h2.mrc", "FSC3D.mrc", "mask.mrc"], standalone_mode=False)
    assert (configs[0].aniso_file, configs[0].mask) == (Path("FSC3D.mrc"), Path("mask.mrc"))
    words = ["reconstruct", "h1.mrc", "h2.mrc", "--aniso_file", "FSC3D.mrc", "--mask", "mask.mrc"]
    assert command_words(configs[0]) == words


def reconstruct(*words: str) -> ReconstructConfig:
    configs: list[ReconstructConfig] = []
    app = typer.Typer()
    add_command(app, ReconstructConfig, configs.append)
    app(["h1.mrc", "h2.mrc", *words], standalone_mode=False)
    return configs[0]


def test_a_profile_sets_what_is_not_given_and_returns_as_the_same_words():
    quick = ReconstructConfig.profiles["quick"]
    config = reconstruct("--profile", "quick")
    assert {name: getattr(config, name) for name in quick} == quick
    assert command_words(config) == ["reconstruct", "h1.mrc", "h2.mrc", "--profile", "quick"]
    # Also where the given value is the default without a profile.
    longer = reconstruct("--profile", "quick", "--epochs", "30")
    assert (longer.epochs, longer.n_subvolume) == (30, quick["n_subvolume"])
    assert command_words(longer)[3:] == ["--profile", "quick", "--epochs", "30"]
    assert ReconstructConfig.from_options(longer.model_dump(mode="json")) == longer
    with pytest.raises(SpisonetError, match="--profile: must be quick, standard or careful"):
        ReconstructConfig.from_options({"i1": "a", "i2": "b", "profile": "fast"})


def test_a_profile_of_a_correction_for_cryosparc_sets_what_is_not_given():
    names = {"project": "P1", "job": "J42", "workspace": "W1"}
    config = RunConfig.from_options(names | {"profile": "quick", "cube_size": 64})
    correction = ReconstructConfig.from_options({"i1": "a", "i2": "b"} | config.reconstruct_options())
    quick = ReconstructConfig.from_options({"i1": "a", "i2": "b", "profile": "quick", "cube_size": 64})
    assert correction == quick
    assert (correction.epochs, correction.cube_size) == (quick.profiles["quick"]["epochs"], 64)


def test_a_profile_sets_only_what_fits_the_other_options():
    assert reconstruct("--profile", "careful").validation
    assert not reconstruct("--profile", "careful", "--method", "deconvolve").validation
    pretrained = RefineConfig.from_options({"star_file": "t", "profile": "careful", "pretrained": "a.pt"})
    assert (pretrained.arch, pretrained.turns) == (None, 6)  # the network has its own width
    assert RefineConfig.from_options({"star_file": "t", "profile": "careful"}).width == 64
    assert DenoiseConfig.from_options({"star_file": "t", "profile": "careful"}).turns == 0


@pytest.mark.parametrize(("word", "value"), [("auto", "auto"), ("Auto", "auto"), ("3", 3), ("0", 0)])
def test_epochs_are_a_number_or_automatic(word, value):
    assert reconstruct("--epochs", word, "--pretrained", "default").epochs == value
    assert RefineConfig.from_options({"star_file": "t", "epochs": word}).epochs == value


def test_epochs_auto_is_a_value_and_not_the_default():
    assert drop_none_values(["refine", "t", "--epochs", "auto"], optional_names([RefineConfig]))[2:] == [
        "--epochs",
        "auto",
    ]
    config = reconstruct("--epochs", "auto")
    assert command_words(config)[3:] == ["--epochs", "auto"]
    assert config.total_epochs == 30
    assert RefineConfig(star_file="t", epochs="auto").total_epochs == 50
    assert RefineConfig(star_file="t").total_epochs == 50
    assert RefineConfig(star_file="t", epochs="None").epochs is None  # as IsoNet2 accepts it


@pytest.mark.parametrize("word", ["soon", "-1", "2.5", "", "None"])
def test_other_epochs_are_refused(word):
    with pytest.raises(SpisonetError, match="--epochs: must be"):
        reconstruct("--epochs", word)


def test_epochs_auto_excludes_what_needs_their_number():
    with pytest.raises(SpisonetError, match="--epochs auto needs --objective self-training"):
        reconstruct("--epochs", "auto", "--objective", "ei")
    config = RefineConfig(star_file="t", epochs="auto", iterations=3)
    with pytest.raises(SpisonetError, match="--epochs auto excludes --iterations"):
        config.check_options()
