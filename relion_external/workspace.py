"""The private folder of a refinement's corrections: one record per iteration, and intermediate files."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from spisonet.errors import SpisonetError
from spisonet.io.atomic import prepare_output_folder, write_json
from spisonet.io.json_files import read_json_object, validated
from spisonet.io.labels import COUPLED, INDEPENDENT, SINGLE

if TYPE_CHECKING:
    from relion_external.call import ReconstructCall

FOLDER = "spisonet"
RECORDS = "it[0-9][0-9][0-9]*_*.json"  # and the metrics of directions
CORRECTED, SKIPPED, NOT_CORRECTED = "corrected", "skipped", "not_corrected"
HALVES_NOTE = "HALVES NOT INDEPENDENT, the FSC overestimates the resolution"


class RecordTypes(BaseModel):
    """Types of the fields of an `IterationRecord`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    iteration: int
    half: str
    part: str
    status: str
    reason_code: str
    reason: str
    halves: str
    metrics: dict[str, Any]


@dataclass
class IterationRecord:
    """What was done to one half, class or body in one iteration.

    Attributes
    ----------
    iteration : int
        Iteration of the refinement.
    half, part : str
        Such as ``half1`` (empty for a class or the joined halves) and ``class001``.
    status : str
        ``corrected``, ``skipped`` (no correction needed, or not yet) or ``not_corrected`` (it failed).
    reason_code, reason : str
        Why it was not corrected: a code for programs and a sentence for users.
    halves : str
        ``independent``; ``coupled`` after a joint correction; ``single`` where there are no halves.
    metrics : dict
        Numbers, with units in their names; see `relion_external.correction`.
    """

    iteration: int
    half: str
    part: str
    status: str = NOT_CORRECTED
    reason_code: str = ""
    reason: str = ""
    halves: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.halves = self.halves or (INDEPENDENT if self.half else SINGLE)

    def set_reason(self, status: str, code: str, message: str) -> None:
        """Set the status of an iteration that was not corrected, and why."""
        self.status, self.reason_code, self.reason = status, code, message

    def sentence(self) -> str:
        """Return the line that the user reads in RELION's output."""
        title = " ".join(word for word in (f"iteration {self.iteration}", self.half, self.part) if word)
        if self.status != CORRECTED:
            status = "skipped" if self.status == SKIPPED else "NOT corrected"
            return f"{title}: {status}: {self.reason.rstrip('.')}{self._poses()}."
        # JSON has no NaN, such as the angle of a part that is empty.
        metrics = {name: math.nan if value is None else value for name, value in self.metrics.items()}
        loss = f"loss {metrics['loss']:.3g}, " if self.metrics.get("loss") is not None else ""
        coupled = f"; {HALVES_NOTE}" if self.halves == COUPLED else ""
        resolution = metrics["resolution_angstrom"]
        return (
            f"{title}: corrected in {metrics['seconds']:.0f} s ({loss}{resolution:.1f} Å, "
            f"{100 * metrics['unmeasured_fraction']:.0f} % unmeasured, "
            f"{100 * metrics['inferred_fraction']:.0f} % of the power inferred at a median of "
            f"{metrics['inferred_angle_degrees']:.0f}° from z"
            f"{self._initial_reference()}{coupled}){self._poses()}."
        )

    def _poses(self) -> str:
        drift = self.metrics.get("pose_drift")
        if drift is None:
            return ""
        return (
            f"; poses: most likely collective motion {drift['motion_degrees']:.1f}° "
            f"({drift['rise_per_particle']:+.2f} ± {drift['rise_standard_error']:.2f} per particle)"
        )

    def _initial_reference(self) -> str:
        """Return what the sentence says about the initial reference: its class, and whether it is kept."""
        kept = self.metrics.get("initial_reference_to_angstrom")
        category = self.metrics.get("initial_reference_class")
        name = f"; initial reference {category}" if category else "; initial reference"
        if not kept:
            return f"{name}, not kept" if category else ""
        share = 100 * (self.metrics.get("kept_fraction_of_change") or 0)
        return f"{name}, kept to {kept:.0f} Å: {share:.0f} % of the change of the map"


class Workspace:
    """The folder ``spisonet`` in a job folder.

    Parameters
    ----------
    call : ReconstructCall
        Call whose files are kept there.
    """

    def __init__(self, call: ReconstructCall) -> None:
        self.folder = call.folder / FOLDER
        self._root = Path(call.root).name
        self._name = "_".join(word for word in (call.half_name, call.part) if word)
        self._call = call

    def prepare(self) -> None:
        """Create the folder."""
        prepare_output_folder(self.folder)

    @property
    def reference(self) -> Path:
        """Regularised reference, written by the worker."""
        return self._file(self._call.iteration, f"{self._name}.mrc")

    @property
    def result(self) -> Path:
        """JSON file of the worker: ``metrics`` and ``halves``, or ``error``."""
        return self.reference.with_suffix(".result.json")

    @property
    def pose_drift(self) -> Path:
        """JSON file with the drift of the poses; see `relion_external.pose_watch`."""
        return self._file(self._call.iteration, "pose_drift.result.json")

    @property
    def lock(self) -> Path:
        """Lock file of the process that reconstructs this half, class or body."""
        return self.folder / f".{self._root}_{self._name}.lock"

    @property
    def half2_reference(self) -> Path:
        """Reference of half 2 from a joint correction, written by half 1."""
        return self._file(self._call.iteration, f"{self._call.part}_for_half2.mrc")

    @property
    def half2_result(self) -> Path:
        """JSON file that belongs to `half2_reference`."""
        return self.half2_reference.with_suffix(".result.json")

    def network(self, iterations_back: int, joint: bool) -> Path:
        """Return the weights file of a network; networks of joint corrections have their own files."""
        kind = "joint_network" if joint else "network"
        return self._file(self._call.iteration - iterations_back, f"{self._name}_{kind}.safetensors")

    def _file(self, iteration: int, suffix: str) -> Path:
        return self.folder / f"{self._root}_it{iteration:03d}_{suffix}"

    def uncorrected_map(self, iteration: int, half: int) -> Path:
        """Return the file of a half's uncorrected map, which is kept for one iteration."""
        return self._file(iteration, f"half{half}_{self._call.part}_uncorrected.mrc")

    def direction_metrics(self, iteration: int, part: str | None = None) -> Path:
        """Return the JSON file with the directional resolution and the views of an iteration."""
        return self.folder / f"it{iteration:03d}_{part or self._call.part}.directions.json"

    def view_directions(self, iteration: int) -> Path:
        """Return the file of an iteration's view directions, which is kept for one iteration."""
        return self.folder / f"it{iteration:03d}_views.npy"

    def write_record(self, record: IterationRecord) -> None:
        """Write the record of an iteration; that of a repeated iteration is replaced."""
        write_json(self.folder / f"it{record.iteration:03d}_{self._name}.json", asdict(record))

    def read_result(self) -> dict[str, Any]:
        """Read the worker's JSON file; empty if there is none."""
        if not self.result.is_file():
            return {}
        return read_json_object(self.result)

    def remove_worker_files(self) -> None:
        """Remove the files of the worker in this iteration."""
        for path in (self.reference, self.result):
            path.unlink(missing_ok=True)

    def remove_later_iterations(self) -> None:
        """Remove the records of iterations that a continued refinement repeats."""
        for path in self.folder.glob(RECORDS):
            if int(path.name[2:].split("_")[0]) > self._call.iteration:
                path.unlink(missing_ok=True)


def read_records(folder: Path) -> list[IterationRecord]:
    """Read the records of a job folder, sorted by iteration; those of other versions are left out."""
    records = []
    for path in sorted((folder / FOLDER).glob(RECORDS)):
        if path.name.count(".") == 1:  # not those of directions
            try:
                records.append(IterationRecord(**validated(RecordTypes, read_json_object(path), path)))
            except (SpisonetError, TypeError):  # damaged, or with other keys
                continue
    return sorted(records, key=lambda record: (record.iteration, record.half, record.part))
