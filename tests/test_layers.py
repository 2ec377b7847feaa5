"""Structure of the source: dependencies point down, without circles; functions stay short."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.checkout

PACKAGES = ("spisonet", "relion_external", "spisonet_plugins")
FOUNDATION = {"io", "geometry", "fourier"}
# What each part of spisonet may import, from the bottom up; every part may import itself and spisonet.errors.
ALLOWED = {
    "io": {"geometry"},
    "geometry": set(),
    "fourier": {"geometry", "io"},
    "learning": FOUNDATION,
    "analysis": FOUNDATION,
    "anisotropy": {"analysis", "learning"} | FOUNDATION,
    "misalignment": {"anisotropy", "analysis", "learning"} | FOUNDATION,
    "tomography": {"analysis", "learning"} | FOUNDATION,
    "validation": {"anisotropy", "analysis", "learning"} | FOUNDATION,
    "figures": {"validation", "tomography", "misalignment", "anisotropy", "analysis"} | FOUNDATION,
    "report": {"figures", "validation", "tomography", "misalignment", "anisotropy", "analysis", "learning"}
    | FOUNDATION,
    "gui": {"commands", "figures", "io"},
}
ALLOWED["api"] = set(ALLOWED) - {"gui"}
ALLOWED["commands"] = set(ALLOWED)
ALLOWED["integrations"] = set(ALLOWED) - {"gui"}
WITHOUT_TORCH = ("io", "geometry", "fourier", "analysis", "figures")
MAX_FUNCTION_LINES = 100
# The commands of RELION's programs are listed with the others; their options are beside their feature.
FROM_COMMANDS_TO_RELION = "relion_external.config"
FROM_COMMANDS_TO_INTEGRATIONS = "spisonet.integrations.config"


@cache
def sources() -> dict[str, ast.Module]:
    """Return the syntax tree of every module by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


@cache
def imports(module: str) -> frozenset[str]:
    """Return the modules of this project that a module imports anywhere, also for type checking alone."""
    found = set()
    for node in ast.walk(sources()[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (members & set(sources())) or {node.module}
    return frozenset(found & set(sources()))


def layer(module: str) -> str:
    """Return the part of spisonet that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def circles() -> list[set[str]]:
    """Return the sets of modules that import each other, directly or through others."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            for module in imports(waiting.pop()) - found:
                found.add(module)
                waiting.append(module)
        return found

    reach = {module: reached(module) for module in sources()}
    sets = {
        frozenset(other for other in reach[module] if module in reach[other])
        for module in sources()
        if module in reach[module]
    }
    return [set(members) for members in sets]


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_a_part_imports_only_what_is_below_it(part):
    for module in sources():
        if module.startswith("spisonet.") and layer(module) == part:
            used = {
                layer(name)
                for name in imports(module)
                if name.startswith("spisonet.") and name != FROM_COMMANDS_TO_INTEGRATIONS
            }
            assert used <= ALLOWED[part] | {part, "errors"}, module


def test_every_module_has_a_place():
    parts = {layer(module) for module in sources() if module.startswith("spisonet.")}
    assert parts <= set(ALLOWED) | {"errors"}


def test_no_modules_import_each_other():
    assert circles() == []


def test_only_the_list_of_commands_and_integrations_know_relions_programs():
    for module in sources():
        if module.startswith("spisonet"):
            used = {name for name in imports(module) if name.startswith("relion_external")}
            allowed = {FROM_COMMANDS_TO_RELION} if layer(module) == "commands" else set()
            assert used <= allowed or layer(module) == "integrations", module


def test_only_plugins_use_the_integrations():
    for module in sources():
        if layer(module) != "integrations" and not module.startswith("spisonet_plugins"):
            used = {name for name in imports(module) if name.startswith("spisonet.integrations")}
            allowed = {FROM_COMMANDS_TO_INTEGRATIONS} if layer(module) == "commands" else set()
            assert used <= allowed, module


def test_relions_programs_do_not_use_the_graphical_interface():
    for module in sources():
        if module.startswith("relion_external"):
            assert not any(name.startswith("spisonet.gui") for name in imports(module)), module


@pytest.mark.parametrize("part", WITHOUT_TORCH)
def test_torch_is_imported_only_by_learning_and_above(part):
    for module, tree in sources().items():
        if module.startswith("spisonet.") and layer(module) == part:
            for node in ast.walk(tree):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not any(name.split(".")[0] == "torch" for name in names), module


def test_functions_are_short():
    """Their documentation does not count."""
    for module, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                documented = ast.get_docstring(node, clean=False) or ""
                lines = node.end_lineno - node.lineno - documented.count("\n") + 1
                assert lines <= MAX_FUNCTION_LINES, f"{module}.{node.name}: {lines} lines"


def imported_by(code: str, *names: str) -> set[str]:
    """Return which of the packages are imported after running the code in a new process."""
    code += f"\nimport sys; print(*({set(names)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.splitlines()[-1].split())


def test_help_imports_nothing_heavy():
    code = (
        "from spisonet.commands.main import main\n"
        "try: main(['reconstruct', '--help'])\n"
        "except SystemExit: pass"
    )
    assert imported_by(code, "numpy", "scipy", "torch", "pandas", "matplotlib") == set()


def test_fsc3d_reads_maps_before_it_imports_the_plotting_library():
    assert imported_by("import spisonet.commands.fsc3d", "torch", "pandas", "matplotlib") == set()


def test_the_reconstruct_hook_starts_without_torch():
    assert imported_by("import relion_external.reconstruct", "torch") == set()
