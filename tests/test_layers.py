"""Dependencies point down only."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = [
    "io",
    "geometry",
    "fourier",
    "learning",
    "anisotropy",
    "misalignment",
    "tomography",
    "validation",
    "cli",
    "gui",
]
ALLOWED = {
    "io": {"io", "geometry"},
    "geometry": {"geometry"},
    "fourier": {"fourier", "geometry", "io"},
    "learning": {"learning", "fourier", "geometry", "io"},
    "anisotropy": {"anisotropy", "learning", "fourier", "geometry", "io"},
    "misalignment": {"misalignment", "anisotropy", "learning", "fourier", "geometry", "io"},
    "tomography": {"tomography", "learning", "fourier", "geometry", "io"},
    "validation": {"validation", "anisotropy", "learning", "fourier", "geometry", "io"},
    "cli": {"cli", "gui", "anisotropy", "tomography", "validation", "io"},
    "gui": {"gui", "cli", "io"},
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
        assert imported_packages(path) <= ALLOWED[layer], path


def test_only_learning_and_reconstruct_need_torch():
    for layer in ("io", "geometry", "fourier", "cli"):
        for path in (ROOT / "spisonet" / layer).rglob("*.py"):
            assert "import torch" not in path.read_text(encoding="utf-8"), path


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from spisonet.cli.main import main\n"
        "try: main(['reconstruct', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'scipy', 'torch', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip().endswith("[]")


def test_nothing_below_the_command_line_knows_of_relions_calls():
    for path in (ROOT / "spisonet").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.parent.name == "cli":
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
