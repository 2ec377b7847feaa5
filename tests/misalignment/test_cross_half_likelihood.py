"""The likelihood of particles given the other half map: slices, maps, gradient, and RELION's figures."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile
import torch

from spisonet.geometry.rotations import random_rotations, rotation_vector_matrices
from spisonet.misalignment.central_slices import SliceTable, slice_points
from spisonet.misalignment.cross_half_likelihood import cross_half_likelihood
from spisonet.misalignment.half_map_model import HalfMapModel
from spisonet.misalignment.image_band import ImageBand, Poses
from spisonet.misalignment.particle_images import read_particle_images
from spisonet.misalignment.pose_motion import moved
from tests.misalignment.particle_sets import BOX, PIXEL, SimulatedSet, projections, simulate_particles

CPU = torch.device("cpu")
LAST = 12
FINEST = BOX * PIXEL / (LAST + 0.01)
needs_relion = pytest.mark.skipif(
    shutil.which("relion_reconstruct") is None, reason="RELION is not installed"
)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> SimulatedSet:
    return simulate_particles(tmp_path_factory.mktemp("particles"), symmetry_order=3)


@pytest.fixture(scope="module")
def model(simulated: SimulatedSet) -> HalfMapModel:
    band = ImageBand(read_particle_images(simulated.star), FINEST, CPU)
    return HalfMapModel(band, simulated.mask, "C3")


def test_slices_of_a_map_are_its_projections(simulated):
    rotations = random_rotations(20, np.random.default_rng(0))
    grid = SliceTable(BOX, 8, 2, CPU)
    table = grid.table_of(torch.from_numpy(simulated.density()))
    y, x = np.mgrid[-5:6, 0:6].reshape(2, -1)
    plane = torch.from_numpy(np.stack([x, y], axis=1).astype(np.float32))
    points = slice_points(torch.from_numpy(rotations.astype(np.float32)), plane)
    found = grid.values(table, points.reshape(3, -1)).reshape(20, -1).numpy()
    exact = projections(simulated.centres, rotations, np.zeros((20, 2)))[:, y % BOX, x]
    assert np.abs(found - exact).max() < 0.04 * np.abs(exact).max()


def test_inner_product_is_that_with_what_add_adds():
    grid = SliceTable(16, 5, 2, CPU)
    generator = torch.Generator().manual_seed(0)
    points = 4 * torch.randn((3, 50), generator=generator).clamp(-1, 1)
    values = torch.randn(50, dtype=torch.complex64, generator=generator)
    weights = torch.rand(50, generator=generator)
    other = torch.randn((grid.size, 3), generator=generator)
    columns = torch.zeros(grid.size, dtype=torch.complex64), torch.zeros(grid.size)
    grid.add(columns, points, values, weights)
    added = torch.stack([columns[0].real, columns[0].imag, columns[1]], dim=1)
    expected = float((added * other).sum())
    assert float(grid.inner_product(other, points, values, weights)) == pytest.approx(expected, rel=1e-4)


def test_half_maps_show_the_density(simulated, model):
    maps = model.half_maps(model.insert(Poses.of(model.band.particles))).numpy()
    spectrum = np.fft.rfftn(np.fft.ifftshift(simulated.density() * simulated.mask))
    found = np.fft.rfftn(np.fft.ifftshift(maps.mean(axis=0) * simulated.mask))
    inner = np.s_[:5, :5, :5]
    correlation = np.corrcoef(np.abs(spectrum[inner]).ravel(), np.abs(found[inner]).ravel())[0, 1]
    assert correlation > 0.99


def test_gradient_equals_finite_differences(tmp_path):
    # Many particles in few shells: with empty voxels, the likelihood has kinks.
    simulated = simulate_particles(tmp_path, n=1000, symmetry_order=3)
    band = ImageBand(read_particle_images(simulated.star), BOX * PIXEL / 8.01, CPU)
    model = HalfMapModel(band, simulated.mask, "C3")
    true = Poses.of(band.particles)
    vectors = 0.1 * np.random.default_rng(0).normal(size=(1000, 3))
    start = replace(true, rotations=moved(true.rotations, vectors))
    views = start.rotations[:, 2]
    direction = np.cross(views, [0.0, 0.0, 1.0]) * views[:, 2:]
    step = 0.01
    above, below = (
        cross_half_likelihood(
            model, replace(start, rotations=moved(start.rotations, sign * step * direction))
        )
        for sign in (1, -1)
    )
    gradient = cross_half_likelihood(model, start, with_gradient=True).gradient
    assert gradient is not None
    difference = (above.total - below.total) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(difference, rel=0.05)


def test_true_poses_are_more_likely_than_drifted_ones_although_these_halves_agree(model):
    poses = Poses.of(model.band.particles)
    views = poses.rotations[:, 2]
    sine = np.hypot(views[:, 0], views[:, 1])[:, None]
    outwards = np.cross([0.0, 0.0, 1.0], views) * np.sign(views[:, 2:]) / np.maximum(sine, 1e-9)
    drift = outwards * np.minimum(np.arcsin(np.minimum(sine, 1)), 0.3)
    drifted = replace(poses, rotations=moved(poses.rotations, drift))
    true, wrong = cross_half_likelihood(model, poses), cross_half_likelihood(model, drifted)
    assert true.mean > wrong.mean + 1
    assert wrong.fsc[3:7].mean() > 0.8


def test_more_particles_than_fit_into_memory_give_the_same_likelihood(simulated, model, monkeypatch):
    monkeypatch.setattr("spisonet.misalignment.image_band.MEMORY_BYTES", 0)
    # Batches of one particle: each lacks one half set.
    monkeypatch.setattr("spisonet.misalignment.image_band.POINTS_PER_BATCH", 1)
    streamed = HalfMapModel(
        ImageBand(read_particle_images(simulated.star), FINEST, CPU), simulated.mask, "C3"
    )
    poses = Poses.of(model.band.particles)
    expected = cross_half_likelihood(model, poses)
    assert cross_half_likelihood(streamed, poses).total == pytest.approx(expected.total, rel=1e-4)


def test_images_multiplied_by_their_ctf_give_a_similar_likelihood(simulated, model, tmp_path):
    particles = read_particle_images(simulated.star)
    images = particles.read(np.arange(len(particles)))
    ky, kx = np.meshgrid(np.fft.fftfreq(BOX), np.fft.rfftfreq(BOX), indexing="ij")
    ctf = particles.ctf.at(np.stack([kx.ravel(), ky.ravel()], axis=1) / PIXEL).reshape(-1, BOX, BOX // 2 + 1)
    multiplied = np.fft.irfft2(np.fft.rfft2(images) * ctf, s=(BOX, BOX)).astype(np.float32)
    with mrcfile.new(tmp_path / "particles.mrcs") as stack:
        stack.set_data(multiplied)
        stack.set_image_stack()
    tables = starfile.read(simulated.star, always_dict=True)
    tables["optics"]["rlnCtfDataAreCtfPremultiplied"] = 1
    starfile.write(tables, tmp_path / "run_data.star")
    band = ImageBand(read_particle_images(tmp_path / "run_data.star"), FINEST, CPU)
    premultiplied = HalfMapModel(band, simulated.mask, "C3")
    poses = Poses.of(particles)
    found, expected = cross_half_likelihood(premultiplied, poses), cross_half_likelihood(model, poses)
    assert found.mean == pytest.approx(expected.mean, rel=0.02)


@needs_relion
def test_gain_equals_that_of_relions_programs(simulated, model):
    """Half maps by relion_reconstruct and projections by relion_project, compared in NumPy."""
    folder, particles = simulated.star.parent, model.band.particles
    tables = starfile.read(simulated.star, always_dict=True)
    subset = tables["particles"]["rlnRandomSubset"].to_numpy()
    spectra = []
    for half in (1, 2):
        part = tables | {"particles": tables["particles"][subset == half]}
        starfile.write(part, folder / f"half{half}.star", overwrite=True)
        _run(
            folder,
            f"relion_reconstruct --i half{half}.star --o half{half}.mrc --ctf --sym C3 --angpix {PIXEL}",
        )
        spectra.append(np.fft.rfftn(np.fft.ifftshift(_read(folder / f"half{half}.mrc") * simulated.mask)))
    k, kx = np.fft.fftfreq(BOX, 1 / BOX), np.arange(BOX // 2 + 1)
    shell3 = np.rint(np.sqrt(k[:, None, None] ** 2 + k[None, :, None] ** 2 + kx**2)).astype(int)
    shell2 = np.rint(np.hypot(k[:, None], kx)).astype(int)
    mates = np.where((kx == 0) | (kx == BOX // 2), 1, 2) * np.ones_like(shell2)
    cross = np.bincount(shell3.ravel(), (spectra[0] * spectra[1].conj()).real.ravel())
    powers = [np.bincount(shell3.ravel(), np.abs(half).ravel() ** 2) for half in spectra]
    fsc = np.where(np.arange(len(cross)) <= LAST, cross / np.sqrt(powers[0] * powers[1]), 0)
    gains = np.zeros(LAST + 1)
    for half in (1, 2):
        filtered = np.fft.irfftn(spectra[2 - half] * np.clip(fsc, 0, 1)[shell3], s=(BOX,) * 3, axes=(0, 1, 2))
        with mrcfile.new(folder / "filtered.mrc", overwrite=True) as file:
            file.set_data(np.fft.fftshift(filtered).astype(np.float32))
            file.voxel_size = PIXEL
        _run(folder, f"relion_project --i filtered.mrc --ang half{half}.star --o p --angpix {PIXEL} --ctf")
        p, x = (
            np.fft.rfft2(_read(folder / "p.mrcs")),
            np.fft.rfft2(particles.read(np.flatnonzero(subset == half))),
        )
        for shell in range(model.band.first, LAST + 1):
            weight = np.where(shell2 == shell, mates, 0)
            xp, pp, xx = ((a.conj() * b).real * weight for a, b in ((p, x), (p, p), (x, x)))
            scale = xp.sum() / pp.sum()
            noise = (xx.sum() - scale * xp.sum()) / (weight.sum() * len(x))
            gains[shell] += scale * xp.sum() / noise
    found = cross_half_likelihood(model, Poses.of(particles))
    assert found.gain_by_shell.sum() == pytest.approx(gains.sum(), rel=0.01)
    assert np.abs(found.fsc[1 : LAST - 1] - fsc[1 : LAST - 1]).max() < 0.05


def _run(folder: Path, command: str) -> None:
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)


def _read(path: Path) -> np.ndarray:
    with mrcfile.open(path, permissive=True) as file:
        return np.array(file.data, dtype=np.float32)


def test_the_band_may_end_one_shell_before_nyquist(simulated):
    particles = read_particle_images(simulated.star)
    band = ImageBand(particles, 2 * PIXEL, CPU)
    assert band.last == BOX // 2 - 1
    result = cross_half_likelihood(HalfMapModel(band, simulated.mask, "C3"), Poses.of(particles))
    assert np.isfinite(result.mean)


def test_rotation_vectors_turn_views_in_the_frame_of_the_map():
    rotations = random_rotations(5, np.random.default_rng(0))
    vector = np.array([0.0, 0.0, 0.3])
    turned = moved(rotations, np.broadcast_to(vector, (5, 3)))
    expected = rotations[:, 2] @ rotation_vector_matrices(vector)[0].T
    assert turned[:, 2] == pytest.approx(expected)
