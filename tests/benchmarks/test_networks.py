"""Networks of other kinds, and the table of recovery against time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.quality.networks import NETWORKS, TURNED_AXES
from benchmarks.quality.recovery_against_time import BASELINE, Point, time_table
from spisonet.learning.spectra import WedgeWeight

WEDGE = WedgeWeight(-60.0, 60.0)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_begins_at_its_input_and_uses_all_weights(name):
    network, volumes = NETWORKS[name](WEDGE), torch.randn(1, 1, 16, 16, 16)
    prediction = network(volumes)
    assert torch.equal(prediction, volumes)
    nn.init.ones_(network.last.weight)
    (network(volumes) - volumes).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_other_networks_have_fewer_weights():
    sizes = {name: sum(p.numel() for p in make(WEDGE).parameters()) for name, make in NETWORKS.items()}
    del sizes["split in Fourier space"]  # its blocks have twice the inputs
    assert max(sizes, key=lambda name: sizes[name]) == "U-Net"


def test_shared_weights_commute_with_half_turns():
    network, volumes = NETWORKS["weights shared over half turns"](WEDGE), torch.randn(1, 1, 16, 16, 16)
    nn.init.normal_(network.last.weight)
    network(volumes).square().sum().backward()
    with torch.no_grad():
        for parameter in network.parameters():  # scales and offsets of a set differ, unless they are tied
            parameter.add_(torch.randn_like(parameter) * parameter.grad.abs().clamp(max=0.1))
    prediction = network(volumes)
    for axes in TURNED_AXES[1:]:
        assert torch.allclose(network(volumes.flip(axes)), prediction.flip(axes), atol=1e-4)
    assert not torch.allclose(network(volumes.flip(-1)), prediction.flip(-1), atol=1e-2)  # not the other hand


def test_split_features_depend_on_the_unmeasured_region():
    volumes = torch.randn(1, 1, 16, 16, 16)
    predictions = []
    for weight in (WEDGE, WedgeWeight(-30.0, 30.0)):
        torch.manual_seed(0)
        network = NETWORKS["split in Fourier space"](weight)
        nn.init.ones_(network.last.weight)
        predictions.append(network(volumes))
    assert not torch.allclose(*predictions, atol=1e-2)


def test_times_are_those_to_the_final_recovery_of_the_baseline():
    points = [
        Point("case", BASELINE, 400, 80.0, 0.5, 0.9),
        Point("case", "other", 100, 20.0, 0.51, 0.89),
        Point("case", "other", 400, 50.0, 0.6, 0.95),
    ]
    table = time_table(points)
    assert "| case | empty | 0.500 (80 s) | other | 20 s | 4.0 times |" in table
    assert "| case | ccmask | 0.900 (80 s) | other | 50 s | 1.6 times |" in table
    assert "times" not in time_table([points[1]])  # without a baseline
