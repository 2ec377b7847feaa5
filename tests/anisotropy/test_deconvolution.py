"""The classical baseline: mask and positivity under what was measured."""

from __future__ import annotations

import numpy as np
import torch

from spisonet.analysis.half_maps import HalfMaps
from spisonet.anisotropy.constraints import deconvolve
from spisonet.anisotropy.fourier_weights import estimate_fourier_weights
from spisonet.anisotropy.preparation import correction_band, prepare_measurement
from spisonet.commands.main import main
from spisonet.fourier.grids import half_from_centred, rfft3, shell_index_rfft
from spisonet.geometry.view_sampling import sampling_density
from spisonet.io.labels import read_tokens
from spisonet.io.mrc import Volume, read_volume
from tests.anisotropy.simulation import simulate_half_maps, views_about_z

N, VOXEL_SIZE, LIMIT_SHELL = 40, 3.0, 14


def particle(without_domain: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Atoms in a ball, with a domain beside it or not; a mask around both, and the domain's own."""
    rng = np.random.default_rng(2)
    axis = np.arange(N) - N // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")

    def atoms(centres: np.ndarray) -> np.ndarray:
        return sum(np.exp(-((z - c[0]) ** 2 + (y - c[1]) ** 2 + (x - c[2]) ** 2) / 2.5) for c in centres)

    body = atoms(rng.normal(size=(50, 3)) * 3)
    domain_centre = np.array([13, 0, 0])  # along z, where top views tell nothing
    domain = atoms(domain_centre + rng.normal(size=(12, 3)) * 1.2)
    density = body if without_domain else body + domain
    ball = x**2 + y**2 + z**2 < 11**2
    beside = (z - 13) ** 2 + y**2 + x**2 < 5**2
    mask = (ball | beside).astype(np.float32)
    return (density / body.std()).astype(np.float32), mask, beside & (z >= 11)


def corrected_halves(halves: list[np.ndarray], mask: np.ndarray, weight=None) -> list[np.ndarray]:
    maps = HalfMaps(*(Volume(v.astype(np.float32), VOXEL_SIZE) for v in (*halves, mask)))
    known = estimate_fourier_weights(maps, weight, N * VOXEL_SIZE / LIMIT_SHELL, 1)
    band = correction_band(known, LIMIT_SHELL)
    data = [maps.half1.data, maps.half2.data]
    measurement, scales = prepare_measurement(data, known, band, mask, torch.device("cpu"), True)
    return [m.whole for m in deconvolve(measurement, data, scales)]


def fsc(a: np.ndarray, b: np.ndarray, region: np.ndarray) -> float:
    fa, fb = (rfft3(v.astype(np.float32))[region] for v in (a, b))
    return float(np.real(np.vdot(fa, fb)) / (np.linalg.norm(fa) * np.linalg.norm(fb)))


def regions(views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients that hardly any and that many views measured."""
    axis = np.arange(N) - N // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    density = sampling_density(views, np.stack([x, y, z], -1).reshape(-1, 3)).reshape(z.shape)
    sampled, shell = half_from_centred(density.astype(np.float32)), shell_index_rfft((N, N, N))
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
    halves = [rng.normal(size=(N, N, N)).astype(np.float32) for _ in range(2)]
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
