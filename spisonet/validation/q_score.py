"""Q-scores: how well a map resolves each atom of a model."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from spisonet.geometry.sphere import spiral_sphere

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.io.mrc import Volume

SIGMA_ANGSTROM = 0.6
RADII_ANGSTROM = np.arange(1, 21) / 10
POINTS_PER_RADIUS = 8
# Numbers of points on a sphere that are tried in turn. Most atoms need one of the first few.
SPIRALS = (range(8, 16, 2), range(16, 108, 2))
CLEAR_FRACTION = 0.9  # of the radius: a point nearer than that to another atom is not used
CHUNK_ATOMS = 500


def q_scores(volume: Volume, positions_xyz: NDArray[np.float64], workers: int = 1) -> NDArray[np.float64]:
    """Compute the Q-score of every atom.

    The Q-score is the correlation of the map's values at points on spheres of 0, 0.1 ... 2 Å around the atom
    with a Gaussian of standard deviation 0.6 Å. The points are those of MapQ: on each sphere a spiral of 8
    points or, if fewer than 8 of them have no other atom within 0.9 of the radius, of 10, 12 ... 106 points.
    Spheres without 8 such points are omitted.

    Parameters
    ----------
    volume : Volume
        The map.
    positions_xyz : ndarray
        ``(n, 3)`` positions of the atoms in voxels, see `positions_in_map`.
    workers : int
        CPU threads.

    Returns
    -------
    ndarray
        ``(n,)`` in -1..1.

    References
    ----------
    Pintilie et al. (2020) Nat. Methods 17, 328-334, and its program MapQ, whose scores this function
    reproduces.
    """
    tree = cKDTree(positions_xyz)
    chunks = [
        positions_xyz[start : start + CHUNK_ATOMS] for start in range(0, len(positions_xyz), CHUNK_ATOMS)
    ]
    with ThreadPoolExecutor(workers) as pool:
        return np.concatenate(list(pool.map(lambda chunk: _scores_of_atoms(volume, chunk, tree), chunks)))


def _scores_of_atoms(
    volume: Volume, positions_xyz: NDArray[np.float64], tree: cKDTree
) -> NDArray[np.float64]:
    every = np.arange(len(positions_xyz))
    neighbours = _neighbours(positions_xyz, tree, volume.voxel_size_angstrom)
    moments = _Moments(len(every))
    moments.add(
        np.repeat(every, POINTS_PER_RADIUS), np.repeat(_values(volume, positions_xyz), POINTS_PER_RADIUS), 1.0
    )
    for radius in RADII_ANGSTROM.tolist():
        reference = float(np.exp(-((radius / SIGMA_ANGSTROM) ** 2) / 2))
        pending = every
        for sizes in SPIRALS:
            found, atoms, directions = _first_clear_spiral(neighbours[pending], radius, sizes)
            points = positions_xyz[pending[atoms]] + radius / volume.voxel_size_angstrom * directions
            moments.add(pending[atoms], _values(volume, points), reference)
            pending = pending[~found]
    return moments.correlation()


def _neighbours(
    positions_xyz: NDArray[np.float64], tree: cKDTree, voxel_size_angstrom: float
) -> NDArray[np.float64]:
    """Return the offsets ``(n, k, 3)`` in Å of other atoms that can block points, nearest first.

    Missing ones are infinitely far.
    """
    reach = (1 + CLEAR_FRACTION) * RADII_ANGSTROM[-1] / voxel_size_angstrom
    n_near = int(tree.query_ball_point(positions_xyz, reach, return_length=True).max())
    _, near = tree.query(positions_xyz, n_near + 1, distance_upper_bound=reach)
    padded = np.concatenate([tree.data, np.full((1, 3), np.inf)])
    return np.asarray((padded[near[:, 1:]] - positions_xyz[:, None]) * voxel_size_angstrom)


def _first_clear_spiral(
    neighbours: NDArray[np.float64], radius: float, sizes: range
) -> tuple[NDArray[np.bool_], NDArray[np.intp], NDArray[np.float64]]:
    """Find the smallest spiral with enough points away from all neighbours of each atom.

    Returns
    -------
    found : ndarray of bool
        ``(n,)`` whether an atom has one.
    atoms, directions : ndarray
        ``(m,)`` index and ``(m, 3)`` direction of every such point.
    """
    directions = np.concatenate([spiral_sphere(size) for size in sizes])
    starts = np.cumsum([0, *sizes[:-1]])
    spiral = np.repeat(np.arange(len(sizes)), sizes)
    rows = np.arange(len(neighbours))
    clear = np.ones((len(rows), len(directions)), dtype=bool)
    for offset in np.moveaxis(neighbours, 1, 0):
        squared = np.square(offset[rows]).sum(axis=1)
        near = squared < ((1 + CLEAR_FRACTION) * radius) ** 2
        if not near.any():
            break
        # |radius u - offset| < 0.9 radius
        limit = squared[near] + (1 - CLEAR_FRACTION**2) * radius**2
        clear[near] &= 2 * radius * (offset[rows[near]] @ directions.T) <= limit[:, None]
        possible = clear.sum(axis=1) >= POINTS_PER_RADIUS
        rows, clear = rows[possible], clear[possible]
    enough = np.add.reduceat(clear, starts, axis=1, dtype=np.intp) >= POINTS_PER_RADIUS
    first = np.where(enough.any(axis=1), enough.argmax(axis=1), len(sizes))
    chosen, points = np.nonzero(clear & (spiral == first[:, None]))
    found = np.zeros(len(neighbours), dtype=bool)
    found[rows[chosen]] = True
    return found, rows[chosen], directions[points]


def _values(volume: Volume, points_xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    values = ndimage.map_coordinates(volume.data, points_xyz[:, ::-1].T, output=np.float64, order=1)
    return np.asarray(values)


class _Moments:
    """Sums over the points of each atom: 1, map, map², reference, reference², map x reference."""

    def __init__(self, n_atoms: int) -> None:
        self._sums = np.zeros((6, n_atoms))

    def add(self, atoms: NDArray[np.intp], values: NDArray[np.float64], reference: float) -> None:
        """Add map values at points that belong to ``atoms`` and have one value of the reference."""
        n_atoms = self._sums.shape[1]
        count, total, squares = (
            np.bincount(atoms, weights, n_atoms) for weights in (np.ones_like(values), values, values**2)
        )
        with_reference = count * reference, count * reference**2, total * reference
        self._sums += np.stack([count, total, squares, *with_reference])

    def correlation(self) -> NDArray[np.float64]:
        """Return the correlation of map and reference for each atom; 0 where either is constant."""
        count, a, aa, b, bb, ab = self._sums
        norm = np.sqrt(np.maximum(count * aa - a**2, 0) * np.maximum(count * bb - b**2, 0))
        cross = count * ab - a * b
        return np.asarray(np.divide(cross, norm, out=np.zeros_like(cross), where=norm > 0))
