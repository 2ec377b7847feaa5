"""Rigid fit of a model into noisy anisotropic maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spisonet.errors import SpisonetError
from spisonet.fourier.grids import radius_rfft, rfft3
from spisonet.geometry.rotations import random_rotations, rotation_vector_matrices
from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.io.mrc import Volume
from spisonet.validation.model import model_density, read_model
from spisonet.validation.rigid_fit import fit_model, reference_map
from tests.validation.asymmetric_model import (
    BOX,
    CENTRE,
    VOXEL_SIZE,
    anisotropic_map,
    positions,
    write_model,
)

RESOLUTION = 20.0


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A fit of a model that was rotated and displaced at random, the true positions, and the map."""
    folder = tmp_path_factory.mktemp("fit")
    true = positions() + CENTRE + [6.0, -4.0, 3.0]
    volume = replace(
        anisotropic_map(write_model(folder / "true.cif", true)), origin_angstrom=(50.0, 0.0, -20.0)
    )
    rotation = random_rotations(1, np.random.default_rng(3))[0]
    away = write_model(folder / "away.cif", positions() @ rotation.T + [310.0, -40.0, 7.0])
    return fit_model(read_model(away), volume, RESOLUTION), true + volume.origin_angstrom, volume, rotation


def test_a_rotated_and_displaced_model_is_fitted_back(fitted):
    fit, true, _, rotation = fitted
    left = fit.rotation @ rotation
    assert np.degrees(np.arccos(np.clip((np.trace(left) - 1) / 2, -1, 1))) < 1
    assert np.linalg.norm(fit.model.positions_xyz.mean(axis=0) - true.mean(axis=0)) < 0.5 * VOXEL_SIZE
    assert np.linalg.norm(fit.model.positions_xyz - true, axis=1).max() < 0.5 * VOXEL_SIZE
    assert np.linalg.det(fit.rotation) == pytest.approx(1)
    assert fit.shift_angstrom == pytest.approx(true.mean(axis=0) - [310.0, -40.0, 7.0], abs=0.5 * VOXEL_SIZE)


def test_the_mirror_image_fits_worse(fitted):
    fit = fitted[0]
    assert fit.correlation > 0.5
    assert fit.mirror_correlation < fit.correlation - 0.05


def test_the_reference_is_filtered_and_has_the_grey_scale_of_the_map(fitted):
    fit, _, volume, _ = fitted
    reference = reference_map(fit, volume, RESOLUTION)
    spectrum, data = rfft3(reference), rfft3(volume.data)
    shell = BOX * VOXEL_SIZE / RESOLUTION
    radius = radius_rfft(reference.shape)
    assert np.abs(spectrum[radius > shell + 1.5]).max() < 1e-3 * np.abs(spectrum[radius < 3]).max()
    inside = (radius > 0) & (radius < 4) & (np.abs(data) > 0)
    slope = np.vdot(spectrum[inside], data[inside]).real / (np.abs(spectrum[inside]) ** 2).sum()
    assert slope == pytest.approx(1, abs=0.15)


def test_a_model_larger_than_the_box_is_refused(tmp_path):
    model = read_model(write_model(tmp_path / "large.cif", 3 * positions()))
    volume = Volume(np.random.default_rng(0).normal(size=(BOX,) * 3).astype(np.float32), VOXEL_SIZE)
    with pytest.raises(SpisonetError, match="does not fit into the box"):
        fit_model(model, volume, RESOLUTION)
    small = read_model(write_model(tmp_path / "small.cif", positions()))
    with pytest.raises(SpisonetError, match="fewer than 3 shells to 90 Å"):
        fit_model(small, volume, 90.0)


def test_the_axis_of_a_point_group_is_kept_where_a_tilted_model_fits_better(tmp_path):
    group = symmetry_rotations("C3")
    part = positions(200) * [0.5, 0.5, 1.0] + [22.0, 0.0, 0.0]
    whole = np.concatenate([part @ mate.T for mate in group])
    tilted = whole @ rotation_vector_matrices(np.radians([12.0, 0.0, 0.0]))[0].T
    empty = Volume(np.zeros((BOX,) * 3, np.float32), VOXEL_SIZE)
    target = read_model(write_model(tmp_path / "tilted.cif", tilted + CENTRE))
    volume = empty.with_data(model_density(target, empty))
    fit = fit_model(read_model(write_model(tmp_path / "model.cif", whole)), volume, RESOLUTION, "C3")
    assert np.degrees(np.arccos(min(1.0, abs(fit.rotation[2, 2])))) < 4
    assert fit.symmetry_agreement > 0.9
    assert fit.correlation < 0.95
