"""Checked inputs of a rescue: particles, mask, symmetry and device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relion_external.finished_refinement import FinishedRefinement, read_finished_refinement
from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.io.mrc import read_volume
from spisonet.learning.devices import choose_devices, use_cpu_threads
from spisonet.misalignment.drift_measurement import require_enough
from spisonet.misalignment.particle_images import read_particle_images
from spisonet.misalignment.particle_mask import mask_of_particles
from spisonet.misalignment.pose_output import require_origins
from spisonet.misalignment.prior import spherical_mask

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from relion_external.config import RescueConfig
    from spisonet.misalignment.particle_images import ParticleImages


@dataclass(frozen=True)
class RescueInputs:
    """Checked inputs of a rescue.

    Attributes
    ----------
    refinement : FinishedRefinement
        The job.
    particles : ParticleImages
        Its particles.
    sym : str
        Point group.
    mask_file : Path or None
        Solvent mask, if there is one.
    sphere_angstrom : float or None
        Diameter of the spherical mask that is used instead of one.
    mask : ndarray or None
        ``(box, box, box)``, 0 to 1; None if neither a mask nor the particle diameter is known.
    device : torch.device
        Where to compute.
    """

    refinement: FinishedRefinement
    particles: ParticleImages
    sym: str
    mask_file: Path | None
    sphere_angstrom: float | None
    mask: NDArray[np.float32] | None
    device: torch.device

    @property
    def mask_description(self) -> str:
        """The mask in words."""
        if self.mask_file is not None:
            return str(self.mask_file)
        if self.sphere_angstrom is None:
            return "none"
        return f"a soft sphere of {self.sphere_angstrom:g} Å (the refinement has no mask)"


def read_rescue_inputs(config: RescueConfig) -> RescueInputs:
    """Read everything that can be at fault.

    Raises
    ------
    SpisonetError
        If the job, its particles or the mask cannot be used.
    """
    refinement = read_finished_refinement(config.job)
    use_cpu_threads(config.ncpus)
    device = choose_devices(config.device)[0]
    particles = read_particle_images(refinement.particles)
    require_enough(particles)
    require_origins(particles)
    sym = (config.sym or refinement.symmetry).upper()
    symmetry_rotations(sym)
    mask_file = config.mask or refinement.mask
    mask, sphere = None, None
    if mask_file is not None:
        mask = mask_of_particles(read_volume(mask_file, remedy="write it into its header"), particles)
    elif (sphere := refinement.particle_diameter_angstrom) is not None:
        mask = spherical_mask(particles.box, sphere / particles.pixel_size_angstrom)
    return RescueInputs(refinement, particles, sym, mask_file, sphere, mask, device)
