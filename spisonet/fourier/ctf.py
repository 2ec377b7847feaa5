"""The contrast transfer function (CTF) of tomograms, with phase flipping and amplitudes, and of particles."""

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
    from numpy.typing import ArrayLike, NDArray

    from spisonet.io.tomogram_table import TomogramRow

CURVE_POINTS = 2048
DEFOCUS_COLUMNS = ("rlnDefocusU", "rlnDefocusV")
DEFAULT_VOLTAGE, DEFAULT_CS, DEFAULT_AMPLITUDE_CONTRAST = 300.0, 2.7, 0.1


@dataclass(frozen=True)
class Microscope:
    """Parameters of the CTF.

    Attributes
    ----------
    voxel_size_angstrom : float
        Voxel size in Å.
    defocus_angstrom : float
        Defocus in Å, positive for underfocus.
    voltage_kilovolt : float
        Acceleration voltage in kV.
    cs_millimetre : float
        Spherical aberration in mm.
    amplitude_contrast : float
        Amplitude contrast as a fraction.
    phase_flipped : bool
        Whether the tilt images are already phase flipped.
    """

    voxel_size_angstrom: float
    defocus_angstrom: float
    voltage_kilovolt: float = DEFAULT_VOLTAGE
    cs_millimetre: float = DEFAULT_CS
    amplitude_contrast: float = DEFAULT_AMPLITUDE_CONTRAST
    phase_flipped: bool = False

    @property
    def ctf(self) -> NDArray[np.float64]:
        """CTF from 0 to Nyquist, positive at low frequency; its absolute value if phase flipped."""
        k = np.linspace(0, 1, CURVE_POINTS) / (2 * self.voxel_size_angstrom)
        cs, wavelength = 1e7 * self.cs_millimetre, float(wavelength_angstrom(self.voltage_kilovolt))
        phase = np.pi * (wavelength * self.defocus_angstrom * k**2 - 0.5 * wavelength**3 * cs * k**4)
        phase_contrast = math.sqrt(1 - self.amplitude_contrast**2) * np.sin(phase)
        ctf = phase_contrast + self.amplitude_contrast * np.cos(phase)
        return np.asarray(np.abs(ctf) if self.phase_flipped else ctf)


@dataclass(frozen=True)
class AstigmaticCtf:
    """Two-dimensional CTFs of particle images, each attribute ``(n,)``, as RELION calculates them.

    Attributes
    ----------
    defocus_u_angstrom, defocus_v_angstrom : ndarray
        Largest and smallest defocus in Å, positive for underfocus.
    defocus_angle_degrees : ndarray
        Angle from the x axis to the direction of `defocus_u_angstrom`.
    voltage_kilovolt, cs_millimetre, amplitude_contrast : ndarray
        As in `Microscope`.
    phase_shift_degrees : ndarray
        Phase shift of a phase plate.
    b_factor : ndarray
        Of the envelope ``exp(-B k² / 4)``, in Å².
    scale : ndarray
        Factor of the CTF.
    """

    defocus_u_angstrom: NDArray[np.float64]
    defocus_v_angstrom: NDArray[np.float64]
    defocus_angle_degrees: NDArray[np.float64]
    voltage_kilovolt: NDArray[np.float64]
    cs_millimetre: NDArray[np.float64]
    amplitude_contrast: NDArray[np.float64]
    phase_shift_degrees: NDArray[np.float64]
    b_factor: NDArray[np.float64]
    scale: NDArray[np.float64]

    def subset(self, chosen: NDArray[np.integer] | NDArray[np.bool_]) -> AstigmaticCtf:
        """Return those of some particles."""
        return AstigmaticCtf(**{name: values[chosen] for name, values in vars(self).items()})

    def at(self, frequencies_per_angstrom: NDArray[np.floating]) -> NDArray[np.float32]:
        """CTFs ``(n, m)`` at frequencies ``(m, 2)`` ``(x, y)`` in 1/Å, positive at low frequency.

        References
        ----------
        Mindell & Grigorieff (2003) J. Struct. Biol. 142, 334-347, eq. 2-5.
        """
        x, y = np.asarray(frequencies_per_angstrom, dtype=np.float64).T
        square = x**2 + y**2
        # The phase is a sum of five functions of the frequency, with coefficients for each image.
        functions = np.stack([square, x**2 - y**2, 2 * x * y, square**2, np.ones_like(square)])
        mean = (self.defocus_u_angstrom + self.defocus_v_angstrom) / 2
        deviation = (self.defocus_u_angstrom - self.defocus_v_angstrom) / 2
        twice_angle = 2 * np.radians(self.defocus_angle_degrees)
        wavelength, cs = wavelength_angstrom(self.voltage_kilovolt), 1e7 * self.cs_millimetre
        constant = np.radians(self.phase_shift_degrees) + np.arcsin(self.amplitude_contrast)
        coefficients = [
            np.pi * wavelength * mean,
            np.pi * wavelength * deviation * np.cos(twice_angle),
            np.pi * wavelength * deviation * np.sin(twice_angle),
            -0.5 * np.pi * wavelength**3 * cs,
            constant,
        ]
        ctf = np.sin((np.stack(coefficients, axis=1) @ functions).astype(np.float32))
        ctf *= self.scale[:, None].astype(np.float32)
        if self.b_factor.any():
            ctf *= np.exp(-self.b_factor[:, None] * square / 4).astype(np.float32)
        return np.asarray(ctf)


def wavelength_angstrom(voltage_kilovolt: ArrayLike) -> NDArray[np.float64]:
    """Return the relativistic wavelength of electrons in Å."""
    volt = 1e3 * np.asarray(voltage_kilovolt, dtype=np.float64)
    return np.asarray(12.2643247 / np.sqrt(volt * (1 + 0.978466e-6 * volt)))


def read_microscope(
    row: TomogramRow, voxel_size_angstrom: float, phase_flipped: bool, **overrides: float | None
) -> Microscope:
    """Return the CTF parameters of a tomogram from its row in the table.

    Parameters
    ----------
    row : TomogramRow
        Row of the table.
    voxel_size_angstrom : float
        Voxel size in Å.
    phase_flipped : bool
        Whether the tilt images are already phase flipped.
    **overrides
        Attributes of `Microscope` that replace those of the row, if not None.

    Raises
    ------
    SpisonetError
        If the row has no defocus.
    """
    defocus = find_defocus(row)
    if defocus is None:
        raise SpisonetError(f"{row.shown} has no rlnDefocus above 0: add it to the STAR file, in Å.")
    listed = {
        "voltage_kilovolt": row.number_of("rlnVoltage"),
        "cs_millimetre": row.number_of("rlnSphericalAberration"),
        "amplitude_contrast": row.number_of("rlnAmplitudeContrast"),
    } | {name: value for name, value in overrides.items() if value is not None}
    parameters = {name: value for name, value in listed.items() if value is not None}
    return Microscope(voxel_size_angstrom, defocus, phase_flipped=phase_flipped, **parameters)


def find_defocus(row: TomogramRow) -> float | None:
    """Return the defocus of a tomogram in Å from its row, or the median of its tilt series (RELION 5)."""
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
    """Return the filter that flips phases where the CTF is negative; None if they are already flipped."""
    return None if microscope.phase_flipped else RadialCurve(np.sign(microscope.ctf))


def ctf_amplitude(microscope: Microscope, keep_low: bool, b_factor: float) -> RadialCurve:
    """Return the amplitude of the CTF after phase flipping, with an envelope.

    Parameters
    ----------
    microscope : Microscope
        CTF parameters.
    keep_low : bool
        Set the amplitude to 1 below the first maximum of the CTF. A correction there would mostly amplify
        gradients of the ice.
    b_factor : float
        B factor of the envelope ``exp(-B k² / 4)``, in Å².
    """
    amplitude = np.abs(microscope.ctf)
    if keep_low:
        falling = np.flatnonzero(np.diff(amplitude) < 0)
        amplitude[: falling[0] if len(falling) else len(amplitude)] = 1.0
    k = np.linspace(0, 1, CURVE_POINTS) / (2 * microscope.voxel_size_angstrom)
    return RadialCurve(amplitude * np.exp(-b_factor * k**2 / 4))
