"""The bundle for ChimeraX: its metadata, and its command with the functions of ChimeraX replaced."""

from __future__ import annotations

import importlib.util
import json
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from spisonet.report.viewer_scripts import ViewerScene, chimerax_script
from tests.report.chimerax_grammar import fault_of

FOLDER = Path(__file__).parents[2] / "packaging" / "chimerax-spisonet"
RECORD = {
    "command": "reconstruct",
    "status": "finished",
    "limit_resolution_angstrom": 6.5,
    "unmeasured_fraction": 0.62,
    "halves": {"independent": False, "shared": []},
}
pytestmark = pytest.mark.checkout


class UserError(Exception):
    pass


class CmdDesc:
    def __init__(self, required):
        self.required, self.synopsis = required, None


@pytest.fixture
def chimerax(monkeypatch):
    """Replace the modules of ChimeraX; return the bundle, and what it runs and registers."""
    calls = SimpleNamespace(run=[], registered=[], log=[])
    modules = {
        "chimerax": {},
        "chimerax.core": {},
        "chimerax.core.errors": {"UserError": UserError},
        "chimerax.core.toolshed": {"BundleAPI": object},
        "chimerax.core.commands": {
            "CmdDesc": CmdDesc,
            "OpenFolderNameArg": "folder",
            "run": lambda session, command: calls.run.append(command),
            "register": lambda *words, **_: calls.registered.append(words),
        },
    }
    for name, content in modules.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    where = [str(FOLDER / "src")]
    spec = importlib.util.spec_from_file_location(
        "chimerax.spisonet", FOLDER / "src" / "__init__.py", submodule_search_locations=where
    )
    bundle = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "chimerax.spisonet", bundle)
    spec.loader.exec_module(bundle)
    calls.session = SimpleNamespace(logger=SimpleNamespace(info=calls.log.append))
    calls.bundle = bundle
    yield calls
    sys.modules.pop("chimerax.spisonet.cmd", None)


@pytest.fixture
def run_folder(tmp_path):
    scene = ViewerScene("a b.mrc", "after.mrc", 0.5, 0.6, "inferred.mrc", (1.0, 2.0, 3.0), 100.0, 6.5)
    for name in (scene.before, scene.after, scene.inferred):
        (tmp_path / name).touch()
    (tmp_path / "view.cxc").write_text(chimerax_script(scene), encoding="utf-8")
    (tmp_path / "job.json").write_text(json.dumps(RECORD), encoding="utf-8")
    return tmp_path


def show(calls, folder):
    description = SimpleNamespace(name="spisonet show", synopsis="shows")
    calls.bundle.bundle_api.register_command(None, description, None)
    ((name, arguments, function),) = calls.registered
    assert (name, arguments.synopsis, arguments.required) == (
        "spisonet show",
        "shows",
        [("folder", "folder")],
    )
    function(calls.session, str(folder))


def test_it_shows_the_maps_and_tells_what_is_inferred(chimerax, run_folder):
    show(chimerax, run_folder)
    assert all(fault_of(command) is None for command in chimerax.run)
    written = [line for line in (run_folder / "view.cxc").read_text().splitlines() if line[:1] not in "#"]
    assert len(chimerax.run) == len(written)
    assert f'open "{run_folder}/a b.mrc" id #901' in chimerax.run
    assert any("palette" in command for command in chimerax.run)
    assert chimerax.log[0] == "62 % of Fourier space to 6.50 Å was not measured."
    assert "share a network" in chimerax.log[1]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("job.json", None, "has no job.json"),
        ("job.json", "{", "is damaged"),
        ("job.json", "[]", "is not the output folder"),
        ("job.json", '{"command": "refine"}', "is not the output folder"),
        ("job.json", '{"command": "reconstruct", "status": "failed"}', "its status is failed"),
        ("view.cxc", None, "has no view.cxc"),
        ("view.cxc", "runscript evil.py", "line 1, is not a command"),
        ("view.cxc", "view orient; exit", "line 1, is not a command"),
        ("view.cxc", 'open "evil.py" id #1', "line 1, is not a command"),
        ("view.cxc", 'open "../other/map.mrc" id #1', "line 1, is not a command"),
        ("view.cxc", 'open "missing.mrc" id #1', "does not exist"),
    ],
)
def test_other_folders_and_commands_are_refused(chimerax, run_folder, name, text, message):
    (run_folder / name).unlink()
    if text is not None:
        (run_folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        show(chimerax, run_folder)
    assert chimerax.run == []


def test_the_metadata_are_those_that_the_bundle_builder_requires(chimerax):
    metadata = tomllib.loads((FOLDER / "pyproject.toml").read_text(encoding="utf-8"))
    project, own = metadata["project"], metadata["tool"]["chimerax"]
    assert metadata["build-system"]["build-backend"] == "chimerax.bundle_builder.cx_pep517"
    assert "classifiers" not in project
    assert set(project["dynamic"]) == {"classifiers", "requires-python", "version"}
    assert project["name"].startswith("ChimeraX-")
    assert {"min-session-version", "max-session-version", "categories"} <= own.keys()
    assert own["command"].keys() == {"spisonet show"}
    assert set(own["command"]["spisonet show"]) == {"category", "description"}
    for folder, names in own["package-data"].items():
        assert all((FOLDER / folder / name).is_file() for name in names)
    assert chimerax.bundle.__version__
