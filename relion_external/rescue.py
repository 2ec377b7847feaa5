"""The command ``spisonet relion rescue``: correct drifted poses of a refinement from its particles."""

from __future__ import annotations

import logging
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from relion_external.config import HALF_MAP_FILE, PARTICLES_FILE, REFERENCE_FILE
from relion_external.finished_refinement import FinishedRefinement, read_finished_refinement
from relion_external.preflight import EXECUTABLE, VARIABLE
from relion_external.refinement import option_value
from spisonet import __version__
from spisonet.analysis.fsc3d import estimate_directional_fsc, summarise_fsc3d
from spisonet.commands.registry import command_line
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import irfft3, rfft3
from spisonet.fourier.windows import soft_lowpass_weights
from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.io.atomic import prepare_output_folder, write_json
from spisonet.io.mrc import Volume, read_volume, write_volume
from spisonet.io.run_record import recorded
from spisonet.io.stages import StageProgress
from spisonet.learning.devices import choose_devices, use_cpu_threads
from spisonet.learning.memory import is_out_of_memory
from spisonet.misalignment.drift_measurement import (
    DRIFT_RESOLUTION_ANGSTROM,
    measure_drift,
    model_of_subset,
    require_enough,
    require_prediction,
)
from spisonet.misalignment.half_map_model import HalfMapModel
from spisonet.misalignment.image_band import COARSEST_RESOLUTION_ANGSTROM, ImageBand, Poses
from spisonet.misalignment.particle_images import read_particle_images
from spisonet.misalignment.pose_correction import PoseCorrection, correct_poses
from spisonet.misalignment.pose_output import reconstruct_half_maps, require_origins, write_poses
from spisonet.report.page import code_block, heading, paragraph, warning, write_page
from spisonet.report.pose_correction import PosesBeforeAfter, before_after_sections, rounds_section
from spisonet.report.pose_drift import drift_section
from spisonet.validation.directional_fsc import SummarisedFsc

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from relion_external.config import RescueConfig
    from spisonet.analysis.pose_drift import PoseDrift
    from spisonet.misalignment.particle_images import ParticleImages
    from spisonet.report.section import Section

log = logging.getLogger("spisonet")

PAGE_FILE = "report.html"
OUTPUTS = (PAGE_FILE, PARTICLES_FILE, REFERENCE_FILE, *(HALF_MAP_FILE.format(half=half) for half in (1, 2)))
CORRECTED = "The poses have drifted; they were corrected."
NOT_FOUND = "No drift of the poses was found."
REFERENCE_RESOLUTION_ANGSTROM, REFERENCE_EDGE_SHELLS = 30.0, 2
FINEST_BY_DEFAULT_ANGSTROM, BAND_FSC = 10.0, 0.5
LOCAL_HEALPIX_ORDER = 4
CHECKED_PARTICLES, CHECKED_TO_ANGSTROM = 2000, 20.0
MEASURED_PARTICLES = 20_000  # by which a drift is detected; all are corrected
DRIFTS_BACK = (
    "In simulations a plain refinement from corrected poses drifted back, and a refinement through the hook "
    "kept about half of the correction. Use the corrected poses as they are (first command), or refine "
    "through the hook (last commands) and run the rescue again on the result."
)
# Options of the refine command that are replaced: with a value, and without.
REPLACED = {
    "--o", "--i", "--ref", "--ini_high", "--healpix_order", "--auto_local_healpix_order", "--sym",
    "--solvent_mask", "--continue", "--pipeline_control", "--low_resol_join_halves",
}  # fmt: skip
DROPPED = {"--firstiter_cc", "--external_reconstruct"}


@dataclass(frozen=True)
class _Inputs:
    """Checked inputs of a rescue."""

    refinement: FinishedRefinement
    particles: ParticleImages
    sym: str
    mask_file: Path | None
    mask: NDArray[np.float32] | None
    device: torch.device


def run_rescue(config: RescueConfig) -> None:
    """Run ``relion rescue``.

    Measures whether the poses have drifted. If so, writes corrected particles, two half maps, a reference and
    a report into ``config.o``; otherwise the report only.

    Raises
    ------
    SpisonetError
        If an input or option is unusable; nothing has been written then.
    """
    inputs = _read_inputs(config)
    particles, before = inputs.particles, Poses.of(inputs.particles)
    for path in (config.o / name for name in OUTPUTS):
        if path.exists():
            raise SpisonetError(
                f"{path} exists; choose a new output folder with --o, nothing is overwritten.", field="o"
            )
    _require_prediction(inputs, config.seed)
    try:
        maps = reconstruct_half_maps(particles, before, inputs.sym, inputs.device)
        fsc = _fsc(maps, inputs, config.ncpus)
        finest, reason = _finest_resolution(config, fsc)
        band = ImageBand(particles, finest, inputs.device)
        model = HalfMapModel(band, inputs.mask, inputs.sym)
    except (RuntimeError, MemoryError) as error:
        raise _out_of_memory(error) from error
    log.info(
        "%s particles of %s, symmetry %s, mask %s. Band: %.0f to %.1f Å (%s).",
        f"{len(particles):,}",
        particles.star,
        inputs.sym,
        inputs.mask_file or "none",
        band.length_angstrom / band.first,
        band.length_angstrom / band.last,
        reason,
    )
    prepare_output_folder(config.o)
    with recorded(config, config.o, _out_of_memory) as result:
        with StageProgress("rescue", "collective motion", 1, "searches") as progress:
            drift = measure_drift(
                particles,
                inputs.mask,
                inputs.sym,
                max(DRIFT_RESOLUTION_ANGSTROM, finest),
                inputs.device,
                MEASURED_PARTICLES,
                config.seed,
            )
            progress.advance()
        log.info("%s", drift.sentence)
        result["drift"] = drift.numbers
        if not drift.is_detected:
            _write_report(config, inputs, drift)
            return
        with StageProgress("rescue", "correction", config.rounds, "rounds") as progress:
            correction = correct_poses(
                model,
                before,
                config.seed,
                config.rounds,
                after_round=progress.advance,
            )
        del model, band
        _write_results(config, inputs, drift, correction, maps, fsc)


def _out_of_memory(error: Exception) -> Exception:
    """Return the error to raise for one that ends the run."""
    if not is_out_of_memory(error):
        return error
    return SpisonetError(
        "The device is out of memory: use --device cpu, or particles in a smaller box.", code="out_of_memory"
    )


def _read_inputs(config: RescueConfig) -> _Inputs:
    """Read everything that can be at fault."""
    refinement = read_finished_refinement(config.job)
    use_cpu_threads(config.ncpus)
    device = choose_devices(config.device)[0]
    particles = read_particle_images(refinement.particles)
    require_enough(particles)
    require_origins(particles)
    sym = (config.sym or refinement.symmetry).upper()
    symmetry_rotations(sym)
    mask_file, mask = config.mask or refinement.mask, None
    if mask_file is not None:
        volume = read_volume(mask_file)
        if volume.box != particles.box:
            raise SpisonetError(
                f"{mask_file} has a box of {volume.box} voxels, but the images of {particles.star} have "
                f"{particles.box} pixels; give the mask of this refinement with --mask.",
                field="mask",
            )
        mask = volume.data.clip(0, 1)
    return _Inputs(refinement, particles, sym, mask_file, mask, device)


def _require_prediction(inputs: _Inputs, seed: int) -> None:
    """Check on a part of the particles that these are their poses; all of them are read later."""
    model = model_of_subset(
        inputs.particles, inputs.mask, inputs.sym, CHECKED_TO_ANGSTROM, inputs.device, CHECKED_PARTICLES, seed
    )
    require_prediction(model, Poses.of(model.band.particles), seed)


def _fsc(maps: list[NDArray[np.float32]], inputs: _Inputs, ncpus: int) -> SummarisedFsc:
    pixel_size = inputs.particles.pixel_size_angstrom
    half1, half2 = maps
    fsc = estimate_directional_fsc(half1, half2, inputs.mask, pixel_size, None, ncpus, beyond_limit=True)
    return SummarisedFsc(fsc, summarise_fsc3d(fsc))


def _finest_resolution(config: RescueConfig, fsc: SummarisedFsc) -> tuple[float, str]:
    """Return the end of the band in Å, and why."""
    if config.resolution is not None:
        return config.resolution, "--resolution"
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
    config: RescueConfig,
    inputs: _Inputs,
    drift: PoseDrift,
    correction: PoseCorrection,
    maps_before: list[NDArray[np.float32]],
    fsc_before: SummarisedFsc,
) -> None:
    particles, poses = inputs.particles, correction.poses
    maps = reconstruct_half_maps(particles, poses, inputs.sym, inputs.device)
    averages = {"before": np.mean(maps_before, axis=0), "after": np.mean(maps, axis=0)}
    voxel_size = particles.pixel_size_angstrom
    write_poses(config.o / PARTICLES_FILE, particles, poses)
    for half, volume in enumerate(maps, start=1):
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
        fsc={"before": fsc_before, "after": _fsc(maps, inputs, config.ncpus)},
        voxel_size_angstrom=voxel_size,
    )
    page = config.o / PAGE_FILE
    sections = {"correction": rounds_section(correction)}
    names = ("views", "maps", "fsc_by_direction")
    sections |= dict(zip(names, before_after_sections(found, page), strict=True))
    _write_report(config, inputs, drift, sections)
    log.info(
        "The log-likelihood per particle rose by %.2f ± %.2f. Written to %s: %s.",
        correction.rise,
        correction.rise_standard_error,
        config.o,
        ", ".join(OUTPUTS),
    )
    log.info("%s", DRIFTS_BACK)
    for line in _commands(config, inputs):
        log.info("  %s", line)


def _write_report(
    config: RescueConfig, inputs: _Inputs, drift: PoseDrift, further: dict[str, Section] | None = None
) -> None:
    """Write page and JSON; without further sections, nothing was corrected."""
    page = config.o / PAGE_FILE
    sections = {"drift": drift_section(drift, page), **(further or {})}
    commands = _commands(config, inputs) if further else []
    numbers: dict[str, Any] = {
        "program": "spisonet",
        "version": __version__,
        "command": config.command,
        "config": config.model_dump(mode="json"),
        "particles": str(inputs.particles.star),
        "sym": inputs.sym,
        "mask": None if inputs.mask_file is None else str(inputs.mask_file),
        "is_corrected": bool(further),
        "commands": commands,
    }
    figures = {path.name: text for section in sections.values() for path, text in section.figures.items()}
    contents = {name: section.numbers for name, section in sections.items() if section.numbers}
    write_json(page.with_suffix(".json"), numbers | contents | {"figures": figures})
    headline = CORRECTED if further else NOT_FOUND
    go_on = [heading("To go on"), warning(DRIFTS_BACK), code_block("\n".join(commands))] if further else []
    how = paragraph(f"spisonet {__version__}, by this command:") + code_block(command_line(config))
    write_page(
        page,
        f"spisonet: {config.job}",
        "Correction of drifted poses",
        f"<p class='verdict'>{headline}</p>",
        *go_on,
        *(section.html for section in sections.values()),
        how,
    )
    if not further:
        log.info("Nothing was corrected. Written: %s", page)


def _commands(config: RescueConfig, inputs: _Inputs) -> list[str]:
    """Return the lines for PostProcess and for a refinement through the hook."""
    folder, mask = config.o, [] if inputs.mask_file is None else [str(inputs.mask_file)]
    postprocess = ["relion_postprocess", "--i", str(folder / HALF_MAP_FILE.format(half=1))]
    postprocess += [word for name in mask for word in ("--mask", name)]
    postprocess += ["--angpix", f"{inputs.particles.pixel_size_angstrom:g}", "--auto_bfac"]
    postprocess += ["--o", str(folder / "postprocess")]
    original = inputs.refinement.command
    order = option_value(original, "--auto_local_healpix_order") or str(LOCAL_HEALPIX_ORDER)
    replaced = {
        "--i": str(folder / PARTICLES_FILE),
        "--ref": str(folder / REFERENCE_FILE),
        "--ini_high": f"{REFERENCE_RESOLUTION_ANGSTROM:g}",
        "--sym": inputs.sym,
        "--healpix_order": order,
        "--auto_local_healpix_order": order,  # local searches from the first iteration on
        "--low_resol_join_halves": option_value(original, "--low_resol_join_halves") or "40",
        "--o": str(folder / "refined" / "run"),
    }
    refine = ["mpirun", "-n", "3", "relion_refine_mpi", "--external_reconstruct"]
    refine += [word for pair in replaced.items() for word in pair]
    refine += [word for name in mask for word in ("--solvent_mask", name)] + _kept_options(original)
    return [
        shlex.join(postprocess),
        f"mkdir -p {shlex.quote(str(folder / 'refined'))}",
        f"export {VARIABLE}=$(command -v {EXECUTABLE})",
        shlex.join(refine),
    ]


def _kept_options(command: list[str]) -> list[str]:
    """Return the options of the refine command that stay as they were."""
    if not command:
        return ["--auto_refine", "--split_random_halves", "--ctf", "--flatten_solvent", "--zero_mask"]
    kept: list[str] = []
    keeps = True
    for word in command:
        if word.startswith("--"):
            keeps = word not in REPLACED | DROPPED
        if keeps:
            kept.append(word)
    return kept
