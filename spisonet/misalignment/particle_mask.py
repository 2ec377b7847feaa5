"""The mask of a refinement, as the images of its particles need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.mrc_file import RELATIVE_VOXEL_SIZE_TOLERANCE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spisonet.io.mrc import Volume
    from spisonet.misalignment.particle_images import ParticleImages


def mask_of_particles(mask: Volume, particles: ParticleImages) -> NDArray[np.float32]:
    """Return the values ``(box, box, box)`` of a mask, limited to 0 to 1.

    Raises
    ------
    SpisonetError
        If the mask has another box than the images, or voxels of another size.
    """
    if mask.box != particles.box:
        raise SpisonetError(
            f"{mask.name} has a box of {mask.box} voxels, but the images of {particles.star} have "
            f"{particles.box} pixels; give the mask of this refinement with --mask.",
            field="mask",
        )
    voxel, pixel = mask.voxel_size_angstrom, particles.pixel_size_angstrom
    if abs(voxel - pixel) > RELATIVE_VOXEL_SIZE_TOLERANCE * pixel:
        raise SpisonetError(
            f"{mask.name} has voxels of {voxel:g} Å, but the images of {particles.star} have pixels of "
            f"{pixel:g} Å; give the mask of this refinement with --mask, or correct its header.",
            field="mask",
        )
    return mask.data.clip(0, 1)
