"""The mask of a refinement, as the images of its particles need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt

from spisonet.errors import SpisonetError
from spisonet.fourier.windows import cosine_edge
from spisonet.io.mrc_file import RELATIVE_VOXEL_SIZE_TOLERANCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.io.mrc import Volume
    from spisonet.misalignment.particle_images import ParticleImages


WIDENED_EDGE_ANGSTROM = 6.0


def widened_mask(
    mask: NDArray[np.float32], distance_angstrom: float, voxel_size_angstrom: float
) -> NDArray[np.float32]:
    """Return a mask that extends further, with a cosine edge of 6 Å beyond.

    Parameters
    ----------
    mask : ndarray
        ``(n, n, n)``, 0 to 1.
    distance_angstrom : float
        Distance from where the mask is half of its maximum; 0 returns the mask itself.
    voxel_size_angstrom : float
        Voxel size.
    """
    if distance_angstrom == 0:
        return mask
    outside = voxel_size_angstrom * distance_transform_edt(mask < mask.max() / 2)
    wider = cosine_edge(outside, distance_angstrom, WIDENED_EDGE_ANGSTROM)
    return np.asarray(np.maximum(mask, wider), dtype=np.float32)


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
