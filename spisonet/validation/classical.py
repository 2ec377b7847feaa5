"""Comparison of the corrected map with the map deconvolved without a network."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet.fourier.grids import rfft3, shell_index_rfft
from spisonet.fourier.shells import FIRST_SLICE_SHELL, shell_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.io.mrc import Volume
    from spisonet.validation.finished_run import FinishedRun

# Coefficients with a higher data weight are well measured, those with a lower one poorly.
WELL_MEASURED, POORLY_MEASURED = 0.5, 0.143


@dataclass(frozen=True)
class ClassicalComparison:
    """Half map 1 as input, corrected by the network and deconvolved without one; values by map.

    Attributes
    ----------
    power_ratio_poorly_measured : dict
        Power per coefficient where the data weight is below 0.143 over that where it is 0.5 or more, mean
        over shells.
    fsc_well_measured, fsc_poorly_measured : dict
        Mean FSC with the learned map in these two regions.
    """

    power_ratio_poorly_measured: dict[str, float]
    fsc_well_measured: dict[str, float]
    fsc_poorly_measured: dict[str, float]

    @property
    def numbers(self) -> dict[str, Any]:
        """All values, for a JSON file."""
        return asdict(self) | {"fsc_of_optimal_power": self.fsc_of_optimal_power}

    @property
    def fsc_of_optimal_power(self) -> dict[str, float]:
        """FSC with the true map for which the power of each map is optimal.

        The least-squares estimate of a true coefficient from one that correlates with it by ``c`` has the
        fraction ``c²`` of its power, so this is the square root of the power ratio, at most 1.
        """
        return {name: math.sqrt(min(ratio, 1.0)) for name, ratio in self.power_ratio_poorly_measured.items()}


def maps_to_compare(run: FinishedRun) -> dict[str, Volume] | None:
    """Return half map 1 of a run as input, learned and deconvolved; None without a deconvolved map."""
    if run.deconvolved_map is None or run.data_weight_path is None:
        return None
    return {
        "input": run.input_maps.half1,
        "learned": run.corrected_maps.half1,
        "deconvolved": run.deconvolved_map,
    }


def compare_with_deconvolution(
    maps: dict[str, Volume], data_weight_rfft: NDArray[np.float32], limit_angstrom: float
) -> ClassicalComparison:
    """Compare maps of one half where Fourier space is well and where it is poorly measured.

    Parameters
    ----------
    maps : dict
        Maps by name; one is ``learned``.
    data_weight_rfft : ndarray
        ``(n, n, n // 2 + 1)`` data weight in 0..1.
    limit_angstrom : float
        Resolution to which the maps were corrected, in Å.
    """
    n = len(data_weight_rfft)
    shell = shell_index_rfft((n, n, n))
    last_shell = n * maps["learned"].voxel_size_angstrom / limit_angstrom
    band = (shell >= FIRST_SLICE_SHELL) & (shell <= last_shell)
    well = band & (data_weight_rfft >= WELL_MEASURED)
    poorly = band & (data_weight_rfft < POORLY_MEASURED)
    spectra = {name: rfft3(volume.data) for name, volume in maps.items()}
    learned = spectra["learned"]

    def sums(values: NDArray[np.floating], region: NDArray[np.bool_]) -> NDArray[np.float64]:
        return shell_sums(values * region, n)

    def mean_fsc(spectrum: NDArray[np.complex64], region: NDArray[np.bool_]) -> float:
        cross = sums((spectrum * learned.conj()).real, region)
        norm = np.sqrt(sums(np.abs(spectrum) ** 2, region) * sums(np.abs(learned) ** 2, region))
        return float((cross[norm > 0] / norm[norm > 0]).mean()) if (norm > 0).any() else 1.0

    def power_ratio(spectrum: NDArray[np.complex64]) -> float:
        power, ones = np.abs(spectrum) ** 2, np.ones(shell.shape, np.float32)
        counts = sums(ones, poorly), sums(ones, well)
        both = (counts[0] > 0) & (counts[1] > 0)
        if not both.any():
            return 1.0
        means = [
            sums(power, region)[both] / c[both] for region, c in zip((poorly, well), counts, strict=True)
        ]
        return float((means[0] / means[1]).mean())

    return ClassicalComparison(
        {name: power_ratio(spectrum) for name, spectrum in spectra.items()},
        {name: mean_fsc(spectrum, well) for name, spectrum in spectra.items()},
        {name: mean_fsc(spectrum, poorly) for name, spectrum in spectra.items()},
    )
