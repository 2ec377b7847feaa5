"""The U-Net of spisonet, and that of spIsoNet for comparison."""

from __future__ import annotations

import copy
import itertools
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from spisonet.learning.size_config import DEPTH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

RUNNING_MOMENTUM = 0.1  # weight of a batch in the running averages of the normalisation
CONVOLUTIONS, NEGATIVE_SLOPE = 2, 0.1  # convolutions of a level, slope of the leaky rectifier
PUBLISHED_CONVOLUTIONS, PUBLISHED_SLOPE = 3, 0.01
PUBLISHED_WIDTHS = (1, 2, 4, 5)  # times the base: 64, 128, 256, 320


class SampleNorm3d(nn.BatchNorm3d):
    """Normalisation by the statistics of each sample in training, and by running averages in prediction.

    In training, the mean and the variance of every channel are those of the single sample, as in instance
    normalisation: the gradient of a batch is the mean of the gradients of its samples, in whatever parts and
    processes they are computed. In prediction, running averages over the training samples take their place,
    so that the prediction for a voxel does not depend on the tile around it. The running averages are updated
    once for each batch; see `update_running_statistics`.

    References
    ----------
    Ulyanov, Vedaldi & Lempitsky (2016) arXiv:1607.08022 (instance normalisation).
    """

    sample_sums: Tensor

    def __init__(self, n_channels: int) -> None:
        super().__init__(n_channels)
        # Of the batch that is being computed: means, variances, and in each channel the number of samples.
        self.register_buffer("sample_sums", torch.zeros(3, n_channels), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Normalise ``(batch, channels, z, y, x)``."""
        if not self.training:
            return super().forward(features)
        statistics = self.sample_sums.new_zeros(2, len(features), self.num_features)
        # Batch normalisation of single samples: its kernels are faster than those of instance normalisation.
        normalised = [
            functional.batch_norm(
                sample, mean, variance, self.weight, self.bias, training=True, momentum=1.0, eps=self.eps
            )
            for sample, mean, variance in zip(torch.split(features, 1), *statistics, strict=True)
        ]
        self.sample_sums[:2] += statistics.sum(dim=1)
        self.sample_sums[2] += len(features)
        return torch.cat(normalised) if len(normalised) > 1 else normalised[0]


def discard_batch_statistics(network: nn.Module) -> None:
    """Forget the statistics of samples since the last `update_running_statistics`."""
    sums = [layer.sample_sums for layer in network.modules() if isinstance(layer, SampleNorm3d)]
    if sums:
        torch._foreach_zero_(sums)


def update_running_statistics(network: nn.Module, all_reduce: Callable[[Tensor], None]) -> None:
    """Update the running averages of `SampleNorm3d` with the mean over all samples of a batch.

    Parameters
    ----------
    network : nn.Module
        Network that has been applied to the batch, in one or several parts.
    all_reduce : callable
        Replaces a tensor by its sum over all processes, which compute parts of the batch.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, SampleNorm3d)]
    if not layers:
        return
    together = torch.cat([layer.sample_sums for layer in layers], dim=1)
    all_reduce(together)
    means, variances = together[:2] / together[2].clamp(min=1)
    sizes = [layer.num_features for layer in layers]
    running = [cast("Tensor", layer.running_mean) for layer in layers]
    running += [cast("Tensor", layer.running_var) for layer in layers]
    torch._foreach_lerp_(running, [*means.split(sizes), *variances.split(sizes)], RUNNING_MOMENTUM)
    torch._foreach_add_([cast("Tensor", layer.num_batches_tracked) for layer in layers], 1)
    discard_batch_statistics(network)


def set_running_statistics(network: nn.Module, samples: Iterable[Tensor]) -> None:
    """Replace the running averages of `SampleNorm3d` by the mean statistics of given inputs.

    Parameters
    ----------
    network : nn.Module
        Network whose weights were trained on other data.
    samples : iterable of Tensor
        Inputs ``(1, channels, z, y, x)``, at least one.
    """
    was_training = network.training
    network.train()
    discard_batch_statistics(network)
    with torch.no_grad():
        for sample in samples:
            network(sample)
    for layer in network.modules():
        if isinstance(layer, SampleNorm3d):
            mean, variance = layer.sample_sums[:2] / layer.sample_sums[2].clamp(min=1)
            cast("Tensor", layer.running_mean).copy_(mean)
            cast("Tensor", layer.running_var).copy_(variance)
            layer.sample_sums.zero_()
    network.train(was_training)


def rescale_convolutions(network: nn.Module) -> None:
    """Give the weights of convolutions before `SampleNorm3d` the norm of new ones, in place.

    The normalisation removes their scale: predictions stay the same. In a training they grow, and steps of
    an optimiser such as Adam, whose size does not depend on theirs, then change what they do more slowly
    (``benchmarks/RESULTS.md``).

    Parameters
    ----------
    network : nn.Module
        Trained network, with which another training starts.

    References
    ----------
    van Laarhoven (2017) arXiv:1706.05350 (effective learning rate of normalised weights).
    """
    for block in network.modules():
        if not isinstance(block, ConvBlock):
            continue
        for convolution, norm in itertools.pairwise(block):
            if isinstance(convolution, nn.Conv3d) and isinstance(norm, SampleNorm3d):
                # PyTorch draws new weights with a variance of a third of the inverse number of inputs.
                new_norm = (convolution.out_channels / 3) ** 0.5
                factor = new_norm / convolution.weight.norm().clamp(min=1e-12)
                with torch.no_grad():
                    for tensor in (convolution.weight, convolution.bias, norm.running_mean):
                        cast("Tensor", tensor).mul_(factor)
                    cast("Tensor", norm.running_var).mul_(factor**2)


class ConvBlock(nn.Sequential):
    """Sequence of 3³ convolutions, each followed by normalisation and a leaky rectifier."""

    def __init__(
        self, n_in: int, n_out: int, n_convolutions: int, slope: float, norm: Callable[[int], nn.Module]
    ) -> None:
        layers: list[nn.Module] = []
        for channels in (n_in, *[n_out] * (n_convolutions - 1)):
            layers += [
                nn.Conv3d(channels, n_out, 3, padding=1),
                norm(n_out),
                nn.LeakyReLU(slope, inplace=True),
            ]
        super().__init__(*layers)


class _MeanOfEight(torch.autograd.Function):
    """Mean over cells of 2 x 2 x 2 voxels, in float32 and in the memory layout of the input.

    `nn.AvgPool3d` copies features in channels-last layout and returns them in another one. This takes a fifth
    of a prediction on a CPU (``benchmarks/RESULTS.md``).
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        ctx.dtype = features.dtype
        sums = features[:, :, ::2].float() + features[:, :, 1::2]
        sums = sums[:, :, :, ::2] + sums[:, :, :, 1::2]
        return (sums[..., ::2] + sums[..., 1::2]) / 8

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        share = (gradients[0] / 8).to(ctx.dtype).permute(0, 2, 3, 4, 1)  # channels last
        batch, z, y, x, channels = share.shape
        cells = share[:, :, None, :, None, :, None].expand(batch, z, 2, y, 2, x, 2, channels)
        return cells.reshape(batch, 2 * z, 2 * y, 2 * x, channels).permute(0, 4, 1, 2, 3)


class MeanPool3d(nn.Module):
    """Mean over cells of 2 x 2 x 2 voxels, for edges that are multiples of 2."""

    def forward(self, features: Tensor) -> Tensor:
        """Pool ``(batch, channels, z, y, x)`` to half the edges; return float32."""
        pooled: Tensor = _MeanOfEight.apply(features)  # type: ignore[no-untyped-call]
        return pooled


class UNet(nn.Module):
    """U-Net with normalisation by sample (`SampleNorm3d`) and a global residual.

    The last layer is initialised with zeros, so that an untrained network returns its input.

    Parameters
    ----------
    filter_base : int
        Channels of the first level; each of the three deeper levels has twice as many as the one above.
    """

    architecture: ClassVar[str] = "unet-sample-norm"
    n_inputs: ClassVar[int] = 1

    def __init__(self, filter_base: int = 32) -> None:
        super().__init__()
        self.filter_base = filter_base
        widths = [filter_base * 2**level for level in range(DEPTH + 1)]
        self.encoders = nn.ModuleList(
            ConvBlock(n_in, n_out, CONVOLUTIONS, NEGATIVE_SLOPE, SampleNorm3d)
            for n_in, n_out in zip([self.n_inputs, *widths[:-1]], widths, strict=True)
        )
        self.pool = MeanPool3d()
        self.up_convolutions = nn.ModuleList(
            nn.ConvTranspose3d(2 * w, w, 2, stride=2) for w in widths[-2::-1]
        )
        self.decoders = nn.ModuleList(
            ConvBlock(2 * w, w, CONVOLUTIONS, NEGATIVE_SLOPE, SampleNorm3d) for w in widths[-2::-1]
        )
        self.last = nn.Conv3d(filter_base, 1, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(cast("Tensor", self.last.bias))

    def forward(self, volumes: Tensor) -> Tensor:
        """Predict whole densities.

        Parameters
        ----------
        volumes : Tensor
            ``(batch, n_inputs, z, y, x)`` with edges that are multiples of 8.

        Returns
        -------
        Tensor
            ``(batch, 1, z, y, x)``, float32: the last input plus the residual.
        """
        features = volumes
        skipped: list[Tensor] = []
        for level, encoder in enumerate(self.encoders):
            features = encoder(self.pool(features) if level else features)
            skipped.append(features)
        skipped.pop()
        for up_convolution, decoder in zip(self.up_convolutions, self.decoders, strict=True):
            features = decoder(torch.cat([skipped.pop(), up_convolution(features)], dim=1))
        prediction: Tensor = volumes[:, -1:].float() + self.last(features).float()
        return prediction


class PriorUNet(UNet):
    """U-Net that completes maps of any structure; see `spisonet.learning.structural_prior`."""

    architecture: ClassVar[str] = "prior-unet"
    n_inputs: ClassVar[int] = 2


class WhitenedUNet(UNet):
    """U-Net for whitened maps, in which maps of all structures have alike spectra; see `Whitening`.

    Trained on maps of other structures, its weights are a start for the training on a map.
    """

    architecture: ClassVar[str] = "whitened-unet"


class DenoisedUNet(nn.Module):
    """Two U-Nets: one denoises, and the other completes what it returns.

    Parameters
    ----------
    filter_base : int
        See `UNet`; of both.
    """

    architecture: ClassVar[str] = "denoised-unet"
    n_inputs: ClassVar[int] = 1

    def __init__(self, filter_base: int = 32) -> None:
        super().__init__()
        self.filter_base = filter_base
        self.denoiser, self.completer = UNet(filter_base), UNet(filter_base)

    @classmethod
    def of(cls, denoiser: Network, completer: Network) -> DenoisedUNet:
        """Join two trained U-Nets of the same width."""
        joined = cls(completer.filter_base)
        joined.denoiser.load_state_dict(denoiser.state_dict())
        joined.completer.load_state_dict(completer.state_dict())
        return joined

    def forward(self, volumes: Tensor) -> Tensor:
        """Predict whole densities ``(batch, 1, z, y, x)`` with edges that are multiples of 8."""
        prediction: Tensor = self.completer(self.denoiser(volumes))
        return prediction


class PublishedUNet(nn.Module):
    """The U-Net of spIsoNet, for comparison.

    Batch normalisation, strided convolutions between levels, widths in the ratio 1 : 2 : 4 : 5, and a
    global residual. Batch normalisation is kept because spIsoNet uses it; its statistics are those of the
    part of a batch that is computed at once, so that results depend on the number of parts and processes.

    Parameters
    ----------
    filter_base : int
        Channels of the first level (64 as published).

    References
    ----------
    Liu, Fan, Hu & Zhou (2025) Nat. Methods 22, 113-123 (spIsoNet).
    """

    architecture: ClassVar[str] = "published-unet"
    n_inputs: ClassVar[int] = 1

    def __init__(self, filter_base: int = 64) -> None:
        super().__init__()
        self.filter_base = filter_base
        widths = [filter_base * factor for factor in PUBLISHED_WIDTHS]
        pairs = list(itertools.pairwise(widths))
        published = partial(
            ConvBlock, n_convolutions=PUBLISHED_CONVOLUTIONS, slope=PUBLISHED_SLOPE, norm=nn.BatchNorm3d
        )
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


Network = UNet | DenoisedUNet | PublishedUNet
# By the name in the files of weights.
ARCHITECTURES: dict[str, type[Network]] = {
    network.architecture: network for network in (UNet, WhitenedUNet, PriorUNet, DenoisedUNet, PublishedUNet)
}


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
