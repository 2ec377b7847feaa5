"""Libraries for the formats that spisonet reads by itself: equal results, and forms that they refuse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spisonet.io.imod import read_contours, write_contours
from spisonet.io.tilt_angles import read_tilt_range
from tests.integrations.plugin_host import require_plugin_host
from tests.io.imod_models import imod_model

mdocfile = require_plugin_host("mdocfile", "mdocfile is not installed")
alnfile = require_plugin_host("alnfile", "alnfile is not installed")
imodmodel = require_plugin_host("imodmodel", "imodmodel is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

ANGLES = list(range(-60, 61, 3))
MDOC = "PixelSpacing = 10\nImageFile = a.mrc\n\n" + "".join(
    f"[ZValue = {number}]\nTiltAngle = {angle}\n\n" for number, angle in enumerate(ANGLES)
)
COLUMNS = "# SEC ROT GMAG TX TY SMEAN SFIT SCALE BASE TILT\n"
ROWS = "".join(f"{n} 85.0 1.0 0.1 0.2 1 1 1 0 {angle}.0\n" for n, angle in enumerate(ANGLES))
ARETOMO1 = "# AreTomo Alignment / Priims bprmMn\n" + COLUMNS + ROWS
ARETOMO2 = (
    "# AreTomo Alignment / Priims bprmMn\n# RawSize = 4092 5760 41\n# NumPatches = 0\n# AlphaOffset = 0.00\n"
    "# BetaOffset = 0.00\n" + COLUMNS + ROWS
)
POINTS = [np.array([[4, 4, 2], [28, 4, 2]], float), np.array([[4, 4, 9], [28, 4, 9]], float)]
SECONDS = 20


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_the_libraries_agree_on_ordinary_files(tmp_path):
    mdoc, aln = write(tmp_path / "a.mdoc", MDOC), write(tmp_path / "a.aln", ARETOMO2)
    model = tmp_path / "a.mod"
    write_contours(model, POINTS, (16, 32, 32))
    assert read_tilt_range(mdoc) == (-60, 60)
    angles = mdocfile.read(mdoc)["TiltAngle"]
    assert (angles.min(), angles.max()) == (-60, 60)
    assert read_tilt_range(aln) == (-60, 60)
    tilts = alnfile.read(aln)["tilt"]
    assert (tilts.min(), tilts.max()) == (-60, 60)
    found = imodmodel.read(model)[["x", "y", "z"]].to_numpy()
    np.testing.assert_array_equal(found, np.concatenate(read_contours(model)))


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("a.mdoc", MDOC.encode("utf-16"), "mdocfile"),  # as some editors of Windows save it
        ("a.mdoc", MDOC.replace("TiltAngle", "StagePosition =\nTiltAngle"), "mdocfile"),
        ("a.aln", ARETOMO1, "alnfile"),
    ],
    ids=["UTF-16", "empty field", "AreTomo 1"],
)
def test_forms_that_the_libraries_refuse_are_read(tmp_path, name, content, read):
    path = write(tmp_path / name, content)
    assert read_tilt_range(path) == (-60, 60)
    with pytest.raises(Exception, match=r"decode|valid"):
        {"mdocfile": mdocfile, "alnfile": alnfile}[read].read(path)


def test_models_with_meshes_are_read(tmp_path):
    path = write(tmp_path / "a.mod", imod_model(POINTS))
    assert len(read_contours(path)) == 2
    with pytest.raises(ValueError, match="Indices must end with -1"):
        imodmodel.read(path)


def test_a_model_without_its_last_part_is_read(tmp_path):
    """The library does not end on it; in a process of its own."""
    path = tmp_path / "a.mod"
    write_contours(path, POINTS, (16, 32, 32))
    path.write_bytes(path.read_bytes().removesuffix(b"IEOF"))
    assert len(read_contours(path)) == 2
    command = [sys.executable, "-c", f"import imodmodel; imodmodel.read({str(path)!r})"]
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(command, timeout=SECONDS, capture_output=True)
