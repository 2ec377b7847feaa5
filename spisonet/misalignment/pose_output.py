"""What corrected poses are written as: a particle STAR file, and half maps of the whole box."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch

from spisonet.errors import SpisonetError
from spisonet.geometry.rotations import relion_euler_angles
from spisonet.io.particles import ANGLES, particle_tables
from spisonet.io.star import write_with_columns
from spisonet.learning.devices import empty_cache
from spisonet.learning.memory import GIGABYTE, Memory
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

log = logging.getLogger("spisonet")

LARGEST_PADDED_BOX = 256
BYTES_PER_VOXEL = 60  # of the padded map, while both half maps are reconstructed
# Columns of priors, which local searches of RELION are centred on.
PRIORS = {name: f"{name}Prior" for name in (*ANGLES, *ORIGINS_PIXEL)}
PRIORS |= {name: name.replace("Angst", "PriorAngst") for name in ORIGINS_ANGSTROM}


def require_origins(particles: ParticleImages) -> None:
    """Check that the STAR file has origins.

    Raises
    ------
    SpisonetError
        If it has none.
    """
    table, _ = particle_tables(particles.star)
    if not any(set(names) <= set(table.columns) for names in (ORIGINS_ANGSTROM, ORIGINS_PIXEL)):
        raise SpisonetError(
            f"{particles.star} has no columns {ORIGINS_ANGSTROM[0]} and {ORIGINS_ANGSTROM[1]}; give the "
            "particle STAR file of a 3D refinement."
        )


def write_poses(path: Path, particles: ParticleImages, poses: Poses) -> None:
    """Write a copy of a particle STAR file with other angles and origins; everything else is kept.

    Columns of priors, where the file has them, are set to the new angles and origins as well.

    Raises
    ------
    SpisonetError
        If the file has no origins, `path` is the file itself, or it cannot be written.
    """
    require_origins(particles)
    origins = poses.origins_angstrom.T
    values = dict(zip(ANGLES, relion_euler_angles(poses.rotations).T, strict=True))
    values |= dict(zip(ORIGINS_ANGSTROM, origins, strict=True))
    values |= dict(zip(ORIGINS_PIXEL, origins / particles.pixel_size_angstrom, strict=True))
    values |= {PRIORS[name]: column for name, column in values.items()}
    present, _ = particle_tables(particles.star)
    columns = {
        name: [f"{value:.6f}" for value in column] for name, column in values.items() if name in present
    }
    write_with_columns(particles.star, path, columns)


def reconstruct_half_maps(
    particles: ParticleImages, poses: Poses, sym: str, device: torch.device
) -> list[NDArray[np.float32]]:
    """Reconstruct two unfiltered half maps ``(box, box, box)``, to one or two shells before Nyquist.

    The average density is 0. Boxes of more than 256 pixels are not padded, to save memory: about 60 bytes
    for each voxel of the padded map. The CPU is used where a GPU has less memory.
    """
    padding = PADDING if particles.box <= LARGEST_PADDED_BOX else 1
    last = particles.box // 2 - MARGIN // padding
    finest = particles.box * particles.pixel_size_angstrom / (last + 0.01)
    device = _device_with_memory(device, BYTES_PER_VOXEL * (padding * particles.box) ** 3)
    model = HalfMapModel(ImageBand(particles, finest, device), None, sym, padding)
    with torch.no_grad():
        maps = model.half_maps(model.insert(poses))
    return [half.cpu().numpy() for half in maps]


def _device_with_memory(device: torch.device, needed_bytes: float) -> torch.device:
    """Return the device, or the CPU if the device has too little free memory."""
    if device.type == "cpu":
        return device
    empty_cache(device)
    free = Memory(device).free_bytes
    if free >= needed_bytes:
        return device
    log.info(
        "The half maps are reconstructed on the CPU: they need %.1f GB of memory, and %s has %.1f GB free.",
        needed_bytes / GIGABYTE,
        device,
        free / GIGABYTE,
    )
    return torch.device("cpu")
