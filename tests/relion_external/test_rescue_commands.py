"""The commands that follow a rescue, and what is said about them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch

from relion_external.finished_refinement import FinishedRefinement
from relion_external.rescue_commands import DRIFTS_BACK, UNKNOWN_COMMAND, rescue_commands, rescue_warnings
from relion_external.rescue_inputs import RescueInputs
from spisonet.misalignment.image_band import Poses
from spisonet.misalignment.particle_images import read_particle_images
from spisonet.misalignment.pose_output import reconstruct_half_maps
from tests.misalignment.particle_sets import simulate_particles

OUT = Path("a folder")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> RescueInputs:
    """Inputs from the folder of a continued job without its first iterations."""
    particles = read_particle_images(simulate_particles(tmp_path_factory.mktemp("particles"), n=10).star)
    job = FinishedRefinement(particles.star, None, "C1", [], 120.0)
    return RescueInputs(job, particles, "C2", None, 120.0, None, torch.device("cpu"))


def test_an_unknown_command_is_replaced_by_a_default_with_the_diameter(inputs):
    postprocess, _, _, refine = rescue_commands(OUT, inputs)
    assert postprocess.startswith(
        "relion_postprocess --i 'a folder/run_half1_class001_unfil.mrc' --angpix 5 "
    )
    assert refine.endswith("--ctf --flatten_solvent --zero_mask --particle_diameter 120")
    assert "--sym C2" in refine
    assert rescue_warnings(inputs) == [DRIFTS_BACK, UNKNOWN_COMMAND]
    unknown = replace(inputs, refinement=replace(inputs.refinement, particle_diameter_angstrom=None))
    assert rescue_commands(OUT, unknown)[-1].endswith("--zero_mask")


def test_half_maps_with_aberrations_are_reconstructed_by_relion(inputs):
    columns = ("rlnBeamTiltX", "rlnOddZernike")
    refinement = replace(inputs.refinement, command=["--ctf"])
    particles = replace(inputs.particles, ignored_aberrations=columns)
    given = replace(inputs, particles=particles, refinement=refinement, mask_file=Path("m.mrc"))
    folder, *halves, postprocess, _, _, _ = rescue_commands(OUT, given)
    assert folder == "mkdir -p 'a folder/reconstructed'"
    assert halves == [
        f"relion_reconstruct --i 'a folder/particles.star' --ctf --sym C2 --subset {half} "
        f"--o 'a folder/reconstructed/run_half{half}_class001_unfil.mrc'"
        for half in (1, 2)
    ]
    assert "--i 'a folder/reconstructed/run_half1_class001_unfil.mrc' --mask m.mrc" in postprocess
    first, *rest = rescue_warnings(given)
    assert "lack aberrations in the particle STAR file: rlnBeamTiltX, rlnOddZernike." in first
    assert rest == [DRIFTS_BACK]


@pytest.mark.relion
@pytest.mark.skipif(shutil.which("relion_reconstruct") is None, reason="RELION is not installed")
def test_the_reconstruct_lines_run_as_printed(tmp_path, monkeypatch):
    """In a folder with a space in its name; the maps equal those of the rescue."""
    monkeypatch.chdir(tmp_path)
    simulated = simulate_particles(tmp_path, n=200)
    particles = read_particle_images(simulated.star)
    OUT.mkdir()
    shutil.copy(simulated.star, OUT / "particles.star")
    job = FinishedRefinement(simulated.star, None, "C1", [], 120.0)
    cpu = torch.device("cpu")
    given = RescueInputs(
        job, replace(particles, ignored_aberrations=("rlnBeamTiltX",)), "C1", None, 120.0, None, cpu
    )
    for line in rescue_commands(OUT, given)[:3]:
        subprocess.run(["bash", "-c", line], check=True, capture_output=True)
    expected = reconstruct_half_maps(particles, Poses.of(particles), "C1", cpu)
    for half, own in enumerate(expected, start=1):
        with mrcfile.open(OUT / "reconstructed" / f"run_half{half}_class001_unfil.mrc") as file:
            coarse = [np.fft.rfftn(volume)[:6, :6, :6] for volume in (file.data, own)]
        first, second = (volume.ravel()[1:] for volume in coarse)
        assert np.vdot(first, second).real > 0.9 * np.linalg.norm(first) * np.linalg.norm(second)
