"""What is read from the folder of a finished refinement, and which refinements are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from relion_external.finished_refinement import read_finished_refinement
from spisonet.errors import SpisonetError

START = "--o job/run --auto_refine --split_random_halves --i p.star --ref ref.mrc --ctf --sym D2 --pool 3"
CONTINUATION = "--continue job/run_it012_optimiser.star --o job/run_ct12 --pool 30"


def write_optimiser(path: Path, command: str, labels: str = "") -> None:
    path.write_text(
        f"# RELION optimiser; version 4.0.1\n# {command}\n\ndata_optimiser_general\n\n"
        f"_rlnSolventMaskName None\n{labels}\n",
        encoding="utf-8",
    )


@pytest.fixture
def job(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "run_data.star").touch()
    return folder


def test_the_command_is_that_of_the_start_whatever_continued_it(job):
    write_optimiser(job / "run_it000_optimiser.star", f"{START} --healpix_order 2")
    write_optimiser(job / "run_it012_optimiser.star", START)
    write_optimiser(job / "run_ct12_it013_optimiser.star", CONTINUATION)
    write_optimiser(job / "run_ct12_optimiser.star", CONTINUATION, "_rlnParticleDiameter 180.5")
    found = read_finished_refinement(job)
    assert found.command == f"{START} --healpix_order 2".split()
    assert found.particle_diameter_angstrom == 180.5
    # Where the first file was deleted, the first that is left and has all options is read.
    (job / "run_it000_optimiser.star").unlink()
    assert read_finished_refinement(job).command == START.split()
    (job / "run_it012_optimiser.star").unlink()
    assert read_finished_refinement(job).command == []


@pytest.mark.parametrize("text", ["-1", "nan", "wide"])
def test_a_diameter_that_is_none_is_unknown(job, text):
    write_optimiser(job / "run_optimiser.star", START, f"_rlnParticleDiameter {text}")
    assert read_finished_refinement(job).particle_diameter_angstrom is None


def test_the_diameter_is_also_read_from_the_command(job):
    write_optimiser(job / "run_optimiser.star", f"{START} --particle_diameter 120")
    assert read_finished_refinement(job).particle_diameter_angstrom == 120


@pytest.mark.parametrize(
    ("command", "labels", "words"),
    [
        (f"{START} --ctf_phase_flipped", "", "with --ctf_phase_flipped"),
        (f"{START} --ctf_intact_first_peak", "", "with --ctf_intact_first_peak"),
        (f"{START} --only_flip_phases", "", "with --only_flip_phases"),
        (f"{START} --helix", "", "with --helix"),
        (f"{START} --relax_sym D2", "", "with --relax_sym"),
        (f"{CONTINUATION} --relax_sym D2", "", "with --relax_sym"),
        (START.replace(" --ctf", ""), "", "without --ctf"),
        (CONTINUATION, "_rlnDoCorrectCtf 0", "without --ctf"),
        (CONTINUATION, "_rlnDoCorrectCtf 1\n_rlnCtfDataArePhaseFlipped 1", "with --ctf_phase_flipped"),
        (CONTINUATION, "_rlnDoIgnoreCtfUntilFirstPeak 1", "with --ctf_intact_first_peak"),
        (CONTINUATION, "_rlnDoOnlyFlipCtfPhases 1", "with --only_flip_phases"),
        (CONTINUATION, "_rlnDoHelicalRefine 1", "with --helix"),
    ],
)
def test_refinements_of_other_image_models_are_refused(job, command, labels, words):
    write_optimiser(job / "run_optimiser.star", command, labels)
    with pytest.raises(SpisonetError, match=f"job was refined {words}, but .*; give") as caught:
        read_finished_refinement(job)
    assert (caught.value.code, caught.value.field) == ("unsupported_refinement", "job")


def test_options_that_are_off_are_accepted(job):
    labels = "_rlnDoCorrectCtf 1\n_rlnCtfDataArePhaseFlipped 0\n_rlnDoHelicalRefine 0"
    write_optimiser(job / "run_optimiser.star", START, labels)
    assert read_finished_refinement(job).command == START.split()
    write_optimiser(job / "run_optimiser.star", CONTINUATION)  # nothing is known
    assert read_finished_refinement(job).command == []
