"""The program that RELION calls in every iteration of a refinement with ``--external_reconstruct``.

It reads the accumulators of RELION's `BackProjector`, reconstructs the map, starts a worker that corrects it,
and writes the corrected map for RELION; without a correction, it writes the uncorrected map.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np

from relion_external.call import ReconstructCall, read_back_projector, read_call
from relion_external.inputs import read_inputs, settings_folders, settings_of
from relion_external.options import PREFIX, is_strict, obsolete_variables, option_names
from relion_external.pose_watch import PoseWatch
from relion_external.preflight import EXECUTABLE, run_check
from relion_external.process import POLL_SECONDS, end_with_parent, log_to_standard_error, run_worker
from relion_external.refinement import (
    Refinement,
    find_data_dimensionality,
    minres_map_of,
    read_refinement,
    require_no_gradients,
)
from relion_external.summary import write_summary
from relion_external.workspace import CORRECTED, NOT_CORRECTED, SKIPPED, IterationRecord, Workspace
from spisonet import __version__
from spisonet.errors import SpisonetError, known_error
from spisonet.io.atomic import atomic_path
from spisonet.io.labels import HALVES, label_with_tokens
from spisonet.io.locks import FileLock
from spisonet.io.mrc import read_volume
from spisonet.misalignment.settings import MisalignmentSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.misalignment.backprojection import BackProjector


log = logging.getLogger("spisonet")

# A process whose rank was killed ends within a second; a restarted refinement waits for that.
LOCK_PATIENCE_SECONDS = 3 * POLL_SECONDS

HELP = f"""\
{EXECUTABLE} X_external_reconstruct.star
    Reconstruct and correct one iteration; this is how RELION calls the program.

{EXECUTABLE} --check [--json] [JOB FOLDER or refine command ...]
    Check machine, settings and command before iteration 1, and print the line to export.
    --json prints a list of {{"level": "ok"|"warning"|"error", "code": ..., "message": ...}}.

{EXECUTABLE} --help | --version

Run this line before relion_refine with --external_reconstruct:
    export RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE=$(command -v {EXECUTABLE})

Options are environment variables ISONET_<NAME>, or lines of spisonet.toml in the project or job folder:
"""


def main(arguments: list[str] | None = None) -> None:
    """Run the program; the exit status is 1 if no map can be given to RELION."""
    words = sys.argv[1:] if arguments is None else arguments
    log_to_standard_error()
    try:
        if not words or words[0] in ("-h", "--help"):
            _print(HELP + _describe_options())
        elif words[0] == "--version":
            _print(__version__)
        elif words[0] == "--check":
            as_json = words[1:2] == ["--json"]
            sys.exit(run_check(words[2:] if as_json else words[1:], as_json))
        else:
            # RELION does not quote the name of the file: a folder with a blank in its name splits it.
            star = Path(" ".join(words))
            if len(words) > 1 and not star.is_file():
                raise SpisonetError(
                    f"RELION passes one STAR file, but {len(words)} arguments were given, and {star} is not "
                    "a file."
                )
            end_with_parent()
            reconstruct(star)
    except Exception as error:
        known = known_error(error)
        if known is None:
            raise
        log.error("%s", known)
        sys.exit(1)


def reconstruct(star: Path) -> None:
    """Reconstruct and, if possible, correct the map of one call.

    Raises
    ------
    SpisonetError
        If RELION's arrays cannot be read or are not those of a map, or if the correction fails and
        ``ISONET_STRICT`` is set.
    """
    call = read_call(star)
    if call.iteration <= 1 and call.half != 2 and call.part_number == 1:  # once in a refinement
        for sentence in obsolete_variables(os.environ):
            log.warning("%s", sentence)
    require_no_gradients(call)
    workspace = Workspace(call)
    try:
        lock = _lock(workspace, star)
    except (SpisonetError, OSError) as error:
        _reconstruct(call, workspace, error)
        return
    try:
        _reconstruct(call, workspace, None)
    finally:
        lock.release()


def _reconstruct(call: ReconstructCall, workspace: Workspace, earlier_error: Exception | None) -> None:
    """Write the map of a call, corrected unless an earlier step failed; print and keep what was done."""
    if earlier_error is None:
        # RELION would read the files of an earlier run as those of this iteration.
        for stale in (call.result, call.result_star):
            stale.unlink(missing_ok=True)
    refinement: Refinement | None = None
    try:
        refinement = read_refinement(call)
    except (SpisonetError, ValueError, OSError) as error:
        earlier_error = earlier_error or error
        dimensionality = find_data_dimensionality(call)
        back_projector = read_back_projector(call, dimensionality, minres_map_of([]))
    else:
        back_projector = read_back_projector(call, refinement.data_dimensionality, refinement.minres_map)
    record = IterationRecord(call.iteration, call.half_name, call.part)
    record.metrics = {"r_max": back_projector.r_max}
    volume, watch = None, None
    try:
        if earlier_error is not None:
            raise earlier_error
        assert refinement is not None
        watch = PoseWatch(call, refinement, settings_of(call), workspace)
        volume = _correct_in_worker(call, refinement, back_projector, workspace, record)
    except Exception as error:
        unexpected = SpisonetError(str(error) or type(error).__name__, code="unexpected_error")
        known = known_error(error) or unexpected
        record.set_reason(NOT_CORRECTED, known.code, str(known))
        if is_strict(os.environ, settings_folders(call)):
            raise SpisonetError(f"{call.title}: {record.reason}", code=known.code) from error
    if volume is None:
        gridding = call.pixel_size_angstrom is None if refinement is None else refinement.grids
        volume = back_projector.reconstruct(gridding=gridding)
    _write_for_relion(call, volume, record)
    if watch is not None:
        watch.finish(record)
    _print(f"spisonet: {record.sentence()}")
    if record.status == NOT_CORRECTED:
        log.warning("%s", record.sentence())
    if refinement is not None and earlier_error is None:
        _keep_record(record, workspace, call, refinement, back_projector)


def _lock(workspace: Workspace, star: Path) -> FileLock:
    """Lock the call against other processes.

    Raises
    ------
    SpisonetError
        If another process is reconstructing it (code ``call_in_progress``).
    """
    workspace.prepare()
    lock = FileLock(workspace.lock)
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while not lock.acquire(wait=False):
        if time.monotonic() > deadline:
            raise SpisonetError(f"another {EXECUTABLE} is processing {star}.", code="call_in_progress")
        time.sleep(POLL_SECONDS / 2)
    return lock


def _correct_in_worker(
    call: ReconstructCall,
    refinement: Refinement,
    back_projector: BackProjector,
    workspace: Workspace,
    record: IterationRecord,
) -> NDArray[np.float32] | None:
    """Correct the map in a worker process and complete the record; return None if the call is skipped."""
    settings = settings_of(call)
    inputs = read_inputs(call, refinement, back_projector, settings)
    record.metrics |= {
        "resolution_angstrom": inputs.check.resolution_angstrom,
        "undersampled_fraction": inputs.check.undersampled_fraction,
    }
    skipped = inputs.skip_reason
    if skipped is not None:
        record.set_reason(SKIPPED, skipped.code, skipped.message)
        return None
    workspace.remove_worker_files()
    try:
        run_worker("relion_external.correction_worker", str(call.star), timeout=settings.timeout)
    except SpisonetError as error:
        reported = workspace.read_result().get("error")
        if reported is None:
            raise
        raise SpisonetError(reported["message"], code=reported["code"], field=reported["field"]) from error
    corrected = read_volume(workspace.reference, inputs.voxel_size_angstrom).data
    result = workspace.read_result()
    record.status, record.halves = CORRECTED, result["halves"]
    record.metrics |= result["metrics"]
    if not settings.keep_files:
        workspace.remove_worker_files()
    return corrected


def _write_for_relion(call: ReconstructCall, volume: NDArray[np.float32], record: IterationRecord) -> None:
    """Write the map that RELION reads next."""
    if volume.shape != (call.box,) * 3 or not np.isfinite(volume).all():
        raise SpisonetError(
            f"The reconstruction of {call.title} contains values that are not finite; no map was written.",
            code="reconstruction_not_finite",
        )
    sentence = "regularised reference" if record.status == CORRECTED else "reconstruction, not corrected"
    with atomic_path(call.result) as temporary, mrcfile.new(temporary, overwrite=True) as mrc:
        mrc.set_data(volume.astype(np.float32))
        mrc.set_volume()
        mrc.voxel_size = call.pixel_size_angstrom or 0.0
        mrc.add_label(label_with_tokens(f"spisonet: {sentence}", **{HALVES: record.halves}))


def _keep_record(
    record: IterationRecord,
    workspace: Workspace,
    call: ReconstructCall,
    refinement: Refinement,
    back_projector: BackProjector,
) -> None:
    """Write record and summary; RELION has its map already, so a failure here is only a warning."""
    try:
        workspace.remove_later_iterations()
        workspace.write_record(record)
        write_summary(call, refinement, workspace, back_projector)
    except Exception as error:  # noqa: BLE001
        log.warning("The summary was not written: %s", error)


def _describe_options() -> str:
    lines = []
    for name, field in option_names().items():
        info = MisalignmentSettings.model_fields[field]
        default = "" if info.default is None else f" [default: {info.default}]"
        lines.append(f"  {PREFIX}{name.upper()}\n      {info.description}{default}")
    return "\n".join(lines)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
