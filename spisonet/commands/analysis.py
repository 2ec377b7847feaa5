"""Commands that analyse particles and half maps: fsd3d and diagnose."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spisonet import __version__
from spisonet.analysis.fourier_sampling import SamplingBand
from spisonet.analysis.half_maps import checked_limit_resolution, read_half_maps
from spisonet.analysis.particle_views import read_views
from spisonet.api.orientation import diagnose, fourier_sampling
from spisonet.commands.registry import command_line
from spisonet.errors import SpisonetError
from spisonet.io.atomic import prepare_output_file, write_json, write_text
from spisonet.io.labels import SAMPLING_DENSITY, label_with_tokens
from spisonet.io.logs import VERDICT
from spisonet.io.mrc import write_volume
from spisonet.report.diagnosis import diagnosis_section
from spisonet.report.independence import COUPLED_INPUT
from spisonet.report.page import code_block, paragraph, warning, write_page
from spisonet.report.pose_drift import drift_section

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.analysis.config import DiagnoseConfig, Fsd3dConfig
    from spisonet.analysis.recommendation import Recommendation

log = logging.getLogger("spisonet")

DIAGNOSIS_PAGE, COMMANDS_FILE = "diagnosis.html", "recommended.sh"


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
