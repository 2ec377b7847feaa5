"""Scripts for ChimeraX and PyMOL: known commands, existing files, levels that enclose the same volume."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from spisonet.anisotropy.run_inputs import output_names
from spisonet.commands.main import main
from spisonet.io.mrc import Volume, read_volume
from spisonet.report.viewer_scripts import ViewerScene, chimerax_script, pymol_script
from tests.anisotropy.small_case import make_case
from tests.report.chimerax_grammar import fault_of

PYMOL = {
    *("set", "bg_color", "load", "isosurface", "color", "ramp_new", "disable", "orient", "turn", "zoom"),
}
SCENE = ViewerScene("a b.mrc", "after.mrc", 0.5, 0.6, "inferred_fraction.mrc", (1.0, 2.0, 3.0), 100.0, 6.0)


@pytest.mark.parametrize("name", ['half "1".mrc', "a,b; quit.mrc", "it's#1.mrc", "a\\nb\n.mrc"])
def test_names_of_corrected_maps_end_nothing_in_the_scripts(name):
    (written,) = output_names([Volume(np.zeros((2, 2, 2), np.float32), 1.0, name=f"in/{name}")])
    assert re.fullmatch(r"[\w-]+", written)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder of a run without a network and without a report."""
    folder = tmp_path_factory.mktemp("view")
    case = make_case(folder)
    words = ["--method", "deconvolve", "--limit_res", "6", "--no-report"]
    main(["reconstruct", *case.inputs, *words, "--output_dir", str(folder / "corrected")])
    return folder / "corrected"


@pytest.mark.parametrize("inferred", ["inferred_fraction.mrc", None])
def test_chimerax_accepts_every_line(inferred):
    for line in chimerax_script(replace(SCENE, inferred=inferred)).splitlines():
        assert fault_of(line) is None, line


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("surface #1 smooth true", "no command surface"),
        ("volume #1 style solid shade true", "no keyword shade"),
        ("volume #1 step fine", "step needs a integer"),
        ("volume #1 level 1 level 2", "level is repeated"),
        ("color sample #1 palette 0,#ff0000:1,#0000ff", "map is missing"),
        ("color sample #1 map #2 palette #ff0000,0:#0000ff,1", "palette needs a palette"),
        ("open map.mrc id first", "id needs a model id"),
        ("rename before", "models is missing"),
        ("view; exit", "several commands"),
        ("shape cylinder fromPoint 1,2", "fromPoint needs a point"),
    ],
)
def test_the_check_finds_faults(line, fault):
    assert fault_of(line) == fault


def test_the_axis_moves_with_its_map_and_is_not_coloured_by_it():
    lines = chimerax_script(SCENE).splitlines()
    shapes = [line for line in lines if line.startswith("shape")]
    assert [line.split("modelId ")[1] for line in shapes] == ["#901.10", "#902.10"]
    colouring = next(number for number, line in enumerate(lines) if line.startswith("color sample"))
    assert all(lines.index(line) > colouring for line in shapes)  # which colours all surfaces of the map


def test_pymol_commands_and_quoted_names():
    script = pymol_script(replace(SCENE, inferred=None))
    assert {line.split()[0] for line in script.splitlines() if not line.startswith("#")} <= PYMOL
    assert "ramp_new" not in script
    assert 'open "a b.mrc" id #901' in chimerax_script(SCENE)


def test_a_run_without_report_shows_both_maps_at_levels_of_the_same_volume(folder):
    text = (folder / "view.cxc").read_text(encoding="utf-8")
    names = re.findall(r'open "(.*?)"', text)
    assert names == ["input_filtered.mrc", "corrected_full_filtered.mrc"]
    levels = [float(level) for level in re.findall(r" level (\S+)", text)]
    inside = read_volume(folder.parent / "mask.mrc").data > 0.5
    shown = zip(names, levels, strict=True)
    enclosed = [int((read_volume(folder / name).data[inside] > level).sum()) for name, level in shown]
    assert enclosed[0] == pytest.approx(enclosed[1], rel=0.02)
    assert all(fault_of(line) is None for line in text.splitlines())


def test_the_axis_passes_through_the_centre_of_the_box(folder):
    text = (folder / "view.cxc").read_text(encoding="utf-8")
    points = re.findall(r"(?:from|to)Point (\S+)", text)[:2]
    middle = np.mean([[float(value) for value in point.split(",")] for point in points], axis=0)
    np.testing.assert_allclose(middle, np.array([4.0, -8.0, 12.0]) + 12 * 2.0, atol=0.02)


@pytest.mark.skipif(shutil.which("pymol") is None, reason="PyMOL is not on PATH")
def test_pymol_draws_both_maps(folder, tmp_path):
    picture = tmp_path / "view.png"
    words = ["pymol", "-cq", "view.pml", "-d", f"ray 200, 100; png {picture}"]
    path = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=300, env=path)
    pixels = matplotlib.image.imread(picture)[..., :3].min(axis=2)
    halves = np.split(pixels, 2, axis=1)
    assert all((half < 0.9).mean() > 0.01 for half in halves)
