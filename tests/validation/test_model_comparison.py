"""Agreement of maps with an atomic model."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.io.mrc import Volume
from spisonet.validation.model import model_density, read_model
from spisonet.validation.model_comparison import compare_with_model

pytest.importorskip("gemmi")
from tests.validation.helix import BOX, VOXEL_SIZE, empty, write_helix


@pytest.fixture
def helix(tmp_path):
    return read_model(write_helix(tmp_path / "helix.cif"))


def test_agreement_is_perfect_with_the_models_own_map_and_lower_with_an_anisotropic_one(helix):
    density = model_density(helix, empty())
    volume = Volume(density, VOXEL_SIZE)
    own = compare_with_model(volume, helix, density, None, 3.5, 1)
    assert own.mean_fsc == pytest.approx(1, abs=1e-4)
    # Smeared along z, as views along z alone leave it.
    spectrum = np.fft.fftn(density)
    k = np.fft.fftfreq(BOX)
    spectrum[np.abs(k) > 0.1] *= 0.02
    rng = np.random.default_rng(0)
    noisy = np.fft.ifftn(spectrum).real + 0.05 * density.std() * rng.normal(size=density.shape)
    smeared = compare_with_model(Volume(noisy.astype(np.float32), VOXEL_SIZE), helix, density, None, 3.5, 1)
    assert smeared.mean_fsc < own.mean_fsc
    assert smeared.directional_05.worst.angstrom > 2 * smeared.directional_05.best.angstrom
    assert smeared.q_scores.mean() < own.q_scores.mean() - 0.1
