"""Small pictures of the maps and tomograms that jobs wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.figures.volume_pictures import draw_mean
from spisonet.io.slices import open_planes

if TYPE_CHECKING:
    from pathlib import Path

EDGE = 96  # pixels, at least
PERCENTILES = (0.5, 99.5)
MAX_PLANE_PIXELS = 2**25


def draw_thumbnail(path: Path) -> bytes:
    """Draw the central plane across z as a small PNG.

    Raises
    ------
    SpisonetError
        If the file is not a volume that can be drawn.
    """
    reader = open_planes(path)
    n_z, n_y, n_x = reader.shape
    if n_y * n_x > MAX_PLANE_PIXELS:
        raise SpisonetError(f"{path} has planes of {n_y} x {n_x} pixels, too large for a thumbnail.")
    plane = reader.read("z", n_z // 2, n_z // 2 + 1)[0]
    step = max(1, min(plane.shape) // EDGE)
    n_rows, n_columns = (n // step for n in plane.shape)
    blocks = plane[: n_rows * step, : n_columns * step].reshape(n_rows, step, n_columns, step)
    small = np.nan_to_num(blocks.mean(axis=(1, 3), dtype=np.float32))
    low, high = np.percentile(small, PERCENTILES)
    return draw_mean([small], "z", (float(low), float(high) if high > low else float(low) + 1))
