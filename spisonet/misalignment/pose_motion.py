"""Smooth collective motions of the poses of a particle set.

A motion turns the view of every particle by a rotation vector that depends smoothly on the view
direction, ``w(v) = sum over j of c_j B_j(v)``. The fields ``B_j`` are even in ``v``, because an image and
its mirror image are the same view from opposite sides, and they obey the point group, ``w(g v) = g
w(v)``. They are polynomials, made orthonormal over the views of the particles, so that the length of
``c`` is the rms rotation of the particles in radians. Rotations of the whole map are left out: no
likelihood changes with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np

from spisonet.geometry.rotations import rotation_vector_matrices, view_directions

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_RELATIVE_NORM = 0.02  # of a field over the views, against the largest
MIN_MEAN_SQUARE = 1e-8  # of a field over the views; rounding errors are smaller


@dataclass(frozen=True)
class MotionFields:
    """Orthonormal fields of rotation vectors over the views of a particle set.

    Attributes
    ----------
    values : ndarray
        ``(j, n, 3)`` rotation vectors (map frame) of each field at each particle, of rms length 1.
    """

    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.values)

    def vectors(self, coefficients: NDArray[np.floating]) -> NDArray[np.float64]:
        """Rotation vectors ``(n, 3)`` in radians of a motion with coefficients ``(j,)`` in radians."""
        return np.asarray(np.tensordot(coefficients, self.values, axes=1))

    def derivative(self, by_vector: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the derivative ``(j,)`` by the coefficients, from that ``(n, 3)`` by the vectors."""
        return np.asarray(np.tensordot(self.values, by_vector, axes=((1, 2), (0, 1))))


def motion_fields(
    rotations: NDArray[np.floating],
    symmetry: NDArray[np.floating],
    degree: int,
    half_sets: NDArray[np.integer] | None = None,
    particle_numbers: NDArray[np.integer] | None = None,
) -> MotionFields:
    """Return the motions up to a degree that a particle set can make; none if the point group allows none.

    Parameters
    ----------
    rotations : ndarray
        ``(n, 3, 3)`` from the map to the images.
    symmetry : ndarray
        ``(g, 3, 3)`` rotations of the point group.
    degree : int
        Even degree of the polynomials. On the sphere they include those of lower even degree.
    half_sets : ndarray, optional
        ``(n,)`` 1 or 2: also rotations of one half set against the other.
    particle_numbers : ndarray, optional
        ``(n,)`` particle of each image, if several images belong to one: they turn together, by the field at
        the mean of their views.
    """
    views = view_directions(rotations)
    n = len(views)
    if particle_numbers is not None:
        views = sum_by_particle(views, particle_numbers)[particle_numbers]
        views /= np.linalg.norm(views, axis=1, keepdims=True)
    fields = _symmetric_fields(views, symmetry, degree).reshape(-1, views.size)
    of_whole_map = np.repeat(invariant_axes(symmetry)[:, None], n, axis=1)
    if half_sets is not None:
        of_halves = np.where(half_sets == 1, 1.0, -1.0)[:, None] * of_whole_map
        fields = np.concatenate([fields, of_halves.reshape(-1, views.size)])
    basis = np.linalg.qr(of_whole_map.reshape(-1, views.size).T)[0]
    fields -= (fields @ basis) @ basis.T
    # The Gram matrix is small, the fields are not.
    values, vectors = np.linalg.eigh(fields @ fields.T / n)
    kept = values > max(MIN_MEAN_SQUARE, MIN_RELATIVE_NORM**2 * values[-1])
    orthonormal = (vectors[:, kept] / np.sqrt(values[kept])).T[::-1] @ fields
    return MotionFields(orthonormal.reshape(-1, n, 3))


def sum_by_particle(
    values: NDArray[np.floating], particle_numbers: NDArray[np.integer] | None
) -> NDArray[np.float64]:
    """Sum values of images ``(n, ...)`` over the images of each particle; as they are if each has one."""
    if particle_numbers is None:
        return np.asarray(values, dtype=np.float64)
    sums = np.zeros((int(particle_numbers.max()) + 1, *values.shape[1:]))
    np.add.at(sums, particle_numbers, values)
    return sums


def moved(rotations: NDArray[np.floating], vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the orientations ``(n, 3, 3)`` after each view has turned by its rotation vector (map frame)."""
    return np.asarray(rotations @ rotation_vector_matrices(vectors).transpose(0, 2, 1))


def _symmetric_fields(
    views: NDArray[np.float64], symmetry: NDArray[np.floating], degree: int
) -> NDArray[np.float64]:
    """Polynomial fields, averaged over the point group as ``g^T w(g v)``, ``(j, n, 3)``."""
    fields = []
    for exponents in combinations_with_replacement(range(3), degree):
        values = np.stack([np.prod((views @ g.T)[:, exponents], axis=1) for g in symmetry])
        fields += [
            np.einsum("gn,gd->nd", values, symmetry[:, component]) / len(symmetry) for component in range(3)
        ]
    return np.stack(fields)


def invariant_axes(symmetry: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return unit vectors ``(j, 3)`` along which the point group changes nothing."""
    values, vectors = np.linalg.eigh(symmetry.mean(axis=0))
    return np.asarray(vectors.T[values > 0.5])
