"""Comparison of the tilt axis and range that a table assumes with those that the power spectrum shows."""

from __future__ import annotations

import itertools
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.fourier.wedge_fit import (
    PLANE_OF_AXIS,
    SubvolumeSpectra,
    WedgeFit,
    fit_wedge,
    wedge_power_ratio,
)
from spisonet.geometry.tilts import rotation_to_convention
from spisonet.tomography.chunks import central_crop

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from spisonet.tomography.tomogram import Tomogram

log = logging.getLogger("spisonet")

TILT_AXIS = "y"
SUBVOLUME_EDGE = 64  # voxels
MAX_SUBVOLUMES_PER_AXIS = 3
CENTRAL_FRACTION = 0.6  # of each axis; the edges of tomograms are seen in fewer tilts
TOLERANCE_DEGREES = 8.0  # and the error of the measurement
NOTED_DEGREES = 4.0  # stated; refused if the mirror image of an asymmetric range fits
MIRROR_GAIN = 0.5  # of the deviation, that the mirror image has to leave at most
AGREES, FILLED, WRONG_AXIS, WRONG_SIGN, WRONG_RANGE = "agrees", "filled", "axis", "sign", "range"
CONTRADICTIONS = (WRONG_AXIS, WRONG_SIGN, WRONG_RANGE)
BEAM_IN_PLANE_DEGREES = 45.0  # middle of a tilt range beyond which the beam is the first axis of the plane


@dataclass(frozen=True)
class WedgeCheck:
    """Comparison of one tomogram's assumed and measured missing wedge.

    Attributes
    ----------
    name : str
        Name of the tomogram.
    assumed_range_degrees : tuple of float
        Tilt range about ``y`` in the table.
    assumed_power_ratio : float or None
        Power in the missing wedge of this range relative to that in its measured region; None as `fit`.
    fit : WedgeFit or None
        Tilt axis and range that fit the power spectrum; None if the tomogram is constant or see `fit_wedge`.
    range_is_default : bool
        Whether the assumed range is the default, since no tilt file was found.
    """

    name: str
    assumed_range_degrees: tuple[float, float]
    assumed_power_ratio: float | None
    fit: WedgeFit | None
    range_is_default: bool = False

    @property
    def result(self) -> str:
        """``agrees``, ``filled`` (not measurable), or what differs: ``axis``, ``sign`` or ``range``."""
        fit = self.fit
        if fit is None or not fit.is_reliable:
            return FILLED
        if fit.axis != TILT_AXIS or not _is_along_axes(fit):
            return WRONG_AXIS
        low, high = self.assumed_range_degrees
        deviation, mirrored = (_deviation(fit, ends) for ends in ((low, high), (-high, -low)))
        if deviation > NOTED_DEGREES + fit.error_degrees and mirrored < MIRROR_GAIN * deviation:
            return WRONG_SIGN
        return WRONG_RANGE if deviation > TOLERANCE_DEGREES + fit.error_degrees else AGREES

    @property
    def is_noted(self) -> bool:
        """Whether the range differs by more than `NOTED_DEGREES`, but by less than what is refused."""
        return (
            self.fit is not None
            and self.result == AGREES
            and _deviation(self.fit, self.assumed_range_degrees) > NOTED_DEGREES
        )

    @property
    def refusal(self) -> str | None:
        """Reason not to use the table, and the option to use it; None if nothing contradicts it."""
        if self.result not in CONTRADICTIONS:
            return None
        return f"{self.verdict.rstrip('.')}, or give --trust_table True."

    def as_record(self) -> dict[str, object]:
        """Return the JSON-serialisable form for ``job.json``."""
        return asdict(self) | {"result": self.result, "verdict": self.verdict}

    @property
    def measured_range_degrees(self) -> tuple[float, float] | None:
        """Tilt range about ``y`` that the power spectrum shows; None if it shows another axis or none."""
        return (
            None if self.fit is None or self.result in (FILLED, WRONG_AXIS) else self.fit.tilt_range_degrees
        )

    @property
    def verdict(self) -> str:
        """The result in one sentence, without the name of the tomogram."""
        low, high = self.assumed_range_degrees
        table, fit = "the default" if self.range_is_default else "the table", self.fit
        assumed = f"{table} is {low:g} to {high:g}° about y"
        if self.assumed_power_ratio is not None:
            assumed += f", with {self.assumed_power_ratio:.2f} of the power density in that wedge"
        if fit is None:
            return (
                "The missing wedge cannot be measured: the tomogram is constant, too small or low-pass "
                f"filtered too strongly ({assumed})."
            )
        if self.result == FILLED:
            return f"The missing wedge cannot be measured, because it is not empty ({assumed})."
        first, last = fit.tilt_range_degrees
        measured = (
            f"The power spectrum shows tilts of {first:.0f} to {last:.0f}° (±{fit.error_degrees:.0f}°) about "
            f"{_axis_text(fit)}, with {fit.power_ratio:.3f} of the power density in the missing wedge"
        )
        if self.result == AGREES:
            if self.is_noted:
                deviation = _deviation(fit, self.assumed_range_degrees)
                difference = f"differs by up to {deviation:.0f}°, less than what is refused"
                if self.range_is_default:  # a guess
                    difference += f"; {_remedy(WRONG_RANGE, fit)}"
                return f"{measured}; {table} ({low:g} to {high:g}° about y) {difference}."
            return f"{measured}, in agreement with {table} ({low:g} to {high:g}° about y)."
        return f"{measured}, but {assumed}: {_remedy(self.result, fit)}."


def _remedy(result: str, fit: WedgeFit) -> str:
    first, last = (round(end) for end in fit.tilt_range_degrees)
    if result == WRONG_SIGN:
        return f"exchange the two tilts and their signs ({first} to {last})"
    if result == WRONG_RANGE:
        return f"set rlnTiltMin and rlnTiltMax to {first} and {last}"
    return rotation_to_convention(fit.axis if _is_along_axes(fit) else None)


def _is_along_axes(fit: WedgeFit) -> bool:
    """Whether the tilt axis is an axis of the volume, and the beam the second axis of its plane."""
    is_inclined = fit.axis_offset_degrees > TOLERANCE_DEGREES + fit.error_degrees
    return not is_inclined and abs(sum(fit.tilt_range_degrees)) <= 2 * BEAM_IN_PLANE_DEGREES


def _deviation(fit: WedgeFit, tilt_range_degrees: tuple[float, float]) -> float:
    return max(abs(a - b) for a, b in zip(fit.tilt_range_degrees, tilt_range_degrees, strict=True))


def _axis_text(fit: WedgeFit) -> str:
    first, second = PLANE_OF_AXIS[fit.axis]
    counted = "" if fit.axis == TILT_AXIS else f" (counted from {first} to {second})"
    offset = fit.axis_offset_degrees
    inclined = f", inclined by {offset:.0f}°" if offset > fit.error_degrees else ""
    return f"{fit.axis}{counted}{inclined}"


def check_wedge(tomogram: Tomogram) -> WedgeCheck:
    """Measure the missing wedge of a tomogram, and compare it with the assumed one.

    Subvolumes are read from up to 27 places in its central part.

    Raises
    ------
    SpisonetError
        If the voxels cannot be read.
    """
    spectra = SubvolumeSpectra.of(_subvolumes(tomogram))
    tilt_range, ratio, fit = tomogram.tilt_range_degrees, None, None
    if spectra is not None:
        ratio, fit = wedge_power_ratio(spectra, TILT_AXIS, tilt_range), fit_wedge(spectra)
    return WedgeCheck(tomogram.name, tilt_range, ratio, fit, tomogram.tilt_range_is_assumed)


def _subvolumes(tomogram: Tomogram) -> Iterator[NDArray[np.float32]]:
    sections = []
    for n in tomogram.shape:
        edge = min(SUBVOLUME_EDGE, n)
        central = central_crop(n, max(edge, round(CENTRAL_FRACTION * n)))
        last = central.stop - edge
        number = min(MAX_SUBVOLUMES_PER_AXIS, 1 + 2 * (last - central.start) // edge)
        starts = np.unique(np.linspace(central.start, last, max(number, 1)).round().astype(int)).tolist()
        sections.append([slice(start, start + edge) for start in starts])
    for region in itertools.product(*sections):
        for volume in tomogram.volumes:
            yield volume.read(*region)


def log_verdict(check: WedgeCheck) -> None:
    """Log the result of a comparison, as a warning if the power spectrum contradicts the table or a guess."""
    doubtful = check.result in CONTRADICTIONS or (check.range_is_default and check.is_noted)
    level = logging.WARNING if doubtful else logging.INFO
    log.log(level, "%s: %s", check.name, check.verdict)


def check_wedges(tomograms: Iterable[Tomogram], refuse: bool) -> tuple[WedgeCheck, ...]:
    """Measure and log the missing wedges of some tomograms.

    Parameters
    ----------
    tomograms : iterable of Tomogram
        The tomograms.
    refuse : bool
        Raise an error if a power spectrum contradicts the table.

    Raises
    ------
    SpisonetError
        If the voxels cannot be read, or if asked for; see `require_agreement`.
    """
    checks: list[WedgeCheck] = []
    for tomogram in tomograms:
        check = check_wedge(tomogram)
        # The first contradiction is the text of the error.
        if not refuse or check.refusal is None or any(c.refusal is not None for c in checks):
            log_verdict(check)
        checks.append(check)
    if refuse:
        require_agreement(checks)
    return tuple(checks)


def require_agreement(checks: Iterable[WedgeCheck]) -> None:
    """Refuse tomograms whose power spectrum contradicts the table.

    Raises
    ------
    SpisonetError
        Naming the axis and range that fit the first of them, and the option to continue nevertheless.
    """
    refused = [f"{check.name}: {check.refusal}" for check in checks if check.refusal is not None]
    if refused:
        others = f" {len(refused) - 1} more tomograms differ as well." if len(refused) > 1 else ""
        raise SpisonetError(refused[0] + others, code="wrong_wedge", field="trust_table")
