"""Projects of copick, with the real package: tomograms out, corrected ones in."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import numpy as np
import pytest

from spisonet.errors import SpisonetError
from spisonet.integrations.config import CopickPullConfig, CopickPushConfig
from spisonet.integrations.copick import run_pull, run_push
from spisonet.io.mrc_file import open_mrc
from spisonet.io.tomogram_table import TomogramTable
from spisonet.io.tomograms import open_tomogram
from tests.integrations.plugin_host import require_plugin_host
from tests.tomography.isonet import run
from tests.tomography.simulation import gaussian_noise, write_mrc

copick = require_plugin_host("copick", "copick is not installed (extra copick)")
pytestmark = pytest.mark.filterwarnings("ignore")  # of zarr and its packages

SHAPE, VOXEL_SIZE = (12, 20, 24), 10.012
TYPES = ("wbp", "even", "odd")


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project of two runs with full, even and odd tomograms."""
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = copick.new_config("project.json", str(tmp_path / "overlay"))
        for number in (1, 2):
            spacing = root.new_run(f"TS_{number}").new_voxel_spacing(VOXEL_SIZE)
            for kind in TYPES:
                spacing.new_tomogram(kind).from_numpy(volume(number, kind), levels=2)
    return Path("project.json")


def volume(number: int, kind: str) -> np.ndarray:
    return gaussian_noise(SHAPE, seed=10 * number + TYPES.index(kind))


def pull(project: Path, **options) -> None:
    config = CopickPullConfig.from_options({"project": project, "output_dir": Path("out"), **options})
    config.check_options()
    run_pull(config)


def push(project: Path, **options) -> None:
    run_push(CopickPushConfig.from_options({"project": project, "star_file": Path("t.star"), **options}))


def corrected_table(names=("TS_1", "TS_2"), voxel_size: float = VOXEL_SIZE) -> None:
    """Write a table of the pulled tomograms with corrected ones."""
    run("prepare_star out --output_star t.star")
    table = TomogramTable.read(Path("t.star"))
    for row, name in zip(table.rows, names, strict=True):
        path = Path(f"corrected/corrected_{name}.mrc")
        write_mrc(path, gaussian_noise(SHAPE, seed=row.number), voxel_size=voxel_size)
        table.set(row, "rlnCorrectedTomoName", path)
        table.set(row, "rlnPixelSize", voxel_size)
    table.write()


def test_full_even_and_odd_tomograms_are_listed_by_prepare_star(project, caplog):
    caplog.set_level(logging.INFO, "spisonet")
    pull(project, tomo_type="wbp", even_type="even", odd_type="odd")
    assert "isonet.py prepare_star out --output_star out/tomograms.star" in caplog.text
    for kind, folder in zip(TYPES, ("full", "even", "odd"), strict=True):
        written = open_tomogram(Path(f"out/{folder}/TS_2.mrc"))
        np.testing.assert_array_equal(written.read(), volume(2, kind))
        assert written.voxel_size_angstrom == pytest.approx(VOXEL_SIZE)
    assert "from copick" in open_mrc(Path("out/full/TS_1.mrc")).labels[0]
    run("prepare_star out --output_star out/tomograms.star")
    first, second = TomogramTable.read(Path("out/tomograms.star")).rows
    assert (first.full, second.full) == (Path("out/full/TS_1.mrc"), Path("out/full/TS_2.mrc"))
    assert second.halves == (Path("out/even/TS_2.mrc"), Path("out/odd/TS_2.mrc"))


def test_runs_are_chosen_and_a_dry_run_writes_nothing(project):
    pull(project, tomo_type="wbp", runs="TS_2", dry_run=True)
    assert not Path("out").exists()
    pull(project, tomo_type="wbp", runs="TS_2")
    assert [path.name for path in Path("out/full").iterdir()] == ["TS_2.mrc"]


def test_corrected_tomograms_become_a_type_of_the_project(project):
    pull(project, tomo_type="wbp")
    corrected_table()
    push(project, tomo_type="isonet")
    spacing = copick.from_file(str(project)).get_run("TS_2").get_voxel_spacing(VOXEL_SIZE)
    (added,) = spacing.get_tomograms("isonet")
    np.testing.assert_allclose(added.numpy(), open_tomogram(Path("corrected/corrected_TS_2.mrc")).read())
    (before,) = spacing.get_tomograms("wbp")
    np.testing.assert_array_equal(before.numpy(), volume(2, "wbp"))
    with pytest.raises(SpisonetError, match=r"TS_1, already has a tomogram of type isonet at 10.012 Å"):
        push(project, tomo_type="isonet")


def test_nothing_is_added_unless_everything_fits(project):
    pull(project, tomo_type="wbp")
    corrected_table(voxel_size=20.0)
    with pytest.raises(SpisonetError, match=r"no voxel spacing of 20 Å \(10.012\)"):
        push(project)
    corrected_table()
    Path("out/full/TS_2.mrc").rename("out/full/other.mrc")
    Path("corrected/corrected_TS_2.mrc").rename("corrected/x.mrc")
    corrected_table(("TS_1", "other"))
    with pytest.raises(SpisonetError, match="has no run named after"):
        push(project)
    Path("corrected/corrected_other.mrc").unlink()
    with pytest.raises(SpisonetError, match=r"Missing files: corrected/corrected_other.mrc"):
        push(project)
    with pytest.raises(SpisonetError, match="lists no tomogram file for"):
        push(project, column="rlnDenoisedTomoName")
    root = copick.from_file(str(project))
    assert not root.get_run("TS_1").get_voxel_spacing(VOXEL_SIZE).get_tomograms("isonet")


def test_a_tomogram_that_cannot_be_written_is_removed_again(project, monkeypatch):
    pull(project, tomo_type="wbp")
    corrected_table()

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("copick.models.CopickTomogram.from_numpy", fail)
    with pytest.raises(OSError, match="No space"):
        push(project)
    assert (
        not copick.from_file(str(project))
        .get_run("TS_1")
        .get_voxel_spacing(VOXEL_SIZE)
        .get_tomograms("isonet")
    )


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"tomo_type": "sirt"}, r"TS_1, has no tomogram of type sirt; its types are even, odd, wbp"),
        ({"tomo_type": "wbp", "voxel_size": 5}, r"no tomogram of type wbp at 5 Å"),
        ({"tomo_type": "wbp", "runs": "TS_9"}, r"has no run TS_9; it has TS_1, TS_2"),
        ({}, "Give --tomo_type, or --even_type and --odd_type"),
        ({"even_type": "even"}, "Give both --even_type and --odd_type"),
    ],
)
def test_what_a_project_does_not_have_is_named(project, options, part):
    with pytest.raises(SpisonetError, match=part):
        pull(project, **options)
    assert not Path("out").exists()


def test_two_voxel_spacings_need_a_choice(project):
    root = copick.from_file(str(project))
    for run_name in ("TS_1", "TS_2"):
        root.get_run(run_name).new_voxel_spacing(20.0).new_tomogram("wbp").from_numpy(
            gaussian_noise((6, 10, 12)), levels=1
        )
    with pytest.raises(SpisonetError, match=r"has type wbp at 10.012, 20 Å; choose one with --voxel_size"):
        pull(project, tomo_type="wbp")
    pull(project, tomo_type="wbp", voxel_size=20)
    assert open_tomogram(Path("out/full/TS_1.mrc")).shape == (6, 10, 12)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("{", "is not a copick project that can be read"),
        (json.dumps({"config_type": "other"}), "Unknown config_type: other"),
        (
            json.dumps({"program": "spisonet", "command": "refine"}),
            "is not a copick project that can be read",
        ),
        (None, "does not exist; give the JSON file of the project"),
    ],
)
def test_files_of_other_programs_are_refused(tmp_path, content, part):
    path = tmp_path / "project.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SpisonetError, match=part):
        pull(path, tomo_type="wbp")
