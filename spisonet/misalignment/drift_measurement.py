"""Measurement of a collective drift of poses, and the checks that a particle set allows it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spisonet.analysis.pose_drift import PoseDrift
from spisonet.errors import SpisonetError
from spisonet.geometry.rotations import view_directions
from spisonet.geometry.sphere import fibonacci_hemisphere
from spisonet.geometry.view_sampling import sampling_density, symmetric_directions
from spisonet.misalignment.cross_half_likelihood import cross_half_likelihood
from spisonet.misalignment.half_map_model import HalfMapModel
from spisonet.misalignment.image_band import ImageBand, Poses
from spisonet.misalignment.motion_search import find_motion, likelihood_curve, standard_error
from spisonet.misalignment.pose_correction import MOTION_DEGREES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from spisonet.misalignment.particle_images import ParticleImages

FEWEST_PARTICLES = 100
COARSE_STAGES = (2, 4)  # which find a drift; finer motions only complete it
DRIFT_RESOLUTION_ANGSTROM = 25.0  # coarse shells show a drift best: the likelihood is smooth there
FEWEST_SHELLS = 8  # of the band; in fewer shells of a small box, poses without drift seem to have drifted
SAMPLING_DIRECTIONS, SAMPLING_RADIUS = 1000, 12.0  # Fourier voxels
UNSAMPLED_DENSITY = 0.02  # relative to even views
SIGNIFICANT = 3.0  # standard errors by which poses have to predict their images better than other poses do


def require_enough(particles: ParticleImages) -> None:
    """Check the number of particles.

    Raises
    ------
    SpisonetError
        If there are fewer than 100.
    """
    if particles.n_particles < FEWEST_PARTICLES:
        raise SpisonetError(
            f"{particles.star} lists {particles.n_particles} particles; at least {FEWEST_PARTICLES} are "
            "needed to measure a drift of the poses.",
            code="too_few_particles",
        )


def require_prediction(model: HalfMapModel, poses: Poses, seed: int = 0) -> None:
    """Check that the half maps predict the images in their poses better than in the poses of other particles.

    Raises
    ------
    SpisonetError
        If they do not: the images have no signal, or the poses are not theirs.
    """
    order = np.random.default_rng(seed).permutation(len(poses.rotations))
    right = cross_half_likelihood(model, poses).by_particle
    wrong = cross_half_likelihood(model, replace(poses, rotations=poses.rotations[order])).by_particle
    if not (right - wrong).mean() > SIGNIFICANT * standard_error(right - wrong):
        raise SpisonetError(
            f"The half maps of {model.band.particles.star} do not predict its images better than with the "
            "poses of other particles; give the particle STAR file of the refinement of these images.",
            code="poses_without_signal",
        )


def measure_drift(
    particles: ParticleImages,
    mask: NDArray[np.float32] | None,
    sym: str,
    finest_resolution_angstrom: float,
    device: torch.device,
    max_particles: int,
    seed: int = 0,
    stages: Sequence[int] = COARSE_STAGES,
    end_angstrom: float = 0.0,
) -> PoseDrift:
    """Measure the collective motion of the poses that the cross-half likelihood prefers.

    Parameters
    ----------
    particles : ParticleImages
        The particles.
    mask : ndarray or None
        ``(box, box, box)`` values of 0 to 1.
    sym : str
        Point group.
    finest_resolution_angstrom : float
        End of the band. From 25 Å on, a band of fewer than 8 shells is extended to 8.
    device : torch.device
        Where to compute.
    max_particles : int
        Largest number of particles, drawn at random; 100 if it is smaller.
    seed : int
        Of the choice of particles.
    stages : sequence of int
        See `find_motion`.
    end_angstrom : float
        Resolution beyond which the band is not extended.

    Raises
    ------
    SpisonetError
        If there are too few particles, images cannot be read, the mask has another box, or the poses do not
        predict the images.
    """
    require_enough(particles)
    box_angstrom = particles.box * particles.pixel_size_angstrom
    finest = max(end_angstrom, band_end_angstrom(finest_resolution_angstrom, box_angstrom))
    model = model_of_subset(particles, mask, sym, finest, device, max_particles, seed)
    poses = Poses.of(model.band.particles)
    require_prediction(model, poses, seed)
    motion = find_motion(model, poses, stages)
    band = model.band
    curve = likelihood_curve(model, motion.start, motion.vectors)
    return PoseDrift(
        n_particles=band.particles.n_particles,
        n_listed=particles.n_particles,
        coarsest_angstrom=band.length_angstrom / band.first,
        finest_angstrom=band.length_angstrom / band.last,
        motion_degrees=motion.rms_degrees,
        smallest_drift_degrees=MOTION_DEGREES,
        p_value=motion.p_value,
        log_likelihood=motion.before.mean,
        fractions=curve.fractions,
        rise=curve.rise,
        standard_error=curve.standard_error,
        ignored_aberrations=band.particles.ignored_aberrations,
        unsampled_fraction=unsampled_fraction(poses.rotations, model.symmetry.double().cpu().numpy()),
        of_subtomograms=particles.particle_numbers is not None,
    )


def band_end_angstrom(finest_resolution_angstrom: float, box_angstrom: float) -> float:
    """Return the end of the band in which a drift is measured; see `measure_drift`."""
    if finest_resolution_angstrom > DRIFT_RESOLUTION_ANGSTROM:
        return finest_resolution_angstrom
    return min(finest_resolution_angstrom, box_angstrom / FEWEST_SHELLS)


def unsampled_fraction(rotations: NDArray[np.floating], symmetry: NDArray[np.floating]) -> float:
    """Return the fraction in 0..1 of the directions of Fourier space with hardly any view.

    Parameters
    ----------
    rotations : ndarray
        ``(n, 3, 3)`` from the map to the image frame.
    symmetry : ndarray
        ``(s, 3, 3)`` rotations of the point group.
    """
    views = symmetric_directions(view_directions(rotations), symmetry)
    density = sampling_density(views, SAMPLING_RADIUS * fibonacci_hemisphere(SAMPLING_DIRECTIONS))
    return float((density < UNSAMPLED_DENSITY).mean())


def model_of_subset(
    particles: ParticleImages,
    mask: NDArray[np.float32] | None,
    sym: str,
    finest_resolution_angstrom: float,
    device: torch.device,
    max_particles: int,
    seed: int = 0,
) -> HalfMapModel:
    """Return the model of a random subset of the particles; see `measure_drift` for the parameters."""
    n_chosen = max(max_particles, FEWEST_PARTICLES)
    band = ImageBand(particles.random_particles(n_chosen, seed), finest_resolution_angstrom, device)
    return HalfMapModel(band, mask, sym)
