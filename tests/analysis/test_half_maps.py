"""Reading of half maps, and checks of resolution limits."""

import numpy as np
import pytest

from spisonet.analysis.half_maps import HalfMaps, checked_limit_resolution, is_of_both_halves, read_half_maps
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
        ("spisonet: both halves corrected by one network: NOT independent, no FSC between", True),
        ("RELION 5", False),
    ],
)
def test_coupled_halves_are_recognised_by_their_labels(label, coupled):
    half = Volume(DENSITIES, 1.5)
    labelled = Volume(half.data, 1.5, labels=(label,))
    assert HalfMaps(half, labelled).coupled is coupled


@pytest.mark.parametrize(
    ("label", "both"),
    [
        (label_with_tokens("spisonet fsd3d", data="fourier-sampling-density"), False),
        ("spisonet fsd3d: Fourier sampling density, DC at n//2", False),
        (label_with_tokens("spisonet: conical 3D FSC", data="3d-fsc"), True),
        ("of another program", True),
    ],
)
def test_a_sampling_density_is_told_from_a_3d_fsc(tmp_path, label, both):
    path = tmp_path / "weight.mrc"
    write_volume(path, Volume(DENSITIES, 1.5), label)
    assert is_of_both_halves(path) is both
    assert is_of_both_halves(None)
