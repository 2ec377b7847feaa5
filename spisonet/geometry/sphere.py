"""Grids of directions on the sphere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class AxisGrid:
    """A nearly uniform grid of axes on three faces of a cube; opposite faces have the same axes.

    The lines of the grid are evenly spaced in angle, ``90 / (nodes_per_edge - 1)`` degrees.
    Neighbouring faces share the nodes of their common edge, so bilinear interpolation is
    continuous over all directions.

    Attributes
    ----------
    directions : ndarray
        ``(3 * nodes_per_edge ** 2, 3)`` unit vectors ``(x, y, z)`` of the nodes; those on edges
        occur more than once.
    """

    def __init__(self, nodes_per_edge: int) -> None:
        self.nodes_per_edge = nodes_per_edge
        steps = np.tan(np.linspace(-np.pi / 4, np.pi / 4, nodes_per_edge))
        u, v = (side.ravel() for side in np.meshgrid(steps, steps, indexing="ij"))
        faces = [np.roll(np.stack([np.ones_like(u), u, v], axis=1), axis, axis=1) for axis in range(3)]
        nodes = np.concatenate(faces)
        self.directions = nodes / np.linalg.norm(nodes, axis=1, keepdims=True)

    def _face_coordinates(
        self, vectors: NDArray[np.floating]
    ) -> tuple[NDArray[np.intp], NDArray[np.floating], NDArray[np.floating]]:
        face = np.argmax(np.abs(vectors), axis=1)
        major, u, v = (np.take_along_axis(vectors, ((face + i) % 3)[:, None], axis=1)[:, 0] for i in range(3))
        major = np.where(major == 0, 1, major)
        u, v = ((np.arctan(side / major) * 2 / np.pi + 0.5) * (self.nodes_per_edge - 1) for side in (u, v))
        return face, u, v

    def nearest(self, vectors: NDArray[np.floating]) -> NDArray[np.intp]:
        """Return the index of the node nearest to each of ``(m, 3)`` vectors, on the face that it crosses."""
        face, u, v = self._face_coordinates(vectors)
        edge = self.nodes_per_edge
        row, column = np.rint(u).astype(np.intp), np.rint(v).astype(np.intp)
        return cast("NDArray[np.intp]", (face * edge + row) * edge + column)

    def bilinear(self, vectors: NDArray[np.floating]) -> tuple[NDArray[np.intp], NDArray[np.floating]]:
        """Return nodes and weights for bilinear interpolation of a function of the axis.

        Parameters
        ----------
        vectors : ndarray
            ``(m, 3)`` vectors of any length; the result for the zero vector is arbitrary.

        Returns
        -------
        indices, weights : ndarray
            ``(4, m)`` each; the weights of a vector sum to 1.
        """
        face, u, v = self._face_coordinates(vectors)
        edge = self.nodes_per_edge
        u0 = np.clip(u.astype(np.intp), 0, edge - 2)
        v0 = np.clip(v.astype(np.intp), 0, edge - 2)
        fu, fv = u - u0, v - v0
        corner = (face * edge + u0) * edge + v0
        indices = np.stack([corner, corner + 1, corner + edge, corner + edge + 1])
        weights = np.stack([(1 - fu) * (1 - fv), (1 - fu) * fv, fu * (1 - fv), fu * fv])
        return indices, weights


SUBDIVISIONS = 6


@dataclass(frozen=True)
class GeodesicSphere:
    """A nearly uniform triangulation of the unit sphere, symmetric under inversion.

    Attributes
    ----------
    axes_zyx : ndarray
        ``(n_axes, 3)`` unit vectors, one of each opposite pair of vertices.
    vertices_zyx : ndarray
        ``(2 * n_axes, 3)``: the axes, then their opposites.
    triangles : ndarray of int64
        ``(n_triangles, 3)`` indices into the vertices.
    """

    axes_zyx: NDArray[np.float64]
    vertices_zyx: NDArray[np.float64]
    triangles: NDArray[np.int64]


def geodesic_sphere(subdivisions: int = SUBDIVISIONS) -> GeodesicSphere:
    """Subdivide the faces of an icosahedron and project them onto the sphere.

    Parameters
    ----------
    subdivisions : int
        Parts into which each edge is divided; there are ``5 * subdivisions**2 + 1`` axes.

    Returns
    -------
    GeodesicSphere
        181 axes, about 11 degrees apart, by default.
    """
    golden = (1 + np.sqrt(5)) / 2
    signs = np.array([(a, b) for a in (1, -1) for b in (1, -1)], dtype=float)
    flat = np.column_stack([np.zeros(4), signs * (1, golden)])
    corners = np.concatenate([np.roll(flat, shift, axis=1) for shift in range(3)])
    apart = np.linalg.norm(corners[:, None] - corners[None], axis=2)
    faces = [
        face
        for face in combinations(range(12), 3)
        if all(apart[a, b] < 2.1 for a, b in combinations(face, 2))
    ]
    weights = np.array([(i, j) for i in range(subdivisions + 1) for j in range(subdivisions + 1 - i)])
    number = {(int(i), int(j)): position for position, (i, j) in enumerate(weights)}
    small = [(number[i, j], number[i + 1, j], number[i, j + 1]) for i, j in number if i + j < subdivisions]
    small += [
        (number[i + 1, j], number[i + 1, j + 1], number[i, j + 1])
        for i, j in number
        if i + j < subdivisions - 1
    ]
    barycentric = np.column_stack([weights, subdivisions - weights.sum(axis=1)]) / subdivisions
    points = np.concatenate([barycentric @ corners[list(face)] for face in faces])
    points /= np.linalg.norm(points, axis=1)[:, None]
    triangles = np.concatenate([np.array(small) + len(weights) * face for face in range(len(faces))])
    # Neighbouring faces share points; of two opposite points, the larger in order of (z, y, x) is the axis.
    keys = np.rint(points * 1e6).astype(np.int64)
    unique, first, vertex_of_point = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    is_axis = np.array([tuple(key) > tuple(-key) for key in unique])
    axes = points[first[is_axis]]
    position = {tuple(key): index for index, key in enumerate(unique[is_axis])}
    opposite = {tuple(-key): index + len(axes) for index, key in enumerate(unique[is_axis])}
    vertex = np.array([(position | opposite)[tuple(key)] for key in unique])
    return GeodesicSphere(axes, np.concatenate([axes, -axes]), vertex[vertex_of_point.ravel()[triangles]])


def fibonacci_hemisphere(n_directions: int) -> NDArray[np.float64]:
    """Return nearly uniform directions on the hemisphere about ``z``, on a Fibonacci spiral.

    Parameters
    ----------
    n_directions : int
        Number of directions.

    Returns
    -------
    ndarray
        ``(n_directions, 3)`` unit vectors ``(x, y, z)``.
    """
    index = np.arange(n_directions) + 0.5
    height, azimuth = 1 - index / n_directions, np.pi * (1 + np.sqrt(5)) * index
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.cos(azimuth), ring * np.sin(azimuth), height], axis=1)


@cache
def spiral_sphere(n_directions: int) -> NDArray[np.float64]:
    """Return nearly uniform directions on the sphere, on a generalised spiral.

    Parameters
    ----------
    n_directions : int
        Number of directions, at least 2.

    Returns
    -------
    ndarray
        ``(n_directions, 3)`` unit vectors ``(x, y, z)`` from -z to z.

    References
    ----------
    Saff & Kuijlaars (1997) Math. Intelligencer 19, 5-11.
    """
    height = np.linspace(-1, 1, n_directions)
    ring = np.sqrt(1 - height**2)
    steps = np.zeros(n_directions)
    steps[1:-1] = 3.6 / (np.sqrt(n_directions) * ring[1:-1])
    azimuth = np.cumsum(steps)
    return np.stack([ring * np.cos(azimuth), ring * np.sin(azimuth), height], axis=1)
