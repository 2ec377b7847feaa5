"""Networks of other kinds, and the table of recovery against time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.quality.networks import NETWORKS
from benchmarks.quality.recovery_against_time import BASELINE, Point, time_table


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_begins_at_its_input_and_uses_all_weights(name):
    network, volumes = NETWORKS[name](), torch.randn(1, 1, 16, 16, 16)
    prediction = network(volumes)
    assert torch.equal(prediction, volumes)
    nn.init.ones_(network.last.weight)
    (network(volumes) - volumes).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_other_networks_have_fewer_weights():
    sizes = {name: sum(p.numel() for p in make().parameters()) for name, make in NETWORKS.items()}
    assert max(sizes, key=lambda name: sizes[name]) == "U-Net"


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
