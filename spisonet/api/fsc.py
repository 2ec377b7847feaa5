"""FSC and conical 3D FSC of two half maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.analysis.config import Fsc3dConfig
from spisonet.analysis.fsc3d import estimate_fsc3d, summarise_fsc3d, without_solvent
from spisonet.analysis.fsc_metrics import FSC_THRESHOLD_05, FSC_THRESHOLD_HALF_MAPS, resolution_of
from spisonet.analysis.half_map_fsc import masked_fsc
from spisonet.analysis.half_maps import checked_limit_resolution
from spisonet.api.maps import Map, half_maps_of
from spisonet.io.processors import limited_threads

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from spisonet.analysis.fsc3d import Fsc3d, Fsc3dMetrics
    from spisonet.analysis.fsc_metrics import Resolution
    from spisonet.api.maps import MapLike

THREADS: int = Fsc3dConfig.model_fields["ncpus"].default
CONE_ANGLE_DEGREES: float = Fsc3dConfig.model_fields["cone_sampling_angle"].default


@dataclass(frozen=True)
class FourierShellCorrelation:
    """FSC of two half maps.

    Attributes
    ----------
    fsc : ndarray
        ``(n // 2 + 1,)`` FSC per shell, corrected for the mask if there is one.
    fsc_uncorrected : ndarray or None
        The same before the correction for the mask; None without correction.
    box : int
        Box in voxels.
    voxel_size_angstrom : float
        Voxel size in Å.
    randomised_from_shell : int or None
        First shell whose phases were randomised; None without correction.
    halves_coupled : bool
        Whether a header label marks the half maps as coupled: their FSC does not measure resolution.
    """

    fsc: NDArray[np.float64]
    fsc_uncorrected: NDArray[np.float64] | None
    box: int
    voxel_size_angstrom: float
    randomised_from_shell: int | None
    halves_coupled: bool

    @property
    def spatial_frequency_per_angstrom(self) -> NDArray[np.float64]:
        """``(n // 2 + 1,)`` spatial frequency of each shell in 1/Å."""
        return np.arange(len(self.fsc)) / (self.box * self.voxel_size_angstrom)

    @property
    def resolution_0143(self) -> Resolution:
        """Where the FSC falls below 0.143."""
        return self.resolution_at(FSC_THRESHOLD_HALF_MAPS)

    @property
    def resolution_05(self) -> Resolution:
        """Where the FSC falls below 0.5."""
        return self.resolution_at(FSC_THRESHOLD_05)

    def resolution_at(self, threshold: float) -> Resolution:
        """Return where the FSC falls below a threshold.

        Parameters
        ----------
        threshold : float
            Value of the FSC, such as 0.143.

        Returns
        -------
        Resolution
            ``angstrom``, and ``is_reached``: False if the FSC stays above the threshold to Nyquist.
        """
        return resolution_of(self.fsc, threshold, self.box * self.voxel_size_angstrom)

    def plot(self) -> Figure:
        """Draw the FSC over spatial frequency, as a matplotlib figure."""
        from spisonet.figures.fsc3d import draw_fsc  # noqa: PLC0415 - matplotlib is slow to import

        curves = {"FSC": self.fsc}
        if self.fsc_uncorrected is not None:
            curves = {"FSC, corrected for the mask": self.fsc, "FSC, not corrected": self.fsc_uncorrected}
        thresholds = {FSC_THRESHOLD_HALF_MAPS: self.resolution_0143, FSC_THRESHOLD_05: self.resolution_05}
        return draw_fsc(self.spatial_frequency_per_angstrom, curves, thresholds)


@dataclass(frozen=True)
class Fsc3dResult:
    """Conical 3D FSC of two half maps, FSC by direction, and summary numbers.

    Attributes
    ----------
    fsc : Fsc3d
        The 3D FSC (``fsc_rfft``), the global FSC (``global_fsc``) and the FSC in cones of 20 degrees around
        721 axes (``directional_curves``).
    metrics : Fsc3dMetrics
        Resolutions (``resolution_0143``, ``resolution_05``, ``directional_0143``), ``sphericity`` and
        ``cfar``.
    halves_coupled : bool
        Whether a header label marks the half maps as coupled: their FSC does not measure resolution.
    """

    fsc: Fsc3d
    metrics: Fsc3dMetrics
    halves_coupled: bool

    @property
    def resolution_0143(self) -> Resolution:
        """Where the global FSC falls below 0.143."""
        return self.metrics.resolution_0143

    @property
    def sphericity(self) -> float:
        """Sphericity of the surface at which the FSC by direction falls below 0.5; 1 for a sphere."""
        return self.metrics.sphericity

    @property
    def cfar(self) -> float:
        """Conical FSC area ratio in 0..1; below 0.5 is taken as preferred orientation."""
        return self.metrics.cfar

    def volume(self, beyond_limit: float = 0.0) -> Map:
        """Return the 3D FSC as a map in 0..1 with DC at ``n // 2``, the form that other programs exchange.

        Parameters
        ----------
        beyond_limit : float
            Value of the shells beyond the resolution limit.
        """
        cube = self.fsc.weight_cube(beyond_limit)
        return Map(cube, self.fsc.voxel_size_angstrom, name="3D FSC")

    def plot(self) -> Figure:
        """Draw slices of the 3D FSC, the FSC by direction and the resolutions, as a matplotlib figure."""
        from spisonet.figures.fsc3d import draw_fsc3d  # noqa: PLC0415 - matplotlib is slow to import

        return draw_fsc3d(self.fsc, self.metrics)


def fourier_shell_correlation(
    half1: MapLike,
    half2: MapLike,
    mask: MapLike | None = None,
    *,
    voxel_size_angstrom: float | None = None,
    correct_for_mask: bool = True,
    seed: int = 0,
    threads: int = THREADS,
) -> FourierShellCorrelation:
    """Compute the FSC of two half maps, corrected for the mask by phase randomisation.

    Parameters
    ----------
    half1, half2 : path, Map or array
        Half maps; arrays are ``(z, y, x)`` and need `voxel_size_angstrom`.
    mask : path, Map or array, optional
        Soft mask.
    voxel_size_angstrom : float, optional
        Voxel size in Å; overrides those of headers.
    correct_for_mask : bool
        Correct the FSC for the mask. No effect without a mask.
    seed : int
        Seed of the randomised phases.
    threads : int
        CPU threads.

    Returns
    -------
    FourierShellCorrelation
        FSC per shell, and resolutions.

    Raises
    ------
    SpisonetError
        If a map is unusable or the half maps do not belong together.

    References
    ----------
    Chen et al. (2013) Ultramicroscopy 135, 24-35 (phase randomisation).

    Examples
    --------
    >>> import spisonet
    >>> curve = spisonet.fourier_shell_correlation("half1.mrc", "half2.mrc", "mask.mrc")
    >>> len(curve.fsc)
    25
    >>> print(curve.resolution_05)
    7.18 Å
    >>> curve.plot().savefig("fsc.png")
    """
    maps = half_maps_of(half1, half2, mask, voxel_size_angstrom)
    assert maps.half2 is not None
    halves, weights = [maps.half1.data, maps.half2.data], None
    if maps.mask is not None:
        weights = maps.mask.data
        halves = [without_solvent(half, weights) for half in halves]
    curve = masked_fsc(halves, weights, seed if correct_for_mask else None, limited_threads(threads))
    return FourierShellCorrelation(
        fsc=curve.fsc,
        fsc_uncorrected=None if curve.randomised_from_shell is None else curve.uncorrected,
        box=maps.half1.box,
        voxel_size_angstrom=maps.half1.voxel_size_angstrom,
        randomised_from_shell=curve.randomised_from_shell,
        halves_coupled=maps.coupled,
    )


def fsc3d(
    half1: MapLike,
    half2: MapLike,
    mask: MapLike | None = None,
    *,
    voxel_size_angstrom: float | None = None,
    limit_resolution_angstrom: float | None = None,
    cone_angle_degrees: float = CONE_ANGLE_DEGREES,
    correct_for_mask: bool = True,
    seed: int = 0,
    threads: int = THREADS,
) -> Fsc3dResult:
    """Compute the conical 3D FSC of two half maps, as the command ``fsc3d``.

    Parameters
    ----------
    half1, half2 : path, Map or array
        Half maps; arrays are ``(z, y, x)`` and need `voxel_size_angstrom`.
    mask : path, Map or array, optional
        Soft mask.
    voxel_size_angstrom : float, optional
        Voxel size in Å; overrides those of headers.
    limit_resolution_angstrom : float, optional
        Resolution limit in Å [default: where the global FSC falls to 0.143].
    cone_angle_degrees : float
        Half-angle of the cones of the 3D FSC. Numbers by direction are those of 20 degrees.
    correct_for_mask : bool
        Correct the FSC for the mask, by phase randomisation and by the power that the mask leaks between
        directions.
    seed : int
        Seed of the randomised phases.
    threads : int
        CPU threads.

    Returns
    -------
    Fsc3dResult
        The 3D FSC, the FSC by direction, resolutions, sphericity and cFAR.

    Raises
    ------
    SpisonetError
        If a map is unusable or the half maps do not belong together.

    Examples
    --------
    >>> import spisonet
    >>> result = spisonet.fsc3d("half1.mrc", "half2.mrc", "mask.mrc")
    >>> print(f"cFAR {result.cfar:.2f}, sphericity {result.sphericity:.2f}")
    cFAR 0.50, sphericity 0.91
    >>> spisonet.write_map("FSC3D.mrc", result.volume())
    """
    maps = half_maps_of(half1, half2, mask, voxel_size_angstrom)
    assert maps.half2 is not None
    voxel_size = maps.half1.voxel_size_angstrom
    found = estimate_fsc3d(
        maps.half1.data,
        maps.half2.data,
        None if maps.mask is None else maps.mask.data,
        voxel_size,
        checked_limit_resolution(limit_resolution_angstrom, voxel_size, "limit_resolution_angstrom"),
        cone_angle_degrees,
        limited_threads(threads),
        seed if correct_for_mask else None,
    )
    return Fsc3dResult(found, summarise_fsc3d(found), maps.coupled)
