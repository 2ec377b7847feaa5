"""Commands that analyse half maps and particles: fsc3d, fsd3d and diagnose."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from spisonet import __version__
from spisonet.analysis.fourier_sampling import SamplingBand
from spisonet.analysis.fsc_metrics import (
    DIRECTION_CONE_DEGREES,
    FSC_THRESHOLD_05,
    FSC_THRESHOLD_HALF_MAPS,
    RESOLUTION_RULE,
    conical_area_ratio,
    resolution_histogram,
)
from spisonet.analysis.half_maps import checked_limit_resolution, read_half_maps
from spisonet.analysis.particle_views import read_views
from spisonet.api.fsc import fsc3d
from spisonet.api.orientation import diagnose, fourier_sampling
from spisonet.commands.registry import command_line
from spisonet.errors import SpisonetError
from spisonet.figures.style import save_figure
from spisonet.geometry.sphere import geodesic_sphere
from spisonet.io.atomic import prepare_output_file, write_json, write_text
from spisonet.io.labels import FSC_3D, SAMPLING_DENSITY, label_with_tokens
from spisonet.io.logs import VERDICT
from spisonet.io.mrc import write_volume
from spisonet.report.diagnosis import diagnosis_section
from spisonet.report.independence import COUPLED_INPUT
from spisonet.report.page import code_block, paragraph, warning, write_page
from spisonet.report.pose_drift import drift_section

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.analysis.config import DiagnoseConfig, Fsc3dConfig, Fsd3dConfig
    from spisonet.analysis.fsc3d import Fsc3d, Fsc3dMetrics
    from spisonet.analysis.recommendation import Recommendation

log = logging.getLogger("spisonet")

DIAGNOSIS_PAGE, COMMANDS_FILE = "diagnosis.html", "recommended.sh"


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
        figures = background.submit(import_module, "spisonet.figures.fsc3d")
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
        draw_fsc3d = figures.result().draw_fsc3d
        drawing = background.submit(lambda: save_figure(figure, draw_fsc3d(found, metrics), vector=True))
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


def run_fsd3d(config: Fsd3dConfig) -> None:
    """Run ``fsd3d``: the Fourier sampling density of a particle set, as a centred weight of 0 to 1.

    Parameters
    ----------
    config : Fsd3dConfig
        Files and options. A `high_res` finer than Nyquist means Nyquist.

    Raises
    ------
    SpisonetError
        If the particles cannot be read, the pixel size or the tilts of subtomograms are missing, or
        the resolution limits leave no shell.

    References
    ----------
    Naydenova & Russo (2017) Nat. Commun. 8, 629 (point spread of a view distribution).
    """
    views = read_views(config)
    apix = config.apix or views.pixel_sizes.require_common(
        config.star_file, "give that of the map with --apix"
    )
    SamplingBand.of_resolutions(config.map_dim, apix, config.low_res, config.high_res)
    prepare_output_file(config.o, config.star_file)
    sampling = fourier_sampling(
        views,
        config.map_dim,
        voxel_size_angstrom=apix,
        low_resolution_angstrom=config.low_res,
        high_resolution_angstrom=config.high_res,
        grid_size=config.grid_size,
    )
    label = label_with_tokens("spisonet: Fourier sampling, DC at n//2", data=SAMPLING_DENSITY)
    write_volume(config.o, sampling.density, label)
    log.info("Written: %s", config.o)


def run_diagnose(config: DiagnoseConfig) -> None:
    """Run ``diagnose``: a page, its numbers as JSON, and its figure.

    Parameters
    ----------
    config : DiagnoseConfig
        Files and options.

    Raises
    ------
    SpisonetError
        If an input or option is invalid, or the half maps correlate in too few shells; nothing has been
        written then.
    """
    maps = read_half_maps(config.h, config.h2, config.mask, config.apix)
    limit = checked_limit_resolution(config.limit_res, maps.half1.voxel_size_angstrom)
    is_c1 = config.sym.upper() == "C1"
    if config.star is None and not (is_c1 and config.tomograms is None and config.tilt_min is None):
        raise SpisonetError("--sym, --tomograms and tilts describe the particles: give these with --star.")
    assert maps.half2 is not None
    result = diagnose(
        maps.half1,
        maps.half2,
        maps.mask,
        particles=config.star,
        symmetry=config.sym,
        voxel_size_angstrom=config.apix,
        limit_resolution_angstrom=limit,
        tomograms=config.tomograms,
        tilt_range_degrees=(config.tilt_min, config.tilt_max),
        tilt_step_degrees=config.tilt_step,
        max_particles=config.number_subset,
        pose_drift=config.pose_drift,
        max_drift_particles=config.pose_drift_particles,
        device=config.device,
        threads=config.ncpus,
        seed=config.seed,
    )
    diagnosis, recommendation, not_measured = (
        result.diagnosis,
        result.recommendation,
        result.drift_not_measured,
    )
    page = config.output_dir / DIAGNOSIS_PAGE
    prepare_output_file(page, config.h, config.h2, config.mask, config.star)
    section = diagnosis_section(diagnosis, recommendation, page)
    record = {
        "program": "spisonet",
        "version": __version__,
        "command": config.command,
        "config": config.model_dump(mode="json"),
        "halves_coupled": maps.coupled,
    }
    record["pose_drift_not_measured"] = not_measured
    write_json(page.with_suffix(".json"), record | section.numbers)
    parts = [section.html]
    if diagnosis.drift is not None:
        parts.append(drift_section(diagnosis.drift, page).html)
    notes = [warning(COUPLED_INPUT)] if maps.coupled else []
    if not_measured is not None:
        notes.append(paragraph(not_measured))
        log.info("%s", not_measured)
    how = paragraph(f"spisonet {__version__}, by this command:") + code_block(command_line(config))
    write_page(page, f"spisonet: {config.h}", "Diagnosis", *notes, *parts, how)
    if maps.coupled:
        log.warning(COUPLED_INPUT)
    _write_commands(config.output_dir / COMMANDS_FILE, recommendation)
    _log_recommendation(recommendation)
    log.info("Written: %s", page)


def _write_commands(path: Path, recommendation: Recommendation) -> None:
    """Write the recommended commands; no file if none are recommended, which programs can test for."""
    path.unlink(missing_ok=True)
    if recommendation.commands:
        write_text(path, "\n".join([f"# {recommendation.headline}", *recommendation.commands, ""]))


def _log_recommendation(recommendation: Recommendation) -> None:
    log.info("%s", recommendation.headline, extra=VERDICT)
    for reason in recommendation.reasons:
        log.info("%s", reason)
    for line in recommendation.commands:
        log.info("  %s", line)
