"""Masks that are widened, and masks that are made of maps."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.solvent_mask import solvent_mask
from spisonet.fourier.grids import distance_from_centre
from spisonet.misalignment.particle_mask import widened_mask
from spisonet.misalignment.prior import spherical_mask

N, VOXEL = 40, 3.0


def test_a_widened_mask_extends_by_the_distance_in_angstrom():
    mask = spherical_mask(N, 20.0)
    radius = np.array(
        [distance_from_centre(N)[found >= 0.5].max() for found in (mask, widened_mask(mask, 9.0, VOXEL))]
    )
    assert radius[1] - radius[0] == pytest.approx((9 + 3) / VOXEL, abs=0.5)  # half of the edge of 6 Å
    assert widened_mask(mask, 0.0, VOXEL) is mask
    assert (widened_mask(mask, 9.0, VOXEL) >= mask).all()
    weak = widened_mask(0.3 * mask, 9.0, VOXEL)  # half of its own maximum counts
    assert weak == pytest.approx(np.maximum(widened_mask(mask, 9.0, VOXEL), 0.3 * mask), abs=1e-6)


def test_a_solvent_mask_covers_the_largest_body_without_its_cavities():
    radius = distance_from_centre(N)
    volume = ((radius < 8) & (radius > 3)).astype(np.float32)
    volume[2:4, 2:4, 2:4] = 1
    mask = solvent_mask(volume, VOXEL)
    assert mask[radius < 8].min() > 0.99
    assert mask[radius > 14].max() == 0
    assert solvent_mask(-np.ones_like(volume), VOXEL).max() == 0
