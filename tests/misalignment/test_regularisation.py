"""One iteration's regularisation: what it adds, what it keeps, what it never does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spisonet.fourier.grids import radius_rfft, rfft3
from spisonet.learning.memory import Memory
from spisonet.learning.training_config import TrainingConfig
from spisonet.misalignment.anisotropy_check import check_anisotropy
from spisonet.misalignment.backprojection import BackProjector
from spisonet.misalignment.prior import Prior, spherical_mask, symmetrised
from spisonet.misalignment.regularisation import directional_amplitude_equalisation, regularise
from spisonet.misalignment.settings import MisalignmentSettings
from tests.misalignment.sums import blob_map, sums_of_map, uneven_weight

BOX, LAST = 32, 13
MEMORY = Memory(torch.device("cpu"))


def training_config(epochs: int = 0) -> TrainingConfig:
    return TrainingConfig("self-training", epochs, 8, 16, 4, 1, 0, None, None, None, 1.0, 0.5)


def noisy(sums: BackProjector, seed: int, share: float = 0.02) -> BackProjector:
    rng = np.random.default_rng(seed)
    shape = sums.data_rfft.shape
    noise = rfft3(rng.normal(size=(BOX,) * 3).astype(np.float32)) / BOX**1.5
    scale = share * np.abs(sums.data_rfft[radius_rfft((BOX,) * 3) < 6]).mean()
    spread = scale * np.sqrt(sums.weight_rfft / sums.weight_rfft.max())
    data = sums.data_rfft + (noise * spread).reshape(shape)
    return BackProjector(data, sums.weight_rfft, sums.tau2, sums.box, sums.padding, sums.last_shell)


def case(opening: float = 35.0, weak: float = 0.02) -> BackProjector:
    return noisy(sums_of_map(blob_map(BOX), 1, LAST, uneven_weight(BOX, opening, weak=weak), tau2=1.0), 1)


def corrected(sums, prior=None, epochs=0, halves=None, **choices):
    settings = MisalignmentSettings(**choices)
    assessment = check_anisotropy(sums, np.ones(BOX // 2 + 1), 4.0)
    prior = prior or Prior(spherical_mask(BOX, 24.0))
    return regularise(halves or [sums], assessment, 4.0, prior, settings, training_config(epochs), MEMORY)


def shares(volume: np.ndarray, truth: np.ndarray, where: np.ndarray) -> tuple[float, float]:
    """Correlation with the truth and power relative to it, of some coefficients."""
    a, b = (rfft3(v.astype(np.float32))[where] for v in (volume, truth))
    power = (np.abs(a) ** 2).sum() / (np.abs(b) ** 2).sum()
    return float(np.real(np.vdot(b, a)) / np.sqrt((np.abs(a) ** 2).sum() * (np.abs(b) ** 2).sum())), power


def hidden_coefficients(sums: BackProjector) -> np.ndarray:
    radius = radius_rfft((BOX,) * 3)
    return (sums.weight_rfft < 1) & (radius > 3) & (radius < 9)


def test_the_hidden_cone_is_filled_towards_the_truth():
    sums, truth = case(), blob_map(BOX)
    hidden = hidden_coefficients(sums)
    before = shares(sums.reconstruct(), truth, hidden)
    (found,) = corrected(sums)
    after = shares(found.reference, truth, hidden)
    assert after[0] > before[0] + 0.05
    assert after[1] > 2 * before[1]
    assert 0 < found.inferred_share < 1
    assert found.inferred_angle_degrees < 45


def test_what_is_measured_stays_in_relions_scale():
    sums = case()
    measured = (sums.weight_rfft > 1) & (radius_rfft((BOX,) * 3) < 9) & (radius_rfft((BOX,) * 3) > 3)
    (found,) = corrected(sums)
    correlation, power = shares(found.reference, sums.reconstruct(), measured)
    assert correlation > 0.97
    assert power == pytest.approx(1, abs=0.1)


def test_a_network_learns_and_its_weights_come_back():
    (found,) = corrected(case(), epochs=2)
    assert len(found.losses) == 2
    assert np.isfinite(found.reference).all()
    fresh, warm = (
        regularise(
            [case()],
            check_anisotropy(case(), np.ones(17), 4.0),
            4.0,
            Prior(spherical_mask(BOX, 24.0)),
            MisalignmentSettings(),
            training_config(1),
            MEMORY,
            start,
        )[0]
        for start in (None, found.network)
    )
    assert warm.losses[0] != fresh.losses[0]


def test_each_half_comes_from_its_own_data():
    one, two = (noisy(case(), seed, 0.05) for seed in (5, 6))
    alone = corrected(one)[0].reference
    again = corrected(one)[0].reference
    other = corrected(two)[0].reference
    assert np.array_equal(alone, again)
    assert not np.allclose(alone, other)


def test_joint_work_gives_a_reference_for_each_half():
    halves = [noisy(case(), seed, 0.05) for seed in (5, 6)]
    found = corrected(halves[0], halves=halves, epochs=1)
    assert len(found) == 2
    assert not np.allclose(found[0].reference, found[1].reference)


def test_low_resolutions_are_those_of_the_initial_map():
    truth, sums = blob_map(BOX), noisy(case(), 3, 0.5)
    mask = spherical_mask(BOX, 24.0)
    low = (radius_rfft((BOX,) * 3) < 3) & (radius_rfft((BOX,) * 3) > 0)
    prior = Prior(mask, initial_map=truth, initial_resolution_angstrom=4 * BOX / 6)
    (kept,) = corrected(sums, prior, angular_whiten=False)
    (free,) = corrected(sums, angular_whiten=False)
    assert shares(kept.reference, truth, low)[0] > shares(free.reference, truth, low)[0]
    assert shares(kept.reference, truth, low)[0] > 0.98


def test_lowpass_and_weighting_act_on_the_shells():
    sums = case()
    sums.tau2[6:] = 0.02
    (weighted,) = corrected(sums)
    (bare,) = corrected(sums, fsc_weighting=False)
    (cut,) = corrected(sums, lowpass=True)
    radius = radius_rfft((BOX,) * 3)
    power = [np.abs(rfft3(r.reference)[(radius > 7) & (radius < 10)]).mean() for r in (weighted, bare)]
    assert power[1] > 1.2 * power[0]
    limit = check_anisotropy(sums, np.ones(17), 4.0).limit_shell
    assert np.abs(rfft3(cut.reference)[radius > limit + 1]).max() < 1e-3 * np.abs(rfft3(cut.reference)).max()


def test_whitening_flattens_the_shells_beyond_its_edge():
    sums = case()
    (flat,) = corrected(sums, whitening=True, whitening_low=128 / 5, angular_whiten=False)
    radius = radius_rfft((BOX,) * 3)
    near, far = (np.abs(rfft3(flat.reference)[np.rint(radius) == shell]).mean() for shell in (5, 9))
    plain = rfft3(sums.reconstruct())
    was = np.abs(plain[np.rint(radius) == 9]).mean() / np.abs(plain[np.rint(radius) == 5]).mean()
    assert far / near > 1.5 * was


def test_weights_may_come_from_the_views():
    views = np.array([[0, 0, 1.0]] * 20 + [[0.2, 0, 0.98]] * 20 + [[0, 0.2, 0.98]] * 20)
    views /= np.linalg.norm(views, axis=1, keepdims=True)
    (found,) = corrected(case(), Prior(spherical_mask(BOX, 24.0), views=views), **{"3dfsd": True})
    assert np.isfinite(found.reference).all()
    assert found.hidden_share > 0.1


def test_lifting_makes_directions_equal_and_leaves_the_measured_level():
    volume = case().reconstruct()
    weight = case().measurement_weight()
    lifted = directional_amplitude_equalisation(volume, weight, 4.0, 10)
    hidden = hidden_coefficients(case())
    measured = (case().weight_rfft > 1) & (radius_rfft((BOX,) * 3) > 4) & (radius_rfft((BOX,) * 3) < 9)
    assert shares(lifted, volume, hidden)[1] > 1.5
    assert shares(lifted, volume, measured)[1] == pytest.approx(1, abs=0.15)


def test_symmetrising_keeps_a_symmetric_map_and_makes_one():
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    lobe = np.exp(-((x - 6) ** 2 + y**2 + (z - 2) ** 2) / 8).astype(np.float32)
    three = symmetrised(lobe, "C3")
    assert three.sum() == pytest.approx(lobe.sum(), rel=1e-3)
    assert np.abs(symmetrised(three, "C3") - three).max() < 0.02 * three.max()
    assert symmetrised(lobe, "C1") is lobe
    turned = three[BOX // 2 + 2, BOX // 2 + round(6 * np.sin(2 * np.pi / 3)), BOX // 2 - 3]
    assert turned == pytest.approx(three[BOX // 2 + 2, BOX // 2, BOX // 2 + 6], rel=0.1)


def test_the_spherical_mask_is_soft_and_of_the_diameter():
    mask = spherical_mask(BOX, 20.0)
    profile = mask[BOX // 2, BOX // 2, BOX // 2 :]
    assert profile[0] == 1
    assert profile[10:].max() < 0.01
    assert (np.diff(profile) <= 1e-6).all()
