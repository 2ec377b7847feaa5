"""Watch the poses of a refinement: in each iteration a process beside the correction measures their drift.

A failure never stops the refinement; it becomes a sentence in the log.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from relion_external.process import end_with_parent, end_worker, log_to_standard_error, start_worker
from relion_external.workspace import read_records
from spisonet.errors import SpisonetError
from spisonet.io.atomic import write_json
from spisonet.io.json_files import read_json_object

if TYPE_CHECKING:
    from pathlib import Path

    from relion_external.call import ReconstructCall
    from relion_external.refinement import Refinement
    from relion_external.workspace import IterationRecord, Workspace
    from spisonet.misalignment.settings import MisalignmentSettings

log = logging.getLogger("spisonet")

MODULE = "relion_external.pose_watch"
WATCHED_PART = "class001"
FIRST_ITERATION = 2  # the first that follows one with refined poses
MAX_PARTICLES, THREADS = 1000, 2
STAGES = (2,)  # degree of the motions: finer ones take longer
TIMEOUT_SECONDS = 60.0  # after the correction of this iteration
IMAGE_LABEL, HEADER_BYTES = b"_rlnImageName", 2**16
DRIFT, NOT_MEASURED = "pose_drift", "pose_drift_not_measured"  # keys of the metrics of a record


class PoseWatch:
    """Measurement of one iteration: started before its map is corrected, finished after.

    Only half 1 of the first class measures, on the particles of both halves after the previous iteration.

    Parameters
    ----------
    call : ReconstructCall
        Call of this iteration.
    refinement : Refinement
        State of the refinement after the previous iteration.
    settings : MisalignmentSettings
        ``ISONET_POSE_DRIFT=False`` switches the measurement off.
    workspace : Workspace
        Where the result is written.
    """

    def __init__(
        self,
        call: ReconstructCall,
        refinement: Refinement,
        settings: MisalignmentSettings,
        workspace: Workspace,
    ) -> None:
        self._call, self._result = call, workspace.pose_drift
        self._worker: subprocess.Popen[bytes] | None = None
        particles = refinement.particles
        if (
            not settings.pose_drift
            or (call.half, call.part) != (1, WATCHED_PART)
            or call.iteration < FIRST_ITERATION
            or refinement.is_of_subtomograms
            or particles is None
        ):
            return
        words = [str(self._result), str(particles), refinement.symmetry, str(refinement.mask or "")]
        try:
            self._result.unlink(missing_ok=True)
            if _lists_images(particles):
                self._worker = start_worker(MODULE, *words)
        except OSError as error:
            log.info("The drift of the poses was not measured: %s", error)

    def finish(self, record: IterationRecord) -> None:
        """Wait for the result, add it to the record, and say it where it is new."""
        if self._worker is None:
            return
        try:
            self._worker.wait(TIMEOUT_SECONDS)
            found = read_json_object(self._result)
        except subprocess.TimeoutExpired:
            found = {NOT_MEASURED: f"it took more than {TIMEOUT_SECONDS:g} s."}
        except (OSError, SpisonetError):
            found = {NOT_MEASURED: "the measurement failed."}
        finally:
            end_worker(self._worker)
            self._result.unlink(missing_ok=True)
        record.metrics |= found
        _say_what_is_new(found, self._call)


def _say_what_is_new(found: dict[str, Any], call: ReconstructCall) -> None:
    earlier = [old.metrics for old in read_records(call.folder) if old.iteration < call.iteration]
    if NOT_MEASURED in found:
        if not any(NOT_MEASURED in metrics for metrics in earlier):
            log.info("The drift of the poses was not measured: %s", found[NOT_MEASURED])
    elif found[DRIFT]["is_detected"] and not any(
        metrics.get(DRIFT, {}).get("is_detected", False) for metrics in earlier
    ):
        log.warning(
            "poses drift: after iteration %d a collective motion of the poses by %.1f° rms increases the "
            "likelihood of both half sets. When the refinement has ended, run: spisonet relion rescue %s",
            call.iteration - 1,
            found[DRIFT]["motion_degrees"],
            call.folder,
        )


def _lists_images(star: Path) -> bool:
    """Whether the head of a STAR file names the column of images."""
    with star.open("rb") as file:
        return IMAGE_LABEL in file.read(HEADER_BYTES)


def main(result: Path, particles: Path, sym: str, mask: Path | None) -> None:
    """Measure the drift and write it, or why it was not measured."""
    end_with_parent()
    log_to_standard_error()
    import torch  # noqa: PLC0415 - the parent process does not need it

    from spisonet.io.mrc import read_volume  # noqa: PLC0415
    from spisonet.learning.devices import use_cpu_threads  # noqa: PLC0415
    from spisonet.misalignment.drift_measurement import (  # noqa: PLC0415
        DRIFT_RESOLUTION_ANGSTROM,
        measure_drift,
    )
    from spisonet.misalignment.particle_images import read_particle_images  # noqa: PLC0415
    from spisonet.misalignment.particle_mask import mask_of_particles  # noqa: PLC0415

    use_cpu_threads(THREADS)
    try:
        images = read_particle_images(particles)
        values = None
        if mask is not None:
            # RELION ignores the voxel size in the header of a mask.
            values = mask_of_particles(read_volume(mask, images.pixel_size_angstrom), images)
        drift = measure_drift(
            images,
            values,
            sym,
            DRIFT_RESOLUTION_ANGSTROM,
            torch.device("cpu"),
            MAX_PARTICLES,
            stages=STAGES,
        )
        found: dict[str, object] = {DRIFT: drift.numbers}
    except SpisonetError as error:
        found = {NOT_MEASURED: str(error)}
    try:
        write_json(result, found)
    except SpisonetError as error:
        sys.exit(f"spisonet: {error}")


if __name__ == "__main__":
    from pathlib import Path

    given_mask = sys.argv[4]
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(given_mask) if given_mask else None)
