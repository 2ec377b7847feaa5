"""Q-scores: how well a map resolves each atom of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from spisonet.geometry.sphere import geodesic_sphere

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.io.mrc import Volume

SIGMA_ANGSTROM = 0.6
RADII_ANGSTROM = np.arange(0.0, 2.01, 0.2)
SUBDIVISIONS = 1  # the 12 corners of an icosahedron
CHUNK_ATOMS = 5000
NEAREST_TOLERANCE_ANGSTROM = 1e-3


def q_scores(volume: Volume, positions_xyz: NDArray[np.float64], workers: int = 1) -> NDArray[np.float64]:
    """Compute the Q-score of every atom.

    The Q-score is the correlation of the map's values at points around the atom, up to 2 Å away and nearer to
    this atom than to any other, with a Gaussian of standard deviation 0.6 Å. All radii have the same weight.

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
    Pintilie et al. (2020) Nat. Methods 17, 328-334. The published score uses 8 random points at each
    radius; here 12 fixed points make the result reproducible.
    """
    directions = geodesic_sphere(SUBDIVISIONS).vertices_zyx[:, ::-1]
    offsets = (RADII_ANGSTROM[:, None, None] * directions / volume.voxel_size_angstrom).reshape(-1, 3)
    radius = np.repeat(RADII_ANGSTROM, len(directions))
    reference = np.exp(-((radius / SIGMA_ANGSTROM) ** 2) / 2)
    tree = cKDTree(positions_xyz)
    tolerance = NEAREST_TOLERANCE_ANGSTROM / volume.voxel_size_angstrom
    scores = []
    for start in range(0, len(positions_xyz), CHUNK_ATOMS):
        points = positions_xyz[start : start + CHUNK_ATOMS, None] + offsets
        nearest = tree.query(points, workers=workers)[0]
        own = nearest >= radius / volume.voxel_size_angstrom - tolerance
        values = ndimage.map_coordinates(volume.data, points[..., ::-1].reshape(-1, 3).T, order=1)
        scores.append(_correlation(values.reshape(own.shape), reference, _weights(own, len(directions))))
    return np.concatenate(scores)


def _weights(own: NDArray[np.bool_], n_directions: int) -> NDArray[np.float64]:
    """Return weights of the points of each atom, of the same sum at every radius."""
    by_radius = own.reshape(len(own), -1, n_directions).astype(np.float64)
    counts = np.maximum(by_radius.sum(axis=2, keepdims=True), 1)
    return np.asarray((by_radius / counts).reshape(own.shape))


def _correlation(
    values: NDArray[np.floating], reference: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    total = weights.sum(axis=1, keepdims=True)
    a = values - (weights * values).sum(axis=1, keepdims=True) / total
    b = reference - (weights * reference).sum(axis=1, keepdims=True) / total
    norm = np.sqrt((weights * a**2).sum(axis=1) * (weights * b**2).sum(axis=1))
    cross = (weights * a * b).sum(axis=1)
    return np.asarray(np.divide(cross, norm, out=np.zeros_like(cross), where=norm > 0))
