"""Correct half maps and write the results into the output folder of a run."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from spisonet.anisotropy.reconstruct import (
    DECONVOLVE,
    CorrectionOptions,
    CorrectionResult,
    fourier_weights_of,
    reconstruct,
    require_memory,
)
from spisonet.anisotropy.run_inputs import (
    CLASSICAL_PREFIX,
    CORRECTED_PREFIX,
    DATA_WEIGHT_STEM,
    FILTERED_SUFFIX,
    FSC3D_FILE,
    FULL_MAP,
    SHARPENED_SUFFIX,
    output_names,
    read_run_inputs,
)
from spisonet.api.map_previews import PREVIEW_FILE, map_previews
from spisonet.figures.reconstruction import draw_correction
from spisonet.figures.style import save_figure
from spisonet.fourier.grids import centred_from_half
from spisonet.fourier.sharpening import guinier_shells, sharpen
from spisonet.io.atomic import prepare_output_file, prepare_output_folder
from spisonet.io.events import progress_to_folder
from spisonet.io.labels import DATA_WEIGHT, FSC_3D, label_with_tokens
from spisonet.io.logs import VERDICT
from spisonet.io.mrc import Volume, write_volume
from spisonet.io.run_record import recorded, require_same_run
from spisonet.io.stages import StageProgress
from spisonet.learning.checkpoint import save_network
from spisonet.learning.launcher import log_duration, out_of_memory_error
from spisonet.report.config import ReportConfig
from spisonet.report.reconstruction import REPORT_FILE, write_report
from spisonet.validation.correction_fsc import correction_fsc
from spisonet.validation.finished_run import FinishedRun
from spisonet.validation.model import positions_in_map, read_model

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from spisonet.anisotropy.config import ReconstructConfig
    from spisonet.anisotropy.full_map import FullMap
    from spisonet.anisotropy.recombination import CorrectedMap
    from spisonet.anisotropy.run_inputs import RunInputs
    from spisonet.learning.memory import Memory
    from spisonet.learning.process_group import ProcessGroup

log = logging.getLogger("spisonet")


def correct_into_folder(
    config: ReconstructConfig, memory: Memory, processes: ProcessGroup, halves_only: bool = False
) -> CorrectionResult:
    """Correct half maps and write the results into ``config.output_dir``.

    Called in the main process while the others `join_workers`.

    Parameters
    ----------
    config : ReconstructConfig
        Inputs and options.
    memory : Memory
        Device, and how much of its memory may be used.
    processes : ProcessGroup
        Processes that train together.
    halves_only : bool
        Neither correct the average of the halves nor draw figures.

    Raises
    ------
    SpisonetError
        If an input or option is unusable (nothing is written then), or if training fails.
    """
    if config.resume:
        require_same_run(config, config.output_dir)
    inputs = read_run_inputs(config)
    require_memory(config, inputs.maps.half1.box, memory)
    log_duration(config, memory.device, processes.count)
    options = CorrectionOptions.from_config(config, inputs.maps.half1.box, full_map=not halves_only)
    if options.training.cube_size != config.cube_size:
        log.info(
            "Training subvolumes have %d instead of %d voxels, because the box has %d voxels.",
            options.training.cube_size,
            config.cube_size,
            inputs.maps.half1.box,
        )
    weights = fourier_weights_of(inputs, config.independent, torch.get_num_threads())
    if config.sharpen and config.b_factor is None:
        first = inputs.maps.half1
        guinier_shells(first.box, first.voxel_size_angstrom, weights.limit_resolution_angstrom)
    folder, names = config.output_dir, output_names(inputs.volumes)
    prepare_output_folder(folder)
    with recorded(
        config, folder, out_of_memory_error(memory.device), lambda: _remove_old_results(folder, names)
    ) as record:
        if config.aniso_file is None:
            _write_fourier_volume(
                folder / FSC3D_FILE, inputs.maps.half1, weights.fsc_weight_rfft, "conical 3D FSC", FSC_3D
            )
        with map_previews(folder, inputs.maps.half1.voxel_size_angstrom):
            result = reconstruct(inputs, weights, options, memory, processes, folder, config.resume)
        record["device"], record["processes"] = str(memory.device), processes.count
        record.update(_write_results(folder, names, inputs.volumes, result))
        record["full_map"] = _write_full_map(config, inputs.mask, result)
        record["figures"] = [] if halves_only else _draw_figures(folder, inputs, result)
        log.info("Corrected maps are in %s.", folder)
        if result.full is not None:
            log.info("The map to build into is %s.", folder / f"{CORRECTED_PREFIX}{FULL_MAP}.mrc")
    return result


def _remove_old_results(folder: Path, names: list[str]) -> None:
    """Remove the training state and networks of another run, and its maps of the same names."""
    names = [*names, FULL_MAP]
    maps = [
        folder / f"{CORRECTED_PREFIX}{name}{suffix}.mrc"
        for name in names
        for suffix in ("", FILTERED_SUFFIX, SHARPENED_SUFFIX)
    ]
    maps += [folder / f"{DATA_WEIGHT_STEM}{suffix}.mrc" for suffix in ("", *(f"_{name}" for name in names))]
    maps += [*(folder / f"{CLASSICAL_PREFIX}{name}.mrc" for name in names), folder / PREVIEW_FILE]
    for path in [*folder.glob("checkpoint*.safetensors"), *folder.glob("network*.safetensors"), *maps]:
        path.unlink(missing_ok=True)


def _write_results(
    folder: Path, names: list[str], volumes: list[Volume], result: CorrectionResult
) -> dict[str, Any]:
    """Write maps, weights and networks; return the numbers for ``job.json``."""
    for unit in result.units:
        if unit.network is not None:
            path = folder / f"network{unit.unit.suffix}.safetensors"
            save_network(path, unit.network, {"trained_on": unit.unit.name})
            log.info("Wrote %s", path)
        weight = result.data_weight_rfft(unit.data_weight_rfft)
        path = folder / f"{DATA_WEIGHT_STEM}{unit.unit.suffix}.mrc"
        _write_fourier_volume(path, volumes[0], weight, "data weight", DATA_WEIGHT)
    label = result.label
    log.info("Header label: %s", label)
    for name, volume, corrected in zip(names, volumes, result.corrected, strict=True):
        _write_corrected(folder, name, volume, corrected, label)
    classical = [f"{CLASSICAL_PREFIX}{name}.mrc" for name in names] if result.method != DECONVOLVE else []
    for name, volume, deconvolved in zip(classical, volumes, result.deconvolved, strict=False):
        own_label = result.deconvolved_halves.label("deconvolve")
        write_volume(folder / name, volume.with_data(deconvolved.whole), own_label)
    return {
        "halves": result.halves.as_record(),
        "label": label,
        "limit_resolution_angstrom": round(result.limit_resolution_angstrom, 3),
        "unmeasured_fraction": round(result.unmeasured_fraction, 4),
        "corrected_by_shell": result.corrected_by_shell,
        "epoch_losses": result.epoch_losses,
        "prediction_shares": result.prediction_shares,
        "inferred_gains": result.inferred_gains,
        "data_factors": result.data_factors,
        "loss_reductions": result.loss_reductions,
        "training_ends": result.training_ends,
        "corrected_maps": [f"{CORRECTED_PREFIX}{name}.mrc" for name in names],
        "classical_maps": classical,
    }


def _write_full_map(
    config: ReconstructConfig, mask: NDArray[np.float32] | None, result: CorrectionResult
) -> dict[str, Any] | None:
    """Write the corrected average of both halves; return its entry in ``job.json``."""
    full, folder = result.full, config.output_dir
    if full is None:
        return None
    _write_corrected(folder, FULL_MAP, full.average, full.corrected, full.label)
    weight = result.data_weight_rfft(full.data_weight_rfft)
    path = folder / f"{DATA_WEIGHT_STEM}_{FULL_MAP}.mrc"
    _write_fourier_volume(path, full.average, weight, "data weight of the full map", DATA_WEIGHT)
    classical = None
    if result.method != DECONVOLVE:
        classical = f"{CLASSICAL_PREFIX}{FULL_MAP}.mrc"
        write_volume(folder / classical, full.average.with_data(full.deconvolved.whole), full.label)
    sharpened, b_factor = None, None
    if config.sharpen:
        sharpened = f"{CORRECTED_PREFIX}{FULL_MAP}{SHARPENED_SUFFIX}.mrc"
        b_factor = _write_sharpened(folder / sharpened, full, mask, result, config.b_factor)
    return {
        "corrected": f"{CORRECTED_PREFIX}{FULL_MAP}.mrc",
        "classical": classical,
        "sharpened": sharpened,
        "b_factor_square_angstrom": b_factor,
        "unmeasured_fraction": round(full.unmeasured_fraction, 4),
    }


def _write_sharpened(
    path: Path,
    full: FullMap,
    mask: NDArray[np.float32] | None,
    result: CorrectionResult,
    b_factor: float | None,
) -> float:
    """Write the sharpened full map; return its B-factor in Å²."""
    like = full.average
    sharpened = sharpen(
        full.corrected.filtered,
        result.weights.shell_signal,
        like.voxel_size_angstrom,
        result.limit_resolution_angstrom,
        mask,
        b_factor,
    )
    write_volume(path, like.with_data(sharpened.data), full.label)
    log.info("Wrote %s, B-factor %.0f Å²", path, sharpened.b_factor_square_angstrom)
    return round(sharpened.b_factor_square_angstrom, 1)


def _write_corrected(folder: Path, name: str, like: Volume, corrected: CorrectedMap, label: str) -> None:
    """Write a corrected map, and the same map filtered to the resolution limit."""
    for suffix, data in (("", corrected.whole), (FILTERED_SUFFIX, corrected.filtered)):
        path = folder / f"{CORRECTED_PREFIX}{name}{suffix}.mrc"
        write_volume(path, like.with_data(data), label)
        log.info("Wrote %s", path)


def _write_fourier_volume(
    path: Path, like: Volume, values_rfft: NDArray[np.float32], name: str, token: str
) -> None:
    """Write a half spectrum as a centred cube, without the place of the map in space."""
    cube = Volume(centred_from_half(values_rfft, like.box), like.voxel_size_angstrom)
    write_volume(path, cube, label_with_tokens(f"spisonet: {name}, DC at n//2", data=token))


def _draw_figures(folder: Path, inputs: RunInputs, result: CorrectionResult) -> list[str]:
    volumes = inputs.volumes
    figures = draw_correction(
        volumes[0],
        result.volumes[0],
        correction_fsc(volumes, result.volumes, inputs.mask, inputs.limit_resolution_angstrom),
        result.units[0].data_weight_rfft,
        result.limit_resolution_angstrom,
        result.epoch_losses,
        result.full,
    )
    with StageProgress("figures", "", len(figures), "figures") as progress:
        for name, figure in progress.over(figures.items()):
            save_figure(folder / name, figure, vector=True)
    return list(figures)


def report_run(folder: Path, ncpus: int) -> None:
    """Write the report of a finished run into its folder; see `write_run_report`."""
    write_run_report(ReportConfig.from_options({"folder": folder, "ncpus": ncpus}))


def write_run_report(config: ReportConfig) -> None:
    """Write the report of a finished run: an HTML page, its numbers as JSON, and its figures.

    Raises
    ------
    SpisonetError
        If the folder does not contain a finished run, if its input maps are missing, or if the model is
        unusable.
    """
    run = FinishedRun.read(config.folder, config.ncpus)
    if config.model is not None:
        run = replace(run, config=run.config.model_copy(update={"model": config.model}))
        positions_in_map(read_model(config.model), run.half_maps.half1)
    page = config.o or config.folder / REPORT_FILE
    prepare_output_file(page, run.config.i1, run.config.i2, run.config.mask)
    with progress_to_folder(config.folder):
        result = write_report(run, page)
    log.info("%s", result.sentence, extra=VERDICT)
    log.info("Report: %s", page)
