"""Shapes and kinds of the networks."""

from __future__ import annotations

import copy

import pytest
import torch

from spisonet.learning.unet import (
    MeanPool3d,
    PublishedUNet,
    SampleNorm3d,
    UNet,
    fused,
    rescale_convolutions,
    set_running_statistics,
)


@pytest.mark.parametrize("kind", [UNet, PublishedUNet])
@pytest.mark.parametrize("edge", [16, 24])
def test_a_prediction_has_the_shape_of_its_input(kind, edge):
    volumes = torch.randn(2, 1, edge, edge, edge)
    prediction = kind(4)(volumes)
    assert prediction.shape == volumes.shape
    assert prediction.dtype == torch.float32


def test_an_untrained_network_returns_its_input():
    volumes = torch.randn(1, 1, 16, 16, 16)
    assert torch.equal(UNet(4)(volumes), volumes)


def test_the_published_network_has_the_published_layers():
    network = PublishedUNet(64)
    widths = sorted(
        {layer.num_features for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm3d)}
    )
    assert widths == [64, 128, 256, 320]
    convolutions = [
        m for m in network.modules() if isinstance(m, torch.nn.Conv3d) and m.kernel_size == (3, 3, 3)
    ]
    assert len(convolutions) == 3 * 7  # four levels down, three up
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(23.8e6, rel=0.05)


@pytest.mark.parametrize("kind", [UNet, PublishedUNet])
def test_a_fused_network_gives_the_same(kind):
    torch.manual_seed(0)
    network = kind(4)
    torch.nn.init.normal_(network.last.weight)
    for _ in range(3):
        network(torch.randn(2, 1, 16, 16, 16) * 3 + 1)  # changes the statistics of the normalisation
    volumes = torch.randn(1, 1, 24, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(fused(network)(volumes), network.eval()(volumes), rtol=1e-4, atol=1e-4)
    assert any(isinstance(layer, torch.nn.BatchNorm3d) for layer in network.modules())


@pytest.mark.parametrize("training", [False, True])
def test_rescaled_convolutions_predict_the_same(training):
    torch.manual_seed(0)
    network = UNet(4)
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            parameter.mul_(2 + number % 3).add_(0.01)
    set_running_statistics(network, [3 * torch.randn(1, 1, 16, 16, 16)])
    network.train(training)
    rescaled = copy.deepcopy(network)
    rescale_convolutions(rescaled)
    volumes = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(rescaled(volumes), network(volumes), rtol=1e-3, atol=1e-3)
    new = dict(UNet(4).named_parameters())
    for name, weight in rescaled.named_parameters():
        if name.startswith(("encoders", "decoders")) and weight.ndim == 5:
            assert weight.norm().item() == pytest.approx(new[name].norm().item(), rel=0.15)


def test_running_averages_become_those_of_the_samples():
    torch.manual_seed(0)
    network = UNet(2).eval()
    samples = [torch.randn(1, 1, 16, 16, 16) * scale + 3 for scale in (1, 2, 4)]
    first = network.encoders[0][0]
    set_running_statistics(network, iter(samples))
    layer = network.encoders[0][1]
    assert isinstance(layer, SampleNorm3d)
    assert not network.training
    assert not layer.sample_sums.any()
    with torch.no_grad():
        features = [first(sample) for sample in samples]
    means = torch.stack([f.mean(dim=(0, 2, 3, 4)) for f in features])
    torch.testing.assert_close(layer.running_mean, means.mean(dim=0), rtol=1e-4, atol=1e-4)
    variances = torch.stack([f.var(dim=(0, 2, 3, 4)) for f in features])
    torch.testing.assert_close(layer.running_var, variances.mean(dim=0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 4e-3)])
def test_mean_pool_and_its_gradient_are_those_of_pytorch(layout, dtype, tolerance):
    features = torch.randn(2, 3, 4, 6, 8).to(dtype).contiguous(memory_format=layout)
    ours, theirs = (features.clone().requires_grad_() for _ in range(2))
    pooled, expected = MeanPool3d()(ours), torch.nn.functional.avg_pool3d(theirs.float(), 2)
    upstream = torch.randn_like(expected)
    pooled.backward(upstream)
    expected.backward(upstream)
    assert pooled.dtype == torch.float32
    torch.testing.assert_close(pooled, expected)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=tolerance, atol=tolerance)


def test_mean_pool_keeps_the_memory_layout():
    features = torch.randn(1, 16, 8, 8, 8).contiguous(memory_format=torch.channels_last_3d)
    assert MeanPool3d()(features).is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # PyTorch itself
def test_training_is_compiled_as_one_graph_with_the_same_result():
    """As on a GPU, whose compiler is replaced by the operations of the graph."""
    torch.manual_seed(0)
    plain = UNet(4).train()
    traced = copy.deepcopy(plain)
    compiled = torch.compile(traced, backend="aot_eager", dynamic=False, fullgraph=True)
    volumes = torch.randn(2, 1, 16, 16, 16)
    for network in (plain, compiled):
        network(volumes).square().sum().backward()
    for expected, found in zip(plain.parameters(), traced.parameters(), strict=True):
        assert torch.equal(expected.grad, found.grad)
