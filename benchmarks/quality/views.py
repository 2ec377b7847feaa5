"""View distributions of benchmark particles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLUSTERS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "top": ((0, 0, 1),),
    "side": ((1, 0, 0),),
    "two": ((0, 0, 1), (0.77, 0, 0.64)),
}
VIEWS = ("top", "side", "two", "ring", "even")


def draw_views(
    kind: str, n_views: int, spread_degrees: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw view directions.

    Parameters
    ----------
    kind : str
        ``top`` (about z), ``side`` (about x), ``two`` (about z, and about an axis 50° from it), ``ring``
        (side views all around z) or ``even``.
    n_views : int
        Number of views.
    spread_degrees : float
        Spread of the views about an axis, or about the plane of the ring.
    rng : numpy.random.Generator
        Random number generator.

    Returns
    -------
    ndarray
        ``(n_views, 3)`` unit vectors ``(x, y, z)``.
    """
    width = np.tan(np.radians(spread_degrees))
    if kind == "ring":
        azimuth = rng.uniform(0, 2 * np.pi, n_views)
        views = np.stack([np.cos(azimuth), np.sin(azimuth), width * rng.normal(size=n_views)], axis=1)
    elif kind == "even":
        views = rng.normal(size=(n_views, 3))
    else:
        centres = np.array(CLUSTERS[kind], dtype=np.float64)
        views = centres[rng.integers(0, len(centres), n_views)] + width * rng.normal(size=(n_views, 3))
    return np.asarray(views / np.linalg.norm(views, axis=1, keepdims=True))
