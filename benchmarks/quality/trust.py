"""What a validation says about a corrected map, compared with the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from benchmarks.quality.score import HARDLY_MEASURED
from benchmarks.quality.scoring import (
    COARSEST_ANGSTROM,
    EMPTY,
    GOOD,
    TINY,
    TruthComparison,
    scored_shells,
    zones_rfft,
)
from spisonet.analysis.directional_power import AXES_PER_EDGE, CONE_DEGREES, fractions_by_direction
from spisonet.fourier.cones import axis_sums, cone_weights
from spisonet.fourier.grids import half_from_centred, irfft3, rfft3, shell_index_rfft
from spisonet.fourier.shells import shell_sums
from spisonet.fourier.windows import soft_lowpass_weights
from spisonet.geometry.sphere import AxisGrid
from spisonet.io.mrc import Volume
from spisonet.validation.uncertainty import error_fraction_by_direction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.quality.cases import Case
    from benchmarks.quality.simulate import Case as SimulatedCase
    from benchmarks.quality.simulate import Simulated

WORST_FRACTION = 0.1
RECOVERED = 0.5  # FSC to the truth of a direction that counts as recovered
UNMEASURED_FRACTION = 0.5  # of a cone without views, from which its direction counts as unmeasured
WELL_MEASURED_SSNR = 3.0
FIRST_SHELL = 4
FEWEST_DIRECTIONS = 10


@dataclass(frozen=True)
class KnownTruth:
    """The truth of a case, and what its half maps measured.

    Attributes
    ----------
    truth, half1 : ndarray
        ``(n, n, n)`` densities.
    mask, truth_mask : ndarray
        ``(n, n, n)`` in 0..1: the mask of the correction, and one made from the truth.
    empty_rfft, good_rfft : ndarray of bool
        ``(n, n, n // 2 + 1)`` coefficients that were hardly measured, and well measured.
    first_shell, last_shell : int
        Shells that count.
    resolution_angstrom, voxel_size_angstrom : float
        Resolution limit and voxel size.
    """

    truth: NDArray[np.float32]
    half1: NDArray[np.float32]
    mask: NDArray[np.float32]
    truth_mask: NDArray[np.float32]
    empty_rfft: NDArray[np.bool_]
    good_rfft: NDArray[np.bool_]
    first_shell: int
    last_shell: int
    resolution_angstrom: float
    voxel_size_angstrom: float

    @classmethod
    def of_case(cls, case: Case) -> KnownTruth:
        """Half maps of particles: without views, and with more than 30 % of an even share."""
        zones = zones_rfft(case)
        return cls(
            case.truth,
            case.half1,
            case.mask,
            case.truth_mask,
            zones[EMPTY],
            zones[GOOD],
            *scored_shells(case),
            case.resolution_angstrom,
            case.voxel_size_angstrom,
        )

    @classmethod
    def of_simulated(cls, case: SimulatedCase, simulated: Simulated) -> KnownTruth:
        """Half maps of a signal-to-noise law: expected FSC below 0.3, and signal-to-noise ratio above 3."""
        ssnr = half_from_centred(simulated.ssnr)
        return cls(
            simulated.truth,
            simulated.half1,
            simulated.mask,
            simulated.region,
            ssnr / (1 + ssnr) < HARDLY_MEASURED,
            ssnr > WELL_MEASURED_SSNR,
            max(FIRST_SHELL, int(case.box * case.voxel_size / COARSEST_ANGSTROM)),
            int(case.limit_shell),
            case.resolution,
            case.voxel_size,
        )

    @property
    def limit_shell(self) -> float:
        """The resolution limit in Fourier voxels."""
        return len(self.truth) * self.voxel_size_angstrom / self.resolution_angstrom


def recovery(volume: NDArray[np.float32], known: KnownTruth) -> float:
    """Return the mean FSC to the truth over hardly measured coefficients; NaN if there are too few.

    No mask is applied, as in held-out cones, because it would leak signal into the region.
    """
    everywhere = np.ones_like(known.truth)
    curve = TruthComparison(volume, known.truth, everywhere).fsc(
        known.empty_rfft, known.first_shell, known.last_shell
    )
    enough = np.isfinite(curve)
    few = enough.sum() < (known.last_shell - known.first_shell) / 2
    return float("nan") if few else float(curve[enough].mean())


def recovery_in_mask(volume: NDArray[np.float32], known: KnownTruth) -> float:
    """Return the same inside the mask of the truth, as in the tables of corrected maps."""
    comparison = TruthComparison(volume, known.truth, known.truth_mask)
    return comparison.mean_fsc(known.empty_rfft, known.first_shell, known.last_shell)


def residual(corrected: NDArray[np.float32], known: KnownTruth) -> NDArray[np.float32]:
    """Return the difference from the truth up to the resolution, as a map.

    Every shell of the truth is scaled to the map by its well-measured coefficients: that half maps fade
    towards high resolution is no error of the correction.
    """
    n = len(known.truth)
    truth = rfft3(known.truth) * soft_lowpass_weights(n, known.limit_shell - 0.5, 0.5)
    found = rfft3(corrected)
    cross, power = (
        shell_sums(np.where(known.good_rfft, values, 0), n)
        for values in ((found * truth.conj()).real, np.abs(truth) ** 2)
    )
    shell = shell_index_rfft((n, n, n))
    gain = np.divide(cross, power, out=np.zeros_like(cross), where=power > 0)
    difference = found - gain[np.minimum(shell, n // 2)] * truth
    difference[0, 0, 0] = 0
    return irfft3(difference.astype(np.complex64), corrected.shape)


def worst_tenth_auc(predicted: NDArray[np.float32], error: NDArray[np.float32]) -> float:
    """Return the area under the ROC curve of the prediction for the 10 % of voxels with the largest error."""
    size = np.abs(error)
    return _auc(predicted, size >= np.quantile(size, 1 - WORST_FRACTION))


def voxel_agreement(
    corrected: NDArray[np.float32], uncertainty: NDArray[np.float32], known: KnownTruth
) -> dict[str, float]:
    """Compare the uncertainty of the voxels inside the mask with their true error, and with the density."""
    inside = known.mask > 0.5
    error, uncertain = residual(corrected, known)[inside], uncertainty[inside]
    density = np.abs(corrected - np.median(corrected))[inside]
    return {
        "auc": worst_tenth_auc(uncertain, error),
        "auc_of_density": worst_tenth_auc(density, error),
        "rms_error": float(np.sqrt((error**2).mean())),
        "rms_uncertainty": float(np.sqrt((uncertain**2).mean())),
    }


def direction_agreement(
    corrected: NDArray[np.float32],
    relative_error_rfft: NDArray[np.float32],
    data_weight_rfft: NDArray[np.float32],
    known: KnownTruth,
) -> dict[str, float]:
    """Compare the expected error of 507 directions with their FSC to the truth, in cones of 15°.

    Parameters
    ----------
    corrected : ndarray
        ``(n, n, n)`` corrected half map, filtered.
    relative_error_rfft, data_weight_rfft : ndarray
        ``(n, n, n // 2 + 1)`` expected relative error and data weight.
    known : KnownTruth
        The truth.

    Returns
    -------
    dict
        Pearson correlation with the true FSC over all directions and over unmeasured ones (cones of which
        half or more is hardly measured), AUC for directions with an FSC of 0.5 or more, of the expected
        correct fraction (``direction``) and, for comparison, of the data weight (``weight``); mean expected
        and true FSC of unmeasured directions. NaN where there are too few directions.
    """
    volume = Volume(corrected, known.voxel_size_angstrom)
    error = error_fraction_by_direction(relative_error_rfft, volume, known.resolution_angstrom)
    counted = (error.shells >= known.first_shell) & (error.shells <= known.last_shell)
    last = int(error.shells[-1])
    expected = np.sqrt(1 - error.curves[:, counted]).mean(axis=1)
    weight, empty = (
        fractions_by_direction(part, 1 - part, last).curves[:, counted].mean(axis=1)
        for part in (data_weight_rfft, known.empty_rfft.astype(np.float32))
    )
    true = directional_fsc_to_truth(corrected, known, int(error.shells[0]), last)[:, counted].mean(axis=1)
    unmeasured = empty >= UNMEASURED_FRACTION
    found = {
        "expected_unmeasured": float(expected[unmeasured].mean()) if unmeasured.any() else float("nan"),
        "true_unmeasured": float(true[unmeasured].mean()) if unmeasured.any() else float("nan"),
    }
    for name, values in (("direction", expected), ("weight", weight)):
        found[f"{name}_r"] = _pearson(values, true)
        found[f"{name}_r_unmeasured"] = _pearson(values[unmeasured], true[unmeasured])
        found[f"{name}_auc"] = _auc(values, true >= RECOVERED)
    return found


def directional_fsc_to_truth(
    volume: NDArray[np.float32], known: KnownTruth, first: int, last: int
) -> NDArray[np.float64]:
    """Return the FSC to the truth without a mask in cones of 15°, ``(n_axes, n_shells)``."""
    found, truth = rfft3(volume), rfft3(known.truth)
    products = ((found * truth.conj()).real, np.abs(found) ** 2, np.abs(truth) ** 2)
    grid = AxisGrid(AXES_PER_EDGE)
    weights = cone_weights(grid.directions, CONE_DEGREES)
    cross, power1, power2 = (sums @ weights for sums in axis_sums(products, grid, first, last))
    curves: NDArray[np.float64] = (cross / np.sqrt(power1 * power2 + TINY)).T
    return curves


def _pearson(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    enough = len(first) >= FEWEST_DIRECTIONS and np.ptp(first) > 0
    return float(stats.pearsonr(first, second).statistic) if enough else float("nan")


def _auc(predicted: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve; NaN if all values are positive, or none."""
    if positive.all() or not positive.any():
        return float("nan")
    statistic = stats.mannwhitneyu(predicted[positive], predicted[~positive]).statistic
    return float(statistic / (positive.sum() * (~positive).sum()))
