"""A small map, and cases of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.quality import Case, ConeCase, Particle, Sources
from spisonet.io.mrc import Volume, write_volume

if TYPE_CHECKING:
    from pathlib import Path

BOX, VOXEL_SIZE = 32, 4.0


@pytest.fixture
def blobs() -> Particle:
    """An asymmetric particle whose source is a map."""
    return Particle("blobs", "blobs.mrc", BOX, VOXEL_SIZE)


@pytest.fixture
def sources(tmp_path: Path, blobs: Particle) -> Sources:
    """Folders with the map of this particle."""
    rng = np.random.default_rng(0)
    grid = np.indices((BOX,) * 3) - BOX // 2
    density = sum(
        np.exp(-((grid - centre[:, None, None, None]) ** 2).sum(axis=0) / 3)
        for centre in rng.normal(scale=3, size=(15, 3))
    )
    folder = tmp_path / "maps"
    folder.mkdir()
    write_volume(folder / blobs.source, Volume(density.astype(np.float32), VOXEL_SIZE))
    return Sources(tmp_path / "models", folder, tmp_path / "cases")


@pytest.fixture
def cone_case(sources: Sources, blobs: Particle) -> Case:
    """A case that lacks a cone about z."""
    return sources.case(ConeCase(blobs, "cone", 45, noise=0.3))
