"""A project with a finished refinement of a few simulated particles, whose poses have drifted or not."""

from __future__ import annotations

from pathlib import Path

import mrcfile

from spisonet.misalignment.image_band import Poses
from spisonet.misalignment.particle_images import read_particle_images
from spisonet.misalignment.pose_output import write_poses
from tests.misalignment.particle_sets import PIXEL, SimulatedSet, simulate_particles
from tests.misalignment.test_pose_correction import drifted

JOB = Path("Refine3D/job002")
COMMAND = (
    "--o Refine3D/job002/run --auto_refine --split_random_halves --i particles.star --ref ref.mrc "
    "--ini_high 40 --firstiter_cc --ctf --sym C1 --solvent_mask mask.mrc --particle_diameter 120 "
    "--pipeline_control Refine3D/job002/"
)


def write_refined_project(project: Path, drift: float, n: int = 600) -> SimulatedSet:
    """Write a finished job; `drift` is the relative increase of the angles of views to z."""
    project.mkdir(parents=True, exist_ok=True)
    simulated = simulate_particles(project, n=n)
    with mrcfile.new(project / "mask.mrc") as mrc:
        mrc.set_data(simulated.mask)
        mrc.voxel_size = PIXEL
    job = project / JOB
    job.mkdir(parents=True)
    particles = read_particle_images(simulated.star)
    write_poses(job / "run_data.star", particles, drifted(Poses.of(particles), drift))
    simulated.star.rename(project / "particles.star")
    (job / "run_sampling.star").write_text(
        "data_sampling_general\n\n_rlnSymmetryGroup C1\n", encoding="utf-8"
    )
    (job / "run_it007_optimiser.star").write_text(
        f"# RELION optimiser; version 3.1.3\n# {COMMAND}\n\ndata_optimiser_general\n\n"
        '_rlnSolventMaskName "mask.mrc"\n_rlnDoSplitRandomHalves 1\n',
        encoding="utf-8",
    )
    return simulated
