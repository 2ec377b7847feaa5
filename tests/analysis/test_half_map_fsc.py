"""The FSC of half maps inside a mask."""

import numpy as np
import pytest

from spisonet.analysis.half_map_fsc import masked_fsc
from spisonet.fourier.grids import irfft3, radius_rfft, rfft3
from spisonet.fourier.shells import fourier_shell_correlation
from spisonet.fourier.windows import soft_sphere

N = 32
MASK = soft_sphere(N, 7, 0)  # its sharp edge correlates noise next to shells with signal


@pytest.fixture(scope="module")
def halves():
    """Return two half maps with signal within 4 shells, and independent noise."""
    rng = np.random.default_rng(0)
    spectrum = rfft3(rng.standard_normal((N, N, N), dtype=np.float32)) * (radius_rfft((N, N, N)) < 3.5)
    signal = 10 * irfft3(spectrum.astype(np.complex64), (N, N, N))
    return [signal + rng.standard_normal((N, N, N), dtype=np.float32) for _ in range(2)]


def test_the_correction_removes_the_correlation_by_the_mask(halves):
    found = masked_fsc(halves, MASK, phase_seed=0)
    spectra = [rfft3(half * MASK) for half in halves]
    np.testing.assert_array_equal(found.uncorrected, fourier_shell_correlation(*spectra, N))
    first = found.first_corrected_shell
    assert first == found.randomised_from_shell + 2 == 6
    np.testing.assert_array_equal(found.fsc[:first], found.uncorrected[:first])
    assert found.uncorrected[first:12].mean() > 0.2
    assert abs(found.fsc[first:12].mean()) < 0.1
    assert found.spectra == found.randomised_spectra == []


def test_the_seed_decides_and_no_seed_means_no_correction(halves):
    first, again, other = (masked_fsc(halves, MASK, seed).fsc for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    plain = masked_fsc(halves, MASK, None)
    np.testing.assert_array_equal(plain.fsc, plain.uncorrected)
    assert plain.first_corrected_shell is None


def test_without_a_mask_nothing_is_corrected_and_spectra_are_kept_on_request(halves):
    found = masked_fsc(halves, None, phase_seed=0, keep_spectra=True)
    assert found.randomised_from_shell is None
    np.testing.assert_array_equal(found.fsc, found.uncorrected)
    for spectrum, half in zip(found.spectra, halves, strict=True):
        np.testing.assert_array_equal(spectrum, rfft3(half))
