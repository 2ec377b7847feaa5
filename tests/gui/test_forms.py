"""Every command has a form, and a form stands for a command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from spisonet.commands.registry import PROGRAMS
from spisonet.errors import SpisonetError
from spisonet.gui.allowed_folders import AllowedFolders
from spisonet.gui.config import GuiConfig
from spisonet.gui.forms import (
    TARGET_FIELDS,
    command_line,
    config_model,
    form_values,
    input_files,
    insert_job_folder,
    list_forms,
    require_allowed_paths,
    validate_form,
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
    "reference": {"o"},
    "report": {"o"},
    "check": set(),
    "prepare_star": {"output_star"},
    "deconv": {"output_star", "deconv_folder"},
    "make_mask": {"output_star", "mask_folder"},
    "prepare_subtomo_star": {"output_star"},
    "extract": {"subtomo_folder", "subtomo_star"},
    "correct": {"output_dir", "output_star"},
    "refine": {"output_dir", "output_star"},
    "denoise": {"output_dir", "output_star"},
    "predict": {"output_dir", "output_star"},
    "psf": {"output"},
    "resize": {"out_folder"},
}

# Optional by their type, but at least one of several is needed.
NEEDED = {"reconstruct": {"i2": "b.mrc"}, "prepare_star": {"folder_name": "folder"}}


def outputs_of(model: type[CommandConfig]) -> set[str]:
    """Return the fields that name outputs: for commands that are not listed, the output folder if any."""
    return OUTPUTS.get(model.command, {"output_dir"} & model.model_fields.keys())


@pytest.fixture
def allowed_folders(tmp_path, monkeypatch) -> AllowedFolders:
    monkeypatch.chdir(tmp_path)
    for name in ("a.mrc", "b.mrc", "t.star", "n.safetensors"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    return AllowedFolders(tmp_path, [])


def filled_in(program: str, command: str) -> dict[str, str | bool | None]:
    """Return the values of an untouched form, with the required fields filled in."""
    form = next(form for form in list_forms()[program] if form["command"] == command)
    values = {field["name"]: field["default"] for field in form["fields"]}
    for field in form["fields"]:
        if field["required"] and values[field["name"]] is None:
            values[field["name"]] = {"path": "a.mrc"}.get(field["kind"], "10")
    return values | NEEDED.get(command, {})


@pytest.mark.parametrize(("program", "model"), COMMANDS)
def test_every_command_has_a_form_with_every_field_once(program, model):
    form = next(form for form in list_forms()[program] if form["command"] == model.command)
    names = [field["name"] for field in form["fields"]]
    assert names == [name for name in model.model_fields if name not in TARGET_FIELDS]
    for field in form["fields"]:
        info = model.model_fields[field["name"]]
        assert field["help"] == info.description
        assert field["required"] == info.is_required()
    assert {field["name"] for field in form["fields"] if field["output"]} == outputs_of(model)


@pytest.mark.parametrize(("program", "model"), COMMANDS)
def test_an_untouched_form_is_the_command_with_its_defaults(program, model, allowed_folders):
    values = filled_in(program, model.command)
    config, errors = validate_form(program, model.command, values, allowed_folders)
    assert errors == {}
    for name, info in model.model_fields.items():
        if not info.is_required() and name not in {*outputs_of(model), *NEEDED.get(model.command, {})}:
            assert getattr(config, name) == info.default
    # The form of a job that is repeated has the values of the first.
    placed = insert_job_folder(config, "jobs/001_x")
    assert "{job}" not in str(placed)
    again = form_values(model, placed.model_dump(mode="json"), "jobs/001_x")
    assert validate_form(program, model.command, again, allowed_folders)[0] == config


@pytest.mark.parametrize(("program", "model"), COMMANDS)
def test_the_displayed_line_is_the_command_of_the_form(program, model, allowed_folders, monkeypatch):
    """Parsed by the command line, it gives the configuration of the form."""
    import typer

    from spisonet.commands.options import add_command

    values = filled_in(program, model.command)
    for field in next(f for f in list_forms()[program] if f["command"] == model.command)["fields"]:
        if field["kind"] == "switch":
            values[field["name"]] = not field["default"]
        elif field["kind"] == "integer" and not field["required"] and not field["choices"]:
            values[field["name"]] = "16"
    config, errors = validate_form(program, model.command, values, allowed_folders)
    assert errors == {}
    seen = []
    app = typer.Typer()
    add_command(app, model, seen.append)
    app.command("other")(lambda: None)
    done = CliRunner().invoke(app, command_line(program, config)[1:])
    assert done.exit_code == 0, done.output
    assert seen == [config]


def test_all_invalid_values_are_reported_at_once_by_field(allowed_folders):
    values = {
        **filled_in("spisonet", "reconstruct"),
        "i1": "none.mrc",
        "i2": "../outside.mrc",
        "epochs": "many",
        "limit_res": "-3",
        "mask": "",
        "output_dir": "/elsewhere",
    }
    config, errors = validate_form("spisonet", "reconstruct", values, allowed_folders)
    assert config is None
    assert set(errors) == {"i1", "i2", "epochs", "limit_res", "output_dir"}
    assert errors["i1"] == "none.mrc does not exist."
    assert "restart the interface with --allowed_folders" in errors["i2"]
    assert errors["limit_res"] == "must be above 0; -3 was given."
    assert all(message.endswith(".") for message in errors.values())


def test_missing_values_are_reported_by_field(allowed_folders):
    config, errors = validate_form("spisonet", "fsc3d", {"h": " ", "h2": None}, allowed_folders)
    assert config is None
    assert set(errors) == {"h", "h2"}


def test_errors_of_the_configuration_model_are_reported(allowed_folders):
    _, errors = validate_form(
        "isonet", "refine", {"star_file": "t.star", "arch": "unet-huge"}, allowed_folders
    )
    assert set(errors) == {"arch"}
    assert "unet-medium" in errors["arch"]


@pytest.mark.parametrize(
    ("program", "command", "values", "field", "message"),
    [
        (
            "spisonet",
            "reconstruct",
            {"cube_size": "30"},
            "cube_size",
            "must be a multiple of 8; 30 was given.",
        ),
        (
            "spisonet",
            "reconstruct",
            {"epochs": "3.5"},
            "epochs",
            "must be a whole number or auto; 3.5 was given.",
        ),
        ("spisonet", "reconstruct", {"b_factor": "-80"}, "b_factor", "--b_factor is the B-factor of"),
        ("spisonet", "reconstruct", {"i2": ""}, "i2", "The anisotropy of a single map is unknown"),
        ("isonet", "refine", {"arch": "unet-huge"}, "arch", "must be unet-small, unet-medium"),
        ("isonet", "refine", {"noise_mode": "median"}, "noise_mode", "must be noFilter, ramp or hamming"),
        ("isonet", "refine", {"noise_level": "much"}, "noise_level", "much is not a list of numbers"),
        ("isonet", "refine", {"epochs": "0"}, "pretrained", "--epochs 0 predicts without training"),
        ("isonet", "denoise", {"pretrained": "default"}, "pretrained", "fills missing wedges"),
        (
            "isonet",
            "prepare_star",
            {"folder_name": "folder", "defocus": "3"},
            "defocus",
            "for 3 µm enter 30000",
        ),
        (
            "isonet",
            "prepare_star",
            {"folder_name": "folder", "pixel_size": "1O"},
            "pixel_size",
            "1O is neither",
        ),
        (
            "isonet",
            "prepare_star",
            {"folder_name": ""},
            "folder_name",
            "prepare_star needs a folder of tomograms",
        ),
    ],
)
def test_the_form_refuses_what_the_command_refuses_in_the_same_words(
    allowed_folders, program, command, values, field, message
):
    filled = {**filled_in(program, command), **values}
    config, errors = validate_form(program, command, filled, allowed_folders)
    assert config is None
    assert set(errors) == {field}
    assert message in errors[field]
    fields = config_model(program, command).model_fields
    required = {name: filled[name] for name in fields if fields[name].is_required()}
    given = required | NEEDED.get(command, {}) | values
    given = {name: value for name, value in given.items() if value != ""}
    with pytest.raises(SpisonetError) as error:  # as the command line does
        config_model(program, command).from_options(given).check_options()
    assert error.value.field == field
    assert str(error.value).removeprefix(f"--{field}: ") == errors[field]


def test_unknown_fields_and_commands_are_refused(allowed_folders):
    assert "shell" in validate_form("spisonet", "check", {"shell": "rm"}, allowed_folders)[1]
    for program, command in (("spisonet", "gui"), ("bash", "-c"), ("spisonet", "refine")):
        with pytest.raises(SpisonetError, match="is not a command"):
            config_model(program, command)


def test_paths_of_a_stored_configuration_are_checked_too(allowed_folders):
    config, _ = validate_form(
        "spisonet", "reconstruct", filled_in("spisonet", "reconstruct"), allowed_folders
    )
    require_allowed_paths(config, allowed_folders)
    for changes in (
        {"i1": Path("/etc/passwd")},
        {"output_dir": Path("/elsewhere")},
        {"i2": Path("none.mrc")},
    ):
        with pytest.raises(SpisonetError) as error:
            require_allowed_paths(config.model_copy(update=changes), allowed_folders)
        assert error.value.field == next(iter(changes))


def test_main_inputs_are_those_without_an_option_name():
    config = {"i1": "a.mrc", "i2": "b.mrc", "mask": "m.mrc", "output_dir": "out"}
    assert input_files("spisonet", "reconstruct", config) == ["a.mrc", "b.mrc"]
    assert input_files("spisonet", "of another version", config) == []
