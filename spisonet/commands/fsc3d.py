"""The command ``fsc3d``: the conical 3D FSC of two half maps."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from spisonet import __version__
from spisonet.analysis.fsc_metrics import (
    DIRECTION_CONE_DEGREES,
    FSC_THRESHOLD_05,
    FSC_THRESHOLD_HALF_MAPS,
    RESOLUTION_RULE,
    conical_area_ratio,
    resolution_histogram,
)
from spisonet.analysis.half_maps import checked_limit_resolution, read_half_maps
from spisonet.api.fsc import fsc3d
from spisonet.errors import SpisonetError
from spisonet.geometry.sphere import geodesic_sphere
from spisonet.io.atomic import prepare_output_file, write_json
from spisonet.io.labels import FSC_3D, label_with_tokens
from spisonet.io.mrc import write_volume

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.analysis.config import Fsc3dConfig
    from spisonet.analysis.fsc3d import Fsc3d, Fsc3dMetrics

log = logging.getLogger("spisonet")


def run_fsc3d(config: Fsc3dConfig) -> None:
    """Run ``fsc3d``: the conical 3D FSC of two half maps.

    Writes the 3D FSC as a centred cube in 0..1 (DC at ``n // 2``), the same binarised at 0.143 as
    the 3DFSC program does, a JSON file with all numbers, and a figure.

    Parameters
    ----------
    config : Fsc3dConfig
        Files and options.

    Raises
    ------
    SpisonetError
        If an input or option is invalid; nothing has been written then.
    """
    with ThreadPoolExecutor(2) as background:
        # Importing the plotting library takes as long as the transforms, which leave a core to it.
        figure_writer = background.submit(_figure_writer)
        maps = read_half_maps(config.h, config.h2, config.mask, config.apix)
        if maps.half2 is None:
            raise SpisonetError("fsc3d needs two half maps.")
        if maps.coupled:
            log.warning("One network was trained on both half maps: their FSC does not measure resolution.")
        voxel_size = maps.half1.voxel_size_angstrom
        result = fsc3d(
            maps.half1,
            maps.half2,
            maps.mask,
            limit_resolution_angstrom=checked_limit_resolution(config.limit_res, voxel_size),
            cone_angle_degrees=config.cone_sampling_angle,
            correct_for_mask=config.phase_randomise,
            seed=config.seed,
            threads=config.ncpus,
        )
        found, metrics = result.fsc, result.metrics
        thresholded = config.o.with_name(f"{config.o.stem}_thresholded.mrc")
        table, figure = config.o.with_suffix(".json"), config.o.with_suffix(".png")
        for path in (config.o, thresholded, table, figure, figure.with_suffix(".svg")):
            prepare_output_file(path, config.h, config.h2, config.mask)
        drawing = background.submit(figure_writer.result(), figure, found, metrics)
        # The volume lies in Fourier space: it keeps the voxel size of the map, but not its origin.
        cube = result.volume(beyond_limit=float(config.keep_highres))
        binary = cube.with_data((cube.data >= FSC_THRESHOLD_HALF_MAPS).astype(np.float32))
        label = label_with_tokens("spisonet: conical 3D FSC", data=FSC_3D)
        writing = background.submit(
            write_volume,
            thresholded,
            binary,
            f"spisonet: 1 where the conical 3D FSC is {FSC_THRESHOLD_HALF_MAPS} or above",
        )
        write_volume(config.o, cube, label)
        write_json(table, _record(config, found, metrics) | {"halves_coupled": maps.coupled})
        for task in (drawing, writing):
            task.result()
    _log_fsc3d(found, metrics)
    names = (thresholded.name, table.name, figure.name)
    log.info("Written: %s, %s, %s and %s (also as SVG).", config.o, *names)


def _figure_writer() -> Callable[[Path, Fsc3d, Fsc3dMetrics], None]:
    """Import the plotting library, and return the function that writes the figure."""
    from spisonet.figures.fsc3d import draw_fsc3d  # noqa: PLC0415
    from spisonet.figures.style import save_figure  # noqa: PLC0415

    return lambda path, found, metrics: save_figure(path, draw_fsc3d(found, metrics), vector=True)


def _record(config: Fsc3dConfig, found: Fsc3d, metrics: Fsc3dMetrics) -> dict[str, object]:
    """Collect the content of the JSON file."""
    curves, axes = found.directional_curves, geodesic_sphere().axes_zyx
    directional, uncorrected = metrics.directional_0143, metrics.resolution_0143_uncorrected
    counts, edges = resolution_histogram(directional.angstrom)
    n_shells = curves.shape[1]
    return {
        "program": "spisonet",
        "version": __version__,
        "command": config.command,
        "config": config.model_dump(mode="json"),
        "box_voxels": found.box,
        "voxel_size_angstrom": found.voxel_size_angstrom,
        "limit_shell": found.limit_shell,
        "limit_resolution_angstrom": found.limit_resolution_angstrom,
        "cone_half_angle_degrees": found.cone_angle_degrees,
        "randomised_from_resolution_angstrom": found.randomised_from_angstrom,
        "resolution_rule": f"{RESOLUTION_RULE} null: not reached to the finest resolution.",
        "finest_resolution_angstrom": found.box_angstrom / (len(found.global_fsc) - 1),
        "finest_directional_resolution_angstrom": found.box_angstrom / (n_shells - 1),
        "resolution_0143_angstrom": metrics.resolution_0143.number,
        "resolution_0143_uncorrected_angstrom": None if uncorrected is None else uncorrected.number,
        "resolution_05_angstrom": metrics.resolution_05.number,
        "directional_cone_half_angle_degrees": DIRECTION_CONE_DEGREES,
        "directional_resolution_0143_best_angstrom": directional.best.number,
        "directional_resolution_0143_median_angstrom": directional.median.number,
        "directional_resolution_0143_worst_angstrom": directional.worst.number,
        "sphericity": metrics.sphericity,
        "sphericity_threshold": FSC_THRESHOLD_05,
        "cfar": metrics.cfar,
        "cfar_weighted_by_shell_area": conical_area_ratio(
            found.directional_curves, weight_by_shell_area=True
        ),
        "global_curve": {
            "spatial_frequency_per_angstrom": _rounded(
                np.arange(len(found.global_fsc)) / found.box_angstrom, 8
            ),
            "fsc": _rounded(found.global_fsc),
        },
        "global_fsc_uncorrected": (
            None if found.global_fsc_uncorrected is None else _rounded(found.global_fsc_uncorrected)
        ),
        "directional_curves": {
            "spatial_frequency_per_angstrom": _rounded(np.arange(n_shells) / found.box_angstrom, 8),
            "mean": _rounded(curves.mean(axis=0)),
            "percentile_16": _rounded(np.percentile(curves, 16, axis=0)),
            "percentile_84": _rounded(np.percentile(curves, 84, axis=0)),
            "minimum": _rounded(curves.min(axis=0)),
            "maximum": _rounded(curves.max(axis=0)),
            "mean_uncorrected": (
                None
                if found.directional_curves_uncorrected is None
                else _rounded(found.directional_curves_uncorrected.mean(axis=0))
            ),
        },
        "directional_resolution_histogram": {
            "edges_per_angstrom": _rounded(edges, 8),
            "edges_angstrom": _rounded(1 / edges),
            "counts": counts.tolist(),
        },
        "directions": {
            "axes_xyz": [_rounded(axis[::-1]) for axis in axes],
            "resolution_0143_angstrom": directional.numbers,
        },
    }


def _rounded(values: NDArray[np.floating], decimals: int = 5) -> list[float]:
    return [round(float(value), decimals) for value in values]


def _log_fsc3d(found: Fsc3d, metrics: Fsc3dMetrics) -> None:
    directional, uncorrected = metrics.directional_0143, metrics.resolution_0143_uncorrected
    log.info("Resolution at FSC %g: %s.", FSC_THRESHOLD_HALF_MAPS, metrics.resolution_0143)
    log.info("Resolution at FSC %g: %s.", FSC_THRESHOLD_05, metrics.resolution_05)
    if uncorrected is not None:
        log.info("Not corrected for the mask: at FSC %g: %s.", FSC_THRESHOLD_HALF_MAPS, uncorrected)
    log.info(
        "Resolution of %d directions (cones of %g°) at FSC %g: %s.",
        len(directional.angstrom),
        DIRECTION_CONE_DEGREES,
        FSC_THRESHOLD_HALF_MAPS,
        directional,
    )
    log.info("Sphericity at FSC %g: %.3f. cFAR: %.3f.", FSC_THRESHOLD_05, metrics.sphericity, metrics.cfar)
    log.info(
        "The 3D FSC extends to %.2f Å (cones of %g°).",
        found.limit_resolution_angstrom,
        found.cone_angle_degrees,
    )
