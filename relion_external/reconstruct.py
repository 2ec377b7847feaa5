"""The program that RELION calls in every iteration of a refinement with ``--external_reconstruct``.

It reads the sums of RELION's expectation step, reconstructs, lets a worker correct the map, and gives RELION
the corrected map or, whenever there is none, the plain one.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np

from relion_external.call import ReconstructCall, read_back_projector, read_call
from relion_external.halves import FileLock
from relion_external.inputs import read_inputs, settings_folders, settings_of
from relion_external.options import PREFIX, is_strict, option_names
from relion_external.preflight import EXECUTABLE, run_check
from relion_external.process import end_with_parent, log_to_standard_error, run_worker
from relion_external.refinement import Refinement, find_dimensionality, prior_from_shell, read_refinement
from relion_external.summary import write_summary
from relion_external.workspace import CORRECTED, ERROR, WAITED, IterationRecord, Workspace
from spisonet import __version__
from spisonet.errors import SpisonetError
from spisonet.io.atomic import atomic_path
from spisonet.io.mrc import read_volume
from spisonet.misalignment.settings import MisalignmentSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.misalignment.backprojection import BackProjector


log = logging.getLogger("spisonet")

HELP = f"""\
{EXECUTABLE} X_external_reconstruct.star
    Reconstruct and correct one iteration; RELION calls it so.

{EXECUTABLE} --check [--json] [JOB FOLDER or refine command ...]
    Check machine, settings and command before iteration 1, and print the line to export.
    --json prints a list of {{"level": "ok"|"warning"|"error", "code": ..., "message": ...}}.

{EXECUTABLE} --help | --version

Before relion_refine with --external_reconstruct:
    export RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE=$(command -v {EXECUTABLE})

Options are environment variables ISONET_<NAME>, or lines of a spisonet.toml in the project or job folder:
"""


def main(arguments: list[str] | None = None) -> None:
    """Run the program; leaves with a status of 1 if RELION cannot be given a map."""
    words = sys.argv[1:] if arguments is None else arguments
    log_to_standard_error()
    try:
        if not words or words[0] in ("-h", "--help"):
            _say(HELP + _options())
        elif words[0] == "--version":
            _say(__version__)
        elif words[0] == "--check":
            as_json = words[1:2] == ["--json"]
            sys.exit(run_check(words[2:] if as_json else words[1:], as_json))
        elif len(words) == 1:
            end_with_parent()
            reconstruct(Path(words[0]))
        else:
            raise SpisonetError(f"RELION passes one STAR file; there are {len(words)} arguments.")
    except SpisonetError as error:
        log.error("%s", error)
        sys.exit(1)


def reconstruct(star: Path) -> None:
    """Serve one call.

    Raises
    ------
    SpisonetError
        If there is nothing to reconstruct from, or the correction fails and ``ISONET_STRICT`` is set.
    """
    call = read_call(star)
    workspace = Workspace(call)
    lock, reason = _lock(workspace, star)
    try:
        _serve(call, workspace, reason)
    finally:
        if lock is not None:
            lock.release()


def _serve(call: ReconstructCall, workspace: Workspace, obstacle: str) -> None:
    """Serve a call that this program has for itself or, if there is an obstacle, with the plain map."""
    if not obstacle:
        # RELION would take what an earlier run left for this iteration's.
        for stale in (call.result, call.result_star):
            stale.unlink(missing_ok=True)
    refinement, unknown = _refinement(call)
    if refinement is None:
        dimensionality = find_dimensionality(call)
        sums = read_back_projector(call, dimensionality, prior_from_shell(dimensionality, []))
    else:
        sums = read_back_projector(call, refinement.data_dimensionality, refinement.prior_from_shell)
    record = IterationRecord(call.iteration, call.half_name, call.part)
    record.facts = {"last_shell": sums.last_shell}
    corrected = None
    try:
        if obstacle or refinement is None:
            raise SpisonetError(obstacle or unknown)
        corrected = _correct(call, refinement, sums, settings_of(call), workspace, record)
    except Exception as error:
        record.reason = str(error) or type(error).__name__
        if is_strict(os.environ, settings_folders(call)):
            raise SpisonetError(f"{call.title}: {record.reason}") from error
    if corrected is None:
        gridding = call.pixel_size_angstrom is None if refinement is None else refinement.grids
        corrected = sums.reconstruct(gridding=gridding)
    _give(call, corrected)
    _say(record.line())
    if record.outcome not in (CORRECTED, WAITED):
        log.warning("%s", record.line().removeprefix("spisonet: "))
    if refinement is not None and not obstacle:
        _keep_record(record, workspace, call, refinement, sums)


def _lock(workspace: Workspace, star: Path) -> tuple[FileLock | None, str]:
    """Make sure that no other program serves this call; return the lock, or why there is none."""
    try:
        workspace.prepare()
        lock = FileLock(workspace.lock)
        if lock.acquire(wait=False):
            return lock, ""
    except (SpisonetError, OSError) as error:
        return None, str(error)
    return None, f"another {EXECUTABLE} is at work on {star}"


def _correct(
    call: ReconstructCall,
    refinement: Refinement,
    sums: BackProjector,
    settings: MisalignmentSettings,
    workspace: Workspace,
    record: IterationRecord,
) -> NDArray[np.float32] | None:
    """Let a worker correct the map; None if it is better left alone."""
    inputs = read_inputs(call, refinement, sums, settings)
    waiting = inputs.skip_reason
    record.facts |= {
        "resolution": inputs.assessment.resolution_angstrom,
        "sparse": inputs.assessment.undersampled_fraction,
    }
    if waiting is not None:
        record.outcome, record.reason = WAITED, waiting
        return None
    workspace.clear()
    try:
        run_worker("relion_external.correction", str(call.star), timeout=settings.timeout)
    except SpisonetError as error:
        raise SpisonetError(workspace.read_facts().get(ERROR, str(error))) from error
    corrected = read_volume(workspace.result, inputs.voxel_size_angstrom).data
    record.facts |= workspace.read_facts()
    record.outcome = CORRECTED
    if not settings.keep_files:
        workspace.clear()
    return corrected


def _refinement(call: ReconstructCall) -> tuple[Refinement | None, str]:
    try:
        return read_refinement(call), ""
    except (SpisonetError, ValueError, OSError) as error:
        return None, str(error)


def _give(call: ReconstructCall, volume: NDArray[np.float32]) -> None:
    """Write the map that RELION reads next."""
    if volume.shape != (call.box,) * 3 or not np.isfinite(volume).all():
        raise SpisonetError(
            f"The reconstruction of {call.title} is not finite, so it is not given to RELION."
        )
    with atomic_path(call.result) as temporary, mrcfile.new(temporary, overwrite=True) as mrc:
        mrc.set_data(volume.astype(np.float32))
        mrc.set_volume()
        mrc.voxel_size = call.pixel_size_angstrom or 0.0


def _keep_record(
    record: IterationRecord,
    workspace: Workspace,
    call: ReconstructCall,
    refinement: Refinement,
    sums: BackProjector,
) -> None:
    """Keep the summary; RELION has its map, so nothing here may fail."""
    try:
        workspace.forget_later_iterations()
        workspace.write_record(record)
        write_summary(call, refinement, workspace, sums)
    except Exception as error:  # noqa: BLE001
        log.warning("The summary was not written: %s", error)


def _options() -> str:
    lines = []
    for name, field in option_names().items():
        info = MisalignmentSettings.model_fields[field]
        default = "" if info.default is None else f" [default: {info.default}]"
        lines.append(f"  {PREFIX}{name.upper()}\n      {info.description}{default}")
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
