"""The conical 3D FSC of two half maps, and numbers that summarise its anisotropy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.analysis.fsc_metrics import (
    FSC_THRESHOLD_05,
    FSC_THRESHOLD_HALF_MAPS,
    conical_area_ratio,
    directional_resolutions,
    sphericity,
)
from spisonet.analysis.half_map_fsc import masked_fsc
from spisonet.analysis.normalisation import solvent_level
from spisonet.errors import SpisonetError
from spisonet.fourier.conical_fsc import conical_fsc_of_samples, directional_fsc, shell_samples
from spisonet.fourier.grids import centred_from_half, shell_index_rfft
from spisonet.fourier.phase_randomisation import corrected_fsc
from spisonet.fourier.shells import FEWEST_SHELLS, resolution_at_threshold
from spisonet.geometry.sphere import geodesic_sphere

if TYPE_CHECKING:
    from numpy.typing import NDArray


SOLVENT_TOLERANCE = 0.05  # of the standard deviation

CFAR_CONE_DEGREES = 20.0
# Directional curves extend beyond the limit, because the best directions fall below the threshold there.
EXTENT_BEYOND_LIMIT = 1.2


@dataclass(frozen=True)
class Fsc3d:
    """A conical 3D FSC and the curves along many directions that summarise it.

    Attributes
    ----------
    fsc_rfft : ndarray of float32
        ``(n, n, n // 2 + 1)`` conical 3D FSC in -1..1, DC at index 0, 0 beyond `limit_shell`.
    global_fsc : ndarray
        ``(n // 2 + 1,)`` FSC per shell.
    limit_shell : int
        Last shell of `fsc_rfft`.
    voxel_size_angstrom : float
        Voxel size of the maps in Å.
    cone_angle_degrees : float
        Half-angle of the cones.
    directional_curves : ndarray of float32
        ``(n_axes, n_shells)`` FSC within these cones around the axes of `geodesic_sphere`.
    cfar_curves : ndarray of float32
        The same in the cones of 20 degrees that cFAR is defined with.
    randomised_from_shell : int or None
        First shell whose phases were randomised to correct for the mask; None without correction.
    global_fsc_uncorrected : ndarray or None
        ``(n // 2 + 1,)`` FSC of the masked half maps before the correction; None without correction.
    """

    fsc_rfft: NDArray[np.float32]
    global_fsc: NDArray[np.float64]
    limit_shell: int
    voxel_size_angstrom: float
    cone_angle_degrees: float
    directional_curves: NDArray[np.float32]
    cfar_curves: NDArray[np.float32]
    randomised_from_shell: int | None = None
    global_fsc_uncorrected: NDArray[np.float64] | None = None

    @property
    def box(self) -> int:
        """Box in voxels."""
        return len(self.fsc_rfft)

    @property
    def box_angstrom(self) -> float:
        """Box edge in Å."""
        return self.box * self.voxel_size_angstrom

    @property
    def limit_resolution_angstrom(self) -> float:
        """Resolution of the last shell in Å."""
        return self.box_angstrom / self.limit_shell

    def weight_cube(self, beyond_limit: float = 0.0) -> NDArray[np.float32]:
        """Return the 3D FSC clipped to 0..1 as a centred cube ``(n, n, n)``, DC at ``n // 2``.

        Parameters
        ----------
        beyond_limit : float
            Value of the shells beyond `limit_shell`.
        """
        half = np.clip(self.fsc_rfft, 0, 1)
        if beyond_limit:
            half[shell_index_rfft((self.box,) * 3) > self.limit_shell] = beyond_limit
        return centred_from_half(half, self.box)


@dataclass(frozen=True)
class Fsc3dMetrics:
    """Numbers that summarise a 3D FSC.

    Attributes
    ----------
    resolution_0143_angstrom, resolution_05_angstrom : float
        Where the global FSC falls to 0.143 and to 0.5.
    directional_0143_angstrom : ndarray
        ``(n_axes,)`` where the FSC in a cone around each axis falls to 0.143.
    sphericity : float
        Sphericity of the surface at which the directional FSC falls to 0.5.
    cfar : float
        Conical FSC area ratio.
    resolution_0143_uncorrected_angstrom : float or None
        Where the global FSC before the correction for the mask falls to 0.143; None without correction.
    """

    resolution_0143_angstrom: float
    resolution_05_angstrom: float
    directional_0143_angstrom: NDArray[np.float64]
    sphericity: float
    cfar: float
    resolution_0143_uncorrected_angstrom: float | None = None


def without_solvent(volume: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Subtract the solvent level of a map unless it is negligible.

    A mask on a map whose solvent is not zero adds a step of the mask's shape to both halves, which then
    correlate. A level below 5 % of the map's standard deviation is negligible.

    Parameters
    ----------
    volume, mask : ndarray of float32
        ``(n, n, n)``; the solvent is where the mask is 0.
    """
    level = solvent_level(volume, mask)
    if abs(level) < SOLVENT_TOLERANCE * float(volume.std()):
        return volume
    return (volume - level).astype(np.float32)


def estimate_fsc3d(
    half1: NDArray[np.float32],
    half2: NDArray[np.float32],
    mask: NDArray[np.float32] | None,
    voxel_size_angstrom: float,
    limit_resolution_angstrom: float | None,
    cone_angle_degrees: float,
    workers: int,
    phase_seed: int | None = None,
) -> Fsc3d:
    """Compute the conical 3D FSC of two half maps.

    Parameters
    ----------
    half1, half2 : ndarray of float32
        ``(n, n, n)`` densities.
    mask : ndarray of float32 or None
        ``(n, n, n)``; both halves are multiplied by it.
    voxel_size_angstrom : float
        Voxel size in Å.
    limit_resolution_angstrom : float or None
        Finest resolution of the 3D FSC in Å; None: where the global FSC falls to 0.143.
    cone_angle_degrees : float
        Half-angle of the cones.
    workers : int
        Threads.
    phase_seed : int, optional
        Correct for the mask by phase randomisation with this seed. No effect without a mask.

    Returns
    -------
    Fsc3d
        The 3D FSC and its curves.

    Raises
    ------
    SpisonetError
        If the limit leaves less than three shells.
    """
    n = len(half1)
    halves = (half1, half2) if mask is None else tuple(without_solvent(half, mask) for half in (half1, half2))
    curve = masked_fsc(halves, mask, phase_seed, workers, keep_spectra=True)
    limit_shell = _limit_shell(curve.fsc, limit_resolution_angstrom, n * voxel_size_angstrom)
    fsc_rfft, curves = _conical_parts(curve.spectra, n, limit_shell, cone_angle_degrees, workers)
    first_corrected = curve.first_corrected_shell
    if first_corrected is not None:
        random_rfft, random_curves = _conical_parts(
            curve.randomised_spectra, n, limit_shell, cone_angle_degrees, workers
        )
        beyond = slice(first_corrected, None)
        curves[..., beyond] = corrected_fsc(curves[..., beyond], random_curves[..., beyond])
        fine = shell_index_rfft(half1.shape) >= first_corrected
        fsc_rfft[fine] = corrected_fsc(fsc_rfft[fine], random_rfft[fine])
    return Fsc3d(
        fsc_rfft=fsc_rfft,
        global_fsc=curve.fsc,
        limit_shell=limit_shell,
        voxel_size_angstrom=voxel_size_angstrom,
        cone_angle_degrees=cone_angle_degrees,
        directional_curves=curves[0],
        cfar_curves=curves[1],
        randomised_from_shell=curve.randomised_from_shell,
        global_fsc_uncorrected=None if first_corrected is None else curve.uncorrected,
    )


def _limit_shell(
    global_fsc: NDArray[np.float64], limit_resolution_angstrom: float | None, box_angstrom: float
) -> int:
    limit = limit_resolution_angstrom
    if limit is None:
        limit = resolution_at_threshold(global_fsc, FSC_THRESHOLD_HALF_MAPS, box_angstrom)
    shell = min(round(box_angstrom / limit), len(global_fsc) - 1)
    if shell >= FEWEST_SHELLS:
        return shell
    if limit_resolution_angstrom is None:
        raise SpisonetError(
            f"The FSC of the half maps falls below {FSC_THRESHOLD_HALF_MAPS} at {limit:.0f} Å; check that "
            "they are the two halves of one refinement, or give --limit_res."
        )
    raise SpisonetError(
        f"--limit_res {limit:g} Å leaves fewer than {FEWEST_SHELLS} Fourier shells "
        f"in a box of {box_angstrom:.0f} Å; give a finer limit."
    )


def _conical_parts(
    spectra: list[NDArray[np.complex64]], n: int, limit_shell: int, cone_angle_degrees: float, workers: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the 3D FSC and the curves ``(2, n_axes, n_shells)`` in its cones and in those of cFAR."""
    last_shell = min(n // 2, math.ceil(EXTENT_BEYOND_LIMIT * limit_shell))
    samples = shell_samples(spectra[0], spectra[1], n, last_shell, workers)
    spectra.clear()  # as large as the maps, and no longer needed
    cones = (cone_angle_degrees, CFAR_CONE_DEGREES)
    curves = directional_fsc(samples, geodesic_sphere().axes_zyx, cones, workers)
    return conical_fsc_of_samples(samples, n, limit_shell, cone_angle_degrees, workers), curves


def summarise_fsc3d(fsc3d: Fsc3d) -> Fsc3dMetrics:
    """Summarise a 3D FSC in a few numbers."""
    curves, box_angstrom = fsc3d.directional_curves, fsc3d.box_angstrom
    uncorrected = fsc3d.global_fsc_uncorrected
    surface = directional_resolutions(curves, FSC_THRESHOLD_05, box_angstrom)
    return Fsc3dMetrics(
        resolution_0143_angstrom=resolution_at_threshold(
            fsc3d.global_fsc, FSC_THRESHOLD_HALF_MAPS, box_angstrom
        ),
        resolution_05_angstrom=resolution_at_threshold(fsc3d.global_fsc, FSC_THRESHOLD_05, box_angstrom),
        directional_0143_angstrom=directional_resolutions(curves, FSC_THRESHOLD_HALF_MAPS, box_angstrom),
        sphericity=sphericity(1 / surface, geodesic_sphere()),
        cfar=conical_area_ratio(fsc3d.cfar_curves),
        resolution_0143_uncorrected_angstrom=(
            None
            if uncorrected is None
            else resolution_at_threshold(uncorrected, FSC_THRESHOLD_HALF_MAPS, box_angstrom)
        ),
    )
