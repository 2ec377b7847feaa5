"""Rigid fit of an atomic model into a map, by rotations, translations and a local refinement.

The score is the correlation of map and model after the amplitudes of every shell were equalised, which is
the mean FSC of the shells weighted by their numbers of coefficients. Equal amplitudes make its maximum sharp
at low resolution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize

from spisonet.errors import SpisonetError
from spisonet.fourier.filters import shell_curve_to_rfft
from spisonet.fourier.grids import (
    crop_or_pad_rfft,
    frequency_axes_rfft,
    hermitian_multiplicity,
    irfft3,
    radius_rfft,
    rfft3,
)
from spisonet.fourier.shells import FEWEST_SHELLS, shell_sums
from spisonet.fourier.windows import soft_lowpass_weights, soft_sphere
from spisonet.geometry.rotations import rotation_vector_matrices, uniform_rotations
from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.validation.model import atomic_numbers, map_origin, model_density

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.io.mrc import Volume
    from spisonet.validation.model import AtomicModel

# The fit ends at half of the radius of the model within these limits: maps whose poses drifted have wrong
# densities at finer resolutions, and a model that follows them is tilted.
FINEST_ANGSTROM, COARSEST_ANGSTROM, FIT_PER_RADIUS = 15.0, 40.0, 0.5
SEARCH_ANGSTROM = 30.0  # of the search over all rotations, or coarser
GRID_PER_SHELL, SMALLEST_GRID = 4, 16  # voxels
BEADS_PER_RESOLUTION = 5
MASK_EDGE_VOXELS, FILTER_EDGE_SHELLS = 2.0, 2.0
# The search is coarser for large models, whose outer parts move further in the same rotation.
SEARCH_RADII, ANGLE_PER_RESOLUTION = 3.0, 1.0
MIN_STEP_DEGREES, MAX_STEP_DEGREES = 8.0, 24.0
MOST_MATES = 12  # rotations of a point group that the model is compared with
N_REFINED, N_FINAL, FINAL_STEP_DEGREES = 8, 2, 1.0
ANGLE_TOLERANCE_DEGREES, SCORE_TOLERANCE = 0.05, 1e-4


@dataclass(frozen=True)
class RigidFit:
    """A model that was fitted into a map.

    Attributes
    ----------
    model : AtomicModel
        The model in the frame of the map.
    rotation : ndarray
        ``(3, 3)`` rotation of the positions ``(x, y, z)`` about their mean.
    shift_angstrom : ndarray
        ``(3,)`` displacement ``(x, y, z)`` of their mean.
    correlation, mirror_correlation : float
        Correlation in -1..1 of the map with the model and with its mirror image, each where it fits best.
    resolution_angstrom : float
        Resolution to which these were computed.
    symmetry_agreement : float
        Correlation in -1..1 of the fitted model with its copies that are rotated by the point group; 1 in C1.
    """

    model: AtomicModel
    rotation: NDArray[np.float64]
    shift_angstrom: NDArray[np.float64]
    correlation: float
    mirror_correlation: float
    resolution_angstrom: float
    symmetry_agreement: float = 1.0


def fit_model(model: AtomicModel, volume: Volume, resolution_angstrom: float, sym: str = "C1") -> RigidFit:
    """Fit a model into a map as a rigid body.

    With a point group, the score of a pose is multiplied by the correlation of the model with its copies
    that are rotated about the axes of the map: a map whose poses have drifted can fit best to a tilted model.

    Parameters
    ----------
    model : AtomicModel
        Model in any position.
    volume : Volume
        The map; it may be noisy and anisotropic.
    resolution_angstrom : float
        Resolution in Å of the correlations, 15 Å at the finest, and finest resolution of the fit itself.
    sym : str
        Point group of the model, about axes through voxel ``box // 2`` of the map.

    Raises
    ------
    SpisonetError
        If the model is larger than the map, the map has too few shells at this resolution, or the point group
        is unknown.
    """
    centre = model.positions_xyz.mean(axis=0)
    offsets = (model.positions_xyz - centre) / volume.voxel_size_angstrom
    radius = float(np.linalg.norm(offsets, axis=1).max())
    radius_angstrom = radius * volume.voxel_size_angstrom
    if radius > volume.box / 2:
        raise SpisonetError(
            f"{model.path} has a radius of {radius_angstrom:.0f} Å and does not fit into the box of "
            f"{volume.name} ({volume.box * volume.voxel_size_angstrom:.0f} Å); give a map with a larger box."
        )
    finest = max(resolution_angstrom, FINEST_ANGSTROM)
    of_fit = max(finest, float(np.clip(FIT_PER_RADIUS * radius_angstrom, FINEST_ANGSTROM, COARSEST_ANGSTROM)))
    of_search = max(of_fit, SEARCH_ANGSTROM, radius_angstrom / SEARCH_RADII)
    targets = [_Target.of(volume, angstrom) for angstrom in (of_search, of_fit, finest)]
    weights = atomic_numbers(model)
    rotations = symmetry_rotations(sym)[1:]
    mates = rotations[:: max(1, -(-len(rotations) // MOST_MATES))]
    poses = [_fit(offsets * flip, weights, targets, mates) for flip in ((1, 1, 1), (-1, 1, 1))]
    best, mirror = poses
    moved = offsets @ best.rotation.T * volume.voxel_size_angstrom + map_origin(volume)
    moved += best.position_voxels * volume.voxel_size_angstrom
    return RigidFit(
        replace(model, positions_xyz=moved),
        best.rotation,
        moved.mean(axis=0) - centre,
        best.score,
        mirror.score,
        finest,
        best.agreement,
    )


def reference_map(fit: RigidFit, volume: Volume, resolution_angstrom: float) -> NDArray[np.float32]:
    """Return the density of a fitted model, low-pass filtered, in the grey scale of the map.

    Parameters
    ----------
    fit : RigidFit
        The fit.
    volume : Volume
        Map that defines the grid.
    resolution_angstrom : float
        Resolution of the filter, which has an edge of one shell to either side.

    Returns
    -------
    ndarray of float32
        ``(n, n, n)``.
    """
    shell = volume.box * volume.voxel_size_angstrom / resolution_angstrom
    lowpass = soft_lowpass_weights(volume.box, shell - FILTER_EDGE_SHELLS / 2, FILTER_EDGE_SHELLS)
    density, data = (
        irfft3((rfft3(part) * lowpass).astype(np.complex64), part.shape)
        for part in (model_density(fit.model, volume), volume.data - volume.data.mean())
    )
    scale = float((density * data).sum(dtype=np.float64) / (density**2).sum(dtype=np.float64))
    return density * np.float32(abs(scale))


@dataclass(frozen=True)
class _Pose:
    """Rotation, position of the centre in voxels of the map, score, and agreement with rotated copies."""

    rotation: NDArray[np.float64]
    position_voxels: NDArray[np.float64]
    score: float
    agreement: float = 1.0


@dataclass(frozen=True)
class _Target:
    """A map on a coarse grid, with equal amplitudes in all shells up to a resolution and norm 1."""

    spectrum: NDArray[np.complex64]
    window: NDArray[np.float32]
    n: int
    shell: int
    voxels: int
    resolution_angstrom: float
    voxel_size_angstrom: float

    @classmethod
    def of(cls, volume: Volume, resolution_angstrom: float) -> _Target:
        """Make the target of a map.

        Raises
        ------
        SpisonetError
            If too few shells are left.
        """
        box_angstrom = volume.box * volume.voxel_size_angstrom
        shell = int(min(box_angstrom / resolution_angstrom, (volume.box - 1) // 2))
        if shell < FEWEST_SHELLS:
            raise SpisonetError(
                f"The box of {volume.name} ({box_angstrom:.0f} Å) has fewer than {FEWEST_SHELLS} shells to "
                f"{resolution_angstrom:.0f} Å; give a finer resolution, or a map with a larger box."
            )
        n = max(GRID_PER_SHELL * shell, SMALLEST_GRID)
        sphere = soft_sphere(volume.box, volume.box / 2 - MASK_EDGE_VOXELS, MASK_EDGE_VOXELS)
        spectrum = crop_or_pad_rfft(rfft3((volume.data - volume.data.mean()) * sphere), n)
        radius = radius_rfft((n, n, n))
        inside = (radius >= 0.5) & (radius < shell + 0.5)
        # Trilinear splatting multiplies the spectrum of the beads by sinc².
        splat = np.prod(
            [np.sinc(k / n) ** 2 for k in np.broadcast_arrays(*frequency_axes_rfft((n, n, n)))], axis=0
        )
        window = np.where(inside, 1 / splat, 0).astype(np.float32)
        white = spectrum * inside * _inverse_amplitudes(spectrum, n)
        white /= np.sqrt(_norm2(white))
        return cls(
            white.astype(np.complex64),
            window,
            n,
            shell,
            volume.box,
            resolution_angstrom,
            volume.voxel_size_angstrom,
        )

    def spectrum_of(
        self, beads: NDArray[np.float64], weights: NDArray[np.float64], amplitudes: NDArray[np.float32]
    ) -> NDArray[np.complex64]:
        """Return the spectrum of beads, times a factor for each shell.

        Parameters
        ----------
        beads, weights : ndarray
            ``(m, 3)`` positions in voxels of the map, and ``(m,)``.
        amplitudes : ndarray
            ``(n, n, n // 2 + 1)`` factors, see `_inverse_amplitudes`.
        """
        density = _splat(beads * self.n / self.voxels, weights, self.n)
        return np.asarray(rfft3(density, workers=1) * (self.window * amplitudes), dtype=np.complex64)


def _norm2(spectrum: NDArray[np.inexact]) -> float:
    power = np.abs(spectrum) ** 2 * hermitian_multiplicity(len(spectrum))
    return float(power.sum(dtype=np.float64))


def _inverse_amplitudes(spectrum: NDArray[np.inexact], n: int) -> NDArray[np.float32]:
    """Return one over the amplitude of the shell of every coefficient, up to a factor; 0 without power."""
    power = shell_sums(np.abs(spectrum) ** 2, n) / np.maximum(np.arange(n // 2 + 1), 1) ** 2
    inverse = np.divide(1, np.sqrt(power), out=np.zeros_like(power), where=power > 0)
    return shell_curve_to_rfft(inverse, n)


def _splat(positions: NDArray[np.float64], weights: NDArray[np.float64], n: int) -> NDArray[np.float32]:
    """Distribute weights at ``(m, 3)`` grid positions ``(x, y, z)`` over the voxels around them."""
    low = np.floor(positions).astype(np.intp)
    part = positions - low
    # Of both neighbours along each axis, (2, m, 3); then of all eight.
    voxels = np.stack([low, low + 1]) % n
    shares = np.stack([1 - part, part])
    x, y, z = np.moveaxis(voxels, 2, 0)
    cell = (z[:, None, None] * n + y[None, :, None]) * n + x[None, None, :]
    x, y, z = np.moveaxis(shares, 2, 0)
    share = z[:, None, None] * y[None, :, None] * x[None, None, :] * weights
    return np.bincount(cell.ravel(), share.ravel(), n**3).astype(np.float32).reshape(n, n, n)


def _beads(
    offsets: NDArray[np.float64], weights: NDArray[np.float64], edge: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Merge the atoms in every cell of an edge into one bead at their centre of mass."""
    _, cell = np.unique(np.floor(offsets / edge).astype(np.int64), axis=0, return_inverse=True)
    cell = cell.ravel()
    total = np.bincount(cell, weights)
    centres = [np.bincount(cell, weights * offsets[:, axis]) / total for axis in range(3)]
    return np.stack(centres, axis=1), total.astype(np.float64)


class _Scorer:
    """Score of poses of one model in one target."""

    def __init__(
        self,
        offsets: NDArray[np.float64],
        weights: NDArray[np.float64],
        target: _Target,
        mates: NDArray[np.float64],
    ) -> None:
        self.target, self.mates = target, mates
        edge = target.resolution_angstrom / target.voxel_size_angstrom / BEADS_PER_RESOLUTION
        self.beads, self.weights = _beads(offsets, weights, edge)
        self.centre = np.full(3, target.voxels / 2, dtype=np.float64)
        ones = np.ones_like(target.window)
        # Amplitudes of shells hardly depend on the rotation.
        spectrum = target.spectrum_of(self.beads + self.centre, self.weights, ones)
        self.amplitudes = _inverse_amplitudes(spectrum, target.n)

    def best_position(self, rotation: NDArray[np.float64]) -> _Pose:
        """Find the best translation of a rotated model."""
        n = self.target.n
        spectrum = self.target.spectrum_of(
            self.beads @ rotation.T + self.centre, self.weights, self.amplitudes
        )
        correlation = irfft3(self.target.spectrum * spectrum.conj(), (n, n, n), workers=1)
        peak = int(correlation.argmax())
        zyx = np.array(np.unravel_index(peak, correlation.shape))
        shift = (zyx - n * (zyx > n // 2))[::-1] * (self.target.voxels / n)
        score = float(correlation.flat[peak]) * n**3 / np.sqrt(_norm2(spectrum))
        return _Pose(rotation, self.centre + shift, score)

    def score(self, rotation: NDArray[np.float64], position_voxels: NDArray[np.float64]) -> float:
        """Return the correlation of a pose."""
        beads = self.beads @ rotation.T + position_voxels
        spectrum = self.target.spectrum_of(beads, self.weights, self.amplitudes)
        product = (self.target.spectrum * spectrum.conj()).real * hermitian_multiplicity(self.target.n)
        return float(product.sum(dtype=np.float64) / np.sqrt(_norm2(spectrum)))

    def agreement(self, rotation: NDArray[np.float64], position_voxels: NDArray[np.float64]) -> float:
        """Return the correlation of a model with its copies that are rotated about the axes of the map."""
        if not len(self.mates):
            return 1.0
        origin = self.target.voxels // 2
        beads = self.beads @ rotation.T + position_voxels - origin
        spectrum, *others = (
            self.target.spectrum_of(beads @ mate.T + origin, self.weights, self.amplitudes)
            for mate in (np.eye(3), *self.mates)
        )
        product = (spectrum.conj() * sum(others)).real * hermitian_multiplicity(self.target.n)
        return float(product.sum(dtype=np.float64) / (len(others) * _norm2(spectrum)))

    def refine(self, pose: _Pose, step_degrees: float) -> _Pose:
        """Refine a pose locally."""
        half_voxel = self.target.voxels / self.target.n / 2
        scale = np.array([np.radians(step_degrees)] * 3 + [half_voxel] * 3)

        def moved(vector: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            angles, shift = np.split(vector * scale, 2)
            rotation = np.asarray(rotation_vector_matrices(angles)[0] @ pose.rotation)
            return rotation, np.asarray(pose.position_voxels + shift, dtype=np.float64)

        found = minimize(
            lambda vector: -self.score(*moved(vector)) * self.agreement(*moved(vector)),
            np.zeros(6),
            method="Nelder-Mead",
            options={
                "initial_simplex": np.vstack([np.zeros(6), np.eye(6)]),
                "xatol": ANGLE_TOLERANCE_DEGREES / step_degrees,
                "fatol": SCORE_TOLERANCE,
            },
        )
        return _Pose(*moved(found.x), -float(found.fun))


def _fit(
    offsets: NDArray[np.float64],
    weights: NDArray[np.float64],
    targets: list[_Target],
    mates: NDArray[np.float64],
) -> _Pose:
    """Fit atoms at ``(m, 3)`` offsets from their centre, in voxels.

    The targets are those of the search, of the fit and of the score; `mates` ``(g, 3, 3)`` are rotations of
    the point group.
    """
    search, of_fit, finest = targets
    radius = float(np.linalg.norm(offsets, axis=1).max()) * search.voxel_size_angstrom
    step = np.degrees(ANGLE_PER_RESOLUTION * search.resolution_angstrom / max(radius, 1.0))
    step = float(np.clip(step, MIN_STEP_DEGREES, MAX_STEP_DEGREES))
    scorer, final = (_Scorer(offsets, weights, target, mates) for target in (search, of_fit))
    n_rotations = round(8 * np.pi**2 / np.radians(step) ** 3)

    def best(poses: list[_Pose], number: int) -> list[_Pose]:
        return sorted(poses, key=lambda pose: pose.score, reverse=True)[:number]

    poses = best([scorer.best_position(rotation) for rotation in uniform_rotations(n_rotations)], N_REFINED)
    poses = best([scorer.refine(pose, step / 2) for pose in poses], N_FINAL)
    (pose,) = best([final.refine(pose, step / 4) for pose in poses], 1)
    pose = final.refine(pose, FINAL_STEP_DEGREES)  # a fresh simplex, since the first one may have collapsed
    score = _Scorer(offsets, weights, finest, mates).score(pose.rotation, pose.position_voxels)
    return replace(pose, score=score, agreement=final.agreement(pose.rotation, pose.position_voxels))
