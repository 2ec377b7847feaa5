"""Records of validations are read only for the run that they belong to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spisonet.anisotropy.config import ReconstructConfig
from spisonet.errors import SpisonetError
from spisonet.validation.finished_run import FinishedRun
from spisonet.validation.records import read_null_tests, read_validation

CURVES = ("resolution_angstrom", "recovery", "recovery_without_network", "fsc", "ceiling")
FIELDS = {
    "settings": {"cones": 3, "half_angle_degrees": 20.0, "epochs": 1, "subvolumes_per_epoch": 2},
    "recovery": 0.5,
    "recovery_without_network": 0.4,
    "power_ratio": 1.0,
    "resolution_at_recovery_05_angstrom": None,
    "by_resolution": {name: [1.0] for name in CURVES},
}


@pytest.mark.parametrize(
    ("read", "name"),
    [(read_validation, "validation/validation.json"), (read_null_tests, "null_tests/null_tests.json")],
)
def test_a_record_of_an_earlier_run_in_the_folder_is_not_read(tmp_path: Path, read, name):
    config = ReconstructConfig.from_options({"i1": "half1.mrc", "i2": "half2.mrc"})
    run = FinishedRun(tmp_path, config, {"written": "today"})
    assert read(run) is None
    path = tmp_path / name
    path.parent.mkdir()
    path.write_text(json.dumps({"validated_run": "yesterday", "number": 1}))
    assert read(run) is None
    path.write_text(json.dumps({"validated_run": "today", "number": 2} | FIELDS))
    assert read(run)["number"] == 2
    path.write_text(json.dumps({"validated_run": "today"} | FIELDS | {"noise": 3, "recovery": "high"}))
    with pytest.raises(SpisonetError, match=rf"{path.name} is damaged: (noise|recovery): "):
        read(run)
