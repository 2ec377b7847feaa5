"""Forms stand for command lines, and know every command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from spisonet.commands.registry import PROGRAMS
from spisonet.gui.allowed_folders import AllowedFolders
from spisonet.gui.config import GuiConfig
from spisonet.gui.forms import (
    PLACE_FIELDS,
    command_line,
    describe_programs,
    form_values,
    model_of,
    place_outputs,
    read_form,
)

if TYPE_CHECKING:
    from spisonet.io.config import CommandConfig

COMMANDS = [(p, m) for p, models in PROGRAMS.items() for m in models if m is not GuiConfig]
OUTPUTS = {
    "fsc3d": {"o"},
    "whitening": {"o"},
    "angular_whiten": {"out_name"},
    "combine_map": {"out_map"},
    "fsd3d": {"o"},
    "report": {"o"},
    "check": set(),
    "prepare_star": {"output_star"},
    "deconv": {"output_star", "deconv_folder"},
    "make_mask": {"output_star", "mask_folder"},
    "prepare_subtomo_star": {"output_star"},
    "extract": {"subtomo_folder", "subtomo_star"},
    "refine": {"output_dir", "output_star"},
    "denoise": {"output_dir", "output_star"},
    "predict": {"output_dir", "output_star"},
    "resize": {"out_folder"},
}


def outputs_of(model: type[CommandConfig]) -> set[str]:
    """Name what a command writes: of those that are not listed here, the output folder if there is one."""
    return OUTPUTS.get(model.command, {"output_dir"} & model.model_fields.keys())


@pytest.fixture
def allowed_folders(tmp_path, monkeypatch) -> AllowedFolders:
    monkeypatch.chdir(tmp_path)
    for name in ("a.mrc", "b.mrc", "t.star", "n.safetensors"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    return AllowedFolders(tmp_path, [])


def answers(program: str, command: str) -> dict[str, str | bool | None]:
    """Fill in what an empty form leaves open."""
    form = next(form for form in describe_programs()[program] if form["command"] == command)
    values = {field["name"]: field["default"] for field in form["fields"]}
    for field in form["fields"]:
        if field["required"] and values[field["name"]] is None:
            values[field["name"]] = {"path": "a.mrc"}.get(field["kind"], "10")
    return values


@pytest.mark.parametrize(("program", "model"), COMMANDS)
def test_every_command_has_a_form_and_every_field_stands_in_it_once(program, model):
    form = next(form for form in describe_programs()[program] if form["command"] == model.command)
    names = [field["name"] for field in form["fields"]]
    assert names == [name for name in model.model_fields if name not in PLACE_FIELDS]
    for field in form["fields"]:
        info = model.model_fields[field["name"]]
        assert field["help"] == info.description
        assert field["required"] == info.is_required()
    assert {field["name"] for field in form["fields"] if field["output"]} == outputs_of(model)


@pytest.mark.parametrize(("program", "model"), COMMANDS)
def test_an_untouched_form_is_the_command_with_its_defaults(program, model, allowed_folders):
    values = answers(program, model.command)
    config, faults = read_form(program, model.command, values, allowed_folders)
    assert faults == {}
    for name, info in model.model_fields.items():
        if not info.is_required() and name not in outputs_of(model):
            assert getattr(config, name) == info.default
    # What was started can be started again with changes: the form comes back as it was.
    placed = place_outputs(config, "jobs/001_x")
    assert "{job}" not in str(placed)
    again = form_values(model, placed.model_dump(mode="json"), "jobs/001_x")
    assert read_form(program, model.command, again, allowed_folders)[0] == config


@pytest.mark.parametrize(("program", "model"), COMMANDS)
def test_the_line_that_is_shown_is_the_command(program, model, allowed_folders, monkeypatch):
    """Parsed by the real command line, it gives the very configuration of the form."""
    import typer

    from spisonet.commands.options import add_command

    values = answers(program, model.command)
    for field in next(f for f in describe_programs()[program] if f["command"] == model.command)["fields"]:
        if field["kind"] == "switch":
            values[field["name"]] = not field["default"]
        elif field["kind"] == "integer" and not field["required"] and not field["choices"]:
            values[field["name"]] = "16"
    config, faults = read_form(program, model.command, values, allowed_folders)
    assert faults == {}
    seen = []
    app = typer.Typer()
    add_command(app, model, seen.append)
    app.command("other")(lambda: None)
    done = CliRunner().invoke(app, command_line(program, config)[1:])
    assert done.exit_code == 0, done.output
    assert seen == [config]


def test_faults_stand_beside_their_fields_all_at_once(allowed_folders):
    values = {
        **answers("spisonet", "reconstruct"),
        "i1": "none.mrc",
        "i2": "../outside.mrc",
        "epochs": "many",
        "limit_res": "-3",
        "mask": "",
        "output_dir": "/elsewhere",
    }
    config, faults = read_form("spisonet", "reconstruct", values, allowed_folders)
    assert config is None
    assert set(faults) == {"i1", "i2", "epochs", "limit_res", "output_dir"}
    assert faults["i1"] == "none.mrc does not exist."
    assert "restart it with --allowed_folders" in faults["i2"]
    assert "greater than 0" in faults["limit_res"]
    assert all(sentence.endswith((".", " it.")) for sentence in faults.values())


def test_what_is_missing_is_said_beside_its_field(allowed_folders):
    config, faults = read_form("spisonet", "fsc3d", {"h": " ", "h2": None}, allowed_folders)
    assert config is None
    assert set(faults) == {"h", "h2"}


def test_a_fault_of_the_model_itself_is_told(allowed_folders):
    _, faults = read_form("isonet", "refine", {"star_file": "t.star", "arch": "unet-huge"}, allowed_folders)
    assert faults == {
        "arch": "unet-huge is not there; choose unet-small, unet-medium, unet-default, unet-large."
    }


def test_unknown_fields_and_commands_are_refused(allowed_folders):
    assert "shell" in read_form("spisonet", "check", {"shell": "rm"}, allowed_folders)[1]
    for program, command in (("spisonet", "gui"), ("bash", "-c"), ("spisonet", "refine")):
        with pytest.raises(Exception, match="is no command"):
            model_of(program, command)


def test_names_inside_the_roots_are_found_whatever_way_they_are_written(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "data").mkdir()
    allowed_folders = AllowedFolders(tmp_path / "p", [tmp_path / "data"])
    assert allowed_folders.inside("x/../y") == tmp_path / "p" / "y"
    assert allowed_folders.inside("../data/m.mrc") == tmp_path / "data" / "m.mrc"
    assert allowed_folders.shown(tmp_path / "p" / "y") == "y"
    assert allowed_folders.shown(tmp_path / "data" / "m.mrc") == str(Path(tmp_path / "data" / "m.mrc"))
