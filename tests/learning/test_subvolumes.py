"""Subvolumes sample the rotated volume."""

from __future__ import annotations

import numpy as np
import torch

from spisonet.geometry.rotations import cube_rotations
from spisonet.learning.rotational_averaging import rotate90
from spisonet.learning.subvolumes import draw_rotations, draw_subvolumes

CPU = torch.device("cpu")


def test_positions_rotate_about_the_centre_of_the_subvolume(measurement_factory):
    measurement = measurement_factory()
    rotations = draw_rotations(3, np.random.default_rng(0), CPU)
    subvolumes = draw_subvolumes(measurement.subvolume_centres, 2, rotations, 9, np.random.default_rng(1))
    positions = subvolumes.positions()
    centre = positions[:, 4, 4, 4]
    inside = measurement.subvolume_centres.round()
    assert all((inside == c.round()).all(dim=1).any() for c in centre)
    # One step along the subvolume's x axis is a step along R^T x in the volume.
    step = positions[:, 4, 4, 5] - centre
    torch.testing.assert_close(step, rotations[:, 0, :], atol=1e-5, rtol=0)


def test_the_target_is_the_other_half(measurement_factory):
    centres = measurement_factory().subvolume_centres
    rotations = draw_rotations(40, np.random.default_rng(0), CPU)
    pair = draw_subvolumes(centres, 2, rotations, 4, np.random.default_rng(1))
    assert set(pair.inputs.tolist()) == {0, 1}
    assert (pair.inputs + pair.targets == 1).all()
    single = draw_subvolumes(centres, 1, rotations, 4, np.random.default_rng(1))
    assert (single.inputs == single.targets).all()


def test_a_part_of_a_batch_has_its_positions_and_halves(measurement_factory):
    rotations = draw_rotations(5, np.random.default_rng(0), CPU)
    batch = draw_subvolumes(
        measurement_factory().subvolume_centres, 2, rotations, 4, np.random.default_rng(1)
    )
    part = batch.part(slice(1, 3))
    assert (len(batch), len(part)) == (5, 2)
    torch.testing.assert_close(part.positions(), batch.positions()[1:3])
    assert part.inputs.tolist() == batch.inputs[1:3].tolist()


def test_rotate90_agrees_with_the_rotation_matrix():
    n = 5
    cube = torch.from_numpy(np.random.default_rng(0).normal(size=(n, n, n)))
    for rotation in cube_rotations():
        rotated = rotate90(cube, rotation)
        for point in ((1, 0, 2), (2, -1, 0), (-2, 1, 1)):
            x, y, z = (int(v) + n // 2 for v in np.rint(rotation @ np.array(point)))
            px, py, pz = (p + n // 2 for p in point)
            assert rotated[z, y, x] == cube[pz, py, px]


def test_a_share_of_the_rotations_keeps_the_axes():
    """A share is the identity or a half turn, each as often; the others are uniform as without it."""
    rng = np.random.default_rng(0)
    rotations = draw_rotations(2000, rng, CPU, own_orientation=0.5)
    diagonal = torch.diagonal(rotations, dim1=1, dim2=2)
    kept = (diagonal.abs() == 1).all(dim=1)
    assert 0.45 < kept.float().mean() < 0.55
    _, counts = diagonal[kept].unique(dim=0, return_counts=True)
    assert len(counts) == 4
    assert counts.min() > 200
    others = draw_rotations(2000, np.random.default_rng(0), CPU)
    assert torch.equal(rotations[~kept], others[~kept])
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(2000))
