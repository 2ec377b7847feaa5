"""The conical 3D FSC against its definition, and its symmetries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spisonet.fourier.conical_fsc import (
    ShellSamples,
    conical_fsc,
    conical_fsc_of_samples,
    directional_fsc,
    shell_samples,
)
from spisonet.fourier.grids import centred_from_half, half_from_centred, rfft3, shell_index_rfft
from spisonet.fourier.shells import fourier_shell_correlation

seeds = st.integers(0, 2**32 - 1)


def anisotropic_halves(n: int, seed: int = 0) -> list[np.ndarray]:
    """Two noisy halves whose signal is weak along z."""
    generator = np.random.default_rng(seed)
    axis = np.rint(np.fft.fftfreq(n) * n)
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis[: n // 2 + 1] ** 2)
    along_z = np.abs(axis[:, None, None]) / np.maximum(radius, 1)
    reach = 0.4 * n * (1 - 0.6 * along_z)
    signal = np.fft.rfftn(generator.standard_normal((n, n, n))) * np.exp(-((radius / reach) ** 2)) * 2
    common = np.fft.irfftn(signal, s=(n, n, n), axes=(0, 1, 2))
    return [(common + generator.standard_normal((n, n, n))).astype(np.float32) for _ in range(2)]


def brute_force(volume1: np.ndarray, volume2: np.ndarray, limit: int, cone_degrees: float) -> np.ndarray:
    """Conical FSC of every voxel of the whole spectrum, each counted once; a centred cube."""
    n = len(volume1)
    spectrum1, spectrum2 = (np.fft.fftshift(np.fft.fftn(volume)) for volume in (volume1, volume2))
    axis = np.arange(n) - n // 2
    frequency = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    radius = np.linalg.norm(frequency, axis=-1)
    cube = np.zeros((n, n, n))
    cube[n // 2, n // 2, n // 2] = 1
    for shell in range(1, limit + 1):
        inside = np.rint(radius) == shell
        direction = frequency[inside] / radius[inside][:, None]
        part1, part2 = spectrum1[inside], spectrum2[inside]
        member = (np.abs(direction @ direction.T) >= np.cos(np.deg2rad(cone_degrees)) - 1e-9).astype(float)
        power = (member @ np.abs(part1) ** 2) * (member @ np.abs(part2) ** 2)
        cube[inside] = (member @ (part1 * part2.conj()).real) / np.sqrt(power)
    return cube


@pytest.mark.parametrize("n", [32, 33])
@pytest.mark.parametrize("cone", [10.0, 20.0])
def test_agrees_with_brute_force_at_every_voxel(n: int, cone: float) -> None:
    halves = anisotropic_halves(n)
    # The even cube has Nyquist planes, of which a real filter can hold the Friedel mean only.
    expected = half_from_centred(brute_force(*halves, n // 2, cone).astype(np.float32))
    fsc = conical_fsc(rfft3(halves[0]), rfft3(halves[1]), n, n // 2, cone)
    assert fsc.shape == (n, n, n // 2 + 1)
    assert fsc.dtype == np.float32
    np.testing.assert_allclose(fsc, expected, atol=2e-3)


def test_written_cube_agrees_below_nyquist() -> None:
    n = 32
    halves = anisotropic_halves(n, seed=1)
    fsc = conical_fsc(rfft3(halves[0]), rfft3(halves[1]), n, n // 2 - 1)
    np.testing.assert_allclose(centred_from_half(fsc, n), brute_force(*halves, n // 2 - 1, 10), atol=2e-3)


@pytest.mark.parametrize(("cone", "root_mean_square"), [(10.0, 0.035), (25.0, 0.006), (60.0, 0.002)])
def test_binned_shells_stay_close_to_exact_ones(
    monkeypatch: pytest.MonkeyPatch, cone: float, root_mean_square: float
) -> None:
    n, limit = 64, 32
    spectra = [rfft3(half) for half in anisotropic_halves(n)]
    exact = conical_fsc(*spectra, n, limit, cone)
    monkeypatch.setattr("spisonet.fourier.conical_fsc.EXACT_SHELL", 20)
    binned = conical_fsc(*spectra, n, limit, cone, workers=2)
    shell = shell_index_rfft((n, n, n))
    compared = (shell > 20) & (shell <= limit)
    assert np.sqrt(np.mean((binned - exact)[compared] ** 2)) < root_mean_square
    np.testing.assert_array_equal(binned[shell <= 20], exact[shell <= 20])


def test_widest_cones_give_the_global_fsc(monkeypatch: pytest.MonkeyPatch) -> None:
    n = 24
    spectra = [rfft3(half) for half in anisotropic_halves(n)]
    expected = fourier_shell_correlation(*spectra, n)
    shell = shell_index_rfft((n, n, n))
    for exact_shell in (32, 4):
        monkeypatch.setattr("spisonet.fourier.conical_fsc.EXACT_SHELL", exact_shell)
        fsc = conical_fsc(*spectra, n, n // 2, 90.0)
        np.testing.assert_allclose(fsc[shell <= n // 2], expected[shell[shell <= n // 2]], atol=1e-4)


@pytest.mark.parametrize("exact_shell", [32, 5])
def test_curves_agree_with_the_volume(monkeypatch: pytest.MonkeyPatch, exact_shell: int) -> None:
    monkeypatch.setattr("spisonet.fourier.conical_fsc.EXACT_SHELL", exact_shell)
    n, limit = 40, 18
    spectra = [rfft3(half) for half in anisotropic_halves(n)]
    samples = shell_samples(*spectra, n, limit)
    fsc = conical_fsc_of_samples(samples, n, limit, 30.0)
    axes = np.eye(3)
    curves = directional_fsc(samples, np.concatenate([axes, -axes]), (30.0, 45.0), workers=2)
    assert curves.shape == (2, 6, limit + 1)
    np.testing.assert_allclose(curves[:, :3], curves[:, 3:], atol=0.06 if exact_shell == 5 else 1e-6)
    # From shell 6 on a cone of 30 degrees holds more than the fewest voxels allowed.
    on_axes = np.stack([fsc[: limit + 1, 0, 0], fsc[0, : limit + 1, 0], fsc[0, 0, : limit + 1]])
    np.testing.assert_allclose(curves[0, :3, 7:], on_axes[:, 7:], atol=0.03 if exact_shell == 5 else 1e-5)


@given(n=st.integers(8, 20), seed=seeds, cone=st.floats(5, 60))
@settings(max_examples=15, deadline=None)
def test_a_map_with_itself_gives_one(n: int, seed: int, cone: float) -> None:
    spectrum = rfft3(np.random.default_rng(seed).standard_normal((n, n, n), dtype=np.float32))
    fsc = conical_fsc(spectrum, spectrum, n, n // 2, cone)
    inside = shell_index_rfft((n, n, n)) <= n // 2
    np.testing.assert_allclose(fsc[inside], 1, atol=1e-5)
    assert not np.any(fsc[~inside])


@given(n=st.integers(8, 20), seed=seeds, scale=st.floats(1e-12, 1e12))
@settings(max_examples=15, deadline=None)
def test_symmetries(n: int, seed: int, scale: float) -> None:
    generator = np.random.default_rng(seed)
    half1, half2 = (rfft3(generator.standard_normal((n, n, n), dtype=np.float32)) for _ in range(2))
    fsc = conical_fsc(half1, half2, n, n // 2)
    assert np.all(np.abs(fsc) <= 1)
    np.testing.assert_allclose(conical_fsc(half2, half1, n, n // 2), fsc, atol=1e-5)
    np.testing.assert_allclose(conical_fsc(half1 * np.float32(scale), half2, n, n // 2), fsc, atol=1e-4)
    np.testing.assert_allclose(half_from_centred(centred_from_half(fsc, n)), fsc, atol=1e-6)


def test_zero_power_gives_zero() -> None:
    n = 16
    spectrum = rfft3(np.random.default_rng(0).standard_normal((n, n, n), dtype=np.float32))
    spectrum[shell_index_rfft((n, n, n)) == 4] = 0
    fsc = conical_fsc(spectrum, spectrum, n, 8)
    assert not np.any(fsc[shell_index_rfft((n, n, n)) == 4])


def test_threads_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spisonet.fourier.conical_fsc.EXACT_SHELL", 8)
    n = 36
    spectra = [rfft3(half) for half in anisotropic_halves(n)]
    np.testing.assert_array_equal(
        conical_fsc(*spectra, n, 18, workers=1), conical_fsc(*spectra, n, 18, workers=3)
    )


@pytest.mark.parametrize("limit_shell", [30, 900, 1300])
def test_frequencies_of_large_boxes_do_not_overflow(limit_shell: int) -> None:
    """The odd box has up to 2**31, 2**32 and more voxels."""
    shape = (2 * limit_shell + 1, 2 * limit_shell + 1, limit_shell + 1)
    places = [(0, 0, 3), (limit_shell, 5, 7), (2 * limit_shell, 2 * limit_shell, limit_shell)]
    index = np.ravel_multi_index(tuple(zip(*places, strict=True)), shape).astype(np.uint64)
    nothing = np.zeros(0)
    samples = ShellSamples(limit_shell, index, nothing, nothing, nothing)
    expected = [(0, 0, 3), (limit_shell, 5, 7), (-1, -1, limit_shell)]
    assert samples.frequencies(slice(None)).T.tolist() == [list(place) for place in expected]
