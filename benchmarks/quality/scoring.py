"""Agreement of a map with the truth, by Fourier region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.fourier.grids import hermitian_multiplicity, irfft3, rfft3, shell_index_rfft
from spisonet.fourier.shells import shell_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.quality.cases import Case

COARSEST_ANGSTROM = 25.0
EMPTY_BELOW, GOOD_FROM = 0.02, 0.3  # views in a direction relative to even views
EMPTY, WEAK, GOOD, ALL = ZONES = ("empty", "weak", "good", "all")
MIN_COEFFICIENTS = 8  # of a region in a shell
TINY = 1e-30
SHELL_TOLERANCE = 1e-6


class TruthComparison:
    """Fourier coefficients of a map and of the truth, both inside a mask.

    Parameters
    ----------
    volume, truth : ndarray
        ``(n, n, n)``.
    mask : ndarray
        ``(n, n, n)`` in 0..1.
    """

    def __init__(
        self, volume: NDArray[np.float32], truth: NDArray[np.float32], mask: NDArray[np.float32]
    ) -> None:
        self.n = len(truth)
        self._mask = mask
        self._found, self._truth = (rfft3((v - v.mean()) * mask) for v in (volume, truth))
        self._cross = (self._found * self._truth.conj()).real.astype(np.float64)
        self._power_found, self._power_truth = (
            np.abs(spectrum).astype(np.float64) ** 2 for spectrum in (self._found, self._truth)
        )

    def fsc(self, region: NDArray[np.bool_], first: int, last: int) -> NDArray[np.float64]:
        """Return the FSC of the shells `first` to `last` in a region; NaN in shells with few coefficients."""
        shells = slice(first, last + 1)
        cross, found, truth = (
            shell_sums(region * values, self.n)[shells]
            for values in (self._cross, self._power_found, self._power_truth)
        )
        counts = shell_sums(region.astype(np.float32), self.n)[shells]
        curve = cross / np.sqrt(found * truth + TINY)
        return np.where(counts >= MIN_COEFFICIENTS, curve, np.nan)

    def mean_fsc(self, region: NDArray[np.bool_], first: int, last: int) -> float:
        """Return the mean FSC over the shells with enough coefficients; NaN if there are none."""
        curve = self.fsc(region, first, last)
        enough = np.isfinite(curve)
        return float(curve[enough].mean()) if enough.any() else float("nan")

    def relative_power(self, region: NDArray[np.bool_], reference: NDArray[np.bool_]) -> float:
        """Return the power in a region relative to the truth, after scaling to equal power in another one."""
        if not region.any() or not reference.any():
            return float("nan")
        (found, truth), (found_reference, truth_reference) = (
            [self._sum(part * power) for power in (self._power_found, self._power_truth)]
            for part in (region, reference)
        )
        return truth_reference / found_reference * found / truth

    def optimal_power(self, region: NDArray[np.bool_], first: int, last: int) -> float:
        """Return the power relative to the truth that has the least squared error at the map's own FSC.

        A coefficient with the correlation FSC to the truth has the smallest squared error when its power is
        FSC² of that of the truth.
        """
        curve = np.nan_to_num(self.fsc(region, first, last))
        power = shell_sums(region * self._power_truth, self.n)[first : last + 1]
        total = power.sum()
        return float((np.maximum(curve, 0) ** 2 * power).sum() / total) if total > 0 else float("nan")

    def correlation_in_mask(self, last: int) -> float:
        """Return the correlation of densities inside the mask to a shell, at the truth's shell amplitudes."""
        n = self.n
        shell, inside = shell_index_rfft((n, n, n)), self._mask > 0.5
        truth_power, power = (shell_sums(values, n) for values in (self._power_truth, self._power_found))
        gain = np.sqrt(truth_power / (power + TINY))[np.minimum(shell, n // 2)]
        filters = (gain * (shell <= last), shell <= last)
        found, truth = (
            irfft3((spectrum * weight).astype(np.complex64), (n, n, n))[inside]
            for spectrum, weight in zip((self._found, self._truth), filters, strict=True)
        )
        return float(np.corrcoef(found, truth)[0, 1])

    def _sum(self, values: NDArray[np.float64]) -> float:
        return float((values * hermitian_multiplicity(self.n)).sum())


@dataclass(frozen=True)
class MapScore:
    """Agreement of a map with the truth.

    Attributes
    ----------
    fsc : dict
        Mean FSC to the truth from 25 Å to the resolution of the case, by zone: ``empty`` (directions with
        less than 2 % of an even share of the views), ``weak`` (2 to 30 %), ``good`` (more) and ``all``. NaN
        where a case has no such directions.
    fine : dict
        The same over the finer half of the shells.
    power : float
        Power in ``empty`` relative to the truth, after scaling to equal power in ``good``.
    optimal_power : float
        That power at which the squared error is smallest, given the FSC (FSC²).
    ccmask : float
        Correlation of the densities inside the mask of the truth, at the truth's shell amplitudes.
    """

    fsc: dict[str, float]
    fine: dict[str, float]
    power: float
    optimal_power: float
    ccmask: float

    def record(self) -> dict[str, float]:
        """Return all scores by name; those of the finer shells are ``fine_`` with the zone."""
        fine = {f"fine_{zone}": value for zone, value in self.fine.items()}
        rest = {"power": self.power, "optimal_power": self.optimal_power, "ccmask": self.ccmask}
        return self.fsc | fine | rest


def score_map(case: Case, volume: NDArray[np.float32]) -> MapScore:
    """Compare a map with the truth of a case.

    Parameters
    ----------
    case : Case
        The case.
    volume : ndarray
        ``(n, n, n)`` map on the grid of the case.

    Returns
    -------
    MapScore
        The scores, inside the mask of the truth.
    """
    first, last = scored_shells(case)
    zones, in_band = zones_rfft(case), band_rfft(case)
    comparison = TruthComparison(volume, case.truth, case.truth_mask)
    empty, good = zones[EMPTY] & in_band, zones[GOOD] & in_band
    return MapScore(
        fsc={zone: comparison.mean_fsc(region, first, last) for zone, region in zones.items()},
        fine={zone: comparison.mean_fsc(region, (first + last) // 2, last) for zone, region in zones.items()},
        power=comparison.relative_power(empty, good),
        optimal_power=comparison.optimal_power(empty, first, last),
        ccmask=comparison.correlation_in_mask(last),
    )


def scored_shells(case: Case) -> tuple[int, int]:
    """Return the first and the last shell that count, from 25 Å to the resolution of the case."""
    edge_angstrom = case.box * case.voxel_size_angstrom
    first, last = (
        int(edge_angstrom / d + SHELL_TOLERANCE) for d in (COARSEST_ANGSTROM, case.resolution_angstrom)
    )
    return first, min(case.box // 2 - 1, last)


def band_rfft(case: Case) -> NDArray[np.bool_]:
    """Return the coefficients that count, ``(n, n, n // 2 + 1)``."""
    first, last = scored_shells(case)
    shell = shell_index_rfft((case.box,) * 3)
    return np.asarray((shell >= first) & (shell <= last))


def zones_rfft(case: Case) -> dict[str, NDArray[np.bool_]]:
    """Return the zones of Fourier space by the number of views, each ``(n, n, n // 2 + 1)``."""
    sampling = case.sampling_rfft
    empty, good = sampling < EMPTY_BELOW, sampling >= GOOD_FROM
    return {EMPTY: empty, WEAK: ~empty & ~good, GOOD: good, ALL: np.ones_like(empty)}


def zone_fractions(case: Case) -> dict[str, float]:
    """Return the fraction in 0..1 of the scored coefficients in each zone."""
    n, in_band = case.box, band_rfft(case)
    weight = in_band * hermitian_multiplicity(n)
    total = float(weight.sum())
    return {zone: float((weight * region).sum()) / total for zone, region in zones_rfft(case).items()}
