"""``extract`` and ``prepare_subtomo_star``: lists of subtomograms, as IsoNet 0.2 trains on them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.tomogram_table import SUBTOMOGRAM, TomogramTable

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.tomography.subtomogram_config import ExtractConfig

log = logging.getLogger("spisonet")

CROP_TO_CUBE = 1.5
CUBE_MULTIPLE = 16


def _of_an_earlier_extraction(config: ExtractConfig) -> list[Path]:
    """Find the files that will be replaced: those that the table to be replaced lists.

    Raises
    ------
    SpisonetError
        If the folder holds others.
    """
    listed: set[Path] = set()
    if config.subtomo_star.is_file():
        table = TomogramTable.read(config.subtomo_star)
        paths = (row.path(SUBTOMOGRAM) for row in table.rows if table.lists_subtomograms)
        listed = {path.resolve() for path in paths if path is not None}
    there = list(config.subtomo_folder.iterdir()) if config.subtomo_folder.is_dir() else []
    visible = [path for path in there if not path.name.startswith(".")]
    if any(path.resolve() not in listed for path in visible):
        raise SpisonetError(
            f"{config.subtomo_folder} holds other files than {config.subtomo_star} lists: empty it, or give "
            "another --subtomo_folder."
        )
    return visible


def _row(number: int, path: Path, cube_size: int, crop_size: int, voxel_size: float) -> dict[str, str]:
    return {
        "rlnSubtomoIndex": str(number),
        SUBTOMOGRAM: str(path),
        "rlnCubeSize": str(cube_size),
        "rlnCropSize": str(crop_size),
        "rlnPixelSize": f"{voxel_size:.6g}",
    }
