"""Regions of tomograms that are in memory at the same time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spisonet.io.tomograms import open_tomogram
from spisonet.tomography.subvolume_centres import subvolume_centres
from spisonet.tomography.tomogram import Tomogram
from spisonet.tomography.training_set import TrainingSet
from tests.tomography.simulation import (
    CPU,
    write_mrc,
)


def test_regions_are_drawn_from_all_tomograms(tmp_path):
    volume = open_tomogram(write_mrc(tmp_path / "t.mrc", np.zeros((64, 200, 200), np.float32)))
    tomograms = tuple(Tomogram(f"t{i}", (volume, volume), (-60, 60), None, None, 100) for i in range(9))
    centres = tuple(subvolume_centres(tomogram, 16, np.random.default_rng(0)) for tomogram in tomograms)
    training_set = TrainingSet(tomograms, centres, 1e9, 0, CPU)
    for number in range(5):
        regions = training_set.draw_regions(number, 16)
        assert len({region.tomogram_index for region in regions}) == min(len(regions), 9)
        assert len(regions) >= 6


def test_subvolumes_are_drawn_in_proportion_if_all_tomograms_are_in_memory(tmp_path):
    volume = open_tomogram(write_mrc(tmp_path / "t.mrc", np.zeros((32, 32, 32), np.float32)))
    tomograms = tuple(Tomogram("t", (volume,), (-60, 60), None, None, n) for n in (10, 30))
    centres = tuple(subvolume_centres(tomogram, 16, np.random.default_rng(0)) for tomogram in tomograms)
    training_set = TrainingSet(tomograms, centres, 1e9, 0, CPU)
    regions = training_set.draw_regions(0, 16)
    assert [region.slices for region in regions] == [(slice(0, 32),) * 3] * 2
    np.testing.assert_allclose(training_set.probabilities(regions), [0.25, 0.75])
    np.testing.assert_allclose(training_set.probabilities(regions[:1]), [1.0])


def test_the_fingerprint_changes_with_tomograms_and_centres(tmp_path):
    volume = open_tomogram(write_mrc(tmp_path / "t.mrc", np.zeros((32, 32, 32), np.float32)))
    tomogram = Tomogram("t", (volume,), (-60, 60), None, None, 10, digest="a")
    centres = subvolume_centres(tomogram, 16, np.random.default_rng(0))
    fingerprints = {
        TrainingSet((replace(tomogram, digest=digest),), (places,), 1e9, 0, CPU).fingerprint
        for digest, places in (("a", centres), ("b", centres), ("a", centres[1:]))
    }
    assert len(fingerprints) == 3


def test_fifty_tomograms_take_as_much_memory_as_ten(tmp_path):
    volume = open_tomogram(write_mrc(tmp_path / "t.mrc", np.zeros((64, 200, 200), np.float32)))
    tomogram = Tomogram("t", (volume, volume), (-60, 60), None, None, 100)
    centres = subvolume_centres(tomogram, 16, np.random.default_rng(0))
    for memory_bytes in (1e8, 1e9):
        ten, fifty = (TrainingSet((tomogram,) * n, (centres,) * n, memory_bytes, 0, CPU) for n in (10, 50))
        assert fifty.max_voxels_per_round(16) == ten.max_voxels_per_round(16)
        assert 4 * fifty.max_voxels_per_round(16) < memory_bytes
    chosen = {region.tomogram_index for number in range(60) for region in fifty.draw_regions(number, 16)}
    assert chosen == set(range(50))
