"""What corrected poses are written as: a particle STAR file, and half maps of the whole box."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from spisonet.errors import SpisonetError
from spisonet.geometry.rotations import relion_euler_angles
from spisonet.io.particles import ANGLES, particle_tables
from spisonet.io.star import write_with_columns
from spisonet.misalignment.central_slices import MARGIN
from spisonet.misalignment.half_map_model import PADDING, HalfMapModel
from spisonet.misalignment.image_band import ImageBand
from spisonet.misalignment.particle_images import ORIGINS_ANGSTROM, ORIGINS_PIXEL

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from spisonet.misalignment.image_band import Poses
    from spisonet.misalignment.particle_images import ParticleImages


LARGEST_PADDED_BOX = 256


def require_origins(particles: ParticleImages) -> tuple[str, ...]:
    """Return the columns of the origins, x and y of each unit.

    Raises
    ------
    SpisonetError
        If the file has none.
    """
    table, _ = particle_tables(particles.star)
    found = [names for names in (ORIGINS_ANGSTROM, ORIGINS_PIXEL) if set(names) <= set(table.columns)]
    if not found:
        raise SpisonetError(
            f"{particles.star} has no columns {ORIGINS_ANGSTROM[0]} and {ORIGINS_ANGSTROM[1]}; give the "
            "particle STAR file of a 3D refinement."
        )
    return tuple(name for names in found for name in names)


def write_poses(path: Path, particles: ParticleImages, poses: Poses) -> None:
    """Write a copy of a particle STAR file with other angles and origins; everything else is kept.

    Raises
    ------
    SpisonetError
        If the file has no origins, `path` is the file itself, or it cannot be written.
    """
    values = dict(zip(ANGLES, relion_euler_angles(poses.rotations).T, strict=True))
    for name in require_origins(particles):
        axis = 0 if name in (ORIGINS_ANGSTROM[0], ORIGINS_PIXEL[0]) else 1
        unit = 1.0 if name in ORIGINS_ANGSTROM else particles.pixel_size_angstrom
        values[name] = poses.origins_angstrom[:, axis] / unit
    columns = {name: [f"{value:.6f}" for value in column] for name, column in values.items()}
    write_with_columns(particles.star, path, columns)


def reconstruct_half_maps(
    particles: ParticleImages, poses: Poses, sym: str, device: torch.device
) -> list[NDArray[np.float32]]:
    """Reconstruct two unfiltered half maps ``(box, box, box)``, to one or two shells before Nyquist.

    The average density is 0. Boxes of more than 256 pixels are not padded, to save memory: about 60 bytes
    for each voxel of the padded map.
    """
    padding = PADDING if particles.box <= LARGEST_PADDED_BOX else 1
    last = particles.box // 2 - MARGIN // padding
    finest = particles.box * particles.pixel_size_angstrom / (last + 0.01)
    model = HalfMapModel(ImageBand(particles, finest, device), None, sym, padding)
    with torch.no_grad():
        maps = model.half_maps(model.insert(poses))
    return [half.cpu().numpy() for half in maps]
