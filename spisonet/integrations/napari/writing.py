"""Labels as a soft mask."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from spisonet.errors import SpisonetError
from spisonet.fourier.windows import cosine_edge
from spisonet.io.atomic import prepare_output_file
from spisonet.io.mrc import Volume, write_volume

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

log = logging.getLogger("spisonet")

EDGE_VOXELS = 5.0
UNIT_TOLERANCE = 1e-3  # between the voxel sizes of the axes, relative


def write_mask(path: str, data: NDArray[np.integer], attributes: Mapping[str, Any]) -> list[str]:
    """Write all labels together as a mask with a soft edge of 5 voxels.

    Parameters
    ----------
    path : str
        MRC file to write.
    data : ndarray
        ``(z, y, x)`` labels; 0 is outside.
    attributes : mapping
        Attributes of the layer; `scale` is the voxel size in Å.

    Returns
    -------
    list of str
        The file.

    Raises
    ------
    OSError
        With one sentence, if the labels are not a volume with cubic voxels, or are empty.
    """
    try:
        target = Path(path)
        volume = soft_mask(np.asarray(data), tuple(attributes.get("scale", ())))
        z, y, x = (float(start) for start in attributes.get("translate", (0.0, 0.0, 0.0)))
        placed = Volume(volume.data, volume.voxel_size_angstrom, (x, y, z))
        prepare_output_file(target)
        write_volume(target, placed, "spisonet: mask from labels drawn in napari")
    except SpisonetError as error:
        raise OSError(str(error)) from error
    return [str(target)]


def soft_mask(labels: NDArray[np.integer], scale_angstrom: tuple[float, ...]) -> Volume:
    """Return a mask that is 1 inside the labels and falls to 0 over 5 voxels.

    Parameters
    ----------
    labels : ndarray
        ``(z, y, x)``; 0 is outside.
    scale_angstrom : tuple of float
        Voxel size of each axis.

    Raises
    ------
    SpisonetError
        If the labels are not a volume with cubic voxels, or are empty.
    """
    if labels.ndim != 3 or len(scale_angstrom) != 3:
        raise SpisonetError(f"The labels have {labels.ndim} dimensions; a mask has 3.")
    if max(scale_angstrom) - min(scale_angstrom) > UNIT_TOLERANCE * max(scale_angstrom):
        raise SpisonetError(f"The voxels are not cubic: {scale_angstrom}; set one scale for all axes.")
    if not labels.any():
        raise SpisonetError("The layer has no labels; paint the region of the mask first.")
    distance = ndimage.distance_transform_edt(labels == 0)
    return Volume(cosine_edge(distance, 0.0, EDGE_VOXELS).astype(np.float32), float(scale_angstrom[0]))
