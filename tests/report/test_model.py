"""The model section of the report, and models that cannot be used."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spisonet.commands.main import main
from spisonet.io.mrc import Volume, write_volume
from spisonet.validation.model import model_density, read_model

pytest.importorskip("gemmi")
from tests.validation.helix import BOX, VOXEL_SIZE, empty, write_helix


@pytest.fixture
def helix(tmp_path):
    return read_model(write_helix(tmp_path / "helix.cif"))


def halves_of_helix(folder, helix):
    """Write noisy half maps of a model, and a mask."""
    rng = np.random.default_rng(1)
    density = model_density(helix, empty())
    density /= density.std()
    for number in (1, 2):
        noisy = (density + 0.3 * rng.normal(size=density.shape)).astype(np.float32)
        write_volume(folder / f"half{number}.mrc", Volume(noisy, VOXEL_SIZE))
    distance2 = sum((axis - BOX / 2) ** 2 for axis in np.indices((BOX,) * 3))
    write_volume(folder / "mask.mrc", Volume((distance2 < 17**2).astype(np.float32), VOXEL_SIZE))


def test_the_report_compares_the_maps_with_a_model(tmp_path, helix):
    halves_of_helix(tmp_path, helix)
    out = tmp_path / "out"
    halves = [str(tmp_path / f"half{number}.mrc") for number in (1, 2)]
    common = ["--mask", str(tmp_path / "mask.mrc"), "--limit_res", "4", "--method", "deconvolve"]
    main(["reconstruct", *halves, *common, "--output_dir", str(out), "--model", str(helix.path)])
    found = json.loads((out / "report.json").read_text(encoding="utf-8"))["model"]
    assert set(found) == {"before", "after"}
    assert 0.3 < found["after"]["mean_q_score"] <= 1
    assert found["after"]["mean_fsc"] > 0.5
    assert (out / "report_model_q.cif").is_file()
    assert "Comparison with an atomic model" in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("words", ["does not exist", "contains no atoms", "outside"])
def test_an_unusable_model_is_refused_before_anything_is_written(tmp_path, helix, capsys, words):
    halves_of_helix(tmp_path, helix)
    bad = tmp_path / "bad.cif"
    if words == "contains no atoms":
        bad.write_text("data_x\n", encoding="utf-8")
    elif words == "outside":
        write_helix(bad, (500.0, 0, 0))
    halves = [str(tmp_path / f"half{number}.mrc") for number in (1, 2)]
    with pytest.raises(SystemExit) as stop:
        main(["reconstruct", *halves, "--model", str(bad), "--output_dir", str(tmp_path / "out")])
    assert stop.value.code == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
