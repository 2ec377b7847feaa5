"""From maps to a measurement."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spisonet.anisotropy.fourier_weights import FourierWeights, reference_weight
from spisonet.anisotropy.preparation import (
    build_measurement,
    correction_band,
    fourier_weight_of_cube,
    include_reference,
)
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import radius_rfft, rfft3
from spisonet.io.mrc import Volume

N = 32


def test_reference_gives_the_low_resolutions_only():
    rng = np.random.default_rng(0)
    volume, reference = (rng.normal(size=(N, N, N)).astype(np.float32) for _ in range(2))
    combined = include_reference(volume, 3 * reference, reference_weight(N, 6.0))
    mixed, own, other = (rfft3(v) for v in (combined, volume, reference))
    radius = radius_rfft((N, N, N))
    low, high = (radius <= 6) & (radius > 0), radius > 10
    ratio = np.abs(mixed[low]) / np.abs(other[low])
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-3)
    assert ratio.mean() == pytest.approx(1.0, abs=0.1)
    np.testing.assert_allclose(mixed[high], own[high], atol=1e-2)
    assert mixed[0, 0, 0] == pytest.approx(own[0, 0, 0], rel=1e-4)


def test_measurement_is_limited_to_the_band():
    rng = np.random.default_rng(0)
    halves = [rng.normal(size=(N, N, N)).astype(np.float32) for _ in range(2)]
    weight = np.ones((N, N, N // 2 + 1), np.float32)
    weights = FourierWeights(weight, None, np.ones(N // 2 + 1), 10.0)
    band = correction_band(weights, 8.0)
    measurement = build_measurement(halves, weight, None, band, None, torch.device("cpu"), positivity=True)
    radius = radius_rfft((N, N, N))
    assert np.abs(rfft3(measurement.data[0].numpy()))[radius > 8].max() < 1e-2
    assert measurement.fsc_weight_rfft.numpy()[radius > 8].max() == 0
    assert measurement.support is None
    assert not measurement.positivity
    centres = measurement.subvolume_centres - N // 2
    assert (centres.square().sum(dim=1) <= (N / 2) ** 2).all()


def test_a_weight_has_the_box_of_the_map_and_is_within_0_to_1():
    like = Volume(np.zeros((N, N, N), np.float32), 2.0)
    cube = like.with_data(np.full((N, N, N), 1.005))
    assert fourier_weight_of_cube(cube, like).max() == 1
    with pytest.raises(SpisonetError, match="box of 24"):
        fourier_weight_of_cube(Volume(np.ones((24, 24, 24), np.float32), 2.0), like)
    for value, message in ((9.0, "within 0 to 1"), (-1.0, "no value above 0")):
        with pytest.raises(SpisonetError, match=message) as raised:
            fourier_weight_of_cube(like.with_data(np.full((N, N, N), value)), like)
        assert raised.value.field == "aniso_file"


def ball(centre: tuple[int, int, int], radius: float) -> np.ndarray:
    """Return a mask with a soft edge of two voxels."""
    distance = np.sqrt(sum((np.indices((N, N, N))[axis] - centre[axis]) ** 2 for axis in range(3)))
    return np.clip((radius + 2 - distance) / 2, 0, 1).astype(np.float32)


def test_a_mask_that_is_given_as_the_3d_fsc_is_refused_where_it_can_be_recognised():
    like, middle = Volume(np.zeros((N, N, N), np.float32), 2.0), N // 2
    for centre in ((middle, middle, middle + 3), (middle - 2, middle + 2, middle)):
        mask = like.with_data(ball(centre, 8))
        with pytest.raises(SpisonetError, match="differs between opposite frequencies, as a mask does"):
            fourier_weight_of_cube(mask, like)
    kz, _, kx = np.indices((N, N, N)) - middle
    wedge = (np.abs(kz) <= np.abs(kx)).astype(np.float32)
    rng = np.random.default_rng(0)
    weights = {
        "centred": ball((middle, middle, middle), 8),
        "wedge": wedge,
        "DC at the voxel before": np.roll(wedge, -1, axis=(0, 1, 2)),
        "one half of Fourier space": np.where(kx > 0, wedge, 0),
        "noise": np.clip(rng.normal(0.3, 0.3, size=(N, N, N)), 0, 1).astype(np.float32),
    }
    for weight in weights.values():
        fourier_weight_of_cube(like.with_data(weight), like)
