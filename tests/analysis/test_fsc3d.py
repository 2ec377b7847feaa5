"""The 3D FSC of two half maps, and its correction for a mask."""

import numpy as np
import pytest

from spisonet.analysis.fsc3d import Fsc3d, estimate_directional_fsc, estimate_fsc3d, summarise_fsc3d
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import irfft3, radius_rfft, rfft3, shell_index_rfft
from spisonet.geometry.sphere import geodesic_sphere

BOX, VOXEL_SIZE = 32, 1.5


def make_halves(weight_rfft: np.ndarray, n: int = BOX, seed: int = 0) -> list[np.ndarray]:
    """Two halves: common signal of power `weight_rfft` and white noise of power 1 in each."""
    generator = np.random.default_rng(seed)
    shape = (n, n, n)
    signal = rfft3(generator.standard_normal(shape, dtype=np.float32)) * np.sqrt(weight_rfft)
    common = irfft3(signal.astype(np.complex64), shape)
    return [common + generator.standard_normal(shape, dtype=np.float32) for _ in range(2)]


def isotropic_power(n: int = BOX, reach: float = 9.0) -> np.ndarray:
    return (200 / (1 + np.exp((radius_rfft((n, n, n)) - reach) / 0.7))).astype(np.float32)


def anisotropic_power(n: int = BOX) -> np.ndarray:
    """Signal within 12 shells, but within 6 shells in cones of 35 degrees around z.

    The edge is soft: the FSC falls to 0.143 some 3.5 shells further.
    """
    radius = radius_rfft((n, n, n))
    kz = np.abs(np.rint(np.fft.fftfreq(n) * n))[:, None, None]
    reach = np.where(kz > np.cos(np.deg2rad(35)) * radius, 6, 12)
    return (200 / (1 + np.exp((radius - reach) / 0.5))).astype(np.float32)


def estimate(halves: list[np.ndarray]) -> Fsc3d:
    return estimate_fsc3d(halves[0], halves[1], None, VOXEL_SIZE, None, 20.0, 2)


def sphere(radius: float, edge: float = 0.0) -> np.ndarray:
    axis = np.arange(BOX) - BOX // 2
    distance = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    return np.clip((radius - distance) / max(edge, 1e-6), 0, 1).astype(np.float32)


def test_isotropic_halves_are_reported_as_isotropic() -> None:
    metrics = summarise_fsc3d(estimate(make_halves(isotropic_power())))
    assert metrics.sphericity > 0.97
    assert metrics.cfar > 0.88
    assert metrics.resolution_0143.is_reached
    median = metrics.directional_0143.median
    assert metrics.resolution_0143.angstrom == pytest.approx(median.angstrom, rel=0.05)


def test_anisotropic_halves_are_reported_with_their_axis() -> None:
    fsc3d = estimate(make_halves(anisotropic_power()))
    metrics = summarise_fsc3d(fsc3d)
    assert metrics.cfar < 0.7
    assert metrics.sphericity < 0.95
    along_z = np.abs(geodesic_sphere().axes_zyx[:, 0])
    resolution = metrics.directional_0143.angstrom
    box_angstrom = BOX * VOXEL_SIZE
    assert np.median(resolution[along_z > 0.95]) == pytest.approx(box_angstrom / 9.5, rel=0.1)
    assert np.median(resolution[along_z < 0.5]) == pytest.approx(box_angstrom / 15.5, rel=0.1)
    assert fsc3d.fsc_rfft[9, 0, 0] < 0.4
    assert fsc3d.fsc_rfft[0, 0, 9] > 0.8


def test_limit_is_where_the_global_fsc_falls() -> None:
    fsc3d = estimate(make_halves(isotropic_power(reach=8.0)))
    shell = shell_index_rfft((BOX,) * 3)
    assert 8 <= fsc3d.limit_shell <= 13
    assert not np.any(fsc3d.fsc_rfft[shell > fsc3d.limit_shell])
    assert fsc3d.limit_resolution_angstrom == pytest.approx(BOX * VOXEL_SIZE / fsc3d.limit_shell)


def test_halves_that_do_not_correlate_are_refused() -> None:
    generator = np.random.default_rng(0)
    noise = [generator.standard_normal((BOX,) * 3, dtype=np.float32) for _ in range(2)]
    with pytest.raises(SpisonetError, match=r"falls below 0\.143"):
        estimate(noise)


def test_phase_randomisation_lowers_the_fsc_of_a_sharp_mask() -> None:
    mask = sphere(8)
    power = np.where(radius_rfft((BOX,) * 3) < 3.5, 100, 0).astype(np.float32)
    half1, half2 = make_halves(power)
    limit = BOX * VOXEL_SIZE / 12
    plain = estimate_fsc3d(half1, half2, mask, VOXEL_SIZE, limit, 25.0, 2, phase_seed=None)
    corrected = estimate_fsc3d(half1, half2, mask, VOXEL_SIZE, limit, 25.0, 2, phase_seed=1)
    beyond = slice(6, 13)
    assert corrected.randomised_from_shell == 4
    assert plain.global_fsc[beyond].mean() > 0.2
    assert abs(corrected.global_fsc[beyond].mean()) < 0.1
    np.testing.assert_array_equal(corrected.global_fsc[:6], plain.global_fsc[:6])
    shell = shell_index_rfft((BOX,) * 3)
    fine = (shell >= 6) & (shell <= 12)
    # Cones hold few voxels of the small mask's shells, so single values are noisy.
    assert plain.fsc_rfft[fine].mean() > 0.1
    assert corrected.fsc_rfft[fine].mean() < 0.5 * plain.fsc_rfft[fine].mean()
    assert corrected.directional_curves[:, beyond].mean() < plain.directional_curves[:, beyond].mean() - 0.15
    np.testing.assert_array_equal(corrected.directional_curves_uncorrected, plain.directional_curves)
    assert (corrected.directional_curves >= np.minimum(plain.directional_curves, 0)).all()


def halves_with_an_empty_cone() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half maps of a particle in a mask without any power within 55 degrees of z, as after regularisation."""
    particle = sphere(9, 3) * make_halves(np.full((BOX, BOX, BOX // 2 + 1), 30.0, np.float32))[0]
    radius = np.maximum(radius_rfft((BOX,) * 3), 1e-6)
    kz = np.abs(np.rint(np.fft.fftfreq(BOX) * BOX))[:, None, None]
    measured = (kz < np.cos(np.deg2rad(55)) * radius) | (radius < 2)
    generator = np.random.default_rng(5)
    halves = [particle + generator.standard_normal((BOX,) * 3) for _ in range(2)]
    empty = [irfft3(rfft3(half.astype(np.float32)) * measured, half.shape) for half in halves]
    return empty[0], empty[1], sphere(10, 2)


def test_an_empty_cone_that_the_mask_fills_has_no_fsc() -> None:
    half1, half2, mask = halves_with_an_empty_cone()
    fsc3d = estimate_fsc3d(half1, half2, mask, VOXEL_SIZE, 2 * VOXEL_SIZE, 15.0, 2)
    along_z = np.abs(geodesic_sphere().axes_zyx[:, 0])
    fine = slice(6, 16)
    leaked = fsc3d.directional_curves_uncorrected[along_z > 0.97, fine]
    assert leaked.mean() > 0.5  # the mask spreads the same signal into the cone of both halves
    assert np.abs(fsc3d.directional_curves[along_z > 0.97, fine]).mean() < 0.1
    assert fsc3d.fsc_rfft[fine, 0, 0].mean() < 0.1
    across = along_z < 0.2
    before, after = (
        curves[across, fine].mean()
        for curves in (fsc3d.directional_curves_uncorrected, fsc3d.directional_curves)
    )
    assert after == pytest.approx(before, abs=0.03)
    assert summarise_fsc3d(fsc3d).directional_0143.worst.angstrom > BOX * VOXEL_SIZE / 6


def test_a_given_limit_ends_every_curve_and_a_measured_one_does_not() -> None:
    half1, half2 = make_halves(isotropic_power(reach=10.5))
    limit = BOX * VOXEL_SIZE / 9.6
    given = estimate_directional_fsc(half1, half2, None, VOXEL_SIZE, limit, 2)
    assert given.limit_shell == 9  # no shell is finer than the limit
    assert given.directional_curves.shape[1] == len(given.global_fsc) == 10
    metrics = summarise_fsc3d(given)
    assert str(metrics.resolution_0143) == f"not reached to the limit of {BOX * VOXEL_SIZE / 9:.2f} Å"
    assert metrics.directional_0143.best.number is None
    beyond = estimate_directional_fsc(half1, half2, None, VOXEL_SIZE, limit, 2, beyond_limit=True)
    assert len(beyond.global_fsc) == BOX // 2 + 1
    np.testing.assert_allclose(beyond.directional_curves[:, :10], given.directional_curves, atol=1e-6)
    measured = summarise_fsc3d(estimate_directional_fsc(half1, half2, None, VOXEL_SIZE, None, 2))
    assert measured.resolution_0143.is_reached


def test_phases_that_are_nowhere_randomised_have_no_resolution() -> None:
    half1, half2 = make_halves(np.full((BOX, BOX, BOX // 2 + 1), 1e4, np.float32))
    found = estimate_directional_fsc(half1, half2, sphere(10, 2), VOXEL_SIZE, None, 2)
    assert found.randomised_from_angstrom is None
    assert str(summarise_fsc3d(found).resolution_05) == f"not reached (Nyquist {2 * VOXEL_SIZE:.2f} Å)"
