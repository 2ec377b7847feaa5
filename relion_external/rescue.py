"""The command ``spisonet relion rescue``: correct drifted poses of a refinement from its particles."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from relion_external.config import HALF_MAP_FILE, PARTICLES_FILE, REFERENCE_FILE
from relion_external.rescue_commands import REFERENCE_RESOLUTION_ANGSTROM, rescue_commands, rescue_warnings
from relion_external.rescue_inputs import RescueInputs, read_rescue_inputs
from spisonet import __version__
from spisonet.analysis.fsc3d import estimate_directional_fsc, summarise_fsc3d
from spisonet.commands.registry import command_line
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import irfft3, rfft3
from spisonet.fourier.windows import soft_lowpass_weights
from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.io.atomic import prepare_output_folder, write_json
from spisonet.io.mrc import Volume, write_volume
from spisonet.io.processors import limited_threads
from spisonet.io.run_record import recorded
from spisonet.io.stages import StageProgress
from spisonet.learning.memory import is_out_of_memory
from spisonet.misalignment.drift_measurement import (
    DRIFT_RESOLUTION_ANGSTROM,
    measure_drift,
    model_of_subset,
    require_prediction,
)
from spisonet.misalignment.half_map_model import HalfMapModel
from spisonet.misalignment.image_band import COARSEST_RESOLUTION_ANGSTROM, ImageBand, Poses
from spisonet.misalignment.particle_mask import widened_mask
from spisonet.misalignment.pose_correction import PoseCorrection, correct_poses
from spisonet.misalignment.pose_output import reconstruct_half_maps, write_poses
from spisonet.report.page import code_block, heading, paragraph, warning, write_page
from spisonet.report.pose_correction import PosesBeforeAfter, before_after_sections, rounds_section
from spisonet.report.pose_drift import drift_section
from spisonet.validation.directional_fsc import SummarisedFsc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from relion_external.config import RescueConfig
    from spisonet.report.section import Section

log = logging.getLogger("spisonet")

PAGE_FILE = "report.html"
OUTPUTS = (PAGE_FILE, PARTICLES_FILE, REFERENCE_FILE, *(HALF_MAP_FILE.format(half=half) for half in (1, 2)))
CORRECTED = "The poses have drifted; they were corrected."
NOT_IMPROVED = "The poses have drifted, but no correction raised the log-likelihood significantly."
NOT_FOUND = "No drift of the poses was found."
NOT_DETERMINED = "These views do not determine whether the poses have drifted; nothing was corrected."
REFERENCE_EDGE_SHELLS = 2
FINEST_BY_DEFAULT_ANGSTROM, BAND_FSC = 10.0, 0.5
FSC_TO_ANGSTROM = 8.0  # beyond the band, to find its end
CHECKED_PARTICLES, CHECKED_TO_ANGSTROM = 2000, 20.0
MEASURED_PARTICLES = 20_000  # by which a drift is detected; all are corrected


def run_rescue(config: RescueConfig) -> None:
    """Run ``relion rescue``.

    Measures whether the poses have drifted. If so, writes corrected particles, two half maps, a reference and
    a report into ``config.o``; otherwise the report only.

    Raises
    ------
    SpisonetError
        If an input or option is unusable, and nothing has been written then; or if memory does not suffice.
    """
    inputs = read_rescue_inputs(config)
    for path in (config.o / name for name in OUTPUTS):
        if path.exists():
            raise SpisonetError(
                f"{path} exists; choose a new output folder with --o, nothing is overwritten.", field="o"
            )
    with _memory_errors():
        model = _checked_model(config, inputs)
    prepare_output_folder(config.o)
    with recorded(config, config.o, _out_of_memory) as result:
        with StageProgress("rescue", "collective motion", 1, "searches") as progress:
            drift = measure_drift(
                inputs.particles,
                inputs.mask,
                inputs.sym,
                max(DRIFT_RESOLUTION_ANGSTROM, model.band.length_angstrom / model.band.last),
                inputs.device,
                MEASURED_PARTICLES,
                config.seed,
                end_angstrom=config.resolution or 0.0,
            )
            progress.advance()
        log.info("%s", drift.sentence)
        result["drift"] = drift.numbers
        sections = {"drift": drift_section(drift, config.o / PAGE_FILE)}
        if not drift.is_detected:
            headline = NOT_FOUND if drift.is_determined else NOT_DETERMINED
            _write_report(config, inputs, headline, sections)
            return
        with StageProgress("rescue", "correction", config.rounds, "rounds") as progress:
            correction = correct_poses(
                model,
                Poses.of(inputs.particles),
                config.seed,
                config.rounds,
                after_round=progress.advance,
            )
        del model
        sections["correction"] = rounds_section(correction)
        if not correction.is_improved:
            _write_report(config, inputs, NOT_IMPROVED, sections)
            return
        _write_results(config, inputs, correction, sections)


def _out_of_memory(error: Exception) -> Exception:
    """Return the error to raise for one that ends the run."""
    if not is_out_of_memory(error):
        return error
    return SpisonetError(
        "The device is out of memory: use --device cpu, or particles in a smaller box.", code="out_of_memory"
    )


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Raise a `SpisonetError` for lack of memory."""
    try:
        yield
    except Exception as error:
        translated = _out_of_memory(error)
        if translated is error:
            raise
        raise translated from error


def _checked_model(config: RescueConfig, inputs: RescueInputs) -> HalfMapModel:
    """Return the model of all particles, after a check on a part of them that these are their poses."""
    particles, mask, sym, device = inputs.particles, inputs.mask, inputs.sym, inputs.device
    if mask is not None and inputs.mask_file is not None:
        mask = widened_mask(mask, config.widen_mask, particles.pixel_size_angstrom)
    part = model_of_subset(particles, mask, sym, CHECKED_TO_ANGSTROM, device, CHECKED_PARTICLES, config.seed)
    require_prediction(part, Poses.of(part.band.particles), config.seed)
    finest, reason = _finest_resolution(config, inputs)
    band = ImageBand(particles, finest, device)
    log.info(
        "%s particles of %s, symmetry %s, mask: %s%s. Band: %.0f to %.1f Å (%s).",
        f"{len(particles):,}",
        particles.star,
        sym,
        inputs.mask_description,
        _widened(config, inputs),
        band.length_angstrom / band.first,
        band.length_angstrom / band.last,
        reason,
    )
    return HalfMapModel(band, mask, sym)


def _widened(config: RescueConfig, inputs: RescueInputs) -> str:
    if inputs.mask_file is None or not config.widen_mask:
        return ""
    return f", widened by {config.widen_mask:g} Å for the correction"


def _fsc(
    maps: Iterable[NDArray[np.float32]],
    mask: NDArray[np.float32] | None,
    voxel_size_angstrom: float,
    ncpus: int,
) -> SummarisedFsc:
    half1, half2 = maps
    threads = limited_threads(ncpus)
    fsc = estimate_directional_fsc(half1, half2, mask, voxel_size_angstrom, None, threads, beyond_limit=True)
    return SummarisedFsc(fsc, summarise_fsc3d(fsc))


def _finest_resolution(config: RescueConfig, inputs: RescueInputs) -> tuple[float, str]:
    """Return the end of the band in Å, and why; the FSC needs half maps to a little beyond it only."""
    if config.resolution is not None:
        return config.resolution, "--resolution"
    particles = inputs.particles
    model = HalfMapModel(ImageBand(particles, FSC_TO_ANGSTROM, inputs.device), inputs.mask, inputs.sym)
    with torch.no_grad():
        maps = model.half_maps(model.insert(Poses.of(particles))).cpu().numpy()
    mask = None if inputs.mask is None else model.mask.cpu().numpy()
    fsc = _fsc(maps, mask, model.voxel_size_angstrom, config.ncpus)
    at_half = fsc.metrics.resolution_05.angstrom
    if at_half <= FINEST_BY_DEFAULT_ANGSTROM:
        return FINEST_BY_DEFAULT_ANGSTROM, "the finest by default; --resolution changes it"
    if at_half >= COARSEST_RESOLUTION_ANGSTROM:
        raise SpisonetError(
            f"The FSC of the half maps falls to {BAND_FSC} at {at_half:.0f} Å, before the band of the "
            f"likelihood begins ({COARSEST_RESOLUTION_ANGSTROM:g} Å); give --resolution.",
            field="resolution",
        )
    return at_half, f"the FSC of the half maps falls to {BAND_FSC} there"


def _write_results(
    config: RescueConfig, inputs: RescueInputs, correction: PoseCorrection, sections: dict[str, Section]
) -> None:
    particles, poses = inputs.particles, correction.poses
    voxel_size = particles.pixel_size_angstrom
    write_poses(config.o / PARTICLES_FILE, particles, poses)
    maps = {
        when: reconstruct_half_maps(particles, given, inputs.sym, inputs.device)
        for when, given in (("before", Poses.of(particles)), ("after", poses))
    }
    averages = {when: np.mean(halves, axis=0) for when, halves in maps.items()}
    for half, volume in enumerate(maps["after"], start=1):
        path = config.o / HALF_MAP_FILE.format(half=half)
        write_volume(path, Volume(volume, voxel_size), "spisonet: half map from corrected poses")
    shell = particles.box * voxel_size / REFERENCE_RESOLUTION_ANGSTROM
    weights = soft_lowpass_weights(particles.box, shell, REFERENCE_EDGE_SHELLS)
    reference = irfft3(rfft3(averages["after"]) * weights, averages["after"].shape)
    write_volume(config.o / REFERENCE_FILE, Volume(reference, voxel_size), "spisonet: reference, 30 A")
    found = PosesBeforeAfter(
        rotations={"before": particles.rotations, "after": poses.rotations},
        symmetry=symmetry_rotations(inputs.sym),
        maps=averages,
        mask=inputs.mask,
        fsc={when: _fsc(halves, inputs.mask, voxel_size, config.ncpus) for when, halves in maps.items()},
        voxel_size_angstrom=voxel_size,
    )
    names = ("views", "maps", "fsc_by_direction")
    further = dict(zip(names, before_after_sections(found, config.o / PAGE_FILE), strict=True))
    _write_report(config, inputs, CORRECTED, sections | further, is_corrected=True)
    log.info(
        "The log-likelihood per particle rose by %.2f ± %.2f. Written to %s: %s.",
        correction.rise,
        correction.rise_standard_error,
        config.o,
        ", ".join(OUTPUTS),
    )
    for sentence in rescue_warnings(inputs):
        log.info("%s", sentence)
    for line in rescue_commands(config.o, inputs):
        log.info("  %s", line)


def _write_report(
    config: RescueConfig,
    inputs: RescueInputs,
    headline: str,
    sections: dict[str, Section],
    is_corrected: bool = False,
) -> None:
    """Write page and JSON."""
    page = config.o / PAGE_FILE
    commands = rescue_commands(config.o, inputs) if is_corrected else []
    numbers: dict[str, Any] = {
        "program": "spisonet",
        "version": __version__,
        "command": config.command,
        "config": config.model_dump(mode="json"),
        "particles": str(inputs.particles.star),
        "sym": inputs.sym,
        "mask": None if inputs.mask_file is None else str(inputs.mask_file),
        "spherical_mask_diameter_angstrom": inputs.sphere_angstrom,
        "is_corrected": is_corrected,
        "commands": commands,
    }
    figures = {path.name: text for section in sections.values() for path, text in section.figures.items()}
    contents = {name: section.numbers for name, section in sections.items() if section.numbers}
    write_json(page.with_suffix(".json"), numbers | contents | {"figures": figures})
    go_on = []
    if is_corrected:
        go_on = [heading("To go on"), *map(warning, rescue_warnings(inputs)), code_block("\n".join(commands))]
    how = paragraph(f"spisonet {__version__}, by this command:") + code_block(command_line(config))
    write_page(
        page,
        f"spisonet: {config.job}",
        "Correction of drifted poses",
        f"<p class='verdict'>{headline}</p>",
        *go_on,
        *(section.html for section in sections.values()),
        paragraph(f"Symmetry {inputs.sym}; mask: {inputs.mask_description}{_widened(config, inputs)}."),
        how,
    )
    if not is_corrected:
        log.info("Nothing was corrected. Written: %s", page)
