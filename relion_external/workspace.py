"""The private folder of a refinement's corrections: one record an iteration, and what is passed on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spisonet.io.atomic import prepare_output_folder, write_json

if TYPE_CHECKING:
    from relion_external.call import ReconstructCall

FOLDER = "spisonet"
RECORDS = "it[0-9][0-9][0-9]*_*.json"  # and figures of directions
ERROR = "error"  # among the worker's figures
WAITED, CORRECTED, PLAIN = "waited", "corrected", "plain"


@dataclass
class IterationRecord:
    """What was done in one iteration to one half, class or body.

    Attributes
    ----------
    iteration : int
        Of the refinement.
    half, part : str
        Such as ``half1`` and ``class001``.
    outcome : str
        ``corrected``, ``waited`` (not needed, or not yet) or ``plain`` (something failed).
    reason : str
        Why it was not corrected.
    facts : dict
        Figures.
    """

    iteration: int
    half: str
    part: str
    outcome: str = PLAIN
    reason: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """One line for the user."""
        who = " ".join(word for word in (f"iteration {self.iteration}", self.half, self.part) if word)
        if self.outcome != CORRECTED:
            why = "left alone, because" if self.outcome == WAITED else "NOT corrected, because"
            return f"spisonet: {who}: {why} {self.reason.rstrip('.')}."
        facts = self.facts
        loss = f"loss {facts['loss']:.3g}, " if facts.get("loss") is not None else ""
        kept = f"; kept from the initial map: to {facts['kept']:.0f} Å" if facts.get("kept") else ""
        joint = "; BOTH HALVES BY ONE NETWORK: the FSC overestimates" if facts.get("joint") else ""
        return (
            f"spisonet: {who}: corrected in {facts['seconds']:.0f} s ({loss}{facts['resolution']:.1f} Å, "
            f"{100 * facts['hidden']:.0f} % not measured, {100 * facts['inferred']:.0f} % of the power "
            f"inferred, most of it {facts['direction']:.0f}° from z{kept}{joint})."
        )


class Workspace:
    """The folder ``spisonet`` in a job folder.

    Parameters
    ----------
    call : ReconstructCall
        Whose.
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
    def result(self) -> Path:
        """Where the worker puts its reference."""
        return self._at(self._call.iteration, f"{self._name}.mrc")

    @property
    def facts(self) -> Path:
        """Where the worker puts its figures."""
        return self.result.with_suffix(".facts.json")

    @property
    def lock(self) -> Path:
        """Held by the program that serves this half, class or body."""
        return self.folder / f".{self._root}_{self._name}.lock"

    @property
    def for_partner(self) -> Path:
        """Where half 1 puts what joint work made for half 2."""
        return self._at(self._call.iteration, f"{self._call.part}_for_half2.mrc")

    def network(self, iterations_back: int, joint: bool) -> Path:
        """Weights of a training, for the next iteration; those of joint work are kept apart."""
        kind = "joint_network" if joint else "network"
        return self._at(self._call.iteration - iterations_back, f"{self._name}_{kind}.safetensors")

    def _at(self, iteration: int, what: str) -> Path:
        return self.folder / f"{self._root}_it{iteration:03d}_{what}"

    def plain(self, iteration: int, half: int) -> Path:
        """Return where a half's map without correction is kept for one iteration."""
        return self._at(iteration, f"half{half}_{self._call.part}_plain.mrc")

    def directions(self, iteration: int, part: str | None = None) -> Path:
        """Return where the figures of an iteration's directions and views are."""
        return self.folder / f"it{iteration:03d}_{part or self._call.part}.directions.json"

    def views(self, iteration: int) -> Path:
        """Return where the view directions of an iteration are kept for the next."""
        return self.folder / f"it{iteration:03d}_views.npy"

    def write_record(self, record: IterationRecord) -> None:
        """Keep what was done; a repeated iteration replaces its earlier record."""
        write_json(self.folder / f"it{record.iteration:03d}_{self._name}.json", asdict(record))

    def read_facts(self) -> dict[str, Any]:
        """Read the worker's figures; empty if it left none."""
        if not self.facts.is_file():
            return {}
        facts: dict[str, Any] = json.loads(self.facts.read_text(encoding="utf-8"))
        return facts

    def clear(self) -> None:
        """Remove what the worker left of this iteration."""
        for path in (self.result, self.facts):
            path.unlink(missing_ok=True)

    def forget_later_iterations(self) -> None:
        """Remove the records of iterations that a continuation does anew."""
        for path in self.folder.glob(RECORDS):
            if int(path.name[2:].split("_")[0]) > self._call.iteration:
                path.unlink(missing_ok=True)


def read_records(folder: Path) -> list[IterationRecord]:
    """Read all records of a job folder, by iteration."""
    records = []
    for path in sorted((folder / FOLDER).glob(RECORDS)):
        if path.name.count(".") == 1:  # not those of directions
            records.append(IterationRecord(**json.loads(path.read_text(encoding="utf-8"))))
    return sorted(records, key=lambda record: (record.iteration, record.half, record.part))
