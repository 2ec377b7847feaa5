"""Ranges of the numbers in tables: type, finiteness and range are checked where a number is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

LONGEST_SHOWN = 40  # characters of a value in a message
SMALLEST_DEFOCUS_ANGSTROM = 100.0  # that a user enters; smaller ones are meant in µm


@dataclass(frozen=True)
class NumberRange:
    """Range of a number.

    Attributes
    ----------
    low, high : float
        Smallest and largest value.
    above_low : bool
        Whether `low` itself is outside of the range.
    """

    low: float
    high: float
    above_low: bool = False

    def holds(self, value: float) -> bool:
        """Return whether a value is finite and within the range."""
        above = value > self.low if self.above_low else value >= self.low
        return math.isfinite(value) and above and value <= self.high

    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which values are finite and within the range."""
        import numpy as np  # noqa: PLC0415 - configurations import this module

        above = values > self.low if self.above_low else values >= self.low
        return np.asarray(np.isfinite(values) & above & (values <= self.high))

    def __str__(self) -> str:
        if self.above_low:
            return f"above {self.low:g} and at most {self.high:g}"
        return f"{self.low:g} to {self.high:g}"


FINITE = NumberRange(-1.7e308, 1.7e308)
SIZE = NumberRange(0.001, 10_000)  # of pixels and voxels in Å
TILT = NumberRange(-90, 90)
ANGLE = NumberRange(-100_000, 100_000)  # degrees
LENGTH = NumberRange(-1_000_000, 1_000_000)  # Å or pixels
PERCENT = NumberRange(0, 100, above_low=True)
# By the label of a column in a STAR file.
RANGES = {
    **dict.fromkeys(
        (
            *("rlnPixelSize", "rlnImagePixelSize", "rlnTomoTiltSeriesPixelSize"),
            *("rlnMicrographOriginalPixelSize", "rlnMicrographPixelSize", "rlnDetectorPixelSize"),
        ),
        SIZE,
    ),
    "rlnTomoTomogramBinning": NumberRange(0, 1000, above_low=True),
    "rlnMagnification": NumberRange(0, 1e9, above_low=True),
    "rlnDefocus": NumberRange(0, 1_000_000),
    **dict.fromkeys(("rlnDefocusU", "rlnDefocusV"), LENGTH),
    "rlnDefocusAngle": ANGLE,
    "rlnPhaseShift": ANGLE,
    "rlnVoltage": NumberRange(1, 10_000),
    "rlnSphericalAberration": NumberRange(-1000, 1000),
    "rlnAmplitudeContrast": NumberRange(0, 1),
    "rlnCtfBfactor": LENGTH,
    "rlnCtfScalefactor": LENGTH,
    **dict.fromkeys(("rlnTiltMin", "rlnTiltMax", "rlnTomoYTilt", "rlnTomoNominalStageTiltAngle"), TILT),
    "rlnTiltStep": NumberRange(0, 180, above_low=True),
    **dict.fromkeys((f"rlnAngle{name}" for name in ("Rot", "Tilt", "Psi")), ANGLE),
    **dict.fromkeys((f"rlnTomoSubtomogram{name}" for name in ("Rot", "Tilt", "Psi")), ANGLE),
    **dict.fromkeys((f"rlnTomo{axis}Tilt" for axis in "XZ"), ANGLE),
    **dict.fromkeys((f"rlnOrigin{axis}{unit}" for axis in "XYZ" for unit in ("", "Angst")), LENGTH),
    **dict.fromkeys((f"rlnCoordinate{axis}" for axis in "XYZ"), LENGTH),
    **dict.fromkeys((f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"), LENGTH),
    "rlnImageSize": NumberRange(1, 100_000),
    "rlnImageDimensionality": NumberRange(2, 3),
    "rlnRandomSubset": NumberRange(0, 1000),
    "rlnClassNumber": NumberRange(0, 1_000_000),
    "rlnOpticsGroup": NumberRange(0, 1_000_000),
    "rlnNumberSubtomo": NumberRange(1, 1_000_000),
    "rlnCubeSize": NumberRange(1, 4096),
    "rlnSnrFalloff": NumberRange(0, 1000),
    "rlnDeconvStrength": NumberRange(-1000, 1000),
    "rlnMaskDensityPercentage": PERCENT,
    "rlnMaskStdPercentage": PERCENT,
}


def range_of(label: str) -> NumberRange:
    """Return the range of a column's values; that of all finite numbers for other columns."""
    return RANGES.get(label, FINITE)


def number_or_nan(text: str) -> float:
    """Return the number that a text is, in ASCII and without underscores; NaN if it is none."""
    try:
        return float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        return math.nan


def parse_number(text: str, label: str, where: str) -> float:
    """Return a number of a table.

    Parameters
    ----------
    text : str
        The value as it is written.
    label : str
        Name of the column.
    where : str
        Beginning of the message: the file or row.

    Raises
    ------
    SpisonetError
        If it is not a finite number in the range of the column.
    """
    value = number_or_nan(text)
    allowed = range_of(label)
    if not allowed.holds(value):
        raise SpisonetError(f"{where}: {label} is {_shown(text)}; {_expected(allowed)}.")
    return value


def require_defocus_in_angstrom(value: float) -> None:
    """Check that a defocus that a user enters is not in µm.

    Raises
    ------
    ValueError
        If the value is above 0 and too small for a defocus in Å.
    """
    if 0 < value < SMALLEST_DEFOCUS_ANGSTROM:
        raise ValueError(
            f"the defocus is entered in Å: {value:g} Å is too small; for {value:g} µm enter {1e4 * value:g}"
        )


def require_range(path: Path, label: str, values: NDArray[np.float64]) -> None:
    """Check the numbers of a column.

    Raises
    ------
    SpisonetError
        Naming the first row whose value is not a finite number in the range of the column.
    """
    import numpy as np  # noqa: PLC0415

    allowed = range_of(label)
    wrong = np.flatnonzero(~allowed.contains(values))
    if len(wrong):
        value, row = values.ravel()[wrong[0]], wrong[0] + 1
        raise SpisonetError(f"{path}: {label} is {value:g} in row {row}; {_expected(allowed)}.", path=path)


def _expected(allowed: NumberRange) -> str:
    return "a finite number is required" if allowed is FINITE else f"the valid range is {allowed}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}...")


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural (with an s) unless the number is 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
