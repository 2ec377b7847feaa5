"""Held-out validation: mask out a measured cone, train on the rest, compare the prediction in the cone.

The prediction ``p`` is made from half map 1 without the cone, and the noise of the raw half map ``y2`` is
independent of it. Their FSC in the cone is therefore the correlation of the prediction with the signal ``s``
times a ceiling set by the noise of ``y2``: ``FSC(p, y2) = corr(p, s) sqrt(FSC(y1, y2))``. No mask is applied,
because it would leak signal from outside of the cone into it. The same sums give the noise-free error of the
prediction: ``|p - s|² = |p - y2|² - |y1 - y2|² / 2``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from spisonet.fourier.cones import axis_cosines, axis_sums, cone_weights
from spisonet.fourier.grids import frequency_axes_rfft, hermitian_multiplicity, radius_rfft, shell_index_rfft
from spisonet.fourier.shells import FIRST_CONE_SHELL
from spisonet.geometry.sphere import AxisGrid
from spisonet.learning.spectra import apply_filter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.learning.measurement import Measurement

MEASURED = 0.3  # data weight from which a coefficient is compared
AXES_PER_EDGE = 13  # of a cube face, so axes 7.5 degrees apart
RESOLVED_DEGREES = 7.5  # half-angle in which the measured fraction of a direction is taken
BEST_QUANTILE = 0.95  # of the directions
MIN_HALF_ANGLE_DEGREES, MAX_HALF_ANGLE_DEGREES = 20.0, 60.0  # default half-angles of held-out cones
WELL_MEASURED = 0.8  # of the measured fraction of the best cone
MIN_COEFFICIENTS = 8  # of a shell
RECOVERY_THRESHOLD = 0.5  # recovery that counts as recovered
GAP_FRACTION = 0.5  # of the best measured fractions, below which a direction belongs to a gap


@dataclass(frozen=True)
class Cone:
    """A double cone of directions.

    Attributes
    ----------
    axis_xyz : tuple of float
        Unit vector ``(x, y, z)``.
    half_angle_degrees : float
        Angle between the axis and the edge.
    """

    axis_xyz: tuple[float, float, float]
    half_angle_degrees: float

    def inside_rfft(self, n: int) -> NDArray[np.bool_]:
        """Return a mask ``(n, n, n // 2 + 1)`` of the coefficients inside the cone, without DC."""
        kz, ky, kx = frequency_axes_rfft((n, n, n))
        x, y, z = self.axis_xyz
        radius = radius_rfft((n, n, n))
        along = np.abs(kx * x + ky * y + kz * z)
        return cast(
            "NDArray[np.bool_]",
            (along >= np.cos(np.radians(self.half_angle_degrees)) * radius) & (radius > 0),
        )

    @property
    def first_shell(self) -> int:
        """First shell in which the cone is four Fourier voxels wide or more."""
        return int(np.ceil(2 / np.sin(np.radians(min(self.half_angle_degrees, 90)))))


@dataclass(frozen=True)
class MeasuredDirections:
    """Measured part of Fourier space by direction.

    Attributes
    ----------
    axes : ndarray
        ``(n_axes, 3)`` unit vectors ``(x, y, z)``.
    measured, total : ndarray
        ``(n_axes,)`` sum of the data weights of the coefficients nearest to each axis, and the sum for data
        weights of 1. Coefficients have a weight of ``1 / |k|²``, so that shells are weighted equally.
    """

    axes: NDArray[np.float64]
    measured: NDArray[np.float64]
    total: NDArray[np.float64]

    @classmethod
    def of(cls, weight_rfft: NDArray[np.float32], last_shell: float) -> MeasuredDirections:
        """Sum a data weight ``(n, n, n // 2 + 1)`` in 0..1 up to a shell."""
        n = len(weight_rfft)
        radius = radius_rfft((n, n, n))
        chosen = (radius > FIRST_CONE_SHELL) & (radius <= last_shell)
        of_shell = np.where(chosen, 1 / np.maximum(radius, 1) ** 2, 0)
        grid = AxisGrid(AXES_PER_EDGE)
        sums = axis_sums(
            (of_shell * weight_rfft, of_shell), grid, FIRST_CONE_SHELL, math.ceil(last_shell), False
        )
        measured, total = (by_shell.sum(axis=0) for by_shell in sums)
        return cls(grid.directions, measured, total)

    def measured_fraction(self, half_angle_degrees: float) -> NDArray[np.float64]:
        """Return the measured fraction ``(n_axes,)`` in 0..1 of the cone around each axis."""
        inside = cone_weights(self.axes, half_angle_degrees)
        fraction: NDArray[np.float64] = (inside @ self.measured) / np.maximum(inside @ self.total, 1e-30)
        return fraction

    @property
    def largest_gap_degrees(self) -> float:
        """Half-angle of the largest cone without a direction measured half as well as the best directions."""
        fraction = self.measured_fraction(RESOLVED_DEGREES)
        good = fraction >= GAP_FRACTION * np.quantile(fraction, BEST_QUANTILE)
        nearest = self._cosines[:, good].max(axis=1)
        return float(np.degrees(np.arccos(np.clip(nearest.min(), 0, 1))))

    def cones(self, count: int, half_angle_degrees: float) -> list[Cone]:
        """Choose well-measured cones far from each other, the best measured first.

        Fewer than `count` are returned if fewer cones that do not contain each other's axes are well
        measured.
        """
        quality = self.measured_fraction(half_angle_degrees)
        good = quality >= WELL_MEASURED * quality.max()
        chosen = [int(np.argmax(quality))]
        while len(chosen) < count:
            cosine_to_chosen = self._cosines[:, chosen].max(axis=1)  # small where the chosen axes are far
            # Of axes equally far from the chosen ones, the better measured one.
            candidate = int(np.argmin(np.where(good, cosine_to_chosen - 1e-3 * quality, np.inf)))
            if cosine_to_chosen[candidate] > np.cos(np.radians(half_angle_degrees)):
                break
            chosen.append(candidate)
        found = [self.axes[index] for index in chosen]
        return [Cone((float(a[0]), float(a[1]), float(a[2])), half_angle_degrees) for a in found]

    @property
    def _cosines(self) -> NDArray[np.float64]:
        return axis_cosines(self.axes)


def default_half_angle_degrees(directions: MeasuredDirections) -> float:
    """Return the half-angle in degrees of cones as wide as the largest unmeasured gap, within 20 to 60."""
    return float(np.clip(directions.largest_gap_degrees, MIN_HALF_ANGLE_DEGREES, MAX_HALF_ANGLE_DEGREES))


def mask_out_cone(measurement: Measurement, inside_rfft: NDArray[np.bool_]) -> Measurement:
    """Set coefficients ``(n, n, n // 2 + 1)`` of the data and the weights of a measurement to zero."""
    rest = torch.from_numpy((~inside_rfft).astype(np.float32)).to(measurement.data.device)
    view_weight = measurement.view_weight_rfft
    return replace(
        measurement,
        data=apply_filter(measurement.data, rest),
        fsc_weight_rfft=measurement.fsc_weight_rfft * rest,
        view_weight_rfft=None if view_weight is None else view_weight * rest,
    )


@dataclass(frozen=True)
class HeldOutStatistics:
    """Sums over the compared coefficients of every shell, ``(n // 2 + 1,)`` each.

    Attributes
    ----------
    cross, predicted, raw : ndarray
        ``Σ Re(p y2*)``, ``Σ |p|²``, ``Σ |y2|²``.
    half_cross, half_power : ndarray
        ``Σ Re(y1 y2*)``, ``Σ |y1|²``.
    counts : ndarray
        Number of coefficients.
    """

    cross: NDArray[np.float64]
    predicted: NDArray[np.float64]
    raw: NDArray[np.float64]
    half_cross: NDArray[np.float64]
    half_power: NDArray[np.float64]
    counts: NDArray[np.float64]

    def __add__(self, other: HeldOutStatistics) -> HeldOutStatistics:
        """Return the sums over two disjoint regions."""
        return HeldOutStatistics(
            *(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True))
        )

    @property
    def used(self) -> NDArray[np.bool_]:
        """Shells with at least 8 coefficients in which the half maps correlate."""
        return (self.counts >= MIN_COEFFICIENTS) & (self.half_cross > 0)

    @property
    def fsc(self) -> NDArray[np.float64]:
        """FSC between the prediction and raw half map 2."""
        return self.cross / np.sqrt(np.maximum(self.predicted * self.raw, 1e-30))

    @property
    def ceiling(self) -> NDArray[np.float64]:
        """FSC between a perfect prediction and raw half map 2."""
        fsc = self.half_cross / np.sqrt(np.maximum(self.half_power * self.raw, 1e-30))
        return np.sqrt(np.clip(fsc, 0, 1))

    @property
    def recovery(self) -> float:
        """Correlation with the signal: mean FSC over mean ceiling of the used shells; 0 without any."""
        ceiling = self.ceiling[self.used].sum()
        return float(self.fsc[self.used].sum() / ceiling) if ceiling > 0 else 0.0

    @property
    def recovery_by_shell(self) -> NDArray[np.float64]:
        """Recovery of every shell, from three neighbouring shells; NaN where it is not defined."""
        three = np.ones(3)
        fsc, ceiling = (
            np.convolve(np.where(self.used, curve, 0), three, "same") for curve in (self.fsc, self.ceiling)
        )
        defined = self.used & (ceiling > 0)
        recovery: NDArray[np.float64] = np.full_like(fsc, np.nan)
        np.divide(fsc, ceiling, out=recovery, where=defined)
        return recovery

    @property
    def squared_error(self) -> NDArray[np.float64]:
        """``Σ |p - s|²`` of every shell, without the noise of half map 2."""
        raw_error = self.predicted + self.raw - 2 * self.cross
        noise = (self.half_power + self.raw - 2 * self.half_cross) / 2
        return raw_error - noise

    @property
    def power_ratio(self) -> float:
        """Power of the prediction relative to that of the signal, ``Σ |p|² / Σ Re(y1 y2*)``."""
        signal = self.half_cross[self.used].sum()
        return float(self.predicted[self.used].sum() / signal) if signal > 0 else 0.0


def compare_in_region(
    predicted: NDArray[np.complexfloating],
    half1: NDArray[np.complexfloating],
    half2: NDArray[np.complexfloating],
    region_rfft: NDArray[np.bool_],
    first_shell: int,
) -> HeldOutStatistics:
    """Compare a prediction with the raw half maps in a region of Fourier space, shell by shell.

    Parameters
    ----------
    predicted, half1, half2 : ndarray
        ``(n, n, n // 2 + 1)`` half spectra; the prediction was made without half map 2.
    region_rfft : ndarray
        ``(n, n, n // 2 + 1)`` coefficients to compare.
    first_shell : int
        First shell to compare.
    """
    n = predicted.shape[0]
    shell = shell_index_rfft((n, n, n))
    region = region_rfft & (shell >= first_shell) & (shell <= n // 2)
    index = shell[region]
    copies = np.broadcast_to(hermitian_multiplicity(n), shell.shape)[region]
    p, y1, y2 = (spectrum[region] for spectrum in (predicted, half1, half2))

    def sums(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(index, copies * values, n // 2 + 1).astype(np.float64)

    return HeldOutStatistics(
        sums((p * y2.conj()).real),
        sums(np.abs(p) ** 2),
        sums(np.abs(y2) ** 2),
        sums((y1 * y2.conj()).real),
        sums(np.abs(y1) ** 2),
        sums(np.ones(len(p))),
    )


def resolution_at(
    recovery: NDArray[np.float64], box_angstrom: float, threshold: float = RECOVERY_THRESHOLD
) -> float | None:
    """Return the resolution in Å to which the recovery stays at or above a threshold; None if nowhere.

    Parameters
    ----------
    recovery : ndarray
        ``(n // 2 + 1,)`` recovery by shell; NaN where it is not defined.
    box_angstrom : float
        Box edge in Å.
    threshold : float
        Smallest recovery.
    """
    shells = np.flatnonzero(~np.isnan(recovery))
    good = recovery[shells] >= threshold
    n_good = len(shells) if good.all() else int(np.argmin(good))
    return box_angstrom / int(shells[n_good - 1]) if n_good else None
