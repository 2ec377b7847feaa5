"""What FSC curves over many directions say about a map: resolutions, sphericity, cFAR."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, cast

import numpy as np

from spisonet.fourier.shells import resolution_at_threshold

if TYPE_CHECKING:
    from numpy.typing import NDArray

FSC_HALF_MAPS = 0.143
FSC_SPHERICITY = 0.5
SUBDIVISIONS = 6
N_HISTOGRAM_BINS = 20


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
    # Neighbouring faces share points; among opposite ones the first in order of (z, y, x) is the axis.
    keys = np.rint(points * 1e6).astype(np.int64)
    unique, first, vertex_of_point = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    is_axis = np.array([tuple(key) > tuple(-key) for key in unique])
    axes = points[first[is_axis]]
    position = {tuple(key): index for index, key in enumerate(unique[is_axis])}
    opposite = {tuple(-key): index + len(axes) for index, key in enumerate(unique[is_axis])}
    vertex = np.array([(position | opposite)[tuple(key)] for key in unique])
    return GeodesicSphere(axes, np.concatenate([axes, -axes]), vertex[vertex_of_point.ravel()[triangles]])


def sphericity(radii: NDArray[np.floating], sphere: GeodesicSphere) -> float:
    """Sphericity ``π^(1/3) (6 V)^(2/3) / S`` of a star-shaped surface.

    Parameters
    ----------
    radii : ndarray
        ``(n_axes,)`` distance of the surface from the centre along each axis.
    sphere : GeodesicSphere
        The axes and how they are joined by triangles.

    Returns
    -------
    float
        1 for a sphere (the triangulation's own deviation from one is divided out), else less.

    References
    ----------
    Wadell (1935) J. Geol. 43, 250-280. Tan et al. (2017) Nat. Methods 14, 793-796.
    """

    def of(vertices: NDArray[np.floating]) -> float:
        a, b, c = (vertices[sphere.triangles[:, corner]] for corner in range(3))
        volume = np.abs(np.einsum("ij,ij->i", a, np.cross(b, c))).sum() / 6
        surface = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
        return float(np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / surface)

    return of(sphere.vertices_zyx * np.tile(radii, 2)[:, None]) / of(sphere.vertices_zyx)


def directional_resolutions(
    curves: NDArray[np.floating], threshold: float, box_angstrom: float
) -> NDArray[np.float64]:
    """Resolution in Å at which each curve first falls below `threshold`.

    Parameters
    ----------
    curves : ndarray
        ``(n_axes, n_shells)`` FSC from DC.
    threshold : float
        0.143 or 0.5.
    box_angstrom : float
        Box edge in Å.

    Returns
    -------
    ndarray
        ``(n_axes,)``; the resolution of the last shell where a curve never falls below.
    """
    return np.array([resolution_at_threshold(curve, threshold, box_angstrom) for curve in curves])


def conical_area_ratio(curves: NDArray[np.floating], threshold: float = FSC_HALF_MAPS) -> float:
    """Least area under a conical FSC curve over the largest (cFAR, in 0..1).

    Parameters
    ----------
    curves : ndarray
        ``(n_axes, n_shells)`` FSC from DC, in cones of 20 degrees for the published number.
    threshold : float
        The area of a curve ends where it first falls below this value.

    Returns
    -------
    float
        1 where all directions are alike; below 0.5 is commonly read as preferred orientation.

    References
    ----------
    CryoSPARC Guide, Orientation Diagnostics (cFAR).
    """
    held = np.logical_and.accumulate(curves >= threshold, axis=1)
    areas = np.where(held, curves, 0).sum(axis=1)
    return float(areas.min() / areas.max())


def resolution_histogram(
    resolutions_angstrom: NDArray[np.floating],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Count directions by resolution, in bins of equal width in spatial frequency.

    Returns
    -------
    counts : ndarray of int64
        ``(n_bins,)``.
    edges_per_angstrom : ndarray
        ``(n_bins + 1,)`` rising spatial frequencies.
    """
    counts, edges = np.histogram(1 / resolutions_angstrom, bins=N_HISTOGRAM_BINS)
    return cast("NDArray[np.int64]", counts), edges
