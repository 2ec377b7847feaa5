"""The U-Net of spisonet, and that of spIsoNet for comparison."""

from __future__ import annotations

import copy
import itertools
from functools import partial
from typing import TYPE_CHECKING, ClassVar, cast

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

if TYPE_CHECKING:
    from torch import Tensor

DEPTH = 3
CONVOLUTIONS, NEGATIVE_SLOPE = 2, 0.1  # convolutions of a level, slope of the leaky rectifier
PUBLISHED_CONVOLUTIONS, PUBLISHED_SLOPE = 3, 0.01
PUBLISHED_WIDTHS = (1, 2, 4, 5)  # times the base: 64, 128, 256, 320


class ConvBlock(nn.Sequential):
    """Sequence of 3³ convolutions, each followed by normalisation and a leaky rectifier."""

    def __init__(self, n_in: int, n_out: int, n_convolutions: int, slope: float) -> None:
        layers: list[nn.Module] = []
        for channels in (n_in, *[n_out] * (n_convolutions - 1)):
            layers += [
                nn.Conv3d(channels, n_out, 3, padding=1),
                nn.BatchNorm3d(n_out),
                nn.LeakyReLU(slope, inplace=True),
            ]
        super().__init__(*layers)


class UNet(nn.Module):
    """U-Net with batch normalisation and a global residual.

    What the normalisation has seen in training is fixed in prediction, so that the answer for a voxel does
    not depend on the tile it is computed in; the last layer starts at zero, so that an untrained network
    returns its input.

    Parameters
    ----------
    filter_base : int
        Channels of the first level; each of the three deeper levels has twice as many as the one above.
    """

    architecture: ClassVar[str] = "unet-3-levels-2"

    def __init__(self, filter_base: int = 32) -> None:
        super().__init__()
        self.filter_base = filter_base
        widths = [filter_base * 2**level for level in range(DEPTH + 1)]
        self.encoders = nn.ModuleList(
            ConvBlock(n_in, n_out, CONVOLUTIONS, NEGATIVE_SLOPE)
            for n_in, n_out in zip([1, *widths[:-1]], widths, strict=True)
        )
        self.pool = nn.AvgPool3d(2)
        self.up_convolutions = nn.ModuleList(
            nn.ConvTranspose3d(2 * w, w, 2, stride=2) for w in widths[-2::-1]
        )
        self.decoders = nn.ModuleList(
            ConvBlock(2 * w, w, CONVOLUTIONS, NEGATIVE_SLOPE) for w in widths[-2::-1]
        )
        self.last = nn.Conv3d(filter_base, 1, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(cast("Tensor", self.last.bias))

    def forward(self, volumes: Tensor) -> Tensor:
        """Predict whole densities.

        Parameters
        ----------
        volumes : Tensor
            ``(batch, 1, z, y, x)`` with edges that are multiples of 8.

        Returns
        -------
        Tensor
            float32, same shape.
        """
        features = volumes
        skipped: list[Tensor] = []
        for level, encoder in enumerate(self.encoders):
            features = encoder(self.pool(features) if level else features)
            skipped.append(features)
        skipped.pop()
        for up_convolution, decoder in zip(self.up_convolutions, self.decoders, strict=True):
            features = decoder(torch.cat([skipped.pop(), up_convolution(features)], dim=1))
        prediction: Tensor = volumes.float() + self.last(features).float()
        return prediction


class PublishedUNet(nn.Module):
    """The U-Net of spIsoNet, for comparison.

    Batch normalisation, strided convolutions between levels, widths in the ratio 1 : 2 : 4 : 5, and a
    global residual.

    Parameters
    ----------
    filter_base : int
        Channels of the first level (64 as published).

    References
    ----------
    Liu, Fan, Hu & Zhou (2025) Nat. Methods 22, 113-123 (spIsoNet).
    """

    architecture: ClassVar[str] = "spisonet-1"

    def __init__(self, filter_base: int = 64) -> None:
        super().__init__()
        self.filter_base = filter_base
        widths = [filter_base * factor for factor in PUBLISHED_WIDTHS]
        pairs = list(itertools.pairwise(widths))
        published = partial(ConvBlock, n_convolutions=PUBLISHED_CONVOLUTIONS, slope=PUBLISHED_SLOPE)
        self.first = published(1, widths[0])
        self.down_convolutions = nn.ModuleList(nn.Conv3d(upper, upper, 2, stride=2) for upper, _ in pairs)
        self.encoders = nn.ModuleList(published(upper, lower) for upper, lower in pairs)
        self.up_convolutions = nn.ModuleList(
            nn.ConvTranspose3d(b, a, 2, stride=2) for a, b in reversed(pairs)
        )
        self.decoders = nn.ModuleList(published(2 * a, a) for a, _ in reversed(pairs))
        self.last = nn.Conv3d(filter_base, 1, 1)

    def forward(self, volumes: Tensor) -> Tensor:
        """Predict whole densities ``(batch, 1, z, y, x)`` with edges that are multiples of 8."""
        skipped: list[Tensor] = []
        features = self.first(volumes)
        for down_convolution, encoder in zip(self.down_convolutions, self.encoders, strict=True):
            skipped.append(features)
            features = encoder(down_convolution(features))
        for up_convolution, decoder in zip(self.up_convolutions, self.decoders, strict=True):
            features = decoder(torch.cat([skipped.pop(), up_convolution(features)], dim=1))
        prediction: Tensor = volumes.float() + self.last(features).float()
        return prediction


Network = UNet | PublishedUNet


def fused(network: Network) -> Network:
    """Return a copy of a trained network with its normalisation merged into the convolutions."""
    copied = copy.deepcopy(network).eval()
    for block in copied.modules():
        if isinstance(block, ConvBlock):
            for number, layer in enumerate(block):
                if isinstance(layer, nn.BatchNorm3d):
                    convolution = block[number - 1]
                    block[number - 1] = fuse_conv_bn_eval(cast("nn.Conv3d", convolution), layer)
                    block[number] = nn.Identity()
    return copied
