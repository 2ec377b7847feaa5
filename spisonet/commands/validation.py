"""Commands that validate a finished run: validate, nulltest and report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.anisotropy.config import ReconstructConfig
from spisonet.anisotropy.run_inputs import FSC3D_FILE
from spisonet.api.reconstruction_output import correct_into_folder, report_run, write_run_report
from spisonet.api.validation_output import validate_into_folder, write_null_tests
from spisonet.io.atomic import prepare_output_folder
from spisonet.io.events import progress_to_folder
from spisonet.io.logs import log_to_folder
from spisonet.io.mrc import write_volume
from spisonet.io.run_record import JOB_FILE
from spisonet.learning.launcher import run_on_devices
from spisonet.validation.null_tests import NullCorrection, null_tests, prepare_null_tests
from spisonet.validation.records import NULL_TEST_FOLDER, VALIDATION_FOLDER
from spisonet.validation.validate import log

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.learning.memory import Memory
    from spisonet.learning.process_group import ProcessGroup
    from spisonet.report.config import ReportConfig
    from spisonet.validation.config import NullTestConfig, ValidateConfig
    from spisonet.validation.finished_run import FinishedRun
    from spisonet.validation.null_maps import Halves


def run_validate(config: ValidateConfig) -> None:
    """Validate a finished run in held-out cones.

    Writes ``validation/validation.json``, the uncertainty of every voxel and a script for ChimeraX into the
    folder of the run, and its report anew.

    Raises
    ------
    SpisonetError
        If the folder does not contain a finished run of two half maps with a trained network, or if its input
        maps are missing.
    """
    run_on_devices(run_validate, config, _validate)


def run_null_test(config: NullTestConfig) -> None:
    """Correct null half maps as a finished run was corrected, and test what appears.

    Writes ``null_tests/null_tests.json`` into the folder of the run, and its report anew.

    Raises
    ------
    SpisonetError
        If the folder does not contain a finished run of two half maps, or if the mask of the domain is
        unusable.
    """
    run_on_devices(run_null_test, config, _null_test)


def run_report(config: ReportConfig) -> None:
    """Write the report of a finished run; see `write_run_report`."""
    write_run_report(config)


def _validate(config: ValidateConfig, memory: Memory, processes: ProcessGroup) -> None:
    validate_into_folder(config, memory, processes)
    with log_to_folder(config.folder / VALIDATION_FOLDER):
        report_run(config.folder, config.ncpus)


def _null_test(config: NullTestConfig, memory: Memory, processes: ProcessGroup) -> None:
    null_test_run(config, memory, processes)
    with log_to_folder(config.folder / NULL_TEST_FOLDER):
        report_run(config.folder, config.ncpus)


def null_test_run(config: NullTestConfig, memory: Memory, processes: ProcessGroup) -> None:
    """Carry out the null tests of a finished run and write the results; see `run_null_test`."""
    prepared = prepare_null_tests(config)
    run = prepared.run
    folder = run.folder / NULL_TEST_FOLDER
    prepare_output_folder(folder)
    epochs = min(run.epochs, config.epochs or max(1, run.epochs // 3))

    def correct(name: str, halves: Halves) -> NullCorrection:
        return _correct_null_maps(run, folder / name, halves, epochs, config.resume, memory, processes)

    with log_to_folder(folder), progress_to_folder(run.folder):
        result = null_tests(prepared, correct)
        path = write_null_tests(folder, config, run, epochs, result)
        for name, numbers in result.numbers.items():
            log.info("Null test %s: %s", name, numbers["result_sentence"])
        log.info("Written: %s", path)


def _correct_null_maps(
    run: FinishedRun,
    folder: Path,
    halves: Halves,
    epochs: int,
    resume: bool,
    memory: Memory,
    processes: ProcessGroup,
) -> NullCorrection:
    """Correct half maps with the options and the 3D FSC of a run, in a folder of their own."""
    prepare_output_folder(folder)
    paths = [folder / f"half{index}.mrc" for index in (1, 2)]
    for path, data in zip(paths, halves, strict=True):
        write_volume(path, run.input_maps.half1.with_data(data), "spisonet: made for a null test")
    options = run.config.model_dump() | {
        "i1": paths[0],
        "i2": paths[1],
        "aniso_file": run.config.aniso_file or run.folder / FSC3D_FILE,
        "reference": None,
        "limit_res": run.limit_angstrom,
        "output_dir": folder,
        "epochs": epochs,
        "resume": resume and (folder / JOB_FILE).is_file(),
    }
    result = correct_into_folder(ReconstructConfig.from_options(options), memory, processes, halves_only=True)
    half1, half2 = result.corrected
    return NullCorrection(half1.whole, half2.whole, half1.filtered, result.corrected_by_shell)
