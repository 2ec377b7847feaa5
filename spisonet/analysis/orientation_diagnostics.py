"""How anisotropic half maps are, why, and what to do about it.

All statistics are taken over Fourier coefficients ``k u`` on shells ``k`` of nearly even directions ``u``,
each shell weighted by its size. The *measured* signal-to-noise ratio ``q(k) D(u)`` is that of the view
distribution that best explains the correlation of the half maps (`view_distribution`); it needs no particles.
The *sampling density* follows from the particles' angles, if a STAR file is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from spisonet.analysis.fourier_sampling import sampling_compensation
from spisonet.analysis.fsc3d import estimate_fsc3d, summarise_fsc3d
from spisonet.analysis.normalisation import solvent_level
from spisonet.analysis.view_distribution import (
    FIRST_SHELL,
    SamplingDensity,
    ViewDistribution,
    fit_view_distribution,
)
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import rfft3
from spisonet.geometry.sphere import geodesic_sphere
from spisonet.geometry.view_sampling import SPARSE, UNEVEN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.analysis.fsc3d import Fsc3d, Fsc3dMetrics
    from spisonet.analysis.half_maps import HalfMaps

CONE_DEGREES = 20.0
SUBDIVISIONS = 12  # 721 directions, about 5.6 degrees apart, as the view model resolves
FIRST_JUDGED = 4  # nearer to DC, every view samples every direction
FEWEST_SHELLS = 2

CFAR_LIMIT = 0.5  # the published rule
# The point spread is twice as long as wide. A missing cone of 55 degrees about an axis does that.
SEVERE_PSF_ASPECT_RATIO = 2.0
# Well sampled is a signal-to-noise ratio of 1 or more if every view carried as much signal as those of the
# best-correlating directions do; poorly correlated is less than a quarter of it. In simulated half maps with
# true poses 0 to 2 % of what is well sampled correlates poorly; where part of the poses is wrong, 45 to 64 %.
WELL_SAMPLED = 1.0
POOR = 0.25
POOR_SHARE = 0.1
LEAST_SAMPLED = 0.1  # of even views: where sampling and correlation can be compared
UNEXPLAINED = 0.3  # with the right particles and symmetry it is a few hundredths
BEST_PERCENTILE = 90
SCF_EVEN = 0.81  # views from all sides of one axis


class Strategy(StrEnum):
    """What to do with a map."""

    NONE = "none"
    ANISOTROPY = "anisotropy"
    MISALIGNMENT = "misalignment"
    SEVERE = "severe"


@dataclass(frozen=True)
class Coverage:
    """How Fourier space is covered up to the resolution limit.

    Attributes
    ----------
    density : SamplingDensity
        Density relative to even views.
    undersampled_fraction : float
        Share in 0..1 of Fourier space with less than a quarter of the density of even views.
    unmeasured_share : float
        Share in 0..1 in which the half maps' FSC is expected to be below 0.143 though with even views it
        would be above.
    psf_aspect_ratio : float
        Length over width of the point spread function that such a coverage leaves.
    """

    density: SamplingDensity
    undersampled_fraction: float
    unmeasured_share: float
    psf_aspect_ratio: float


@dataclass(frozen=True)
class Particles:
    """What a particle set's angles say.

    Attributes
    ----------
    directions : ndarray
        ``(n, 3)`` view directions with all symmetry mates.
    n_particles : int
        How many there are.
    coverage : Coverage
        What they sampled.
    scf : float
        SCF*.
    low_correlation_fraction : float
        Share in 0..1 of the well sampled part of Fourier space in which the half maps correlate poorly.
    inconsistent_fraction : float
        Share in 0..1 of the well measured part of Fourier space that hardly any particle sampled.
    """

    directions: NDArray[np.float64]
    n_particles: int
    coverage: Coverage
    scf: float
    low_correlation_fraction: float
    inconsistent_fraction: float

    @property
    def belong(self) -> bool:
        """Whether the half maps can be of these particles: what nobody sampled cannot have been measured."""
        return self.inconsistent_fraction < UNEXPLAINED


@dataclass(frozen=True)
class Diagnosis:
    """How anisotropic half maps are, and why.

    Attributes
    ----------
    fsc3d : Fsc3d
        FSC by direction, inside the mask if there is one.
    metrics : Fsc3dMetrics
        Its summary.
    model : ViewDistribution
        The views that explain how the half maps correlate.
    measured : Coverage
        What the half maps' correlation says was measured.
    particles : Particles or None
        What the particles' angles say.
    """

    fsc3d: Fsc3d
    metrics: Fsc3dMetrics
    model: ViewDistribution
    measured: Coverage
    particles: Particles | None = None

    @property
    def trusted(self) -> Particles | None:
        """What the angles say, if they are known and can be those of these half maps."""
        return self.particles if self.particles is not None and self.particles.belong else None

    @property
    def collected(self) -> Coverage:
        """What was collected: what the angles say or, without them, what was measured."""
        return self.measured if self.trusted is None else self.trusted.coverage

    @property
    def strategy(self) -> Strategy:
        """What to do, from the quantities above alone."""
        if self.collected.psf_aspect_ratio >= SEVERE_PSF_ASPECT_RATIO:
            return Strategy.SEVERE
        if self.trusted is not None and self.trusted.low_correlation_fraction >= POOR_SHARE:
            return Strategy.MISALIGNMENT
        uneven = max(self.measured.undersampled_fraction, self.collected.undersampled_fraction) >= UNEVEN
        if uneven or self.metrics.cfar < CFAR_LIMIT:
            return Strategy.ANISOTROPY
        return Strategy.NONE


def diagnose(
    maps: HalfMaps,
    limit_resolution_angstrom: float | None,
    workers: int,
    directions: NDArray[np.float64] | None = None,
    n_particles: int = 0,
) -> Diagnosis:
    """Measure how anisotropic two half maps are, and compare it with the angles of their particles.

    Parameters
    ----------
    maps : HalfMaps
        Two half maps and, optionally, a mask.
    limit_resolution_angstrom : float or None
        Up to where; None: where the global FSC falls to 0.143.
    workers : int
        Threads.
    directions : ndarray, optional
        ``(n, 3)`` view directions of the particles, symmetry mates included.
    n_particles : int
        How many particles these are of.

    Raises
    ------
    SpisonetError
        If the half maps correlate in too few shells to tell directions apart.
    """
    if maps.half2 is None:
        raise SpisonetError("A diagnosis needs two half maps: what one map holds may be signal or noise.")
    mask = None if maps.mask is None else maps.mask.data
    halves = [maps.half1.data, maps.half2.data]
    fsc3d = estimate_fsc3d(
        halves[0],
        halves[1],
        mask,
        maps.half1.voxel_size_angstrom,
        limit_resolution_angstrom,
        CONE_DEGREES,
        workers,
    )
    if fsc3d.limit_shell < FIRST_JUDGED + FEWEST_SHELLS - 1:
        raise SpisonetError(
            f"{fsc3d.limit_resolution_angstrom:.1f} Å is too coarse to tell directions apart: "
            f"only {fsc3d.limit_shell} Fourier shells hold signal in a box of {fsc3d.box_angstrom:.0f} Å."
        )
    spectra = [rfft3(half - np.float32(solvent_level(half, mask)), workers) for half in halves]
    model = fit_view_distribution(spectra[0], spectra[1], FIRST_SHELL, fsc3d.limit_shell)
    points = JudgedPoints(fsc3d.limit_shell)
    curve = model.curve(points.radius)
    measured = points.coverage(model.density(), curve)
    particles = None
    if directions is not None:
        particles = _compare(directions, n_particles, points, measured, curve)
    return Diagnosis(fsc3d, summarise_fsc3d(fsc3d), model, measured, particles)


class JudgedPoints:
    """Fourier coefficients of all shells up to a limit, in nearly even directions.

    Attributes
    ----------
    frequencies : ndarray
        ``(m, 3)`` ``(x, y, z)`` in Fourier voxels.
    radius : ndarray
        ``(m,)`` their lengths.
    weights : ndarray
        ``(m,)`` volume of Fourier space that each stands for; the sum is 1.
    """

    def __init__(self, limit_shell: int) -> None:
        self._axes = geodesic_sphere(SUBDIVISIONS).axes_zyx[:, ::-1]
        shells = np.arange(FIRST_JUDGED, limit_shell + 1)
        self.frequencies = (shells[:, None, None] * self._axes).reshape(-1, 3)
        self.radius = np.repeat(shells, len(self._axes)).astype(np.float64)
        self.weights = self.radius**2 / float((self.radius**2).sum())

    def share(self, chosen: NDArray[np.bool_], among: NDArray[np.bool_] | None = None) -> float:
        """Share in 0..1 of what is chosen, of everything or among some points; 0 among none."""
        within = self.weights if among is None else self.weights * among
        total = float(within.sum())
        return float((within * chosen).sum()) / total if total > 0 else 0.0

    def coverage(self, density: SamplingDensity, curve: NDArray[np.float64]) -> Coverage:
        """Sum up a density, with the signal-to-noise ratio that even views would have at each point."""
        relative = density.at(self.frequencies)
        ssnr = curve * relative
        weight = self.weights * ssnr / (1 + ssnr)
        units = self.frequencies / self.radius[:, None]
        moments = np.linalg.eigvalsh(np.einsum("m,mi,mj->ij", weight, units, units)).tolist()
        floor = moments[-1] * float(np.finfo(np.float32).eps)
        return Coverage(
            density,
            self.share(relative < SPARSE),
            self.share((ssnr < SSNR_LIMIT) & (curve >= SSNR_LIMIT)),
            math.sqrt(moments[-1] / max(moments[0], floor)),
        )


# SSNR / (1 + SSNR) = 0.143, the FSC of half maps at the limit of resolution.
SSNR_LIMIT = 0.143 / (1 - 0.143)


def _compare(
    directions: NDArray[np.float64],
    n_particles: int,
    points: JudgedPoints,
    measured: Coverage,
    curve: NDArray[np.float64],
) -> Particles:
    density = SamplingDensity(directions)
    sampled, correlated = density.at(points.frequencies), measured.density.at(points.frequencies)
    comparable = sampled >= LEAST_SAMPLED
    yield_of_views = correlated[comparable] / sampled[comparable]
    best = _percentile(yield_of_views, points.weights[comparable], BEST_PERCENTILE)
    expected = curve * best * sampled
    well = comparable & (expected >= WELL_SAMPLED)
    poor = curve * correlated < POOR * expected
    measured_well = curve * correlated >= WELL_SAMPLED
    return Particles(
        directions,
        n_particles,
        points.coverage(density, curve * best),
        sampling_compensation(directions),
        points.share(poor, well),
        points.share(sampled < LEAST_SAMPLED, measured_well),
    )


def _percentile(values: NDArray[np.floating], weights: NDArray[np.floating], percent: float) -> float:
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(cumulative, percent / 100 * cumulative[-1])]])
