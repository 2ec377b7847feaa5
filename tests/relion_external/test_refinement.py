"""A refinement read from RELION's own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from relion_external.call import read_call
from relion_external.refinement import option_value, read_refinement
from spisonet.errors import SpisonetError
from tests.relion_external.conftest import COMMAND


@pytest.mark.parametrize("version", ["3.1", "4.0", "5.0"])
def test_every_version_is_read_alike(make_job, version):
    job = make_job(version)
    found = read_refinement(read_call(job.write_call(3)))
    assert found.version[0] == int(version[0])
    assert found.mask == Path("mask.mrc")
    assert found.split_halves
    assert (found.symmetry, found.healpix_order) == ("C1", 3)
    assert found.pixel_size_angstrom == 4.0
    assert found.particle_diameter_angstrom == (96.0 if version == "3.1" else 80.0)
    assert found.initial_low_pass_angstrom == 30.0
    assert found.initial_map == Path("Refine3D/job007/run_it000_half1_class001.mrc")
    assert found.particles == Path("Refine3D/job007/run_it002_data.star")
    assert found.has("--external_reconstruct")
    assert found.data_dimensionality == 2
    assert not found.is_of_subtomograms


@pytest.mark.parametrize(
    ("version", "dimensionality", "values"),
    [
        ("3.1", 3, {}),
        ("4.0", 3, {"rlnTomoTomogramsFile": "tomograms.star", "rlnTomoTrajectoriesFile": '""'}),
        ("5.0", 2, {"rlnTomoTomogramsFile": "tomograms.star"}),
    ],
)
def test_subtomograms_and_images_are_distinguished(make_job, version, dimensionality, values):
    job = make_job(version)
    job.write_iteration(2, dimensionality=dimensionality, **values)
    found = read_refinement(read_call(job.write_call(3)))
    assert found.is_of_subtomograms
    assert found.data_dimensionality == dimensionality
    assert found.tomograms == (Path("tomograms.star") if values else None)


@pytest.mark.parametrize(
    ("version", "flag", "grids"),
    [
        ("3.1", "", True),
        ("3.1", "--skip_gridding", False),
        ("4.0", "", False),
        ("4.0", "--dont_skip_gridding", True),
        ("5.0", "--skip_gridding", False),
    ],
)
def test_gridding_follows_the_version_and_the_command(make_job, version, flag, grids):
    job = make_job(version)
    job.write_iteration(2, f"{COMMAND} {flag}")
    assert read_refinement(read_call(job.write_call(3))).grids is grids


def test_a_continuation_reads_the_files_of_the_first_run(make_job):
    job = make_job()
    job.write_iteration(2, "--o Refine3D/job007/run_ct2 --continue run_it002_optimiser.star", "run_ct2")
    for path in job.folder.glob("run_it002_*"):
        path.unlink()
    star = job.write_call(3)
    continued = star.with_name(star.name.replace("run_it", "run_ct2_it"))
    star.rename(continued)
    call = read_call(continued)
    assert call.root.endswith("run_ct2")
    found = read_refinement(call)
    assert found.particles == Path("Refine3D/job007/run_ct2_it002_data.star")
    assert found.initial_low_pass_angstrom == 30.0
    assert found.initial_map == Path("Refine3D/job007/run_it000_half1_class001.mrc")


def test_a_continuation_without_files_of_its_own_root_uses_the_first_ones(make_job):
    job = make_job()
    star = job.write_call(3)
    continued = star.with_name(star.name.replace("run_it", "run_ct2_it"))
    star.rename(continued)
    assert read_refinement(read_call(continued)).mask == Path("mask.mrc")


def test_a_job_without_the_previous_iteration_is_an_error(make_job):
    job = make_job()
    with pytest.raises(SpisonetError, match="no optimiser file of iteration 8"):
        read_refinement(read_call(job.write_call(9)))


def test_options_are_found_in_the_words_of_a_command():
    assert option_value(["--a", "1", "--b"], "--a") == "1"
    assert option_value(["--a", "1", "--b"], "--b") is None
