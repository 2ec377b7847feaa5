"""Simulated subtomograms of a small asymmetric phantom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.subtomograms.simulate import Case, simulate
from spisonet.io.mrc import Volume

if TYPE_CHECKING:
    from pathlib import Path


def simulate_phantom(folder: Path, box: int, voxel_size_angstrom: float, case: Case) -> None:
    """Write subtomograms of 18 blobs, elongated along z, with truth and mask, into a folder."""
    rng = np.random.default_rng(0)
    axis = np.arange(box) - box // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    phantom = np.zeros((box,) * 3)
    for cz, cy, cx in rng.normal(scale=(4, 2.5, 2.5), size=(18, 3)):
        phantom += np.exp(-((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2) / 2)
    mask = np.clip((10 - np.sqrt(z**2 + y**2 + x**2)) / 3, 0, 1)
    truth = Volume(phantom.astype(np.float32), voxel_size_angstrom)
    simulate(folder, truth, truth.with_data(mask.astype(np.float32)), case)
