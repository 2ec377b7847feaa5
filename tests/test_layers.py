"""Dependencies point down only."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From the bottom up: a package imports from those before it, and from itself.
LAYERS = [
    "io",
    "geometry",
    "fourier",
    "learning",
    "analysis",
    "anisotropy",
    "misalignment",
    "tomography",
    "validation",
    "figures",
    "report",
    "gui",
    "commands",
]
FOUNDATION = {"io", "geometry", "fourier"}
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
    "report": {"figures", "validation", "tomography", "misalignment", "anisotropy", "analysis"} | FOUNDATION,
    "gui": {"commands", "figures", "io"},
    "commands": set(LAYERS),
}


def imported_packages(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("spisonet."):
            found.add(node.module.split(".")[1])
    return found - {"errors"}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_is_below_it(layer):
    for path in (ROOT / "spisonet" / layer).rglob("*.py"):
        assert imported_packages(path) <= ALLOWED[layer] | {layer}, path


def test_only_learning_and_reconstruct_need_torch():
    for layer in ("io", "geometry", "fourier", "analysis", "figures"):
        for path in (ROOT / "spisonet" / layer).rglob("*.py"):
            assert "import torch" not in path.read_text(encoding="utf-8"), path


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from spisonet.commands.main import main\n"
        "try: main(['reconstruct', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'scipy', 'torch', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip().endswith("[]")


def test_nothing_below_the_command_line_knows_of_relions_calls():
    for path in (ROOT / "spisonet").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.parent.name == "commands":
            text = text.replace("from relion_external.config import", "")
        assert "import relion_external" not in text, path
        assert "from relion_external" not in text, path


def test_what_relion_calls_starts_without_torch():
    code = "import relion_external.reconstruct, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_every_module_has_a_place():
    packages = {p.name for p in (ROOT / "spisonet").iterdir() if p.is_dir() and (p / "__init__.py").is_file()}
    assert packages == set(LAYERS)
