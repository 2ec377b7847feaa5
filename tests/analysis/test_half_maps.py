"""Reading of half maps, and checks of resolution limits."""

import numpy as np
import pytest

from spisonet.analysis.half_maps import (
    HalfMaps,
    checked_limit_resolution,
    is_sampling_density,
    read_half_maps,
)
from spisonet.errors import SpisonetError
from spisonet.io.labels import label_with_tokens
from spisonet.io.mrc import Volume, write_volume

DENSITIES = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)


def test_inputs_can_be_one_map(tmp_path):
    path = tmp_path / "half1.mrc"
    write_volume(path, Volume(DENSITIES, 1.5, origin_angstrom=(1.0, 2.0, 3.0)))
    maps = read_half_maps(path, None)
    assert maps.half2 is None
    assert maps.mask is None
    assert maps.half1.origin_angstrom == (1.0, 2.0, 3.0)


def test_limit_resolution():
    assert checked_limit_resolution(None, 1.3) is None
    assert checked_limit_resolution(3.5, 1.3) == 3.5
    assert checked_limit_resolution(2.6, 1.3) == 2.6
    assert checked_limit_resolution(2.599, 1.3) == 2.6  # Nyquist, rounded
    with pytest.raises(SpisonetError, match="beyond Nyquist"):
        checked_limit_resolution(2.5, 1.3)


@pytest.mark.parametrize(
    ("label", "coupled"),
    [
        (label_with_tokens("spisonet: one network", halves="coupled"), True),
        (label_with_tokens("spisonet: a network each", halves="independent"), False),
        (label_with_tokens("spisonet: one map", halves="single"), False),
        ("RELION 5", False),
        ("spisonet: both halves corrected by one network: NOT independent, no FSC between", True),
    ],
)
def test_coupled_halves_are_recognised_by_their_labels(label, coupled):
    half = Volume(DENSITIES, 1.5)
    labelled = Volume(half.data, 1.5, labels=(label,))
    assert HalfMaps(half, labelled).coupled is coupled


@pytest.mark.parametrize(
    ("label", "is_density"),
    [
        (label_with_tokens("spisonet fsd3d", data="fourier-sampling-density"), True),
        (label_with_tokens("spisonet: conical 3D FSC", data="3d-fsc"), False),
        ("of another program", False),
    ],
)
def test_a_sampling_density_is_recognised_by_its_label(label, is_density):
    assert is_sampling_density(Volume(DENSITIES, 1.5, labels=(label,))) is is_density
