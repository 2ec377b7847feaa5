"""Picture of the map during a training: central slices before, and as it is completed now."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

from spisonet.errors import known_error
from spisonet.figures.slices import draw_preview_slices
from spisonet.figures.style import save_figure
from spisonet.learning.previews import previews_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

log = logging.getLogger("spisonet")

PREVIEW_FILE = "preview_map.png"
SECONDS_BETWEEN_PREVIEWS = 120.0


@contextmanager
def map_previews(folder: Path, voxel_size_angstrom: float) -> Iterator[None]:
    """Keep ``preview_map.png`` in a folder up to date during a training.

    It is drawn in a thread of its own, at most every two minutes, and removed when the block succeeds: the
    figures of the result replace it.
    """
    writer = _PreviewWriter(folder / PREVIEW_FILE, voxel_size_angstrom)
    try:
        with previews_to(writer):
            yield
    finally:
        writer.wait()
    (folder / PREVIEW_FILE).unlink(missing_ok=True)


class _PreviewWriter:
    """Draws the maps that it is called with, unless the last ones are too recent or still being drawn."""

    def __init__(self, path: Path, voxel_size_angstrom: float) -> None:
        self._path, self._voxel_size_angstrom = path, voxel_size_angstrom
        self._next = time.monotonic() + SECONDS_BETWEEN_PREVIEWS
        self._thread: Thread | None = None

    def __call__(self, data: Tensor, completed: Tensor) -> None:
        """Copy the central slices and begin to draw them."""
        is_drawing = self._thread is not None and self._thread.is_alive()
        if is_drawing or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + SECONDS_BETWEEN_PREVIEWS
        self._thread = Thread(target=self._draw, args=(_slices(data), _slices(completed)), daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait for the drawing to end."""
        if self._thread is not None:
            self._thread.join()

    def _draw(self, before: list[NDArray[np.float32]], now: list[NDArray[np.float32]]) -> None:
        rows = {"data": before, f"completed, {time.strftime('%H:%M')}": now}
        try:
            save_figure(self._path, draw_preview_slices(rows, self._voxel_size_angstrom))
        except Exception as error:
            if known_error(error) is None:
                raise
            log.info("The preview is skipped: %s", error)


def _slices(maps: Tensor) -> list[NDArray[np.float32]]:
    """Return the central slices of the mean of maps ``(n, z, y, x)``."""
    z, y, x = (n // 2 for n in maps.shape[1:])
    planes = (maps[:, z], maps[:, :, y], maps[:, :, :, x])
    return [plane.mean(dim=0).float().cpu().numpy() for plane in planes]
