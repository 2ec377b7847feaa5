"""The conical 3D FSC of two half maps, their FSC by direction, and numbers that summarise its anisotropy.

A mask makes half maps correlate where nothing was measured. The FSC in a cone is corrected for this as
``(FSC - F) / (1 - F)`` (Chen et al. 2013), where ``F``, the FSC that the mask causes, is the larger of two
estimates in the same cone: the FSC after phase randomisation, which is due to leakage from coarser shells,
and the fraction of the power that the mask leaks into the cone from other directions (`mask_leakage_weight`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet.analysis.fsc_metrics import (
    DIRECTION_CONE_DEGREES,
    FSC_THRESHOLD_05,
    FSC_THRESHOLD_HALF_MAPS,
    Bound,
    DirectionalResolutions,
    Resolution,
    conical_area_ratio,
    directional_resolutions,
    resolution_of,
    sphericity,
)
from spisonet.analysis.half_map_fsc import masked_fsc
from spisonet.analysis.leakage import mask_leakage_weight
from spisonet.analysis.normalisation import solvent_level
from spisonet.errors import SpisonetError
from spisonet.fourier.conical_fsc import conical_fsc_of_samples, directional_fsc, shell_samples
from spisonet.fourier.grids import centred_from_half, shell_index_rfft
from spisonet.fourier.phase_randomisation import PHASE_SEED, corrected_fsc
from spisonet.fourier.shells import FEWEST_SHELLS, FIRST_SLICE_SHELL, resolution_at_threshold
from spisonet.geometry.sphere import geodesic_sphere

if TYPE_CHECKING:
    from numpy.typing import NDArray


SOLVENT_TOLERANCE = 0.05  # of the standard deviation

# Curves extend beyond a limit that is not given, because the best directions fall below the threshold there.
EXTENT_BEYOND_LIMIT = 1.2
SHELL_TOLERANCE = 0.01  # a limit typed with three digits may mean a whole shell


@dataclass(frozen=True, kw_only=True)
class DirectionalFsc:
    """FSC of two half maps: all directions together, and in cones of 20 degrees around many axes.

    Attributes
    ----------
    global_fsc : ndarray
        ``(n_shells,)`` FSC per shell, to Nyquist or to the limit that was given.
    directional_curves : ndarray of float32
        ``(n_axes, n_shells)`` FSC in cones around the axes of `geodesic_sphere`.
    limit_shell : int
        Last shell to the resolution limit.
    box : int
        Box in voxels.
    voxel_size_angstrom : float
        Voxel size of the maps in Å.
    randomised_from_shell : int or None
        First shell whose phases were randomised; None without correction for a mask.
    global_fsc_uncorrected, directional_curves_uncorrected : ndarray or None
        The same curves before the correction for the mask; None without correction.
    """

    global_fsc: NDArray[np.float64]
    directional_curves: NDArray[np.float32]
    limit_shell: int
    box: int
    voxel_size_angstrom: float
    randomised_from_shell: int | None = None
    global_fsc_uncorrected: NDArray[np.float64] | None = None
    directional_curves_uncorrected: NDArray[np.float32] | None = None

    @property
    def box_angstrom(self) -> float:
        """Box edge in Å."""
        return self.box * self.voxel_size_angstrom

    @property
    def limit_resolution_angstrom(self) -> float:
        """Resolution of the last shell to the limit, in Å."""
        return self.box_angstrom / self.limit_shell

    @property
    def randomised_from_angstrom(self) -> float | None:
        """Resolution from which on phases were randomised, in Å; None if they were not, in any shell."""
        shell = self.randomised_from_shell
        return None if shell is None or shell > self.box // 2 else self.box_angstrom / shell

    def bound(self, n_shells: int) -> Bound:
        """Return what ends a curve of this many shells."""
        if n_shells > self.box // 2:
            return Bound.NYQUIST
        return Bound.LIMIT if n_shells <= self.limit_shell + 1 else Bound.CURVE


@dataclass(frozen=True, kw_only=True)
class Fsc3d(DirectionalFsc):
    """A conical 3D FSC, and the FSC by direction that summarises it.

    Attributes
    ----------
    fsc_rfft : ndarray of float32
        ``(n, n, n // 2 + 1)`` conical 3D FSC in -1..1, DC at index 0, 0 beyond `limit_shell`.
    cone_angle_degrees : float
        Half-angle of its cones.
    """

    fsc_rfft: NDArray[np.float32]
    cone_angle_degrees: float

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
    """Numbers that summarise an FSC by direction.

    Attributes
    ----------
    resolution_0143, resolution_05 : Resolution
        Where the global FSC falls below 0.143 and below 0.5.
    directional_0143 : DirectionalResolutions
        Where the FSC in a cone around each axis falls below 0.143.
    sphericity : float
        Sphericity of the surface at which the FSC by direction falls below 0.5.
    cfar : float
        Conical FSC area ratio.
    resolution_0143_uncorrected : Resolution or None
        Where the global FSC before the correction for the mask falls below 0.143; None without correction.
    """

    resolution_0143: Resolution
    resolution_05: Resolution
    directional_0143: DirectionalResolutions
    sphericity: float
    cfar: float
    resolution_0143_uncorrected: Resolution | None = None


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


def estimate_directional_fsc(
    half1: NDArray[np.float32],
    half2: NDArray[np.float32],
    mask: NDArray[np.float32] | None,
    voxel_size_angstrom: float,
    limit_resolution_angstrom: float | None,
    workers: int,
    phase_seed: int | None = PHASE_SEED,
    beyond_limit: bool = False,
) -> DirectionalFsc:
    """Compute the FSC of two half maps, all directions together and by direction.

    Parameters
    ----------
    half1, half2, mask, voxel_size_angstrom, limit_resolution_angstrom, workers, phase_seed
        As for `estimate_fsc3d`.
    beyond_limit : bool
        Continue the curves beyond the limit, for a limit that was measured.

    Raises
    ------
    SpisonetError
        If the limit leaves less than three shells.
    """
    limit = limit_resolution_angstrom
    fields, _ = _estimate(
        half1, half2, mask, voxel_size_angstrom, limit, None, workers, phase_seed, beyond_limit
    )
    return DirectionalFsc(**fields)


def estimate_fsc3d(
    half1: NDArray[np.float32],
    half2: NDArray[np.float32],
    mask: NDArray[np.float32] | None,
    voxel_size_angstrom: float,
    limit_resolution_angstrom: float | None,
    cone_angle_degrees: float,
    workers: int,
    phase_seed: int | None = PHASE_SEED,
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
        Finest resolution of the 3D FSC and of all curves in Å. None: the 3D FSC ends where the global FSC
        falls below 0.143, and the curves continue.
    cone_angle_degrees : float
        Half-angle of the cones of the 3D FSC.
    workers : int
        Threads.
    phase_seed : int or None
        Seed of the phase randomisation; None: do not correct for the mask. No effect without a mask.

    Returns
    -------
    Fsc3d
        The 3D FSC and its curves.

    Raises
    ------
    SpisonetError
        If the limit leaves less than three shells.
    """
    limit, cone = limit_resolution_angstrom, cone_angle_degrees
    fields, fsc_rfft = _estimate(half1, half2, mask, voxel_size_angstrom, limit, cone, workers, phase_seed)
    assert fsc_rfft is not None
    return Fsc3d(fsc_rfft=fsc_rfft, cone_angle_degrees=cone, **fields)


def _estimate(
    half1: NDArray[np.float32],
    half2: NDArray[np.float32],
    mask: NDArray[np.float32] | None,
    voxel_size_angstrom: float,
    limit_resolution_angstrom: float | None,
    cone_angle_degrees: float | None,
    workers: int,
    phase_seed: int | None,
    beyond_limit: bool = False,
) -> tuple[dict[str, Any], NDArray[np.float32] | None]:
    """Return the fields of a `DirectionalFsc` and, given the angle of its cones, the 3D FSC."""
    n = len(half1)
    halves = [half1, half2] if mask is None else [without_solvent(half, mask) for half in (half1, half2)]
    curve = masked_fsc(halves, mask, phase_seed, workers, keep_spectra=True)
    limit_shell = _limit_shell(curve.fsc, limit_resolution_angstrom, n * voxel_size_angstrom)
    last_shell = n // 2
    if limit_resolution_angstrom is not None and not beyond_limit:
        last_shell = limit_shell
    extent = min(last_shell, math.ceil(EXTENT_BEYOND_LIMIT * limit_shell))

    def in_cones(spectra: list[NDArray[np.complex64]]) -> list[NDArray[np.float32]]:
        """Return the FSC by direction and, if requested, the 3D FSC; empty the list of the spectra."""
        samples = shell_samples(spectra[0], spectra[1], n, extent, workers)
        spectra.clear()  # as large as the maps, and no longer needed
        axes = geodesic_sphere().axes_zyx
        found = [directional_fsc(samples, axes, (DIRECTION_CONE_DEGREES,), workers)[0]]
        if cone_angle_degrees is not None:
            found.append(conical_fsc_of_samples(samples, n, limit_shell, cone_angle_degrees, workers))
        return found

    first_corrected = curve.first_corrected_shell
    is_corrected = mask is not None and first_corrected is not None
    uncorrected = corrected = in_cones(list(curve.spectra) if is_corrected else curve.spectra)
    if mask is not None and first_corrected is not None:
        pair = _pair_with_fsc(curve.spectra, 1 - mask_leakage_weight(halves, mask))
        curve.spectra.clear()
        leaked = in_cones(pair)
        randomised = in_cones(curve.randomised_spectra)
        shells: list[NDArray[np.integer]] = [np.arange(extent + 1), shell_index_rfft((n, n, n))]
        corrected = []
        for fsc, leak, random, shell in zip(uncorrected, leaked, randomised, shells, strict=False):
            leak[..., shell < FIRST_SLICE_SHELL] = 0
            random[..., shell < first_corrected] = 0
            corrected.append(_corrected(fsc, np.maximum(leak, random)))
    fields = {
        "global_fsc": curve.fsc[: last_shell + 1],
        "directional_curves": corrected[0],
        "limit_shell": limit_shell,
        "box": n,
        "voxel_size_angstrom": voxel_size_angstrom,
        "randomised_from_shell": curve.randomised_from_shell,
        "global_fsc_uncorrected": curve.uncorrected[: last_shell + 1] if is_corrected else None,
        "directional_curves_uncorrected": uncorrected[0] if is_corrected else None,
    }
    return fields, corrected[1] if cone_angle_degrees is not None else None


def _pair_with_fsc(
    spectra: list[NDArray[np.complex64]], fraction: NDArray[np.float32]
) -> list[NDArray[np.complex64]]:
    """Return two spectra with the amplitudes of `spectra` that correlate by `fraction` at each coefficient.

    The FSC of this pair over any set of coefficients is the mean of `fraction`, weighted with the power.
    """
    first, second = (np.abs(spectrum) for spectrum in spectra)
    phase = fraction + 1j * np.sqrt(1 - fraction**2)
    return [first.astype(np.complex64), (second * phase).astype(np.complex64)]


def _corrected(fsc: NDArray[np.float32], by_mask: NDArray[np.floating]) -> NDArray[np.float32]:
    """Correct an FSC for that which the mask causes; the correction makes no value negative.

    Where the mask explains more than the whole correlation, the corrected FSC is 0, as in RELION.
    """
    return np.maximum(corrected_fsc(fsc, by_mask), np.minimum(fsc, 0))


def limit_shell_of(limit_resolution_angstrom: float, box_angstrom: float) -> int:
    """Return the last shell that is not finer than a resolution limit.

    Raises
    ------
    SpisonetError
        If the limit leaves less than three shells.
    """
    shell = math.floor(box_angstrom / limit_resolution_angstrom + SHELL_TOLERANCE)
    if shell < FEWEST_SHELLS:
        raise SpisonetError(
            f"--limit_res {limit_resolution_angstrom:g} Å leaves fewer than {FEWEST_SHELLS} Fourier shells "
            f"in a box of {box_angstrom:.0f} Å; give a finer limit."
        )
    return shell


def _limit_shell(
    global_fsc: NDArray[np.float64], limit_resolution_angstrom: float | None, box_angstrom: float
) -> int:
    if limit_resolution_angstrom is not None:
        return min(limit_shell_of(limit_resolution_angstrom, box_angstrom), len(global_fsc) - 1)
    limit = resolution_at_threshold(global_fsc, FSC_THRESHOLD_HALF_MAPS, box_angstrom)
    shell = min(round(box_angstrom / limit), len(global_fsc) - 1)
    if shell < FEWEST_SHELLS:
        raise SpisonetError(
            f"The FSC of the half maps falls below {FSC_THRESHOLD_HALF_MAPS} at {limit:.0f} Å; check that "
            "they are the two halves of one refinement, or give --limit_res."
        )
    return shell


def summarise_fsc3d(fsc: DirectionalFsc) -> Fsc3dMetrics:
    """Summarise an FSC by direction in a few numbers."""
    curves, box_angstrom = fsc.directional_curves, fsc.box_angstrom
    of_curves, of_global = fsc.bound(curves.shape[1]), fsc.bound(len(fsc.global_fsc))

    def resolution(curve: NDArray[np.float64], threshold: float) -> Resolution:
        return resolution_of(curve, threshold, box_angstrom, of_global)

    surface = np.array(
        [resolution_at_threshold(curve, FSC_THRESHOLD_05, box_angstrom, first=True) for curve in curves]
    )
    uncorrected = fsc.global_fsc_uncorrected
    return Fsc3dMetrics(
        resolution_0143=resolution(fsc.global_fsc, FSC_THRESHOLD_HALF_MAPS),
        resolution_05=resolution(fsc.global_fsc, FSC_THRESHOLD_05),
        directional_0143=directional_resolutions(curves, FSC_THRESHOLD_HALF_MAPS, box_angstrom, of_curves),
        sphericity=sphericity(1 / surface, geodesic_sphere()),
        cfar=conical_area_ratio(curves),
        resolution_0143_uncorrected=(
            None if uncorrected is None else resolution(uncorrected, FSC_THRESHOLD_HALF_MAPS)
        ),
    )
