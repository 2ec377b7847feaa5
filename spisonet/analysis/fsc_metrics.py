"""Numbers that summarise FSC curves over many directions: resolutions, sphericity, cFAR."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, cast

import numpy as np

from spisonet.fourier.shells import resolution_at_threshold, threshold_crossing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.geometry.sphere import GeodesicSphere

FSC_THRESHOLD_HALF_MAPS = 0.143  # resolution of a map from its half maps (Rosenthal & Henderson 2003)
FSC_THRESHOLD_05 = 0.5  # resolution of a map against a model or a reference; sphericity of a 3D FSC
# Half-angle of the cones of every FSC by direction that is reported, and of its sphericity and cFAR, as in
# 3DFSC and cryoSPARC. The cones of a 3D FSC volume are an option of their own.
DIRECTION_CONE_DEGREES = 20.0
N_HISTOGRAM_BINS = 20
NOT_REACHED = "not reached"
RESOLUTION_RULE = (
    "Resolution: where the FSC falls below the threshold; of several crossings, that with the largest sum of "
    "FSC minus threshold before it."
)


class Bound(StrEnum):
    """What ends an FSC curve; the end of a sentence about a resolution that is not reached."""

    NYQUIST = "(Nyquist {:.2f} Å)"
    LIMIT = "to the limit of {:.2f} Å"
    CURVE = "to {:.2f} Å"


@dataclass(frozen=True)
class Resolution:
    """Resolution at which an FSC falls below a threshold, or the end of a curve that does not.

    Attributes
    ----------
    angstrom : float
        Resolution in Å; that of the last shell if the curve does not fall below the threshold.
    is_reached : bool
        Whether the curve falls below the threshold.
    bound : Bound
        What ends the curve.
    """

    angstrom: float
    is_reached: bool
    bound: Bound = Bound.NYQUIST

    def __str__(self) -> str:
        """Resolution with its unit, or ``not reached`` and where the curve ends."""
        if self.is_reached:
            return f"{self.angstrom:.2f} Å"
        return f"{NOT_REACHED} {self.bound.format(self.angstrom)}"

    @property
    def number(self) -> float | None:
        """Resolution in Å for JSON files; None if it is not reached."""
        return self.angstrom if self.is_reached else None


@dataclass(frozen=True)
class DirectionalResolutions:
    """Resolutions along many directions.

    Attributes
    ----------
    angstrom : ndarray
        ``(n_axes,)`` resolutions in Å; that of the last shell where a curve does not fall below.
    is_reached : ndarray of bool
        ``(n_axes,)`` whether the curve falls below the threshold.
    bound : Bound
        What ends the curves.
    """

    angstrom: NDArray[np.float64]
    is_reached: NDArray[np.bool_]
    bound: Bound = Bound.NYQUIST

    @property
    def best(self) -> Resolution:
        """The finest resolution."""
        return self._ranked(0)

    @property
    def median(self) -> Resolution:
        """The median resolution."""
        return self._ranked(len(self.angstrom) // 2)

    @property
    def worst(self) -> Resolution:
        """The coarsest resolution."""
        return self._ranked(-1)

    @property
    def numbers(self) -> list[float | None]:
        """Resolution in Å of each direction for JSON files; None where it is not reached."""
        pairs = zip(self.angstrom, self.is_reached, strict=True)
        return [round(float(value), 3) if reached else None for value, reached in pairs]

    def __str__(self) -> str:
        """Best, median and worst direction."""
        return f"best {self.best}, median {self.median}, worst {self.worst}"

    def _ranked(self, rank: int) -> Resolution:
        # Directions that do not reach a resolution are the best ones.
        chosen = np.lexsort((self.is_reached, self.angstrom))[rank]
        return Resolution(float(self.angstrom[chosen]), bool(self.is_reached[chosen]), self.bound)


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


def resolution_of(
    fsc: NDArray[np.floating], threshold: float, box_angstrom: float, bound: Bound = Bound.NYQUIST
) -> Resolution:
    """Return the resolution at which a curve from DC falls below `threshold`; `bound` is what ends it."""
    angstrom = resolution_at_threshold(fsc, threshold, box_angstrom)
    return Resolution(angstrom, threshold_crossing(fsc, threshold) is not None, bound)


def directional_resolutions(
    curves: NDArray[np.floating], threshold: float, box_angstrom: float, bound: Bound = Bound.NYQUIST
) -> DirectionalResolutions:
    """Resolution at which each curve falls below `threshold`.

    Parameters
    ----------
    curves : ndarray
        ``(n_axes, n_shells)`` FSC from DC.
    threshold : float
        0.143 or 0.5.
    box_angstrom : float
        Box edge in Å.
    bound : Bound
        What ends the curves.
    """
    found = [resolution_of(curve, threshold, box_angstrom) for curve in curves]
    return DirectionalResolutions(
        np.array([resolution.angstrom for resolution in found]),
        np.array([resolution.is_reached for resolution in found]),
        bound,
    )


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
    weights = np.arange(curves.shape[1]) ** 2.0 if weight_by_shell_area else np.ones(curves.shape[1])
    areas = []
    for curve in curves:
        crossing = threshold_crossing(curve, threshold, first=True)
        above = curve if crossing is None else curve[: math.floor(crossing) + 1]
        areas.append(float(np.maximum(above, 0) @ weights[: len(above)]))
    return min(areas) / max(areas) if max(areas) > 0 else 0.0


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
