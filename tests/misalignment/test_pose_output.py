"""Half maps of a whole box, with and without padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spisonet.misalignment import pose_output
from spisonet.misalignment.image_band import Poses
from spisonet.misalignment.particle_images import read_particle_images
from spisonet.misalignment.pose_output import reconstruct_half_maps
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
