"""Diagnosis of anisotropic half maps: preferred orientation, misalignment, and the strategy that follows.

All statistics are taken over Fourier coefficients ``k u`` on shells ``k`` in nearly uniform directions ``u``,
each shell weighted by its volume. The *measured* SSNR ``q(k) D(u)`` is that of the view distribution that
best explains the correlation of the half maps (`view_distribution`); it needs no particles. The *sampling
density* follows from the particles' angles, if a STAR file is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from spisonet.analysis.fourier_sampling import sampling_compensation
from spisonet.analysis.fsc3d import estimate_directional_fsc, summarise_fsc3d
from spisonet.analysis.normalisation import solvent_level
from spisonet.analysis.view_distribution import (
    SamplingDensity,
    ViewDistribution,
    fit_view_distribution,
)
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import rfft3
from spisonet.fourier.shells import FIRST_SLICE_SHELL
from spisonet.geometry.sphere import geodesic_sphere
from spisonet.geometry.view_sampling import (
    FIRST_SAMPLING_SHELL,
    UNDERSAMPLED_DENSITY,
    UNDERSAMPLED_FRACTION_LIMIT,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.analysis.fsc3d import DirectionalFsc, Fsc3dMetrics
    from spisonet.analysis.half_maps import HalfMaps
    from spisonet.analysis.pose_drift import PoseDrift

SUBDIVISIONS = 12  # 721 directions, about 5.6 degrees apart, the resolution of the view distribution
FEWEST_SAMPLING_SHELLS = 2

CFAR_LIMIT = 0.5  # the published rule
# The point spread function is twice as long as wide: a missing cone of 55 degrees about an axis.
PSF_ASPECT_RATIO_LIMIT = 2.0
# A coefficient is well sampled if its expected SSNR is 1 or more, assuming that every view carries as much
# signal as those of the best-correlating directions. Its correlation is low if the measured SSNR is below a
# quarter of the expected one. In simulated half maps with true poses 0 to 2 % of the well-sampled
# coefficients correlate poorly; with part of the poses wrong, 45 to 64 %.
WELL_SAMPLED_SSNR = 1.0
LOW_CORRELATION_RATIO = 0.25
LOW_CORRELATION_FRACTION_LIMIT = 0.1
MIN_COMPARABLE_DENSITY = 0.1  # relative to uniform views: where sampling and correlation can be compared
INCONSISTENT_FRACTION_LIMIT = 0.3  # with the right particles and symmetry it is a few hundredths
BEST_PERCENTILE = 90
SCF_SIDE_VIEWS = 0.81  # views from all sides of one axis


class Strategy(StrEnum):
    """Recommended processing of a map."""

    NONE = "none"
    ANISOTROPY = "anisotropy"
    MISALIGNMENT = "misalignment"
    POSE_DRIFT = "pose_drift"
    SEVERE = "severe"


@dataclass(frozen=True)
class SamplingStatistics:
    """Sampling of Fourier space up to the resolution limit.

    Attributes
    ----------
    density : SamplingDensity
        Density relative to uniform views.
    undersampled_fraction : float
        Fraction in 0..1 of Fourier space with less than a quarter of the density of uniform views.
    psf_aspect_ratio : float
        Length over width of the point spread function of this sampling.
    """

    density: SamplingDensity
    undersampled_fraction: float
    psf_aspect_ratio: float


@dataclass(frozen=True)
class ParticleSampling:
    """The views of a particle set, compared with the correlation of the half maps.

    Attributes
    ----------
    directions : ndarray
        ``(n, 3)`` view directions with all symmetry mates.
    n_particles : int
        Number of particles.
    sampling : SamplingStatistics
        Their sampling of Fourier space.
    scf : float
        SCF*.
    low_correlation_fraction : float
        Fraction in 0..1 of the well-sampled part of Fourier space in which the half maps correlate poorly.
    inconsistent_fraction : float
        Fraction in 0..1 of the well-measured part of Fourier space that hardly any particle sampled.
    """

    directions: NDArray[np.float64]
    n_particles: int
    sampling: SamplingStatistics
    scf: float
    low_correlation_fraction: float
    inconsistent_fraction: float

    @property
    def is_consistent(self) -> bool:
        """Whether these particles can have given the half maps: no signal where no view sampled."""
        return self.inconsistent_fraction < INCONSISTENT_FRACTION_LIMIT


@dataclass(frozen=True)
class Diagnosis:
    """Anisotropy of half maps, and its cause.

    Attributes
    ----------
    fsc : DirectionalFsc
        FSC by direction, inside the mask if there is one, and corrected for it.
    metrics : Fsc3dMetrics
        Its summary.
    view_distribution : ViewDistribution
        The views that explain the correlation of the half maps.
    measured : SamplingStatistics
        Sampling by these views.
    particles : ParticleSampling or None
        The views of the particles, if given.
    drift : PoseDrift or None
        Drift of the poses, if it was measured on the images of the particles.
    """

    fsc: DirectionalFsc
    metrics: Fsc3dMetrics
    view_distribution: ViewDistribution
    measured: SamplingStatistics
    particles: ParticleSampling | None = None
    drift: PoseDrift | None = None

    @property
    def consistent_particles(self) -> ParticleSampling | None:
        """The views of the particles, if they are given and consistent with the half maps."""
        return self.particles if self.particles is not None and self.particles.is_consistent else None

    @property
    def sampling(self) -> SamplingStatistics:
        """Sampling by the particles' angles or, without consistent ones, by the half maps' correlation."""
        return self.measured if self.consistent_particles is None else self.consistent_particles.sampling

    @property
    def strategy(self) -> Strategy:
        """Recommended processing, a function of the other attributes.

        Where the drift of the poses was measured, misalignment is not inferred from densities.
        """
        if self.drift is not None and self.drift.is_detected:
            return Strategy.POSE_DRIFT
        if self.sampling.psf_aspect_ratio >= PSF_ASPECT_RATIO_LIMIT:
            return Strategy.SEVERE
        particles = self.consistent_particles if self.drift is None else None
        if particles is not None and particles.low_correlation_fraction >= LOW_CORRELATION_FRACTION_LIMIT:
            return Strategy.MISALIGNMENT
        undersampled = max(self.measured.undersampled_fraction, self.sampling.undersampled_fraction)
        if undersampled >= UNDERSAMPLED_FRACTION_LIMIT or self.metrics.cfar < CFAR_LIMIT:
            return Strategy.ANISOTROPY
        return Strategy.NONE


def diagnose(
    maps: HalfMaps,
    limit_resolution_angstrom: float | None,
    workers: int,
    directions: NDArray[np.float64] | None = None,
    n_particles: int = 0,
    beyond_limit: bool = False,
) -> Diagnosis:
    """Measure the anisotropy of two half maps, and compare it with the angles of their particles.

    Parameters
    ----------
    maps : HalfMaps
        Two half maps and, optionally, a mask.
    limit_resolution_angstrom : float or None
        Resolution limit in Å; None: where the global FSC falls to 0.143.
    workers : int
        Threads.
    directions : ndarray, optional
        ``(n, 3)`` view directions of the particles, symmetry mates included.
    n_particles : int
        Number of particles with these directions.
    beyond_limit : bool
        Continue the FSC curves beyond the limit, for a limit that was measured.

    Raises
    ------
    SpisonetError
        If there is one map only, or the half maps correlate in too few shells to compare directions.
    """
    if maps.half2 is None:
        raise SpisonetError(
            "A diagnosis needs two half maps: a single map does not show which part is noise."
        )
    mask = None if maps.mask is None else maps.mask.data
    halves = [maps.half1.data, maps.half2.data]
    fsc = estimate_directional_fsc(
        halves[0],
        halves[1],
        mask,
        maps.half1.voxel_size_angstrom,
        limit_resolution_angstrom,
        workers,
        beyond_limit=beyond_limit,
    )
    if fsc.limit_shell < FIRST_SAMPLING_SHELL + FEWEST_SAMPLING_SHELLS - 1:
        raise SpisonetError(
            f"{fsc.limit_resolution_angstrom:.1f} Å is too coarse to compare directions: it leaves only "
            f"{fsc.limit_shell} Fourier shells in a box of {fsc.box_angstrom:.0f} Å."
        )
    spectra = [rfft3(half - np.float32(solvent_level(half, mask)), workers) for half in halves]
    views = fit_view_distribution(spectra[0], spectra[1], FIRST_SLICE_SHELL, fsc.limit_shell)
    points = EvaluationPoints(fsc.limit_shell)
    curve = views.curve(points.radius)
    measured = points.statistics(views.density(), curve)
    particles = None
    if directions is not None:
        particles = _compare_with_particles(directions, n_particles, points, measured, curve)
    return Diagnosis(fsc, summarise_fsc3d(fsc), views, measured, particles)


class EvaluationPoints:
    """Fourier coefficients of all shells up to a limit, in nearly uniform directions.

    Attributes
    ----------
    frequencies : ndarray
        ``(m, 3)`` ``(x, y, z)`` in Fourier voxels.
    radius : ndarray
        ``(m,)`` their lengths.
    weights : ndarray
        ``(m,)`` volume of Fourier space that each represents; the sum is 1.
    """

    def __init__(self, limit_shell: int) -> None:
        axes = geodesic_sphere(SUBDIVISIONS).axes_zyx[:, ::-1]
        shells = np.arange(FIRST_SAMPLING_SHELL, limit_shell + 1)
        self.frequencies = (shells[:, None, None] * axes).reshape(-1, 3)
        self.radius = np.repeat(shells, len(axes)).astype(np.float64)
        self.weights = self.radius**2 / float((self.radius**2).sum())

    def fraction(self, chosen: NDArray[np.bool_], among: NDArray[np.bool_] | None = None) -> float:
        """Fraction in 0..1 of the volume of all points, or of some, that is chosen; 0 of an empty set."""
        within = self.weights if among is None else self.weights * among
        total = float(within.sum())
        return float((within * chosen).sum()) / total if total > 0 else 0.0

    def statistics(self, density: SamplingDensity, curve: NDArray[np.float64]) -> SamplingStatistics:
        """Summarise a sampling density.

        Parameters
        ----------
        density : SamplingDensity
            Density relative to uniform views.
        curve : ndarray
            ``(m,)`` SSNR for uniform views at each point.
        """
        relative = density.at(self.frequencies)
        ssnr = curve * relative
        weight = self.weights * ssnr / (1 + ssnr)
        units = self.frequencies / self.radius[:, None]
        moments = np.linalg.eigvalsh(np.einsum("m,mi,mj->ij", weight, units, units)).tolist()
        floor = moments[-1] * float(np.finfo(np.float32).eps)
        return SamplingStatistics(
            density,
            self.fraction(relative < UNDERSAMPLED_DENSITY),
            math.sqrt(moments[-1] / max(moments[0], floor)),
        )


def _compare_with_particles(
    directions: NDArray[np.float64],
    n_particles: int,
    points: EvaluationPoints,
    measured: SamplingStatistics,
    curve: NDArray[np.float64],
) -> ParticleSampling:
    density = SamplingDensity(directions)
    sampled, correlated = density.at(points.frequencies), measured.density.at(points.frequencies)
    comparable = sampled >= MIN_COMPARABLE_DENSITY
    signal_per_view = correlated[comparable] / sampled[comparable]
    best = _weighted_percentile(signal_per_view, points.weights[comparable], BEST_PERCENTILE)
    expected_ssnr, measured_ssnr = curve * best * sampled, curve * correlated
    well_sampled = comparable & (expected_ssnr >= WELL_SAMPLED_SSNR)
    return ParticleSampling(
        directions,
        n_particles,
        points.statistics(density, curve * best),
        sampling_compensation(directions),
        points.fraction(measured_ssnr < LOW_CORRELATION_RATIO * expected_ssnr, well_sampled),
        points.fraction(sampled < MIN_COMPARABLE_DENSITY, measured_ssnr >= WELL_SAMPLED_SSNR),
    )


def _weighted_percentile(
    values: NDArray[np.floating], weights: NDArray[np.floating], percent: float
) -> float:
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(cumulative, percent / 100 * cumulative[-1])]])
