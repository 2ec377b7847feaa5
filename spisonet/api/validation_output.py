"""Validate a finished run, and write the results of validations and null tests into its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet import __version__
from spisonet.fourier.grids import centred_from_half
from spisonet.io.atomic import prepare_output_folder, write_json, write_text
from spisonet.io.events import progress_to_folder
from spisonet.io.logs import log_to_folder
from spisonet.io.mrc import MASK_THRESHOLD, Volume, write_volume
from spisonet.validation.held_out import resolution_at
from spisonet.validation.prepared import prepare_validation
from spisonet.validation.records import (
    COLOUR_SCRIPT,
    NULL_TEST_FILE,
    UNCERTAINTY,
    UNCERTAINTY_FOURIER,
    VALIDATION_FILE,
    VALIDATION_FOLDER,
)
from spisonet.validation.validate import log, validate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.io.config import CommandConfig
    from spisonet.learning.memory import Memory
    from spisonet.learning.process_group import ProcessGroup
    from spisonet.validation.config import NullTestConfig, ValidateConfig
    from spisonet.validation.finished_run import FinishedRun
    from spisonet.validation.null_tests import NullTestResult
    from spisonet.validation.prepared import PreparedValidation
    from spisonet.validation.uncertainty import Uncertainty
    from spisonet.validation.validate import ValidationResult

COLOUR_PERCENTILES = (10, 50, 90)


def validate_into_folder(config: ValidateConfig, memory: Memory, processes: ProcessGroup) -> ValidationResult:
    """Validate a finished run, write the results into its folder, and return them.

    Called in the main process while the others `join_workers`.

    Parameters
    ----------
    config : ValidateConfig
        The folder of the run, and options.
    memory : Memory
        Device, and how much of its memory may be used.
    processes : ProcessGroup
        Processes that train together.

    Raises
    ------
    SpisonetError
        If the folder does not contain a finished run of two half maps with a trained network, or if its input
        maps are missing.
    """
    prepared = prepare_validation(config, memory)
    folder = prepared.run.folder / VALIDATION_FOLDER
    prepare_output_folder(folder)
    with log_to_folder(folder), progress_to_folder(prepared.run.folder):
        result = validate(config, prepared, processes, folder)
        path = write_validation(folder, config, prepared, result)
        log.info(
            "Held-out validation: correlation with the signal %.2f (without a network %.2f). Written: %s",
            result.learned.recovery,
            result.constrained.recovery,
            path,
        )
    return result


def write_validation(
    folder: Path, config: ValidateConfig, prepared: PreparedValidation, result: ValidationResult
) -> Path:
    """Write ``validation.json`` and, if there is an uncertainty, its maps and a script for ChimeraX.

    Returns
    -------
    Path
        The JSON file.
    """
    record = _record(config, prepared.run) | _validation_numbers(config, prepared, result)
    if result.uncertainty is None:
        for name in (UNCERTAINTY, UNCERTAINTY_FOURIER, COLOUR_SCRIPT):  # of an earlier validation
            (folder / name).unlink(missing_ok=True)
    else:
        mask = prepared.inputs.mask
        record["uncertainty"] = _write_uncertainty(folder, result.corrected, result.uncertainty, mask)
    path = folder / VALIDATION_FILE
    write_json(path, record)
    return path


def write_null_tests(
    folder: Path, config: NullTestConfig, run: FinishedRun, epochs: int, result: NullTestResult
) -> Path:
    """Write ``null_tests.json``; `epochs` is the length of each training. Returns the path of the file."""
    path = folder / NULL_TEST_FILE
    write_json(path, _record(config, run) | {"epochs": epochs} | result.numbers)
    return path


def _record(config: CommandConfig, run: FinishedRun) -> dict[str, Any]:
    return {
        "program": "spisonet",
        "version": __version__,
        "config": config.model_dump(mode="json"),
        "validated_run": run.record["written"],
    }


def _validation_numbers(
    config: ValidateConfig, prepared: PreparedValidation, result: ValidationResult
) -> dict[str, Any]:
    learned, constrained = result.learned, result.constrained
    pretrained = prepared.inputs.start_may_be_of_these_maps
    return {
        "settings": {
            "cones": len(result.cones),
            "half_angle_degrees": result.cones[0].cone.half_angle_degrees,
            "epochs": result.epochs,
            "subvolumes_per_epoch": result.subvolumes_per_epoch,
            "n_rotations": config.turns,
            "start_weights": prepared.run.config.pretrained if pretrained else None,
            "seeds": result.seeds,
        },
        "recovery": learned.recovery,
        "recovery_without_network": constrained.recovery,
        "resolution_at_recovery_05_angstrom": resolution_at(learned.recovery_by_shell, result.box_angstrom),
        "power_ratio": learned.power_ratio,
        "by_resolution": result.by_resolution,
        "by_cone": [
            {
                "axis_xyz": _rounded(np.array(cone.cone.axis_xyz)),
                "recovery": cone.learned.recovery,
                "recovery_without_network": cone.constrained.recovery,
                "power_ratio": cone.learned.power_ratio,
            }
            for cone in result.cones
        ],
    }


def _write_uncertainty(
    folder: Path, corrected: Volume, uncertainty: Uncertainty, mask: NDArray[np.float32] | None
) -> dict[str, Any]:
    """Write the maps of an uncertainty and the script that colours `corrected` by it; return its numbers."""
    label = "spisonet: expected standard deviation of the corrected map's error"
    write_volume(folder / UNCERTAINTY, corrected.with_data(uncertainty.voxels), label)
    cube = centred_from_half(uncertainty.relative_rfft, corrected.box)
    label = "spisonet: expected relative error, DC in the middle"
    write_volume(folder / UNCERTAINTY_FOURIER, Volume(cube, corrected.voxel_size_angstrom), label)
    inside = uncertainty.voxels if mask is None else uncertainty.voxels[mask > MASK_THRESHOLD]
    low, middle, high = (float(value) for value in np.percentile(inside, COLOUR_PERCENTILES))
    map_name = Path(corrected.name).name
    script = (
        f'open "../{map_name}" "{UNCERTAINTY}"\n'  # relative to the script's folder
        "hide #2 models; color sample #1 map #2 palette "
        f"{low:.4g},blue:{middle:.4g},white:{high:.4g},red\n"
    )
    write_text(folder / COLOUR_SCRIPT, script)
    return {
        "networks": uncertainty.n_networks,
        "calibration_factor": uncertainty.calibration_factor,
        "median_in_mask": middle,
        "percentile_10_in_mask": low,
        "percentile_90_in_mask": high,
        "map": f"{VALIDATION_FOLDER}/{UNCERTAINTY}",
        "fourier_map": f"{VALIDATION_FOLDER}/{UNCERTAINTY_FOURIER}",
        "script": f"{VALIDATION_FOLDER}/{COLOUR_SCRIPT}",
    }


def _rounded(values: NDArray[np.floating]) -> list[float]:
    return [round(float(value), 4) for value in values]
