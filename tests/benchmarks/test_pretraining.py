"""Training of the networks that come with the program."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from scipy import ndimage

from benchmarks.pretraining import map_cases, phantoms, run, tomogram_cases
from benchmarks.pretraining.examples import Example, matched_truth
from benchmarks.pretraining.half_maps import simulate_half_maps
from benchmarks.pretraining.phantoms import Molecule, Phantom, draw_phantom
from benchmarks.pretraining.tilt_series import TiltSeries, simulate_halves
from benchmarks.pretraining.train import KINDS, start_of_prior
from benchmarks.quality.particles import ParticleSet
from spisonet.fourier.grids import frequency_axes_rfft, radius_rfft, rfft3
from spisonet.fourier.wedges import measured_rfft
from spisonet.learning.checkpoint import load_network
from spisonet.learning.pretrained import read_start_network
from spisonet.learning.spectra import rfft3 as spectrum_of
from spisonet.learning.unet import PriorUNet, UNet, WhitenedUNet

if TYPE_CHECKING:
    from pathlib import Path


def test_simulated_half_maps_show_the_truth_in_measured_directions(monkeypatch):
    """With top views, rotated by nothing, the directions near the view axis are unmeasured."""
    rng, n = np.random.default_rng(0), 24
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    truth = sum(
        np.exp(-((z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2) / 3) for a, b, c in rng.normal(0, 3, (12, 3))
    ).astype(np.float32)
    monkeypatch.setattr("benchmarks.pretraining.half_maps.random_frame", lambda _rng: np.eye(3))
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


def blobs(shape: tuple[int, int, int], n: int) -> np.ndarray:
    """Density of blobs in the middle planes; it repeats itself in y and x."""
    rng, density = np.random.default_rng(1), np.zeros(shape, np.float32)
    places = [
        rng.integers(m // 3 if axis == 0 else 0, m - m // 3 if axis == 0 else m, n)
        for axis, m in enumerate(shape)
    ]
    density[tuple(places)] = 1
    return ndimage.gaussian_filter(density, 1.2, mode=("constant", "wrap", "wrap"))


def write_tomogram_case(folder: Path, shape: tuple[int, int, int]) -> None:
    folder.mkdir(parents=True)
    density = blobs(shape, 40)
    phantom = Phantom(density, 10.0, np.ones(shape, bool))
    halves = simulate_halves(phantom, TiltSeries((-50, 60), 5, 1.0), np.random.default_rng(0))
    tomogram_cases.write_tomogram_example(folder, halves, -density, phantom.inside, 10.0, (-50, 60))


def test_phantoms_have_density_in_the_slab_only_and_molecules_do_not_overlap(monkeypatch):
    monkeypatch.setattr(phantoms, "MAX_TRIALS", 60)
    ball = np.zeros((12, 12, 12), np.float32)
    ball[3:9, 3:9, 3:9] = 1
    rng = np.random.default_rng(5)
    builder = phantoms._Builder((40, 64, 64), 10.0, rng)
    builder.add_molecules([Molecule("ball", ball)], 0.2, at_surfaces=False)
    assert builder.density.max() < 1.3  # of one molecule with the highest contrast; two would add up
    builder.add_membrane(closed=False)
    builder.add_gold(2)
    assert not builder.density[~builder.inside].any()
    first, second = (draw_phantom([Molecule("ball", ball)] * 8, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.density, second.density)
    assert 5 <= first.voxel_size_angstrom <= 20


def test_halves_show_the_phantom_where_it_was_measured_and_are_empty_in_the_wedge():
    shape, tilts = (32, 48, 48), (-40.0, 65.0)
    density = blobs(shape, 60)
    phantom = Phantom(density, 10.0, np.ones(shape, bool))
    even, odd = simulate_halves(phantom, TiltSeries(tilts, 2.5, 4.0), np.random.default_rng(0))
    spectra = [rfft3(v) for v in (-density, even, even - odd)]
    radius = radius_rfft(shape) / np.array(shape[0])
    band = (radius > 0.08) & (radius < 0.25)

    def correlation(chosen: np.ndarray) -> float:
        a, b = spectra[0][chosen], spectra[1][chosen]
        return float(np.vdot(a, b).real / np.linalg.norm(a) / np.linalg.norm(b))

    measured, mirrored = (measured_rfft(shape, t) for t in (tilts, (-65.0, 40.0)))
    assert correlation(band & measured) > 0.8
    assert correlation(band & measured & ~mirrored) > 0.6  # the sign of the tilts
    assert correlation(band & mirrored & ~measured) < 0.5
    noise = np.abs(spectra[2]) ** 2
    assert noise[band & ~measured].mean() < 0.25 * noise[band & measured].mean()


def test_the_matched_truth_has_the_amplitudes_and_the_sign_of_the_data():
    truth = torch.from_numpy(blobs((16, 24, 20), 30))
    weight = torch.ones(spectrum_of(truth).shape)
    torch.testing.assert_close(matched_truth(truth, -2 * truth, weight, 12, signed=True), -2 * truth)
    assert matched_truth(truth, -2 * truth, weight, 12).abs().max() < 1e-6


def test_subvolumes_of_tomograms_have_the_wedge_of_their_example(tmp_path):
    """Rotated by 180 degrees about x or z, a range of -50 to 60 degrees becomes one of -60 to 50 degrees."""
    write_tomogram_case(tmp_path / "one", (40, 48, 48))
    example = Example.read(tmp_path / "one" / tomogram_cases.TOMOGRAM_EXAMPLE)
    rng, seen = np.random.default_rng(0), set()
    own, mirrored = (measured_rfft((32, 32, 32), t) for t in ((-50, 60), (-60, 50)))
    for _ in range(24):
        inputs, target, weights = example.draw(32, rng)
        assert inputs.shape == (1, 32, 32, 32)
        assert target.shape == (32, 32, 32)
        by_wedge = {
            name: float(weights[torch.from_numpy(wedge.copy())].std())
            for name, wedge in (("own", own), ("mirrored", mirrored))
        }
        seen.add(min(by_wedge, key=lambda name: by_wedge[name]))
    assert seen == {"own", "mirrored"}


@pytest.mark.parametrize("network", ["start", "prior", "tomograms"])
def test_a_network_is_trained_and_written(tmp_path, measurement_factory, network, monkeypatch):
    folder = tmp_path / "cases" / "one"
    if network == "tomograms":
        write_tomogram_case(folder, (48, 48, 48))
    else:
        measurement = measurement_factory(n=40)
        measurement = replace(measurement, view_weight_rfft=measurement.fsc_weight_rfft)
        folder.mkdir(parents=True)
        truth = measurement.data[0]
        map_cases.write_start_example(folder / map_cases.START_EXAMPLE, measurement, truth)
        map_cases.write_prior_example(
            folder / map_cases.PRIOR_EXAMPLE, measurement, measurement.averaged(), truth
        )
    (tmp_path / "models").mkdir()
    monkeypatch.setitem(KINDS, network, replace(KINDS[network], batch=1))
    monkeypatch.setattr("benchmarks.pretraining.train.STATISTICS_SAMPLES", 3)
    out = tmp_path / "n.safetensors"
    words = ["--models", tmp_path / "models", "--cases", tmp_path / "cases", "--out", out, "--tomograms", 0]
    words += ["--network", network, "--filter_base", "2", "--minutes", "0.01"]
    assert run.main([str(word) for word in words]) == 0
    trained, _ = load_network(out)
    assert type(trained) is {"start": WhitenedUNet, "prior": PriorUNet, "tomograms": UNet}[network]
    assert trained.last.weight.abs().sum() > 0  # zero before the training
    if network != "prior":
        objective = "tomograms" if network == "tomograms" else "self-training"
        assert read_start_network(out, objective, 2).of_other_structures


def test_closed_membranes_do_not_reach_the_surfaces_of_the_slab():
    added = 0
    for seed in range(6):
        builder = phantoms._Builder((48, 64, 64), 10.0, np.random.default_rng(seed))
        builder.add_membrane(closed=True)
        planes = np.flatnonzero(builder.inside[:, 0, 0])
        surfaces = builder.density[[planes[0], planes[-1]]]
        assert surfaces.max() < 0.2 * max(builder.density.max(), 1e-6) or not builder.density.any()
        added += builder.density.any()
    assert added > 2


def test_a_folder_without_cases_is_one_sentence(tmp_path, capsys):
    (tmp_path / "models").mkdir()
    words = ["--models", str(tmp_path / "models"), "--cases", str(tmp_path), "--out", str(tmp_path / "n")]
    assert run.main(words) == 1
    assert "contains no case" in capsys.readouterr().err
