"""Constraints without a network: one function, on the command line and in a refinement."""

from __future__ import annotations

import numpy as np
import torch

from spisonet.analysis.half_maps import HalfMaps
from spisonet.anisotropy.constraints import deconvolve
from spisonet.anisotropy.fourier_weights import FourierWeights, estimate_fourier_weights
from spisonet.anisotropy.preparation import correction_band, prepare_measurement
from spisonet.commands.main import main
from spisonet.fourier.grids import half_from_centred, radius_rfft, rfft3, shell_index_rfft
from spisonet.geometry.view_sampling import sampling_density
from spisonet.io.labels import read_tokens
from spisonet.io.mrc import Volume, read_volume
from spisonet.learning.measurement import Measurement
from spisonet.learning.memory import Memory
from spisonet.learning.training_config import TrainingConfig
from spisonet.misalignment.anisotropy_check import check_anisotropy
from spisonet.misalignment.prior import Prior, spherical_mask
from spisonet.misalignment.regularisation import regularise
from spisonet.misalignment.settings import MisalignmentSettings
from tests.anisotropy.simulation import (
    BOX,
    LIMIT_SHELL,
    VOXEL_SIZE,
    particle,
    simulate_half_maps,
    views_about_z,
)
from tests.misalignment.accumulators import back_projector_of_map, blob_map, uneven_weight

N, LAST_SHELL, ANGSTROM = 32, 13, 4.0
CPU = torch.device("cpu")
NO_TRAINING = TrainingConfig("self-training", 0, 8, 16, 4, 1, 0, None, None, None, 1.0, 0.5)


def test_a_refinement_without_a_network_gives_the_map_of_deconvolve(monkeypatch):
    """Of the same measurement, whose noise fraction would hold the map to its start."""
    measured: list[Measurement] = []
    complete = Measurement.complete_by_constraints

    def note(measurement: Measurement) -> torch.Tensor:
        measured.append(measurement)
        return complete(measurement)

    monkeypatch.setattr(Measurement, "complete_by_constraints", note)
    sums = back_projector_of_map(blob_map(N), 1, LAST_SHELL, uneven_weight(N, 35.0, weak=0.02), tau2=1.0)
    check = check_anisotropy(sums, np.ones(N // 2 + 1), ANGSTROM)
    prior, settings = Prior(spherical_mask(N, 24.0)), MisalignmentSettings(lowpass=True)
    (found,) = regularise([sums], check, ANGSTROM, prior, settings, NO_TRAINING, Memory(CPU))
    (measurement,) = measured
    assert measurement.noise_fraction_in_mask > 0.1
    expected = measurement.complete(measurement.weighted_data, prior_weight=0.0)[0].numpy()
    band = measurement.band_rfft.numpy()
    spectra = [rfft3(volume) * band for volume in (found.reference, expected)]
    inside = (radius_rfft((N, N, N)) > 0) & (band > 0.99)
    scale = np.real(np.vdot(spectra[1][inside], spectra[0][inside])) / np.linalg.norm(spectra[1][inside]) ** 2
    np.testing.assert_allclose(
        spectra[0][inside], scale * spectra[1][inside], atol=1e-4 * np.abs(spectra[0][inside]).max()
    )


def test_the_result_is_not_drawn_towards_its_start():
    """With the noise fraction as the weight of a prior, the two results would differ."""
    rng = np.random.default_rng(1)
    volume = (blob_map(N) + 0.05 * rng.normal(size=(N, N, N))).astype(np.float32)
    weight = np.where(uneven_weight(N, 35.0, strong=1.0) > 0.5, 0.9, 0.02).astype(np.float32)
    mask, results = spherical_mask(N, 24.0), []
    for noise_fraction in (0.0, 0.5):
        weights = FourierWeights(weight, weight, np.ones(N // 2 + 1), 10.0, noise_fraction)
        band = correction_band(weights, 10.0)
        measurement, scales = prepare_measurement([volume], weights, band, mask, CPU, positivity=True)
        results.append(deconvolve(measurement, [volume], scales)[0].whole)
        held = measurement.complete(measurement.weighted_data)
    np.testing.assert_array_equal(*results)
    assert not torch.allclose(held, measurement.complete_by_constraints(), rtol=0.01)


def corrected_halves(halves: list[np.ndarray], mask: np.ndarray, weight=None) -> list[np.ndarray]:
    maps = HalfMaps(*(Volume(v.astype(np.float32), VOXEL_SIZE) for v in (*halves, mask)))
    weights = estimate_fourier_weights(maps, weight, BOX * VOXEL_SIZE / LIMIT_SHELL, 1)
    band = correction_band(weights, LIMIT_SHELL)
    data = [maps.half1.data, maps.half2.data]
    measurement, scales = prepare_measurement(data, weights, band, mask, CPU, True)
    return [m.whole for m in deconvolve(measurement, data, scales)]


def fsc(a: np.ndarray, b: np.ndarray, region: np.ndarray) -> float:
    fa, fb = (rfft3(v.astype(np.float32))[region] for v in (a, b))
    return float(np.real(np.vdot(fa, fb)) / (np.linalg.norm(fa) * np.linalg.norm(fb)))


def regions(views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients that hardly any and that many views measured."""
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    density = sampling_density(views, np.stack([x, y, z], -1).reshape(-1, 3)).reshape(z.shape)
    sampled, shell = half_from_centred(density.astype(np.float32)), shell_index_rfft((BOX, BOX, BOX))
    band = (shell >= 4) & (shell <= LIMIT_SHELL)
    return band & (sampled < 0.02), band & (sampled > 1)


def test_what_was_not_measured_gains_and_what_was_is_kept():
    truth, mask, _ = particle()
    views = views_about_z(10)
    halves = simulate_half_maps(truth, views, LIMIT_SHELL)
    result = corrected_halves(halves, mask)[0]
    blank, sampled = regions(views)
    assert fsc(result, truth, blank) > fsc(halves[0], truth, blank) + 0.2
    assert fsc(result, truth, sampled) > fsc(halves[0], truth, sampled) - 0.01


def test_a_deleted_domain_stays_absent():
    """Data of a particle without a domain, in a mask that has room for it."""
    truth, mask, domain = particle(without_domain=True)
    halves = simulate_half_maps(truth, views_about_z(10), LIMIT_SHELL)
    with_domain = particle()[0]
    result = np.mean(corrected_halves(halves, mask), axis=0)
    solvent = result[mask == 0]
    assert result[domain].mean() - solvent.mean() < 3 * solvent.std()
    assert with_domain[domain].mean() > 10 * max(result[domain].mean(), 0)


def test_noise_gets_no_structure_that_both_halves_share():
    """With a weight that says that top views measured it, and a mask."""
    rng = np.random.default_rng(0)
    _, mask, _ = particle()
    halves = [rng.normal(size=(BOX, BOX, BOX)).astype(np.float32) for _ in range(2)]
    blank, sampled = regions(views_about_z(10))
    weight = np.where(sampled, 0.9, 0.0).astype(np.float32)
    weight[0, 0, 0] = 1
    first, second = corrected_halves(halves, mask, weight)
    assert abs(fsc(first, second, blank)) < 0.15


def test_dark_particles_are_deconvolved_without_positivity():
    truth, mask, _ = particle()
    halves = [-half for half in simulate_half_maps(truth, views_about_z(10), LIMIT_SHELL)]
    blank, sampled = regions(views_about_z(10))
    result = corrected_halves(halves, mask)[0]
    assert fsc(result, -truth, sampled) > 0.97
    assert fsc(result, -truth, blank) > fsc(halves[0], -truth, blank)


def test_the_command_needs_no_network(small_case, tmp_path):
    out = tmp_path / "out"
    main(
        [
            "reconstruct",
            *small_case.inputs,
            "--limit_res",
            "5",
            "--method",
            "deconvolve",
            "--output_dir",
            str(out),
        ]
    )
    corrected = read_volume(out / "corrected_half1.mrc")
    assert any("deconvolved" in label for label in corrected.labels)
    assert read_tokens(corrected.labels) == {"halves": {"independent"}}
    assert list(out.glob("*.safetensors")) == []
    before = read_volume(small_case.half1)
    assert corrected.origin_angstrom == before.origin_angstrom
    assert not np.array_equal(corrected.data, before.data)
    assert "without a network" in (out / "report.html").read_text(encoding="utf-8")
