"""Rotations: group properties, conventions, and RELION's own projections."""

import shutil
import subprocess

import mrcfile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from spisonet.geometry.rotations import (
    cube_rotations,
    random_rotations,
    relion_euler_angles,
    relion_rotation_matrices,
    rotation_vector_matrices,
    uniform_rotations,
    view_directions,
)

angles = st.floats(-720, 720, allow_nan=False)


def test_cube_rotations_are_a_group_of_24_without_mirrors():
    group = cube_rotations()
    assert group.shape == (24, 3, 3)
    np.testing.assert_array_equal(group[0], np.eye(3))
    np.testing.assert_allclose(np.linalg.det(group), 1)
    keys = {matrix.astype(int).tobytes() for matrix in group}
    assert len(keys) == 24
    products = np.einsum("aij,bjk->abik", group, group).reshape(-1, 3, 3)
    assert {matrix.astype(int).tobytes() for matrix in products} == keys


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_random_rotations_are_proper(seed):
    matrices = random_rotations(5, np.random.default_rng(seed))
    np.testing.assert_allclose(
        matrices @ matrices.transpose(0, 2, 1), np.tile(np.eye(3), (5, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(matrices), 1)


def test_random_rotations_are_uniform():
    matrices = random_rotations(20000, np.random.default_rng(0))
    np.testing.assert_allclose(matrices.mean(axis=0), 0, atol=0.02)
    angle = np.arccos(np.clip((np.trace(matrices, axis1=1, axis2=2) - 1) / 2, -1, 1))
    # The angle of a uniform rotation has density (1 - cos t) / pi, hence this distribution function.
    for t in (0.5, 1.0, 2.0, 3.0):
        assert np.mean(angle < t) == pytest.approx((t - np.sin(t)) / np.pi, abs=0.01)


@given(rot=angles, tilt=angles, psi=angles)
@settings(deadline=None)
def test_relion_angles_are_zyz(rot, tilt, psi):
    (matrix,) = relion_rotation_matrices(rot, tilt, psi)
    # SciPy's matrix carries the image frame to the map; RELION's is its inverse.
    expected = Rotation.from_euler("ZYZ", [rot, tilt, psi], degrees=True).inv().as_matrix()
    np.testing.assert_allclose(matrix, expected, atol=1e-9)
    r, t = np.radians([rot, tilt])
    (direction,) = view_directions(matrix[None])
    np.testing.assert_allclose(
        direction, [np.sin(t) * np.cos(r), np.sin(t) * np.sin(r), np.cos(t)], atol=1e-9
    )


@given(vector=st.tuples(*[st.floats(-10, 10)] * 3))
@settings(deadline=None)
def test_rotation_vectors(vector):
    (matrix,) = rotation_vector_matrices([vector])
    np.testing.assert_allclose(matrix, Rotation.from_rotvec(vector).as_matrix(), atol=1e-9)


@pytest.mark.relion
@pytest.mark.skipif(shutil.which("relion_project") is None, reason="relion_project is not on PATH")
@pytest.mark.parametrize("euler", [(0, 0, 0), (30, 0, 0), (25, 70, 0), (-40, 110, 65), (200, 33, -150)])
def test_blobs_projected_by_relion_land_where_the_matrix_says(tmp_path, euler):
    n, centre = 48, 24
    points = np.array([[11.0, 0, 0], [0, 9, 4], [-5, 3, -10]])
    heights = np.array([3.0, 2.0, 1.0])
    grid = np.stack(np.meshgrid(*[np.arange(n) - centre] * 3, indexing="ij")[::-1], axis=-1)
    volume = sum(
        h * np.exp(-((grid - p) ** 2).sum(-1) / (2 * 2.0**2)) for p, h in zip(points, heights, strict=True)
    )
    with mrcfile.new(tmp_path / "map.mrc") as mrc:
        mrc.set_data(volume.astype(np.float32))
        mrc.voxel_size = 2.0
    rot, tilt, psi = map(str, euler)
    subprocess.run(
        ["relion_project", "--i", "map.mrc", "--o", "image.mrc", "--rot", rot, "--tilt", tilt, "--psi", psi],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    image = np.squeeze(mrcfile.read(tmp_path / "image.mrc"))
    expected = np.zeros((n, n))
    rows, columns = np.meshgrid(*[np.arange(n) - centre] * 2, indexing="ij")
    for (x, y, _), height in zip(points @ relion_rotation_matrices(*euler)[0].T, heights, strict=True):
        expected += height * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 2.0**2))
    assert np.corrcoef(image.ravel(), expected.ravel())[0, 1] > 0.99


@given(rot=angles, tilt=st.one_of(angles, st.sampled_from([0.0, 180.0, -180.0, 1e-4, 90.0])), psi=angles)
@settings(deadline=None)
def test_euler_angles_are_the_inverse_of_the_matrices(rot, tilt, psi):
    matrices = relion_rotation_matrices(rot, tilt, psi)
    found = relion_euler_angles(matrices)
    assert 0 <= found[0, 1] <= 180
    assert np.abs(found).max() <= 180
    np.testing.assert_allclose(relion_rotation_matrices(*found.T), matrices, atol=1e-6)


def test_euler_angles_at_the_poles():
    matrices = relion_rotation_matrices([10.0, 10.0], [0.0, 180.0], [30.0, 30.0])
    np.testing.assert_allclose(relion_euler_angles(matrices), [[0, 0, 40], [0, 180, 20]], atol=1e-6)


def test_uniform_rotations_cover_all_orientations():
    grid = uniform_rotations(600)
    assert np.allclose(grid @ grid.transpose(0, 2, 1), np.eye(3))
    assert np.allclose(np.linalg.det(grid), 1)
    traces = np.einsum("gij,rij->gr", grid, random_rotations(500, np.random.default_rng(0)))
    nearest = np.degrees(np.arccos(np.clip((traces.max(axis=0) - 1) / 2, -1, 1)))
    spacing = np.degrees((8 * np.pi**2 / 600) ** (1 / 3))
    assert nearest.max() < spacing
