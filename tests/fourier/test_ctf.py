"""The CTF, phase flipping and CTF amplitudes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spisonet.fourier.ctf import Microscope, ctf_amplitude, phase_flip


def test_curves_of_the_ctf():
    microscope = Microscope(10.0, 40000.0)
    transfer = microscope.ctf
    assert transfer[0] == pytest.approx(0.1)
    flip = phase_flip(microscope)
    assert (flip.values * transfer >= 0).all()
    kept = ctf_amplitude(microscope, keep_low=True, b_factor=0.0).values
    first_peak = int(np.argmax(transfer > 0.999))
    assert (kept[:first_peak] == 1).all()
    np.testing.assert_allclose(kept[first_peak + 20 :], np.abs(transfer[first_peak + 20 :]))
    damped = ctf_amplitude(microscope, keep_low=True, b_factor=200.0).values
    assert damped[-1] / kept[-1] == pytest.approx(math.exp(-200 * 0.05**2 / 4))
    assert phase_flip(Microscope(10.0, 40000.0, phase_flipped=True)) is None
