"""Half maps of a whole box, with and without padding."""

from __future__ import annotations

import numpy as np
import pytest
import starfile
import torch

from spisonet.learning import memory
from spisonet.misalignment import pose_output
from spisonet.misalignment.image_band import Poses
from spisonet.misalignment.particle_images import read_particle_images
from spisonet.misalignment.pose_output import reconstruct_half_maps, write_poses
from tests.misalignment.particle_sets import BOX, simulate_particles


@pytest.mark.parametrize("largest_padded", [BOX, BOX - 1])
def test_half_maps_are_the_density_in_its_own_scale(tmp_path, monkeypatch, largest_padded):
    monkeypatch.setattr(pose_output, "LARGEST_PADDED_BOX", largest_padded)
    simulated = simulate_particles(tmp_path, n=200, noise=0.05, top=0.0)
    particles = read_particle_images(simulated.star)
    halves = reconstruct_half_maps(particles, Poses.of(particles), "C1", torch.device("cpu"))
    inside, truth = simulated.mask > 0.5, simulated.density()
    for half in halves:
        assert half.shape == (BOX,) * 3
        assert np.corrcoef(half[inside], truth[inside])[0, 1] > 0.97
        slope = np.polyfit(truth[inside], half[inside], 1)[0]
        assert slope == pytest.approx(1, abs=0.07)
    assert not np.array_equal(*halves)


def test_the_cpu_is_used_where_a_gpu_has_too_little_memory(tmp_path, monkeypatch, caplog):
    particles = read_particle_images(simulate_particles(tmp_path, n=20).star)
    needed = pose_output.BYTES_PER_VOXEL * (2 * BOX) ** 3
    monkeypatch.setattr(memory, "free_memory_bytes", lambda _: needed - 1)
    with caplog.at_level("INFO", "spisonet"):
        halves = reconstruct_half_maps(particles, Poses.of(particles), "C1", torch.device("cuda"))
    assert halves[0].shape == (BOX,) * 3
    assert "on the CPU: they need 0.0 GB of memory, and cuda has 0.0 GB free" in caplog.text
    monkeypatch.setattr(memory, "free_memory_bytes", lambda _: needed)
    chosen = pose_output._device_with_memory(torch.device("cuda"), needed)
    assert chosen == torch.device("cuda")


def test_priors_are_set_to_the_new_poses(tmp_path):
    star = simulate_particles(tmp_path, n=20).star
    tables = starfile.read(star)
    names = {
        "rlnAngleTilt": "rlnAngleTiltPrior",
        "rlnAnglePsi": "rlnAnglePsiPrior",
        "rlnOriginXAngst": "rlnOriginXPriorAngst",
    }
    for prior in names.values():
        tables["particles"][prior] = 1.0
    starfile.write(tables, star, overwrite=True)
    particles = read_particle_images(star)
    moved = Poses(particles.rotations[::-1], particles.origins_angstrom + np.array([5.0, 10.0]))
    write_poses(tmp_path / "new.star", particles, moved)
    table = starfile.read(tmp_path / "new.star")["particles"]
    assert list(table) == list(tables["particles"])
    for name, prior in names.items():
        assert table[prior].equals(table[name])
        assert table[prior].std() > 1
