"""Inputs of the correction of one call, read and checked."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from relion_external.call import read_back_projector
from relion_external.options import read_settings
from relion_external.refinement import KEEP_LOWRES_OPTION, Refinement, read_refinement
from spisonet.analysis.particle_views import (
    directions_of_subtomograms,
    max_subtomograms,
    random_subset,
    tilts_of_tomograms,
)
from spisonet.errors import SpisonetError
from spisonet.geometry.rotations import view_directions
from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.geometry.view_sampling import symmetric_directions
from spisonet.io.mrc import read_volume, require_same_grid
from spisonet.io.particles import read_particle_orientations
from spisonet.misalignment import skip_rules
from spisonet.misalignment.anisotropy_check import AnisotropyCheck, check_anisotropy
from spisonet.misalignment.prior import Prior, spherical_mask
from spisonet.misalignment.reference_check import ReferenceCheck, check_reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from relion_external.call import ReconstructCall
    from spisonet.misalignment.backprojection import BackProjector
    from spisonet.misalignment.settings import MisalignmentSettings
    from spisonet.misalignment.skip_rules import SkipReason

log = logging.getLogger("spisonet")

FINEST_KEPT_BY_DEFAULT_ANGSTROM = 20.0


@dataclass(frozen=True)
class CallInputs:
    """A call with its refinement, settings and accumulators, and the check of their anisotropy."""

    call: ReconstructCall
    refinement: Refinement
    settings: MisalignmentSettings
    back_projector: BackProjector
    voxel_size_angstrom: float
    check: AnisotropyCheck

    @property
    def skip_reason(self) -> SkipReason | None:
        """Why this call is skipped; None if it is corrected."""
        return skip_rules.skip_reason(
            self.check,
            self.settings,
            self.refinement.healpix_order,
            joins_halves=self.refinement.split_halves and self.call.half is None,
            ends_classification=self.refinement.is_classification
            and self.call.iteration == self.refinement.n_iterations,
            is_body=self.call.part.startswith("body"),
            is_of_subtomograms=self.refinement.is_of_subtomograms,
        )

    def prior(self) -> Prior:
        """Read mask, initial reference and view directions.

        Raises
        ------
        SpisonetError
            If a mask or reference cannot be used.
        """
        n, voxel_size, refinement = self.call.box, self.voxel_size_angstrom, self.refinement
        diameter = refinement.particle_diameter_angstrom
        mask = spherical_mask(n, n if diameter is None else diameter / voxel_size)
        if refinement.mask is not None:
            mask = _read_map(refinement.mask, n, voxel_size).clip(0, 1)
        initial, resolution = None, refinement.initial_low_pass_angstrom
        if self.keeps_low_resolutions:
            if refinement.initial_map is None:
                log.warning("The initial reference no longer exists, so its low resolutions are not kept.")
            else:
                initial = _read_map(refinement.initial_map, n, voxel_size)
        view_directions = None
        if self.settings.fsd3d:
            if refinement.particles is None:
                raise SpisonetError(
                    "ISONET_3DFSD needs the particle STAR file of the previous iteration, which is missing."
                )
            view_directions = self._view_directions(refinement.particles)
            if view_directions is None:
                log.info(
                    "ISONET_3DFSD: the tilts of the subtomograms are unknown; RELION's weights are used."
                )
        return Prior(mask, refinement.symmetry, initial, resolution or float("inf"), view_directions)

    @property
    def keeps_low_resolutions(self) -> bool:
        """Whether the low resolutions of the initial reference are kept.

        By default only where they could help, see `may_keep_low_resolutions`, and only if the reference is
        not anisotropic itself.
        """
        if self.refinement.initial_low_pass_angstrom is None:
            return False
        if self.refinement.has(KEEP_LOWRES_OPTION) or self.settings.keep_lowres == "yes":
            return True
        if self.settings.keep_lowres == "no" or not self.may_keep_low_resolutions:
            return False
        return self.reference_check is not None and self.reference_check.category == "trusted"

    @property
    def may_keep_low_resolutions(self) -> bool:
        """Whether a trusted initial reference is kept by default.

        Only for halves (which share the initial reference anyway), only where the views are uneven and the
        low-pass filter is 20 Å or coarser, and not for subtomograms: their initial reference is usually their
        own average, with the same missing directions.
        """
        resolution = self.refinement.initial_low_pass_angstrom
        coarse = resolution is not None and resolution >= FINEST_KEPT_BY_DEFAULT_ANGSTROM
        of_images = not self.refinement.is_of_subtomograms
        return self.call.half is not None and coarse and of_images and self.check.views_are_uneven

    @cached_property
    def reference_check(self) -> ReferenceCheck | None:
        """Anisotropy of the initial reference; None if it no longer exists.

        The map that was given as ``--ref`` is measured if it is on the grid of the refinement, because
        RELION's map of iteration 0 ends at the low-pass filter.
        """
        if self.refinement.initial_map is None:
            log.warning("The initial reference no longer exists, so its low resolutions are not kept.")
            return None
        initial = read_volume(self.refinement.initial_map, self.voxel_size_angstrom)
        judged = initial
        if self.refinement.reference is not None:
            # Not a map, without a voxel size, or resampled by RELION: then it is not measured itself.
            with suppress(SpisonetError):
                given = read_volume(self.refinement.reference)
                require_same_grid(initial, given)
                judged = given
        resolution = self.refinement.initial_low_pass_angstrom or float("inf")
        return check_reference(judged.data, self.voxel_size_angstrom, resolution)

    def _view_directions(self, path: Path) -> NDArray[np.float64] | None:
        """Return the view directions of this half; None for subtomograms whose tilts are unknown."""
        particles = read_particle_orientations(path)
        chosen = np.arange(len(particles))
        if self.call.half is not None and particles.random_subset is not None:
            chosen = np.flatnonzero(particles.random_subset == self.call.half)
        mates = symmetry_rotations(self.refinement.symmetry)
        if not particles.is_subtomogram:
            return symmetric_directions(view_directions(particles.rotations[chosen]), mates)
        if self.refinement.tomograms is None:
            return None
        of_tilts = tilts_of_tomograms(path, particles, self.refinement.tomograms)
        chosen = random_subset(chosen, max_subtomograms(of_tilts, len(mates)), 0)
        return symmetric_directions(directions_of_subtomograms(particles, chosen, of_tilts), mates)


def _read_map(path: Path, n: int, voxel_size_angstrom: float) -> NDArray[np.float32]:
    volume = read_volume(path, voxel_size_angstrom)
    if volume.box != n:
        raise SpisonetError(f"{path} has a box of {volume.box} voxels; the reference has {n}.")
    return volume.data


def settings_folders(call: ReconstructCall) -> tuple[Path, Path]:
    """Return the folders whose settings apply to a call: the project and the job, which overrides it."""
    return Path(), call.folder


def settings_of(call: ReconstructCall) -> MisalignmentSettings:
    """Read the settings that apply to a call."""
    return read_settings(os.environ, settings_folders(call))


def read_inputs(
    call: ReconstructCall,
    refinement: Refinement,
    back_projector: BackProjector,
    settings: MisalignmentSettings,
) -> CallInputs:
    """Check the anisotropy of a call's accumulators.

    Raises
    ------
    SpisonetError
        If the pixel size is unknown.
    """
    voxel_size = refinement.pixel_size_angstrom
    if voxel_size is None or voxel_size <= 0:
        raise SpisonetError(
            "the pixel size is unknown: it is neither in the call nor in the previous model file."
        )
    check = check_anisotropy(back_projector, call.fsc, voxel_size, settings.fsc_05)
    return CallInputs(call, refinement, settings, back_projector, voxel_size, check)


def read_all(call: ReconstructCall) -> CallInputs:
    """Read all inputs of a call."""
    refinement = read_refinement(call)
    back_projector = read_back_projector(call, refinement.data_dimensionality, refinement.minres_map)
    return read_inputs(call, refinement, back_projector, settings_of(call))
