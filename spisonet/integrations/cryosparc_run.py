"""Correct the half maps of a cryoSPARC refinement: download, correction and upload, restartable."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spisonet.anisotropy.config import ReconstructConfig
from spisonet.commands.reconstruct import run_reconstruct
from spisonet.integrations.cryosparc import (
    CORRECTED_FOLDER,
    connect,
    named_errors,
    pull,
    pulled_before,
    push,
    read_record,
)
from spisonet.io.atomic import write_json
from spisonet.io.run_record import FINISHED, JOB_FILE, read_job_record, require_same_run
from spisonet.report.reconstruction import REPORT_FILE
from spisonet.validation.finished_run import FinishedRun

if TYPE_CHECKING:
    from spisonet.integrations.config import CorrectRefinementConfig

log = logging.getLogger("spisonet")

PUSHED_FILE = "pushed.json"


def run_refinement_correction(config: CorrectRefinementConfig) -> None:
    """Download a refinement, correct its half maps, and upload them; steps that are complete are skipped.

    Raises
    ------
    SpisonetError
        If the output folder contains another refinement, or see `run_pull`, `run_reconstruct` and `run_push`.
    """
    folder = config.output_dir
    pulled = pulled_before(folder, config.project, config.job)
    with named_errors(config):
        session = connect(config)  # before the training, so that a refusal does not follow it
        if pulled is None:
            pulled = pull(session, config.project, config.job, folder)
            log.info("Downloaded %s %s to %s.", config.project, config.job, folder)
    files = {"i1": pulled.halves[0], "i2": pulled.halves[1], "mask": pulled.mask}
    correction = ReconstructConfig.from_options(
        files | config.reconstruct_options() | {"output_dir": folder / CORRECTED_FOLDER}
    )
    _correct(correction)
    record = {"project": config.project, "workspace": config.workspace}
    pushed = correction.output_dir / PUSHED_FILE
    if read_record(pushed).items() >= record.items():
        log.info("%s was uploaded before: see %s.", correction.output_dir, pushed)
        return
    run = FinishedRun.read(correction.output_dir)
    with named_errors(config):
        job = push(connect(config), config.project, config.workspace, run)
    write_json(pushed, record | {"job": job})
    log.info("Uploaded as job %s of %s.", job, config.project)


def _correct(config: ReconstructConfig) -> None:
    """Correct half maps, or continue a correction; nothing is done for a finished one with its report."""
    folder = config.output_dir
    if (folder / JOB_FILE).is_file():
        require_same_run(config, folder)
        is_reported = not config.report or (folder / REPORT_FILE).is_file()
        if read_job_record(folder).get("status") == FINISHED and is_reported:
            log.info("%s is finished.", folder)
            return
        config = config.model_copy(update={"resume": True})
    run_reconstruct(config)
