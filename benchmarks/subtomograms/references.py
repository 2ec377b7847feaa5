"""References of one iteration of a refinement of subtomograms, made from the accumulators of a half set.

Each arm of ``run.py`` replaces the maximum a posteriori map (RELION's reference) by one of these in every
iteration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.fourier.filters import shell_curve_to_rfft
from spisonet.fourier.grids import irfft3, rfft3
from spisonet.fourier.shells import shell_counts, shell_sums
from spisonet.learning.memory import Memory
from spisonet.learning.training_config import TrainingConfig, fitting_cube_size
from spisonet.misalignment.regularisation import regularise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.misalignment.anisotropy_check import AnisotropyCheck
    from spisonet.misalignment.backprojection import BackProjector
    from spisonet.misalignment.prior import Prior
    from spisonet.misalignment.settings import MisalignmentSettings

NETWORK = {"epochs": 1, "n_subvolume": 80, "filter_base": 8, "cube_size": 16, "batch_size": 8}
MEASURED_FRACTION = 0.5  # of the mean weight of a shell, from which on a coefficient is called measured


@dataclass(frozen=True)
class HalfSet:
    """Accumulators of a half set in one iteration.

    Attributes
    ----------
    back_projector : BackProjector
        The accumulators.
    fsc : ndarray
        ``(box // 2 + 1,)`` of the half maps.
    check : AnisotropyCheck
        Resolution and signal.
    voxel_size_angstrom : float
        Voxel size of the map.
    prior : Prior
        Mask and symmetry.
    settings : MisalignmentSettings
        Of the hook.
    seed : int
        Of the training.
    truth : ndarray
        ``(n, n, n)`` true density.
    """

    back_projector: BackProjector
    fsc: NDArray[np.float64]
    check: AnisotropyCheck
    voxel_size_angstrom: float
    prior: Prior
    settings: MisalignmentSettings
    seed: int
    truth: NDArray[np.float32]

    @property
    def box(self) -> int:
        """Edge of the map in voxels."""
        return self.back_projector.box


def maximum_a_posteriori(half: HalfSet) -> NDArray[np.float32]:
    """Return RELION's reference."""
    return half.back_projector.reconstruct()


def corrected(half: HalfSet, epochs: int = 0) -> NDArray[np.float32]:
    """Return the reference of the hook: constraints, and a network if there are epochs."""
    settings = half.settings.model_copy(update=NETWORK | {"epochs": epochs})
    cube_size = fitting_cube_size(settings.cube_size, half.box)
    config = TrainingConfig.from_options(settings, cube_size=cube_size, seed=half.seed)
    memory = Memory(torch.device("cpu"), None)
    arguments = half.check, half.voxel_size_angstrom, half.prior, settings, config, memory
    return regularise([half.back_projector], *arguments)[0].reference


def with_network(half: HalfSet) -> NDArray[np.float32]:
    """Return the reference of the hook with a small network, trained for one epoch."""
    return corrected(half, epochs=1)


def filled(half: HalfSet) -> NDArray[np.float32]:
    """Return RELION's map, with the coefficients of low weight taken from the constraints."""
    return _combined(half, in_measured=False)


def denoised(half: HalfSet) -> NDArray[np.float32]:
    """Return the map under the constraints in measured directions, and RELION's in the others."""
    return _combined(half, in_measured=True)


def fsc_weighted(half: HalfSet) -> NDArray[np.float32]:
    """Return RELION's map, weighted once more by the estimated correlation of its shells with the truth."""
    fsc = np.clip(half.fsc, 0, 1)
    weight = shell_curve_to_rfft(np.sqrt(2 * fsc / (1 + fsc)), half.box)
    return _map(rfft3(half.back_projector.reconstruct()) * weight, half.box)


def filled_with_truth(half: HalfSet) -> NDArray[np.float32]:
    """Return RELION's map, with what the weights attenuate added from the truth; its noise is kept."""
    own, weight, level, scale = _signal(half)
    added = np.maximum(level - weight, 0) * scale * rfft3(half.truth)
    return _map(own + added, half.box)


def truth_reference(half: HalfSet) -> NDArray[np.float32]:
    """Return the truth, with the weight of each shell that the best measured directions have."""
    _, _, level, scale = _signal(half)
    return _map(level * scale * rfft3(half.truth), half.box)


def _signal(half: HalfSet) -> tuple[NDArray[np.complex64], NDArray[np.float32], NDArray[np.float32], float]:
    """Return the spectrum of RELION's map, its data weight, that of the best directions, and its scale."""
    n = half.box
    own, true = rfft3(half.back_projector.reconstruct()), rfft3(half.truth)
    weight = half.back_projector.data_weight_rfft()
    inside = slice(1, half.check.limit_shell + 1)
    cross = shell_sums(weight * (own * true.conj()).real, n)[inside].sum()
    power = shell_sums(weight**2 * np.abs(true) ** 2, n)[inside].sum()
    # The map is the weight times the signal; the mean of the upper half is that of measured directions.
    mean = shell_curve_to_rfft(shell_sums(weight, n) / shell_counts(n), n)
    upper = weight >= mean
    sums, counts = (shell_sums(np.where(upper, values, 0.0), n) for values in (weight, 1.0))
    level = shell_curve_to_rfft(sums / np.maximum(counts, 1), n)
    return own, weight, level, float(cross / power)


def _combined(half: HalfSet, *, in_measured: bool) -> NDArray[np.float32]:
    """Return the map under the constraints in one part of Fourier space and RELION's in the other."""
    n = half.box
    weight = half.back_projector.data_weight_rfft()
    mean = shell_curve_to_rfft(shell_sums(weight, n) / shell_counts(n), n)
    measured = weight >= MEASURED_FRACTION * mean
    own, constrained = rfft3(half.back_projector.reconstruct()), rfft3(corrected(half))
    return _map(np.where(measured == in_measured, constrained, own), n)


def _map(spectrum: NDArray[np.complexfloating], n: int) -> NDArray[np.float32]:
    return irfft3(spectrum.astype(np.complex64), (n, n, n))


BY_HOOK = (corrected, with_network, filled, denoised)
