"""Tables that list corrected tomograms as the reconstructed ones."""

from __future__ import annotations

from pathlib import Path

from spisonet.io.tomogram_table import FULL_RELION5, TomogramTable
from spisonet.tomography.as_reconstructed import as_reconstructed_path, write_as_reconstructed

TABLE = """data_global

loop_
_rlnTomoName #1
_rlnTomoTiltSeriesPixelSize #2
_rlnTomoTomogramBinning #3
_rlnTomoReconstructedTomogram #4
TS_1 1.35 7 a.mrc
TS_2 1.35 7 b.mrc
TS_3 1.35 7 c.mrc
"""


def test_tomograms_of_earlier_runs_stay_in_the_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tomograms.star").write_text(TABLE)
    for name in ("new_1.mrc", "new_2.mrc", "again_2.mrc"):
        Path(name).touch()

    def written(files: dict[int, Path]) -> dict[str, str]:
        path = write_as_reconstructed(TomogramTable.read(Path("tomograms.star")), files)
        assert path == as_reconstructed_path(Path("tomograms.star"))
        return {row.shown: row.values[FULL_RELION5] for row in TomogramTable.read(path).rows}

    assert written({0: Path("new_1.mrc")}) == {"TS_1": "new_1.mrc"}
    assert written({1: Path("new_2.mrc")}) == {"TS_1": "new_1.mrc", "TS_2": "new_2.mrc"}
    Path("new_1.mrc").unlink()
    assert written({1: Path("again_2.mrc")}) == {"TS_2": "again_2.mrc"}
