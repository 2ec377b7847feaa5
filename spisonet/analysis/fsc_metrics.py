"""Numbers that summarise FSC curves over many directions: resolutions, sphericity, cFAR."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from spisonet.fourier.shells import resolution_at_threshold

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.geometry.sphere import GeodesicSphere

FSC_THRESHOLD_HALF_MAPS = 0.143  # resolution of a map from its half maps (Rosenthal & Henderson 2003)
FSC_THRESHOLD_05 = 0.5  # resolution of a map against a model or a reference; sphericity of a 3D FSC
N_HISTOGRAM_BINS = 20


def sphericity(radii: NDArray[np.floating], sphere: GeodesicSphere) -> float:
    """Sphericity ``π^(1/3) (6 V)^(2/3) / S`` of a star-shaped surface.

    Parameters
    ----------
    radii : ndarray
        ``(n_axes,)`` distance of the surface from the centre along each axis.
    sphere : GeodesicSphere
        The axes and their triangulation.

    Returns
    -------
    float
        1 for a sphere (relative to the triangulation of one), else less.

    References
    ----------
    Wadell (1935) J. Geol. 43, 250-280. Tan et al. (2017) Nat. Methods 14, 793-796, whose program 3DFSC
    blurs the thresholded 3D FSC by a voxel before it measures the surface. From the same half maps and
    cones, its sphericity is within 0.002 for nearly isotropic maps, and within 0.02 where a cone is missing.
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


def conical_area_ratio(
    curves: NDArray[np.floating],
    threshold: float = FSC_THRESHOLD_HALF_MAPS,
    weight_by_shell_area: bool = False,
) -> float:
    """Smallest area under a conical FSC curve over the largest (cFAR, in 0..1).

    Parameters
    ----------
    curves : ndarray
        ``(n_axes, n_shells)`` FSC from DC, in cones of 20 degrees for the published number.
    threshold : float
        The area of a curve ends where it first falls below this value.
    weight_by_shell_area : bool
        Weight shells by the square of their radius, as the program SIMPLE (``fsc_area_score``) does. The
        ratio is then smaller.

    Returns
    -------
    float
        1 if all directions are equal; below 0.5 is commonly taken as preferred orientation.

    References
    ----------
    CryoSPARC Guide, Orientation Diagnostics (cFAR: area under the curve). CryoSPARC's program is closed, and
    its values are not reproduced in the tests; those of SIMPLE are.
    """
    held = np.logical_and.accumulate(curves >= threshold, axis=1)
    weights = np.arange(curves.shape[1]) ** 2.0 if weight_by_shell_area else np.ones(curves.shape[1])
    areas = np.where(held, curves, 0) @ weights
    return float(areas.min() / areas.max()) if areas.max() > 0 else 0.0


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
