"""Phase randomisation and the correction of the FSC for a mask."""

import numpy as np
import pytest

from spisonet.fourier.grids import irfft3, rfft3, shell_index_rfft
from spisonet.fourier.phase_randomisation import corrected_fsc, randomisation_shell, randomise_phases
from spisonet.fourier.shells import fourier_shell_correlation


@pytest.mark.parametrize("n", [24, 25])
def test_randomised_phases_keep_amplitudes_and_low_shells(n: int) -> None:
    volume = np.random.default_rng(0).standard_normal((n, n, n), dtype=np.float32)
    randomised = randomise_phases(volume, 5, np.random.default_rng(1))
    before, after = rfft3(volume), rfft3(randomised)
    np.testing.assert_allclose(np.abs(after), np.abs(before), rtol=1e-3, atol=1e-2)
    shell = shell_index_rfft((n, n, n))
    np.testing.assert_allclose(after[shell < 5], before[shell < 5], rtol=1e-3, atol=1e-3)
    fsc = fourier_shell_correlation(before, after, n)
    assert np.abs(fsc[6:]).max() < 0.2


def test_phase_randomisation_removes_what_the_mask_causes() -> None:
    n = 48
    generator = np.random.default_rng(4)
    axis = np.arange(n) - n // 2
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    mask = (radius < 10).astype(np.float32)  # its sharp edge spreads the low shells over the others
    common = rfft3(generator.standard_normal((n, n, n), dtype=np.float32))
    common[shell_index_rfft((n, n, n)) > 3] = 0
    noise = [generator.standard_normal((n, n, n), dtype=np.float32) for _ in range(2)]
    halves = [12 * irfft3(common, (n, n, n)) + part for part in noise]
    from_shell = randomisation_shell(fourier_shell_correlation(*(rfft3(half) for half in halves), n))
    assert from_shell == 4
    masked = fourier_shell_correlation(*(rfft3(half * mask) for half in halves), n)
    random = fourier_shell_correlation(
        *(rfft3(mask * randomise_phases(half, from_shell, generator)) for half in halves), n
    )
    corrected = corrected_fsc(masked, random)
    assert masked[6:10].min() > 0.15
    assert abs(corrected[6:20].mean()) < 0.05
    np.testing.assert_allclose(corrected[6:20], 0, atol=0.25)


def test_correction_formula() -> None:
    corrected = corrected_fsc(np.array([0.6, 0.5, 0.1]), np.array([0.2, -0.3, 1.0]))
    np.testing.assert_allclose(corrected, [0.5, 0.5, -1.0], atol=1e-6)
