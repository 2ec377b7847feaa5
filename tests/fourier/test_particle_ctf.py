"""The CTF of particle images against the formula of defocus by angle, and against RELION."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.fourier.ctf import AstigmaticCtf, Microscope

FREQUENCIES = np.random.default_rng(0).uniform(-0.2, 0.2, (200, 2))


def _ctf(**changes: float) -> AstigmaticCtf:
    values = {
        "defocus_u_angstrom": 15200.0,
        "defocus_v_angstrom": 14100.0,
        "defocus_angle_degrees": 33.0,
        "voltage_kilovolt": 300.0,
        "cs_millimetre": 2.7,
        "amplitude_contrast": 0.1,
        "phase_shift_degrees": 0.0,
        "b_factor": 0.0,
        "scale": 1.0,
    } | changes
    return AstigmaticCtf(**{name: np.array([value]) for name, value in values.items()})


def test_defocus_is_that_of_the_direction():
    ctf = _ctf(phase_shift_degrees=40.0, b_factor=50.0, scale=0.8)
    x, y = FREQUENCIES.T
    square, wavelength = x**2 + y**2, 0.0196875
    defocus = 14650 + 550 * np.cos(2 * (np.arctan2(y, x) - np.radians(33)))
    phase = (
        np.pi * wavelength * defocus * square - np.pi / 2 * 2.7e7 * wavelength**3 * square**2 + np.radians(40)
    )
    expected = 0.8 * np.exp(-50 * square / 4) * (np.sqrt(0.99) * np.sin(phase) + 0.1 * np.cos(phase))
    assert ctf.at(FREQUENCIES)[0] == pytest.approx(expected, abs=2e-3)


def test_without_astigmatism_it_is_the_curve_of_a_tomogram():
    ctf = _ctf(defocus_u_angstrom=20000.0, defocus_v_angstrom=20000.0)
    microscope = Microscope(voxel_size_angstrom=2.0, defocus_angstrom=20000.0)
    k = np.linspace(0, 0.25, len(microscope.ctf))
    found = ctf.at(np.stack([k * 0.6, k * 0.8], axis=1))[0]
    assert found == pytest.approx(microscope.ctf, abs=1e-4)


def test_subset_keeps_the_values_of_its_particles():
    two = AstigmaticCtf(**{name: np.repeat(value, 2) for name, value in vars(_ctf()).items()})
    two.defocus_u_angstrom[1] += 3000
    assert two.subset(np.array([1])).at(FREQUENCIES)[0] == pytest.approx(two.at(FREQUENCIES)[1])
