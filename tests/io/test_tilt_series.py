"""Tomogram tables of RELION 4 and 5, and optimisation sets."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.errors import SpisonetError
from spisonet.io.tilt_series import read_optimisation_set, read_projection_directions

RELION5 = """
# version 50001

data_global

loop_
_rlnTomoName #1
_rlnVoltage #2
_rlnTomoTiltSeriesPixelSize #3
_rlnTomoTiltSeriesStarFile #4
"""
SERIES = """
# version 50001

data_{name}

loop_
_rlnTomoXTilt #1
_rlnTomoYTilt #2
_rlnTomoZRot #3
0.0 -40.0 85.0
0.0   0.0 85.0
0.0  40.0 85.0
"""
MATRICES = """
# version 30001

data_{name}

loop_
_rlnTomoProjX #1
_rlnTomoProjY #2
_rlnTomoProjZ #3
[1,0,0,0] [0,1,0,0] [0,0,1,0]
"""


@pytest.fixture
def relion5(tmp_path, monkeypatch):
    """Write a table of RELION 5 with the tilt series of given names, relative to the project."""
    monkeypatch.chdir(tmp_path)

    def write(*names: str, more: str = ""):
        (tmp_path / "Tomograms" / "job004" / "tilt_series").mkdir(parents=True, exist_ok=True)
        rows = ""
        for name in names:
            series = f"Tomograms/job004/tilt_series/{name}.star"
            (tmp_path / series).write_text(SERIES.format(name=name))
            rows += f"{name} 300.0 1.35 {series}\n"
        path = tmp_path / "Tomograms" / "job004" / "tomograms.star"
        path.write_text(RELION5 + rows + more)
        return path

    return write


def test_tilts_of_relion5_are_read_from_the_series(relion5):
    found = read_projection_directions(relion5("TS_01", "TS_02"))
    assert {*found} == {"TS_01", "TS_02"}
    assert np.degrees(np.arccos(found["TS_01"][:, 2])) == pytest.approx([40, 0, 40])


def test_a_series_that_was_moved_is_named_with_its_column(relion5):
    path = relion5("TS_01")
    (path.parent / "tilt_series" / "TS_01.star").unlink()
    with pytest.raises(SpisonetError, match=r"TS_01\.star, listed as rlnTomoTiltSeriesStarFile in"):
        read_projection_directions(path)


def test_two_series_of_one_name_are_refused(relion5):
    message = r"lists 2 tilt series of the name TS_01 in column rlnTomoName; rename one"
    with pytest.raises(SpisonetError, match=message):
        read_projection_directions(relion5("TS_01", "TS_02", "TS_01"))
    # The same tomogram as RELION 4 and as RELION 5 describe it.
    with pytest.raises(SpisonetError, match=message):
        read_projection_directions(relion5("TS_01", more=MATRICES.format(name="TS_01")))
    mixed = read_projection_directions(relion5("TS_01", more=MATRICES.format(name="TS_02")))
    assert {*mixed} == {"TS_01", "TS_02"}
    path = relion5()
    path.write_text(MATRICES.format(name="TS_01") * 2)
    with pytest.raises(SpisonetError, match=r"two blocks data_TS_01 \(line \d+\)"):
        read_projection_directions(path)


def test_an_optimisation_set_whose_files_moved(tmp_path):
    path = tmp_path / "run_optimisation_set.star"
    path.write_text("data_\n\n_rlnTomoParticlesFile run_data.star\n_rlnTomoTomogramsFile tomograms.star\n")
    with pytest.raises(SpisonetError, match=r"run_data\.star, listed as rlnTomoParticlesFile in"):
        read_optimisation_set(path)
    (tmp_path / "run_data.star").touch()
    with pytest.raises(SpisonetError, match=r"tomograms\.star, listed as rlnTomoTomogramsFile in"):
        read_optimisation_set(path)
    other = tmp_path / "other.star"
    assert read_optimisation_set(path, other) == (tmp_path / "run_data.star", other)
    (tmp_path / "tomograms.star").touch()
    assert read_optimisation_set(path) == (tmp_path / "run_data.star", tmp_path / "tomograms.star")


@pytest.mark.parametrize("angle", ["nan", "inf", "91", "word"])
def test_tilt_angles_are_finite_and_in_range(relion5, angle):
    path = relion5("TS_01")
    series = path.parent / "tilt_series" / "TS_01.star"
    series.write_text(series.read_text().replace("-40.0", angle))
    with pytest.raises(SpisonetError, match=r"TS_01\.star.* rlnTomoYTilt"):
        read_projection_directions(path)
