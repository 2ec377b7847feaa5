"""Everything that the correction of one call looks at, read and checked."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from relion_external.call import read_back_projector
from relion_external.options import read_settings
from relion_external.refinement import Refinement, read_refinement
from spisonet.analysis.fourier_sampling import (
    directions_of_subtomograms,
    most_subtomograms,
    random_part,
    tilts_of_tomograms,
)
from spisonet.errors import SpisonetError
from spisonet.geometry.rotations import view_directions
from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.geometry.view_sampling import symmetric_directions
from spisonet.io.mrc import read_volume
from spisonet.io.particles import read_particle_orientations
from spisonet.misalignment.anisotropy_check import AnisotropyCheck, check_anisotropy, skip_reason
from spisonet.misalignment.prior import Prior, spherical_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from relion_external.call import ReconstructCall
    from spisonet.misalignment.backprojection import BackProjector
    from spisonet.misalignment.settings import MisalignmentSettings

log = logging.getLogger("spisonet")

KEEP_LOWRES_OPTION = "--keep_lowres"
FINEST_KEPT_UNASKED_ANGSTROM = 20.0


@dataclass(frozen=True)
class CallInputs:
    """A call, the refinement that it belongs to, its sums, and what they say."""

    call: ReconstructCall
    refinement: Refinement
    settings: MisalignmentSettings
    sums: BackProjector
    voxel_size_angstrom: float
    assessment: AnisotropyCheck

    @property
    def skip_reason(self) -> str | None:
        """Why this call is better left alone, or None."""
        if self.refinement.split_halves and self.call.half is None:
            return "the last iteration joins the halves, and its map is RELION's own"
        if self.call.part.startswith("body"):
            return "bodies of a multi-body refinement have masks and frames of their own"
        if self.refinement.is_of_subtomograms and not self.settings.subtomograms:
            return "corrections of subtomograms have to be asked for by ISONET_SUBTOMOGRAMS=True"
        return skip_reason(self.assessment, self.settings, self.refinement.healpix_order)

    def prior(self) -> Prior:
        """Read what is known besides the sums.

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
                log.warning("The initial reference is not there any more: it is not kept.")
            else:
                initial = _read_map(refinement.initial_map, n, voxel_size)
        views = None
        if self.settings.fsd3d:
            if refinement.particles is None:
                raise SpisonetError("ISONET_3DFSD needs the particles' STAR file of the last iteration.")
            views = self._views(refinement.particles)
            if views is None:
                log.info("RELION's own weights hold what the tilts of the subtomograms measured: they count.")
        return Prior(mask, refinement.symmetry, initial, resolution or float("inf"), views)

    @property
    def keeps_low_resolutions(self) -> bool:
        """Whether the reference keeps the low resolutions that the refinement began with.

        Unasked only for halves, which begin with one reference anyway, and only while it is coarse; and not
        for subtomograms, whose first reference is most often an average of theirs and lacks what they lack.
        """
        resolution = self.refinement.initial_low_pass_angstrom
        if resolution is None:
            return False
        if self.refinement.has(KEEP_LOWRES_OPTION):
            return True
        if self.settings.keep_lowres is not None:
            return self.settings.keep_lowres
        coarse = resolution >= FINEST_KEPT_UNASKED_ANGSTROM
        of_images = not self.refinement.is_of_subtomograms
        return self.call.half is not None and coarse and of_images and self.assessment.views_are_uneven

    def _views(self, path: Path) -> NDArray[np.float64] | None:
        """Directions of every image of this half; None for subtomograms whose tilts are not known."""
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
        chosen = random_part(chosen, most_subtomograms(of_tilts, len(mates)), 0)
        return symmetric_directions(directions_of_subtomograms(particles, chosen, of_tilts), mates)


def _read_map(path: Path, n: int, voxel_size_angstrom: float) -> NDArray[np.float32]:
    volume = read_volume(path, voxel_size_angstrom)
    if volume.box != n:
        raise SpisonetError(f"{path} has a box of {volume.box} voxels where the reference has {n}.")
    return volume.data


def settings_folders(call: ReconstructCall) -> tuple[Path, Path]:
    """Folders whose settings hold for a call: the project's and, above it in rank, the job's."""
    return Path(), call.folder


def settings_of(call: ReconstructCall) -> MisalignmentSettings:
    """Read the settings that hold for a call."""
    return read_settings(os.environ, settings_folders(call))


def read_inputs(
    call: ReconstructCall, refinement: Refinement, sums: BackProjector, settings: MisalignmentSettings
) -> CallInputs:
    """Assess the sums of a call.

    Raises
    ------
    SpisonetError
        If the pixel size is not known.
    """
    voxel_size = refinement.pixel_size_angstrom
    if voxel_size is None or voxel_size <= 0:
        raise SpisonetError("neither the call nor the model file of the last iteration has a pixel size.")
    assessment = check_anisotropy(sums, call.fsc, voxel_size, settings.fsc_05)
    return CallInputs(call, refinement, settings, sums, voxel_size, assessment)


def read_all(call: ReconstructCall) -> CallInputs:
    """Read everything anew, as the worker does."""
    refinement = read_refinement(call)
    sums = read_back_projector(call, refinement.data_dimensionality, refinement.prior_from_shell)
    return read_inputs(call, refinement, sums, settings_of(call))
