"""The 3D FSC of two half maps, and its correction for a mask."""

import numpy as np
import pytest

from spisonet.analysis.fsc3d import Fsc3d, estimate_fsc3d, summarise_fsc3d
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


def estimate(halves: list[np.ndarray], cone: float = 20.0) -> Fsc3d:
    return estimate_fsc3d(halves[0], halves[1], None, VOXEL_SIZE, None, cone, 2)


def test_isotropic_halves_are_reported_as_isotropic() -> None:
    metrics = summarise_fsc3d(estimate(make_halves(isotropic_power())))
    assert metrics.sphericity > 0.97
    assert metrics.cfar > 0.88
    assert metrics.resolution_0143_angstrom == pytest.approx(
        np.median(metrics.directional_0143_angstrom), rel=0.05
    )


def test_anisotropic_halves_are_reported_with_their_axis() -> None:
    fsc3d = estimate(make_halves(anisotropic_power()))
    metrics = summarise_fsc3d(fsc3d)
    assert metrics.cfar < 0.7
    assert metrics.sphericity < 0.95
    along_z = np.abs(geodesic_sphere().axes_zyx[:, 0])
    resolution = metrics.directional_0143_angstrom
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
    axis = np.arange(BOX) - BOX // 2
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    mask = (radius < 8).astype(np.float32)
    power = np.where(radius_rfft((BOX,) * 3) < 3.5, 100, 0).astype(np.float32)
    half1, half2 = make_halves(power)
    limit = BOX * VOXEL_SIZE / 12
    plain = estimate_fsc3d(half1, half2, mask, VOXEL_SIZE, limit, 25.0, 2)
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
