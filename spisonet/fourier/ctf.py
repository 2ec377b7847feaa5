"""The contrast transfer function of tomograms, and what the modes of correcting it do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.fourier.filters import RadialCurve
from spisonet.io.star import StarFile
from spisonet.io.tomogram_table import RELION5_SERIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.io.tomogram_table import TomogramRow

CURVE_POINTS = 2048
DEFOCUS_COLUMNS = ("rlnDefocusU", "rlnDefocusV")
DEFAULT_VOLTAGE, DEFAULT_CS, DEFAULT_AMPLITUDE_CONTRAST = 300.0, 2.7, 0.1


@dataclass(frozen=True)
class Microscope:
    """What decides the contrast of a tomogram.

    Attributes
    ----------
    voxel_size_angstrom : float
        Voxel size.
    defocus_angstrom : float
        Underfocus.
    voltage_kilovolt, cs_millimetre, amplitude_contrast : float
        Of the microscope and the specimen.
    phase_flipped : bool
        Whether the tilt images' phases were flipped already.
    """

    voxel_size_angstrom: float
    defocus_angstrom: float
    voltage_kilovolt: float = DEFAULT_VOLTAGE
    cs_millimetre: float = DEFAULT_CS
    amplitude_contrast: float = DEFAULT_AMPLITUDE_CONTRAST
    phase_flipped: bool = False

    @property
    def transfer(self) -> NDArray[np.float64]:
        """Contrast transfer of a weak object from 0 to Nyquist, positive at low frequency."""
        k = np.linspace(0, 1, CURVE_POINTS) / (2 * self.voxel_size_angstrom)
        volt, cs = 1e3 * self.voltage_kilovolt, 1e7 * self.cs_millimetre
        wavelength = 12.2643247 / math.sqrt(volt * (1 + 0.978466e-6 * volt))
        phase = np.pi * (wavelength * self.defocus_angstrom * k**2 - 0.5 * wavelength**3 * cs * k**4)
        in_phase = math.sqrt(1 - self.amplitude_contrast**2) * np.sin(phase)
        contrast = in_phase + self.amplitude_contrast * np.cos(phase)
        return np.asarray(np.abs(contrast) if self.phase_flipped else contrast)


def read_microscope(
    row: TomogramRow, voxel_size_angstrom: float, phase_flipped: bool, **chosen: float | None
) -> Microscope:
    """Find a tomogram's defocus and microscope in its row.

    Parameters
    ----------
    row : TomogramRow
        The row.
    voxel_size_angstrom : float
        Voxel size.
    phase_flipped : bool
        Whether the tilt images' phases were flipped already.
    **chosen
        Attributes of `Microscope` that take the place of the row's, if not None.

    Raises
    ------
    SpisonetError
        If there is no defocus.
    """
    defocus = find_defocus(row)
    if defocus is None:
        raise SpisonetError(f"{row.shown} has no rlnDefocus above 0: give it in the STAR file, in Å.")
    found = {
        "voltage_kilovolt": row.number_of("rlnVoltage"),
        "cs_millimetre": row.number_of("rlnSphericalAberration"),
        "amplitude_contrast": row.number_of("rlnAmplitudeContrast"),
    } | {name: value for name, value in chosen.items() if value is not None}
    known = {name: value for name, value in found.items() if value is not None}
    return Microscope(voxel_size_angstrom, defocus, phase_flipped=phase_flipped, **known)


def find_defocus(row: TomogramRow) -> float | None:
    """Find a tomogram's defocus in Å: its row's, or the median of its tilt series (RELION 5), or None."""
    defocus = row.number_of("rlnDefocus")
    if defocus is not None and defocus > 0:
        return defocus
    series = row.path(RELION5_SERIES)
    if series is None or not series.is_file():
        return None
    for table in StarFile(series).tables.values():
        if set(DEFOCUS_COLUMNS) <= set(table):
            values = [np.asarray(table[column], float) for column in DEFOCUS_COLUMNS]
            return float(np.median(values)) or None
    return None


def phase_flip(microscope: Microscope) -> RadialCurve | None:
    """Return the filter that flips the phases back where contrast is inverted, if they are not yet."""
    return None if microscope.phase_flipped else RadialCurve(np.sign(microscope.transfer))


def attenuation(microscope: Microscope, keep_low: bool, b_factor: float) -> RadialCurve:
    """How far a coefficient is attenuated once its phase is right.

    Parameters
    ----------
    microscope : Microscope
        Of the tomogram.
    keep_low : bool
        Count frequencies below the first maximum as not attenuated; to undo that would only boost gradients
        of the ice.
    b_factor : float
        Further attenuation ``exp(-B k² / 4)``, in Å².
    """
    contrast = np.abs(microscope.transfer)
    if keep_low:
        rising = np.flatnonzero(np.diff(contrast) < 0)
        contrast[: rising[0] if len(rising) else len(contrast)] = 1.0
    k = np.linspace(0, 1, CURVE_POINTS) / (2 * microscope.voxel_size_angstrom)
    return RadialCurve(contrast * np.exp(-b_factor * k**2 / 4))
