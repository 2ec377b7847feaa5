"""Training of the networks that come with the program."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.pretraining import cases, run
from benchmarks.pretraining.simulate import simulate_half_maps
from benchmarks.pretraining.train import start_of_prior
from benchmarks.quality.particles import ParticleSet
from spisonet.fourier.grids import frequency_axes_rfft, radius_rfft, rfft3
from spisonet.learning.checkpoint import load_network
from spisonet.learning.pretrained import OTHER_STRUCTURES, TRAINED_ON
from spisonet.learning.unet import PriorUNet, WhitenedUNet


def test_simulated_half_maps_show_the_truth_in_measured_directions(monkeypatch):
    """With top views, rotated by nothing, the directions near the view axis are unmeasured."""
    rng, n = np.random.default_rng(0), 24
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    truth = sum(
        np.exp(-((z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2) / 3) for a, b, c in rng.normal(0, 3, (12, 3))
    ).astype(np.float32)
    monkeypatch.setattr("benchmarks.pretraining.simulate.random_frame", lambda _rng: np.eye(3))
    particles = ParticleSet("top", 1.0, 5.0, 120, 0.5, 1.0, 0.0)
    half1, half2 = simulate_half_maps(truth, 4.0, particles, rng)
    assert not np.array_equal(half1, half2)
    found, expected = rfft3((half1 + half2) / 2), rfft3(truth)
    kz, _, _ = np.broadcast_arrays(*frequency_axes_rfft((n, n, n)))
    radius = radius_rfft((n, n, n))
    band = (radius > 2) & (radius < 7)

    def correlation(region: np.ndarray) -> float:
        a, b = found[region], expected[region]
        return float(np.vdot(a, b).real / np.linalg.norm(a) / np.linalg.norm(b))

    assert correlation(band & (np.abs(kz) < 0.3 * radius)) > 0.9
    assert correlation(band & (np.abs(kz) > 0.9 * radius)) < 0.8


def test_a_start_has_the_first_features_of_a_prior_whose_inputs_are_equal():
    torch.manual_seed(0)
    prior = PriorUNet(4).eval()
    volumes = torch.randn(1, 1, 16, 16, 16)
    torch.nn.init.normal_(prior.last.weight)
    with torch.no_grad():
        expected, found = prior(volumes.expand(1, 2, 16, 16, 16)), start_of_prior(prior).eval()(volumes)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("network", ["start", "prior"])
def test_a_network_is_trained_and_written(tmp_path, measurement_factory, network, monkeypatch):
    measurement = measurement_factory(n=40)
    measurement = replace(measurement, view_weight_rfft=measurement.fsc_weight_rfft)
    folder = tmp_path / "cases" / "one"
    folder.mkdir(parents=True)
    truth = measurement.data[0]
    cases.write_start_example(folder / cases.START_EXAMPLE, measurement, truth)
    cases.write_prior_example(folder / cases.PRIOR_EXAMPLE, measurement, measurement.averaged(), truth)
    (tmp_path / "models").mkdir()
    monkeypatch.setattr("benchmarks.pretraining.train.BATCH", 1)
    words = [
        "--models",
        tmp_path / "models",
        "--cases",
        tmp_path / "cases",
        "--out",
        tmp_path / "n.safetensors",
    ]
    words += ["--network", network, "--filter_base", "2", "--minutes", "0.01"]
    assert run.main([str(word) for word in words]) == 0
    trained, metadata = load_network(tmp_path / "n.safetensors")
    assert isinstance(trained, WhitenedUNet if network == "start" else PriorUNet)
    assert metadata[TRAINED_ON] == OTHER_STRUCTURES
    assert trained.last.weight.abs().sum() > 0  # zero before the training


def test_a_folder_without_cases_is_one_sentence(tmp_path, capsys):
    (tmp_path / "models").mkdir()
    words = ["--models", str(tmp_path / "models"), "--cases", str(tmp_path), "--out", str(tmp_path / "n")]
    assert run.main(words) == 1
    assert "contains no case" in capsys.readouterr().err
