"""Commands that filter maps: whitening, angular_whiten and combine_map."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spisonet.analysis.half_maps import checked_limit_resolution, read_mask
from spisonet.errors import SpisonetError
from spisonet.fourier.filters import combine_volumes, directional_whitening, whiten
from spisonet.io.atomic import prepare_output_file
from spisonet.io.mrc import Volume, read_volume, require_same_grid, write_volume

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from spisonet.fourier.map_filters_config import AngularWhitenConfig, CombineMapConfig, WhiteningConfig

log = logging.getLogger(__name__)


def run_whitening(config: WhiteningConfig) -> None:
    """Run ``whitening``: equalise the mean amplitudes of all shells between two resolutions.

    Raises
    ------
    SpisonetError
        If an input is invalid, the resolutions leave no shell, or the output cannot be written.
    """
    volume = read_volume(config.h1, config.apix)
    mask = _read_mask(config.mask, volume, config.apix)
    low_shell, high_shell = _band(volume, config.low_res, config.high_res)
    prepare_output_file(config.o, config.h1, config.mask)
    whitened = whiten(volume.data, low_shell, high_shell, mask)
    _write(config.o, volume, whitened, f"whitened {config.low_res:g} to {config.high_res:g} A")


def run_angular_whiten(config: AngularWhitenConfig) -> None:
    """Run ``angular_whiten``: equalise the power over the directions of every shell.

    Raises
    ------
    SpisonetError
        If the input is invalid, the resolutions leave no shell, or the output cannot be written.
    """
    volume = read_volume(config.in_name, config.apix)
    _band(volume, config.low_res, config.high_res)
    prepare_output_file(config.out_name, config.in_name)
    equalised = directional_whitening(
        volume.data, volume.voxel_size_angstrom, config.low_res, config.high_res
    )
    label = f"equal power over directions, {config.low_res:g} to {config.high_res:g} A"
    _write(config.out_name, volume, equalised, label)


def run_combine_map(config: CombineMapConfig) -> None:
    """Run ``combine_map``: combine the low frequencies of one map with the high frequencies of another.

    Raises
    ------
    SpisonetError
        If an input is invalid, the threshold is outside the resolutions of the maps, or the output cannot
        be written.
    """
    high = read_volume(config.high_map, config.apix)
    low = read_volume(config.low_map, config.apix)
    require_same_grid(high, low)
    mask = _read_mask(config.mask_file, high, config.apix)
    shell = _shell(high, "THRESHOLD_RES", config.threshold_res)
    prepare_output_file(config.out_map, config.low_map, config.high_map, config.mask_file)
    combined = combine_volumes(low.data, high.data, shell, mask)
    _write(config.out_map, high, combined, f"low resolutions to {config.threshold_res:g} A from another map")


def _read_mask(path: Path | None, volume: Volume, apix: float | None) -> NDArray[np.float32] | None:
    return None if path is None else read_mask(path, volume, apix).data


def _band(volume: Volume, low_res: float, high_res: float) -> tuple[float, float]:
    if low_res <= high_res:
        raise SpisonetError(
            f"The low resolution limit ({low_res:g} Å) must be a larger number than the high one "
            f"({high_res:g} Å)."
        )
    return _shell(volume, "LOW_RES", low_res), _shell(volume, "HIGH_RES", high_res)


def _shell(volume: Volume, name: str, resolution_angstrom: float) -> float:
    """Radius in Fourier voxels of a resolution within the sampling of a map."""
    box_angstrom = volume.box * volume.voxel_size_angstrom
    resolution_angstrom = checked_limit_resolution(resolution_angstrom, volume.voxel_size_angstrom, name)
    if resolution_angstrom > box_angstrom:
        raise SpisonetError(
            f"{name} {resolution_angstrom:g} Å is coarser than the box of {volume.name} ({box_angstrom:g} Å)."
        )
    return box_angstrom / resolution_angstrom


def _write(path: Path, volume: Volume, data: NDArray[np.float32], what: str) -> None:
    write_volume(path, volume.with_data(data), label=f"spisonet: {what}")
    log.info("Written: %s", path)
