"""Tilt axis and tilt range of a tomogram, fitted to the power spectra of its subvolumes.

Noise and signal fill only the part of Fourier space that the tilts measured. In the plane perpendicular to
the tilt axis, two angles bound it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from spisonet.fourier.grids import rfft3

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

AXES = ("x", "y", "z")
# Axes of the plane perpendicular to each axis; angles are counted from the first to the second.
PLANE_OF_AXIS = {"x": ("y", "z"), "y": ("x", "z"), "z": ("x", "y")}
HIGHEST_FREQUENCY = 0.45  # cycles per voxel
LOWEST_FOURIER_VOXELS = 4.0  # distance from the tilt axis below which the window blurs angles too much
SMALLEST_EDGE = 16  # of subvolumes in voxels; in smaller ones, noise can resemble a wedge
N_SHELLS, N_ANGLES = 12, 90
LOWEST_SHELL_POWER = 1e-3  # of the strongest shell; filters leave leakage and rounding errors below
MIN_SHELLS = 4
ANGLE_STEP_DEGREES = 180.0 / N_ANGLES
MEASURED_DEGREES = (30.0, 170.0)  # widths of tilt ranges that are considered
NEAR_STEPS = 5  # of the start and width of a range, when the axis is inclined
MAX_AXIS_OFFSET_DEGREES = 20.0
OFFSET_STEPS_DEGREES = (5.0, 1.0)
EDGE_DEGREES = 20.0  # from the first estimate of an edge to where it is refined
LEVEL_DEGREES = 6.0  # nearest part to the edge that is not part of either level
N_GROUPS = 4  # of subvolumes, whose scatter is the error
EDGE_ERROR_VOXELS = 0.5  # of edges that the window blurs, in Fourier voxels
MEAN_TO_HIGHEST_FREQUENCY = 2.0 / 3.0  # of coefficients, measured from the tilt axis
MAX_POWER_RATIO = 0.4  # of a wedge that is empty enough to be measured
MIN_GAIN = 0.1
MIN_GAIN_RATIO = 1.5  # of the best tilt axis to the others
SMALLEST_POWER = 1e-30


@dataclass(frozen=True)
class SubvolumeSpectra:
    """Power spectra of equally large subvolumes of a tomogram.

    Attributes
    ----------
    shape : tuple of int
        ``(z, y, x)`` of the subvolumes in voxels.
    power : ndarray
        ``(n, z, y, x // 2 + 1)``, of subvolumes of unit variance.
    """

    shape: tuple[int, int, int]
    power: NDArray[np.float32]

    @classmethod
    def of(cls, subvolumes: Iterable[NDArray[np.float32]]) -> SubvolumeSpectra | None:
        """Compute the spectra under a Hann window; None if all subvolumes are constant."""
        spectra, shape = [], (0, 0, 0)
        for values in subvolumes:
            deviation = float(values.std())
            if deviation == 0:
                continue  # padding beyond the imaged area
            z, y, x = (np.hanning(n + 2)[1:-1].astype(np.float32) for n in values.shape)
            window = z[:, None, None] * y[:, None] * x
            centred = (values - values.mean()) / np.float32(deviation)
            spectra.append(np.abs(rfft3(centred * window)).astype(np.float32) ** 2)
            shape = (len(z), len(y), len(x))
        return cls(shape, np.array(spectra)) if spectra else None

    def groups(self) -> list[SubvolumeSpectra]:
        """Divide the subvolumes into a few groups."""
        n_groups = min(N_GROUPS, len(self.power))
        return [replace(self, power=self.power[first::n_groups]) for first in range(n_groups)]


@dataclass(frozen=True)
class WedgeFit:
    """Tilt axis and tilt range that fit the power spectra best.

    Attributes
    ----------
    axis : str
        Axis of the volume, ``x``, ``y`` or ``z``, that is nearest to the tilt axis.
    axis_offset_degrees : float
        Angle between them.
    tilt_range_degrees : tuple of float
        First and last measured angle about the axis, counted as in `PLANE_OF_AXIS`.
    error_degrees : float
        Error of both ends: twice the standard error from the scatter of subvolumes, at least half a Fourier
        voxel of the subvolumes at the mean frequency.
    power_ratio : float
        Power in the missing wedge relative to that in the measured region at the same resolution.
    gain : float
        Gain of log-likelihood per Fourier coefficient over a spectrum without a wedge.
    other_gain : float
        The largest gain of the other two axes.
    """

    axis: str
    axis_offset_degrees: float
    tilt_range_degrees: tuple[float, float]
    error_degrees: float
    power_ratio: float
    gain: float
    other_gain: float

    @property
    def is_reliable(self) -> bool:
        """Whether there is an empty wedge about one axis; false if it is filled."""
        is_distinct = self.gain > max(MIN_GAIN, MIN_GAIN_RATIO * self.other_gain)
        return is_distinct and self.power_ratio < MAX_POWER_RATIO


@dataclass(frozen=True)
class _Range:
    """A tilt range in angle steps, and its gain of log-likelihood per coefficient."""

    gain: float
    start: int
    width: int


@dataclass(frozen=True)
class _Coefficients:
    """Fourier coefficients that the fit uses.

    ``used`` selects them from a spectrum; frequencies are ``(n, 3)``, shells and powers ``(n,)``.
    """

    used: NDArray[np.bool_]
    frequencies: NDArray[np.float64]
    shells: NDArray[np.int_]
    power: NDArray[np.float32]
    lowest_frequency: float

    @classmethod
    def of(cls, spectra: SubvolumeSpectra) -> _Coefficients | None:
        """Select the shells that are not emptied by a filter; None if too few are left."""
        if min(spectra.shape) < SMALLEST_EDGE:
            return None
        z, y, x = np.meshgrid(
            *(np.fft.fftfreq(n) for n in spectra.shape[:2]), np.fft.rfftfreq(spectra.shape[2]), indexing="ij"
        )
        frequency = np.sqrt(x * x + y * y + z * z)
        lowest = LOWEST_FOURIER_VOXELS / min(spectra.shape)
        in_band = (frequency < HIGHEST_FREQUENCY) & (frequency > lowest)
        shells = (np.where(in_band, frequency, 0.0) * (N_SHELLS / HIGHEST_FREQUENCY)).astype(int)
        power = spectra.power.mean(axis=0)
        sums = (np.bincount(shells[in_band], w, N_SHELLS).astype(float) for w in (power[in_band], None))
        shell_power = _mean(*sums)
        is_filled = shell_power > LOWEST_SHELL_POWER * shell_power.max()
        if is_filled.sum() < MIN_SHELLS:
            return None
        used = in_band & is_filled[shells]
        points = np.stack([x[used], y[used], z[used]], axis=-1)
        return cls(used, points, shells[used], power[used], lowest)

    def with_power_of(self, spectra: SubvolumeSpectra) -> _Coefficients:
        """Return the same coefficients of other subvolumes."""
        return replace(self, power=spectra.power.mean(axis=0)[self.used])

    @property
    def mean_frequency(self) -> float:
        """Mean distance of the coefficients from a tilt axis, in cycles per voxel."""
        return MEAN_TO_HIGHEST_FREQUENCY * (int(self.shells.max()) + 1) * HIGHEST_FREQUENCY / N_SHELLS

    def about(self, axis: str, offsets_degrees: tuple[float, float] = (0.0, 0.0)) -> _AngularPower:
        """Sum by angle about an axis that is inclined towards both axes of its plane."""
        first, second = _plane(axis, offsets_degrees)
        along_first, along_second = self.frequencies @ first, self.frequencies @ second
        used = np.hypot(along_first, along_second) > self.lowest_frequency
        angle = np.degrees(np.arctan2(along_second[used], along_first[used])) % 180.0
        index = self.shells[used] * N_ANGLES + (angle / ANGLE_STEP_DEGREES).astype(int) % N_ANGLES
        size = N_SHELLS * N_ANGLES
        power, count = (
            np.bincount(index, weights=weights, minlength=size).astype(float).reshape(N_SHELLS, N_ANGLES)
            for weights in (self.power[used], None)
        )
        return _AngularPower(power, count)


def _plane(
    axis: str, offsets_degrees: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the unit vectors ``(x, y, z)`` that span the plane perpendicular to an inclined axis."""
    unit = {name: np.eye(3)[index] for index, name in enumerate(AXES)}
    first, second = (unit[name] for name in PLANE_OF_AXIS[axis])
    tangents = np.tan(np.radians(offsets_degrees))
    direction = unit[axis] + tangents[0] * first + tangents[1] * second
    direction /= np.linalg.norm(direction)
    second = second - (second @ direction) * direction
    second /= np.linalg.norm(second)
    first = first - (first @ direction) * direction - (first @ second) * second
    return first / np.linalg.norm(first), second


@dataclass(frozen=True)
class _AngularPower:
    """Sums of power and numbers of coefficients by resolution shell and angle, ``(shell, angle)``."""

    power: NDArray[np.float64]
    count: NDArray[np.float64]

    def levels(
        self, starts: NDArray[np.int_], widths: NDArray[np.int_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return powers and counts inside tilt ranges, and outside, ``(shell, ...)``."""
        ends = starts + widths
        sums = []
        for values in (self.power, self.count):
            cumulative = np.zeros((N_SHELLS, 2 * N_ANGLES + 1))
            np.cumsum(np.concatenate([values, values], axis=1), axis=1, out=cumulative[:, 1:])
            inside = cumulative[:, ends] - cumulative[:, starts]
            total = values.sum(axis=1).reshape([-1] + [1] * starts.ndim)
            sums += [inside, np.maximum(total - inside, 0.0)]
        return sums[0], sums[2], sums[1], sums[3]

    def best_range(self, near: tuple[int, int] | None = None) -> _Range:
        """Find the tilt range of the largest likelihood, among all or near another one (start and width).

        The power of a Fourier coefficient is distributed exponentially about its expectation, which is one
        number inside the range and a smaller one outside, for every shell.
        """
        lowest, highest = (int(width / ANGLE_STEP_DEGREES) for width in MEASURED_DEGREES)
        all_starts, all_widths = np.arange(N_ANGLES), np.arange(lowest, highest + 1)
        if near is not None:
            all_starts = (near[0] + np.arange(-NEAR_STEPS, NEAR_STEPS + 1)) % N_ANGLES
            all_widths = all_widths[np.abs(all_widths - near[1]) <= NEAR_STEPS]
        starts, widths = np.meshgrid(all_starts, all_widths, indexing="ij")
        power_in, count_in, power_out, count_out = self.levels(starts, widths)
        likelihood = _log_likelihood(power_in, count_in) + _log_likelihood(power_out, count_out)
        baseline = _log_likelihood(self.power.sum(axis=1), self.count.sum(axis=1))
        gain = (likelihood.sum(axis=0) - baseline.sum()) / self.count.sum()
        both = np.minimum(count_in, count_out)
        contrast = both * np.log(_mean(power_out, count_out) / _mean(power_in, count_in))
        gain[contrast.sum(axis=0) >= 0] = -math.inf  # more power outside than inside
        best = np.unravel_index(np.argmax(gain), gain.shape)
        return _Range(float(gain[best]), int(starts[best]), int(widths[best]))

    def power_ratio(self, start: int, width: int) -> float:
        """Power outside a tilt range relative to that inside, averaged over shells."""
        power_in, count_in, power_out, count_out = self.levels(np.array(start), np.array(width))
        weight = np.where(count_in > 0, count_out, 0.0)
        ratio = _mean(power_out, count_out) / _mean(power_in, count_in)
        return float((weight * ratio).sum() / max(weight.sum(), 1.0))

    def refined_edges(self, start: int, width: int) -> tuple[float, float]:
        """Return both ends of a tilt range in degrees, between the levels inside and outside.

        An edge lies where a step would have the same area as the power between the two levels, which is the
        middle of the transition however blurred.
        """
        power_in, count_in, power_out, count_out = self.levels(np.array(start), np.array(width))
        inside, outside = _mean(power_in, count_in), _mean(power_out, count_out)
        contrast = np.clip(1.0 - outside / inside, 0.0, 1.0)  # shells of filtered frequencies have none
        count = (contrast[:, None] * self.count).sum(axis=0)
        known = np.flatnonzero(count)
        profile = ((contrast / inside)[:, None] * self.power).sum(axis=0)[known] / count[known]
        profile = np.interp(np.arange(N_ANGLES), known, profile, period=N_ANGLES)
        before, level = round(EDGE_DEGREES / ANGLE_STEP_DEGREES), round(LEVEL_DEGREES / ANGLE_STEP_DEGREES)
        after = min(before, (N_ANGLES - width) // 2)
        steps = np.arange(-before, after)  # angles inside (negative) and outside of an edge
        ends = []
        for edge, outwards in ((start, -1), (start + width, 1)):
            near = profile[(edge + outwards * steps - (outwards < 0)) % N_ANGLES]
            high, low = near[: before - level].mean(), near[min(before + level, len(near) - 1) :].mean()
            share = np.clip((near - low) / max(high - low, SMALLEST_POWER), 0.0, 1.0).sum()
            ends.append((edge + outwards * (share - before)) * ANGLE_STEP_DEGREES)
        return ends[0], ends[1]


def _mean(power: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(power, SMALLEST_POWER) / np.maximum(count, 1.0)


def _log_likelihood(power: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
    return -count * np.log(_mean(power, count))


def fit_wedge(spectra: SubvolumeSpectra) -> WedgeFit | None:
    """Find the tilt axis and the tilt range of a tomogram.

    Axis and range maximise the likelihood of the averaged spectra. The axis is first sought along x, y and z,
    then inclined by up to 20 degrees. The result is None for subvolumes of less than 16 voxels, and if a
    filter leaves too narrow a band of frequencies.
    """
    coefficients = _Coefficients.of(spectra)
    if coefficients is None:
        return None
    found = {axis: coefficients.about(axis).best_range() for axis in AXES}
    axis = max(AXES, key=lambda name: found[name].gain)
    offsets, best = _inclination(coefficients, axis, found[axis])
    angular = coefficients.about(axis, offsets)
    ends = np.array(angular.refined_edges(best.start, best.width))
    scatter = [
        coefficients.with_power_of(group).about(axis, offsets).refined_edges(best.start, best.width)
        for group in spectra.groups()
    ]
    error = math.degrees(EDGE_ERROR_VOXELS / (coefficients.mean_frequency * min(spectra.shape)))
    if len(scatter) > 1:
        standard_errors = np.std(scatter, axis=0, ddof=1) / math.sqrt(len(scatter))
        error = max(error, 2.0 * float(standard_errors.max()))
    first, last = (ends - 180.0 * round(ends.mean() / 180.0)).tolist()
    return WedgeFit(
        axis,
        math.degrees(math.atan(math.hypot(*np.tan(np.radians(offsets))))),
        (first, last),
        error,
        angular.power_ratio(best.start, best.width),
        best.gain,
        max(found[name].gain for name in AXES if name != axis),
    )


def _inclination(
    coefficients: _Coefficients, axis: str, upright: _Range
) -> tuple[tuple[float, float], _Range]:
    """Incline an axis towards both axes of its plane, one after the other, to the largest likelihood."""
    offsets, best, reach = [0.0, 0.0], upright, MAX_AXIS_OFFSET_DEGREES
    for step in OFFSET_STEPS_DEGREES:
        for direction in (0, 1, 0):
            for offset in offsets[direction] + np.arange(-reach, reach + step / 2, step):
                tried = [offset, offsets[1]] if direction == 0 else [offsets[0], offset]
                near = best.start, best.width
                found = coefficients.about(axis, (tried[0], tried[1])).best_range(near)
                if abs(offset) <= MAX_AXIS_OFFSET_DEGREES and found.gain > best.gain:
                    offsets, best = [float(tried[0]), float(tried[1])], found
        reach = step
    return (offsets[0], offsets[1]), best


def wedge_power_ratio(
    spectra: SubvolumeSpectra, axis: str, tilt_range_degrees: tuple[float, float]
) -> float | None:
    """Return the power outside a tilt range about an axis relative to that inside, at the same resolution.

    The result is None where `fit_wedge` returns None.
    """
    coefficients = _Coefficients.of(spectra)
    if coefficients is None:
        return None
    start, end = (round(angle / ANGLE_STEP_DEGREES) for angle in tilt_range_degrees)
    return coefficients.about(axis).power_ratio(start % N_ANGLES, end - start)
