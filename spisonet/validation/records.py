"""Files that validations leave in the folder of a run, and how they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from spisonet.io.json_files import plain_name, read_json_object, validated

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.validation.finished_run import FinishedRun


def _inside(name: str) -> str:
    """Return the name of a file within a folder or its subfolders."""
    for part in name.split("/"):
        plain_name(part)
    return name


VALIDATION_FOLDER, VALIDATION_FILE = "validation", "validation.json"
UNCERTAINTY, UNCERTAINTY_FOURIER = "uncertainty.mrc", "uncertainty_fourier.mrc"
COLOUR_SCRIPT = "uncertainty.cxc"
NULL_TEST_FOLDER, NULL_TEST_FILE = "null_tests", "null_tests.json"


Curve = list[float | None]


class Settings(BaseModel):
    """Settings of a validation."""

    cones: int
    half_angle_degrees: float
    epochs: int
    subvolumes_per_epoch: int


class Curves(BaseModel):
    """Curves of a validation over resolution."""

    resolution_angstrom: Curve
    recovery: Curve
    recovery_without_network: Curve
    fsc: Curve
    ceiling: Curve


class UncertaintyEntry(BaseModel):
    """Numbers and files of an uncertainty."""

    networks: int
    percentile_10_in_mask: float
    median_in_mask: float
    percentile_90_in_mask: float
    script: str
    fourier_map: Annotated[str, AfterValidator(_inside)]


class ValidationRecord(BaseModel):
    """Types of the fields of ``validation.json`` that reports use."""

    model_config = ConfigDict(extra="allow", strict=True)

    validated_run: str = ""
    settings: Settings
    recovery: float
    recovery_without_network: float
    power_ratio: float
    resolution_at_recovery_05_angstrom: float | None
    by_resolution: Curves
    uncertainty: UncertaintyEntry | None = None


class FscTest(BaseModel):
    """Result of a null test of noise or phases."""

    before: float
    after: float
    with_original: float
    attempted: float
    result_sentence: str
    beyond_angstrom: float = 0


class DeletionTest(BaseModel):
    """Result of the null test of a deleted domain."""

    after: float
    original: float
    pattern_fraction: float
    result_sentence: str


class NullTestsRecord(BaseModel):
    """Types of the fields of ``null_tests.json`` that reports use."""

    model_config = ConfigDict(extra="allow", strict=True)

    validated_run: str = ""
    noise: FscTest | None = None
    phases: FscTest | None = None
    deletion: DeletionTest | None = None


def read_validation(run: FinishedRun) -> dict[str, Any] | None:
    """Return the content of ``validation.json``; None if this run has not been validated."""
    return _record_of(run, run.folder / VALIDATION_FOLDER / VALIDATION_FILE, ValidationRecord)


def read_null_tests(run: FinishedRun) -> dict[str, Any] | None:
    """Return the content of ``null_tests.json``; None if this run has no null tests."""
    return _record_of(run, run.folder / NULL_TEST_FOLDER / NULL_TEST_FILE, NullTestsRecord)


def _record_of(run: FinishedRun, path: Path, model: type[BaseModel]) -> dict[str, Any] | None:
    """Read a record; None if it is missing or belongs to an earlier run in the same folder."""
    if not path.is_file():
        return None
    record = read_json_object(path)
    if record.get("validated_run") != run.record["written"]:
        return None
    return validated(model, record, path)
