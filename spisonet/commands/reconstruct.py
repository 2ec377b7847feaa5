"""The command ``reconstruct``: correct half maps, validate and report."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spisonet.api.reconstruction_output import correct_into_folder, report_run
from spisonet.api.validation_output import validate_into_folder
from spisonet.errors import SpisonetError
from spisonet.io.mrc import read_volume
from spisonet.io.run_record import continued
from spisonet.learning.launcher import out_of_memory_error, run_on_devices
from spisonet.report.viewer_scripts import write_viewer_scripts
from spisonet.validation.config import ValidateConfig
from spisonet.validation.finished_run import FinishedRun
from spisonet.validation.model import positions_in_map, read_model

if TYPE_CHECKING:
    from spisonet.anisotropy.config import ReconstructConfig
    from spisonet.learning.memory import Memory
    from spisonet.learning.process_group import ProcessGroup

log = logging.getLogger("spisonet")


def run_reconstruct(config: ReconstructConfig) -> None:
    """Correct the anisotropy of one or two half maps.

    Writes corrected maps, networks, figures, ``run.log``, ``job.json``, the validation (if requested) and a
    report into ``config.output_dir``.

    Raises
    ------
    SpisonetError
        If an input or option is unusable (nothing is written then), or if training fails.
    """
    run_on_devices(run_reconstruct, config, _run)


def _run(config: ReconstructConfig, memory: Memory, processes: ProcessGroup) -> None:
    if config.model is not None:
        # A fault of the model is reported before the training.
        positions_in_map(read_model(config.model), read_volume(config.i1, config.apix))
    correct_into_folder(config, memory, processes)
    # The correction itself is complete: it can be validated and reported again.
    with continued(config, config.output_dir, out_of_memory_error(memory.device), stays_finished=True):
        _validate_and_report(config, memory, processes)


def _validate_and_report(config: ReconstructConfig, memory: Memory, processes: ProcessGroup) -> None:
    if config.validation:
        options = {"cones": config.validation_cones, "ncpus": config.ncpus, "resume": config.resume}
        validation = ValidateConfig.from_options({"folder": config.output_dir, **options})
        try:
            validate_into_folder(validation, memory, processes)
        except SpisonetError:
            _report_if_requested(config)
            raise
    _report_if_requested(config)


def _report_if_requested(config: ReconstructConfig) -> None:
    if config.report:
        report_run(config.output_dir, config.ncpus)
    scripts = write_viewer_scripts(FinishedRun.read(config.output_dir, config.ncpus))
    log.info("To look at the maps: chimerax %s, or %s in PyMOL.", *scripts)
