"""Masks of the specimen."""

from __future__ import annotations

import tracemalloc

import numpy as np

from spisonet.tomography.masking import MaskOptions, seen_in_all_tilts, specimen_mask
from tests.tomography.simulation import vesicle

OPTIONS = MaskOptions(patch_size=2, density_percentage=30, std_percentage=30, z_crop=0.0, gold_sigma=None)


def test_the_mask_contains_what_is_dark_and_varies():
    data, inside = vesicle()
    mask = specimen_mask(data, OPTIONS)
    assert mask[inside].mean() > 0.9
    assert mask.mean() < 0.3
    corner = mask[:, :6, :6]
    assert corner.mean() < 0.2


def test_a_mask_does_not_depend_on_the_grey_scale_or_on_slabs(monkeypatch):
    data, _ = vesicle((40, 40, 40))
    mask = specimen_mask(data, OPTIONS)
    assert (specimen_mask(data * 20 + 5000, OPTIONS) == mask).mean() > 0.999
    monkeypatch.setattr("spisonet.tomography.masking.SLAB_VOXELS", 40 * 40 * 3)
    assert (specimen_mask(data, OPTIONS) == mask).mean() > 0.999


def test_the_memory_of_a_mask_is_that_of_slabs(monkeypatch):
    data = np.random.default_rng(0).normal(size=(500, 48, 48)).astype(np.float32)
    monkeypatch.setattr("spisonet.tomography.masking.SLAB_VOXELS", 1)
    monkeypatch.setattr("spisonet.tomography.masking.PERCENTILE_SAMPLES", 10_000)
    tracemalloc.start()
    try:
        specimen_mask(data, OPTIONS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    slab_bytes = 4 * 27 * 48 * 48  # nine planes and as many on both sides
    assert peak < data.size + 7 * slab_bytes  # in double precision, the volume alone has 8 bytes per voxel


def test_z_crop_excludes_top_and_bottom_and_gold_its_surroundings():
    data, _ = vesicle()
    cropped = specimen_mask(data, MaskOptions(2, 100, 100, 0.25, None))
    assert not cropped[:6].any()
    assert not cropped[-6:].any()
    assert cropped[6:-6].all()
    data[12, 20, 20] = -40
    without = specimen_mask(data, MaskOptions(2, 100, 100, 0.0, 15.0))
    assert not without[10:15, 18:23, 18:23].any()
    assert without[0, 0, 0]


def test_edges_outside_of_tilted_images_are_excluded():
    seen = seen_in_all_tilts((40, 10, 100), 60)
    assert seen[20].all()  # the untilted plane's neighbours
    assert not seen[0, 0]
    assert seen[0, 50]
    assert seen_in_all_tilts((40, 10, 100), 0).all()
