"""The U-Net that predicts what a measurement lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

DEPTH = 3
NEGATIVE_SLOPE = 0.1


class ConvBlock(nn.Sequential):
    """Two 3³ convolutions, each followed by a leaky rectifier."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(
            nn.Conv3d(n_in, n_out, 3, padding=1),
            nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
            nn.Conv3d(n_out, n_out, 3, padding=1),
            nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
        )


class UNet(nn.Module):
    """U-Net with a global residual and no normalisation layers.

    Normalisation is left out so that the answer for a voxel does not depend on the tile it is
    computed in; the last layer starts at zero, so that an untrained network returns its input.

    Parameters
    ----------
    filter_base : int
        Channels of the first level; each of the three deeper levels has twice those above it.
    """

    def __init__(self, filter_base: int = 32) -> None:
        super().__init__()
        self.filter_base = filter_base
        widths = [filter_base * 2**level for level in range(DEPTH + 1)]
        self.encoders = nn.ModuleList(
            ConvBlock(n_in, n_out) for n_in, n_out in zip([1, *widths[:-1]], widths, strict=True)
        )
        self.pool = nn.AvgPool3d(2)
        self.raisers = nn.ModuleList(nn.ConvTranspose3d(2 * w, w, 2, stride=2) for w in widths[-2::-1])
        self.decoders = nn.ModuleList(ConvBlock(2 * w, w) for w in widths[-2::-1])
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
        for raiser, decoder in zip(self.raisers, self.decoders, strict=True):
            features = decoder(torch.cat([skipped.pop(), raiser(features)], dim=1))
        prediction: Tensor = volumes.float() + self.last(features).float()
        return prediction
