"""Directional resolution and view directions of an iteration, in a few numbers for the summary."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet.analysis.fsc3d import estimate_directional_fsc, summarise_fsc3d
from spisonet.errors import SpisonetError
from spisonet.io.mrc import read_volume
from spisonet.io.processors import available_cores

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from relion_external.refinement import Refinement

NEAR_DEGREES = 30.0
# Of the histogram of views, whose cells have the same area.
N_RINGS, N_SECTORS = 12, 24
MAX_COUNTED_VIEWS = 100_000


def directional_resolution(
    half1_path: Path, half2_path: Path, refinement: Refinement, voxel_size_angstrom: float, r_max: int
) -> dict[str, float | None]:
    """Summarise the directional FSC of two half maps up to the end of their accumulators.

    Parameters
    ----------
    half1_path, half2_path : Path
        Uncorrected half maps.
    refinement : Refinement
        Its mask is applied before the FSC.
    voxel_size_angstrom : float
        Voxel size of the maps.
    r_max : int
        Shell from which on the accumulators are zero.

    Returns
    -------
    dict
        ``best_direction_angstrom`` and ``worst_direction_angstrom`` at FSC 0.143 (None: not reached within
        the accumulators), ``sphericity`` and ``cfar``; empty while the half maps do not correlate.
    """
    half1, half2 = (read_volume(path, voxel_size_angstrom).data for path in (half1_path, half2_path))
    mask = None
    if refinement.mask is not None:
        mask = read_volume(refinement.mask, voxel_size_angstrom).data
    try:
        fsc = estimate_directional_fsc(half1, half2, mask, voxel_size_angstrom, None, available_cores())
    except SpisonetError:  # no correlation yet
        return {}
    # From r_max on, both half maps contain only what the mask convolves into these shells, which correlates.
    metrics = summarise_fsc3d(replace(fsc, directional_curves=fsc.directional_curves[:, :r_max]))
    return {
        "best_direction_angstrom": metrics.directional_0143.best.number,
        "worst_direction_angstrom": metrics.directional_0143.worst.number,
        "sphericity": metrics.sphericity,
        "cfar": metrics.cfar,
    }


def view_metrics(
    views: NDArray[np.float64], previous_views: NDArray[np.floating] | None, mates: NDArray[np.floating]
) -> dict[str, Any]:
    """Summarise the view directions of an iteration, and their change since the previous one.

    Parameters
    ----------
    views : ndarray
        ``(n, 3)`` unit vectors.
    previous_views : ndarray or None
        ``(n, 3)`` of the same particles in the previous iteration.
    mates : ndarray
        ``(m, 3, 3)`` rotations of the point group. Of all symmetry mates of a view, the nearest counts.

    Returns
    -------
    dict
        ``preferred_axis``, the principal axis of the views; ``median_view_angle_degrees`` from it;
        ``fraction_near_axis``, within `NEAR_DEGREES` of it; ``view_histogram``, see `view_histogram`;
        ``median_view_change_degrees``.
    """
    _, vectors = np.linalg.eigh(sum(mate @ (views.T @ views) @ mate.T for mate in mates))
    axis = vectors[:, -1] * (1 if vectors[2, -1] >= 0 else -1)
    axes = np.broadcast_to(axis, views.shape)
    cosine = np.maximum(_largest_cosine(views, axes, mates), _largest_cosine(views, -axes, mates))
    angles = np.degrees(np.arccos(np.minimum(cosine, 1)))
    metrics: dict[str, Any] = {
        "preferred_axis": [round(float(component), 3) for component in axis],
        "median_view_angle_degrees": float(np.median(angles)),
        "fraction_near_axis": float(np.mean(angles < NEAR_DEGREES)),
        "view_histogram": view_histogram(views, mates),
    }
    if previous_views is not None and len(previous_views) == len(views):
        cosine = _largest_cosine(views, previous_views, mates)
        change = np.degrees(np.median(np.arccos(np.clip(cosine, -1, 1))))
        metrics["median_view_change_degrees"] = float(change)
    return metrics


def view_histogram(views: NDArray[np.float64], mates: NDArray[np.floating]) -> list[list[float]]:
    """Return the density of views over a hemisphere around z, relative to that of uniform views.

    Parameters
    ----------
    views : ndarray
        ``(n, 3)`` unit vectors; opposite directions are the same view, and symmetry mates count as well.
    mates : ndarray
        ``(m, 3, 3)`` rotations of the point group.

    Returns
    -------
    list of list
        `N_RINGS` rings from the pole to the equator, each of `N_SECTORS` sectors from the x axis on. All
        cells have the same area.
    """
    counted = views[:: max(1, len(views) * len(mates) // MAX_COUNTED_VIEWS)]
    counts = np.zeros((N_RINGS, N_SECTORS))
    for mate in mates:
        x, y, z = (counted @ mate.T).T
        sign = np.where(z < 0, -1.0, 1.0)
        ring = np.minimum(((1 - np.abs(z)) * N_RINGS).astype(int), N_RINGS - 1)
        angle = np.arctan2(sign * y, sign * x) % (2 * np.pi)
        sector = np.minimum((angle / (2 * np.pi) * N_SECTORS).astype(int), N_SECTORS - 1)
        np.add.at(counts, (ring, sector), 1)
    density = counts * (counts.size / counts.sum())
    return [[round(float(value), 4) for value in row] for row in density]


def _largest_cosine(
    views: NDArray[np.floating], others: NDArray[np.floating], mates: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Return the largest cosine ``(n,)`` between views and symmetry mates of others, both ``(n, 3)``."""
    best = np.full(len(views), -1.0)
    for mate in mates:
        best = np.maximum(best, np.einsum("ij,ij->i", views, others @ mate.T))
    return best
