"""The view distribution and the SSNR estimated from two half maps."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.analysis.view_distribution import NODES_PER_EDGE, ViewLikelihood, fit_view_distribution
from spisonet.fourier.grids import distance_from_centre, frequency_axes_rfft, irfft3, radius_rfft, rfft3
from spisonet.fourier.shells import FIRST_SLICE_SHELL
from spisonet.geometry.sphere import AxisGrid
from spisonet.geometry.view_sampling import sampling_density
from tests.anisotropy.simulation import even_views, views_about_z

LAST_SHELL = 14


def simulate(
    n: int, views: np.ndarray, seed: int = 0, peak: float = 100.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two half maps of white signal with the noise that these views leave, and the true FSC."""
    rng = np.random.default_rng(seed)
    shape = (n, n, n)
    kz, ky, kx = (np.broadcast_to(k, (n, n, n // 2 + 1)) for k in frequency_axes_rfft(shape))
    radius = radius_rfft(shape)
    density = sampling_density(views, np.stack([kx, ky, kz], -1).reshape(-1, 3)).reshape(radius.shape)
    ssnr = peak * np.exp(-radius / 3) * density
    signal = rfft3(rng.normal(size=shape).astype(np.float32))
    halves = []
    for _ in range(2):
        noise = rfft3(rng.normal(size=shape).astype(np.float32)) / np.sqrt(np.maximum(ssnr, 1e-8))
        # Attenuated where little was measured, as a regularised reconstruction is.
        halves.append(irfft3(((signal + noise) * ssnr / (ssnr + 0.1)).astype(np.complex64), shape))
    return halves[0], halves[1], ssnr / (1 + ssnr)


def modelled_fsc(half1: np.ndarray, half2: np.ndarray, first_shell: int = FIRST_SLICE_SHELL) -> np.ndarray:
    ssnr = fit_view_distribution(rfft3(half1), rfft3(half2), first_shell, LAST_SHELL).ssnr_rfft(
        half1.shape[0]
    )
    return ssnr / (1 + ssnr)


@pytest.mark.parametrize("n", [36, 33])
def test_the_true_fsc_is_found_coefficient_by_coefficient(n):
    half1, half2, truth = simulate(n, views_about_z(8))
    found = modelled_fsc(half1, half2)
    radius = radius_rfft((n, n, n))
    band = (radius >= 4) & (radius <= LAST_SHELL)
    assert np.corrcoef(found[band], truth[band])[0, 1] > 0.97
    assert found[band & (truth < 0.01)].mean() < 0.03
    for low, high in ((0.1, 0.3), (0.3, 0.6), (0.6, 0.9), (0.9, 1.0)):
        members = band & (truth >= low) & (truth < high)
        assert found[members].mean() == pytest.approx(truth[members].mean(), abs=0.07)


def test_the_views_are_found():
    half1, half2, _ = simulate(36, views_about_z(8))
    model = fit_view_distribution(rfft3(half1), rfft3(half2), FIRST_SLICE_SHELL, LAST_SHELL)
    tilt = np.degrees(np.arccos(np.abs(model.directions[:, 2])))
    assert model.view_weights.sum() == pytest.approx(1)
    assert model.view_weights[tilt < 25].sum() > 0.95


def test_a_common_filter_changes_nothing():
    half1, half2, _ = simulate(32, views_about_z(10))
    _, _, kx = frequency_axes_rfft((32, 32, 32))
    # Down to 6 % of the power of measured directions; coefficients below 3 % count as empty.
    filtered = [irfft3(rfft3(half) * np.exp(-kx / 10), half.shape) for half in (half1, half2)]
    np.testing.assert_allclose(modelled_fsc(*filtered), modelled_fsc(half1, half2), atol=0.02)


def test_what_a_window_leaks_into_a_void_is_no_measurement():
    half1, half2, truth = simulate(36, views_about_z(8), peak=1e4)
    window = 0.5 + 0.5 * np.cos(np.pi * np.clip((distance_from_centre(36) - 13) / 5, 0, 1))
    windowed = [(half * window).astype(np.float32) for half in (half1, half2)]
    radius = radius_rfft((36, 36, 36))
    kz = np.abs(frequency_axes_rfft((36, 36, 36))[0])
    empty = (kz > 0.9 * radius) & (radius >= 8) & (radius <= LAST_SHELL)
    first, second = (rfft3(half)[empty] for half in windowed)
    assert np.vdot(first, second).real > 0.5 * np.sum(np.abs(first) ** 2)  # the half maps agree there
    found = modelled_fsc(*windowed)
    assert np.median(truth[empty]) < 0.01
    assert found[empty].mean() < 0.005
    assert found[(truth > 0.9) & (radius >= 4) & (radius <= LAST_SHELL)].mean() > 0.85


def test_noise_alone_knows_nothing():
    rng = np.random.default_rng(3)
    half1, half2 = (rng.normal(size=(32, 32, 32)).astype(np.float32) for _ in range(2))
    found = modelled_fsc(half1, half2)
    radius = radius_rfft((32, 32, 32))
    assert found[(radius >= 5) & (radius <= LAST_SHELL)].mean() < 0.05


def test_even_views_make_an_even_weight():
    half1, half2, truth = simulate(36, even_views(5000))
    found = modelled_fsc(half1, half2)
    radius = radius_rfft((36, 36, 36))
    band = (radius >= 5) & (radius <= LAST_SHELL)
    assert np.sqrt(np.mean((found[band] - truth[band]) ** 2)) < 0.08


def test_the_same_input_gives_the_same_model():
    half1, half2, _ = simulate(24, views_about_z(10))
    first, again = (
        fit_view_distribution(rfft3(half1), rfft3(half2), FIRST_SLICE_SHELL, 10) for _ in range(2)
    )
    np.testing.assert_array_equal(first.view_weights, again.view_weights)


def test_shells_of_a_common_reference_can_be_left_out():
    half1, half2, truth = simulate(36, views_about_z(8))
    radius = radius_rfft((36, 36, 36))
    common = np.where(radius < 4.5, rfft3(half1), rfft3(half2)).astype(np.complex64)
    found = modelled_fsc(half1, irfft3(common, half1.shape), first_shell=5)
    band = (radius >= 6) & (radius <= LAST_SHELL)
    assert np.corrcoef(found[band], truth[band])[0, 1] > 0.95


def test_gradients_agree_with_finite_differences():
    rng = np.random.default_rng(5)
    shells = np.repeat(np.arange(3, 13), 40)
    directions = rng.normal(size=(len(shells), 3))
    directions *= shells[:, None] / np.linalg.norm(directions, axis=1, keepdims=True)
    likelihood = ViewLikelihood(directions, rng.uniform(size=len(shells)), 3, 12)
    n_views = len(likelihood.directions)
    log_weights, log_ssnr = rng.normal(size=n_views), rng.normal(size=10)
    log_ssnr[0] = 20  # the FSC is at its limit, where the gradient is zero
    gradients = likelihood.gradients(log_weights, log_ssnr)
    step = 1e-5
    for number, size in ((0, n_views), (1, 10)):
        for index in rng.choice(size, 10, replace=False):
            change = np.zeros(size)
            change[index] = step
            moved = [
                [log_weights + s * change, log_ssnr] if number == 0 else [log_weights, log_ssnr + s * change]
                for s in (1, -1)
            ]
            slope = (likelihood.value(*moved[0]) - likelihood.value(*moved[1])) / (2 * step)
            assert gradients[number][index] == pytest.approx(slope, rel=1e-4, abs=1e-9)
    assert abs(gradients[1][0]) < 1e-12


def test_the_likelihood_is_the_density_of_the_ratio():
    frequencies = (
        5.0 * AxisGrid(NODES_PER_EDGE).directions[[0, 300, 800]]
    )  # between nodes the density is binned
    ratio = np.array([0.2, 0.7, 0.95])
    likelihood = ViewLikelihood(frequencies, ratio, 5, 5)
    n_views, log_ssnr = len(likelihood.directions), np.array([0.3])
    uniform = np.full(n_views, 1 / n_views)
    density = sampling_density(likelihood.directions, frequencies, uniform)
    ssnr = np.exp(log_ssnr) * density
    fsc = ssnr / (1 + ssnr)
    expected = 1 / (1 - fsc**2) / (ratio / (1 + fsc) + (1 - ratio) / (1 - fsc)) ** 2
    assert likelihood.value(np.zeros(n_views), log_ssnr) == pytest.approx(np.log(expected).mean(), rel=1e-3)
