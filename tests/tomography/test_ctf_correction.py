"""CTF correction before training, or by the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spisonet.errors import SpisonetError
from spisonet.fourier.ctf import Microscope, ctf_amplitude
from spisonet.io.tomogram_table import DECONVOLVED, TomogramRow
from spisonet.io.tomograms import open_tomogram
from spisonet.tomography.ctf_correction import CtfCorrection, remove_filtered
from spisonet.tomography.tomogram import Tomogram
from spisonet.tomography.training_config import RefineConfig
from tests.tomography.simulation import gaussian_noise, write_mrc

STAR = Path("tomograms.star")
ROW = TomogramRow(0, {"rlnMicrographName": "t/a.mrc", DECONVOLVED: "deconv/a.mrc", "rlnDefocus": "30000"})


def test_deconvolved_tomograms_are_not_corrected_again():
    config = RefineConfig(star_file=STAR)
    assert CtfCorrection("None").input_column(ROW, config) == DECONVOLVED
    assert CtfCorrection("phase_only").input_column(ROW, config) is None
    config = RefineConfig(star_file=STAR, input_column=DECONVOLVED)
    with pytest.raises(SpisonetError, match="not by both"):
        CtfCorrection("phase_only").input_column(ROW, config)


def test_the_defocus_is_required_by_the_modes_that_use_it():
    without = TomogramRow(0, ROW.values | {"rlnDefocus": "0"})
    CtfCorrection("None").require_defocus([without])
    with pytest.raises(SpisonetError, match=r"missing for t/a\.mrc"):
        CtfCorrection("wiener").require_defocus([ROW, without])


def test_options_become_parameters_of_the_correction():
    config = RefineConfig(
        star_file=STAR, CTF_mode="network", do_phaseflip_input=False, clip_first_peak_mode=0, bfactor=200
    )
    assert CtfCorrection.from_config(config) == CtfCorrection("network", True, False, 200.0)


def test_filtered_tomograms_are_kept_until_they_are_removed(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", gaussian_noise((16, 24, 24)))
    tomogram = Tomogram("a", (open_tomogram(path),), (-60, 60), None, None, 1)
    folder, correction = tmp_path / "ctf", CtfCorrection("network", b_factor=100.0)
    corrected = correction.apply(tomogram, ROW, folder)
    (filtered,) = folder.iterdir()
    assert corrected.volumes[0].path == filtered
    expected = ctf_amplitude(Microscope(10.0, 30000.0), keep_low=True, b_factor=100.0)
    np.testing.assert_array_equal(corrected.ctf_amplitude.values, expected.values)
    written = filtered.stat().st_mtime_ns
    correction.apply(tomogram, ROW, folder)
    assert filtered.stat().st_mtime_ns == written
    (folder / "mine.mrc").touch()
    remove_filtered(folder)
    assert [path.name for path in folder.iterdir()] == ["mine.mrc"]


def test_without_a_mode_the_tomogram_is_unchanged(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", gaussian_noise((16, 24, 24)))
    tomogram = Tomogram("a", (open_tomogram(path),), (-60, 60), None, None, 1)
    assert CtfCorrection().apply(tomogram, ROW, tmp_path / "ctf") is tomogram
    flipped = CtfCorrection("network", phase_flipped=True).apply(tomogram, ROW, tmp_path / "ctf")
    assert flipped.volumes == tomogram.volumes
    assert flipped.ctf_amplitude is not None
    assert not (tmp_path / "ctf").exists()
