"""Metadata in the file of a network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spisonet.errors import SpisonetError
from spisonet.tomography.ctf_correction import CtfCorrection
from spisonet.tomography.network_metadata import NetworkMetadata

PATH = Path("network.safetensors")
METADATA = NetworkMetadata("isonet2-n2n", CtfCorrection("network", b_factor=200.0), 64, (10.0, 12.5))


def test_metadata_survive_json():
    record = json.loads(json.dumps(METADATA.as_record()))
    assert NetworkMetadata.from_record(PATH, record | {"architecture": "unet", "filter_base": 32}) == METADATA


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": None}, "was not trained on tomograms"),
        ({"ctf": {"unknown": 1}}, r"damaged: ctf\.unknown"),
        ({"cube_size": "large"}, "damaged: cube_size"),
        ({"voxel_sizes_angstrom": [10.0]}, "damaged: voxel_sizes_angstrom"),
        ({"voxel_sizes_angstrom": [0.0, 10.0]}, "damaged: voxel_sizes_angstrom"),
        ({"voxel_sizes_angstrom": [10.0, float("inf")]}, "damaged: voxel_sizes_angstrom"),
    ],
)
def test_other_metadata_are_refused(changes, message):
    with pytest.raises(SpisonetError, match=rf"network\.safetensors.*{message}"):
        NetworkMetadata.from_record(PATH, METADATA.as_record() | changes)
