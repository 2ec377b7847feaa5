"""Tiled predictions are seamless."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spisonet.learning.tiling import AxisTiles, margin_of_tiles, predict_volumes
from spisonet.learning.unet import UNet


@given(
    shape=st.tuples(*[st.integers(5, 75)] * 3),
    tile=st.sampled_from([48, 64]),
)
@settings(max_examples=15, deadline=None)
def test_identity_network_returns_its_input(shape, tile):
    volume = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(predict_volumes(lambda v: v, volume[None], tile)[0], volume, rtol=0, atol=1e-5)


def test_tiles_agree_with_one_tile_for_a_local_operation():
    volume = torch.randn(70, 70, 70, generator=torch.Generator().manual_seed(1))
    blur = torch.nn.AvgPool3d(5, stride=1, padding=2)
    tiled, whole = (predict_volumes(blur, volume[None], tile) for tile in (48, 80))
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)


def test_a_network_that_is_wrong_at_its_border_leaves_no_seam():
    def zero_border(tiles: torch.Tensor) -> torch.Tensor:
        inner = torch.zeros_like(tiles)
        inner[..., 2:-2, 2:-2, 2:-2] = tiles[..., 2:-2, 2:-2, 2:-2]
        return inner

    predicted = predict_volumes(zero_border, torch.ones(1, 100, 100, 100), 64)
    assert (predicted - 1).abs().max() < 0.03


def test_every_tile_suits_the_network():
    sizes = []

    def record(tiles: torch.Tensor) -> torch.Tensor:
        sizes.extend(tiles.shape[-3:])
        return tiles

    for n in (15, 33, 64, 101):
        predict_volumes(record, torch.zeros(2, n, n, n), 64)
    assert all(size % 8 == 0 for size in sizes)


@pytest.mark.parametrize("edge", [8, 16, 24])
def test_untrained_network_is_the_identity(edge):
    volumes = torch.randn(2, 1, edge, edge, edge)
    torch.testing.assert_close(UNet(4).eval()(volumes), volumes)


def test_the_overlap_follows_the_padding_factor():
    assert [margin_of_tiles(128, factor) for factor in (None, 1.1, 1.5, 2.0)] == [16, 16, 16, 32]
    assert margin_of_tiles(256, 1.5) == 40
    axis = AxisTiles.cover(500, 128, margin_of_tiles(128, 2.0))
    assert axis.tile - axis.starts[1] == 64
