"""Reconstruct does not hallucinate a deleted domain, and does not harm a map of even views."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.commands.main import main
from spisonet.fourier.grids import rfft3
from spisonet.fourier.shells import fourier_shell_correlation
from spisonet.io.mrc import read_volume, write_volume
from tests.anisotropy.simulation import even_views, simulate_half_maps, views_about_z

pytestmark = pytest.mark.slow

LIMIT_ANGSTROM = 6.5
DELETED_RADIUS = 7.0  # voxels


@pytest.fixture
def particle(example):
    """Truth and mask of the example."""
    return read_volume(example / "truth.mrc"), read_volume(example / "mask.mrc")


def correct(halves, like, mask_path, folder):
    """Correct half maps by the command; return half map 1 before and after."""
    paths = [folder / f"half{index}.mrc" for index in (1, 2)]
    for path, half in zip(paths, halves, strict=True):
        write_volume(path, like.with_data(half))
    main([
        "reconstruct", *map(str, paths), "--mask", str(mask_path), "--limit_res", str(LIMIT_ANGSTROM),
        "--filter_base", "8", "--cube_size", "32", "--epochs", "1", "--n_subvolume", "400",
        "--no-report", "--output_dir", str(folder / "out"),
    ])  # fmt: skip
    return halves[0], read_volume(folder / "out" / "corrected_half1.mrc").data


def limit_shell(volume) -> float:
    return volume.box * volume.voxel_size_angstrom / LIMIT_ANGSTROM


def test_a_deleted_domain_stays_deleted(particle, example, tmp_path):
    truth, mask = particle
    whole = truth.data - np.median(truth.data)
    axis = np.arange(truth.box)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij", sparse=True)
    # A domain off the axis of views, around the densest place away from the middle.
    away = (np.hypot(y - truth.box // 2, x - truth.box // 2) > 5) * whole
    cz, cy, cx = np.unravel_index(np.argmax(away), away.shape)
    inside = (z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < DELETED_RADIUS**2
    deleted = np.where(inside, whole, 0)
    assert np.linalg.norm(deleted) > 0.2 * np.linalg.norm(whole)
    halves = simulate_half_maps(whole - deleted, views_about_z(8), limit_shell(truth))
    before, after = correct(halves, truth, example / "mask.mrc", tmp_path)

    def pattern_fraction(volume) -> float:
        """Fraction of the pattern of the deleted density in a map."""
        pattern = deleted[inside] - deleted[inside].mean()
        return float(volume[inside] @ pattern / (pattern @ pattern))

    def level(volume) -> float:
        """Mean density where the domain was deleted, relative to that of the domain."""
        return float(volume[inside].mean() / deleted[inside].mean())

    def agreement(volume) -> float:
        """Correlation with the density that was not deleted."""
        return float(np.corrcoef((volume * mask.data).ravel(), ((whole - deleted) * mask.data).ravel())[0, 1])

    assert agreement(after) > agreement(before) + 0.01  # something was recovered, but not the domain
    assert abs(pattern_fraction(after)) < abs(pattern_fraction(before)) + 0.05
    assert abs(level(after)) < abs(level(before)) + 0.05


def test_a_map_with_even_views_is_not_harmed(particle, example, tmp_path):
    truth, mask = particle
    halves = simulate_half_maps(truth.data, even_views(), limit_shell(truth))
    before, after = (
        fourier_shell_correlation(rfft3(volume * mask.data), rfft3(truth.data * mask.data), truth.box)
        for volume in correct(halves, truth, example / "mask.mrc", tmp_path)
    )
    shells = slice(3, int(limit_shell(truth)) + 1)
    assert after[shells].mean() > before[shells].mean() - 1e-4
    assert (after[shells] > before[shells] - 0.002).all()
