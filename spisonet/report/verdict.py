"""The verdict of a report: what is inferred, and how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from spisonet.anisotropy.training_length import is_too_short, too_short_sentence
from spisonet.validation.null_tests import NullTestOutcome

if TYPE_CHECKING:
    from spisonet.validation.finished_run import FinishedRun

TO_THE_LIMIT = 1.1  # recovery to within a tenth of the resolution limit counts as recovery to the limit


class VerdictCode(StrEnum):
    """Verdict, for programs."""

    UNCHANGED = "unchanged"
    NO_NETWORK = "no_network"
    TOO_SHORT = "too_short"
    SINGLE_MAP = "single_map"
    NOT_VALIDATED = "not_validated"
    RECOVERED = "recovered"
    PARTLY_RECOVERED = "partly_recovered"
    NOT_RECOVERED = "not_recovered"


# What a reader may do with the inferred region, and how a page colours it.
JUDGEMENTS = {
    VerdictCode.UNCHANGED: ("The maps are unchanged", "neutral"),
    VerdictCode.NO_NETWORK: ("Corrected without a network", "neutral"),
    VerdictCode.TOO_SHORT: ("The training was too short: repeat it", "bad"),
    VerdictCode.SINGLE_MAP: ("The inferred region is not validated", "caution"),
    VerdictCode.NOT_VALIDATED: ("The inferred region is not validated", "caution"),
    VerdictCode.RECOVERED: ("The inferred region is supported to the resolution limit", "good"),
    VerdictCode.PARTLY_RECOVERED: ("The inferred region is supported at low resolution only", "caution"),
    VerdictCode.NOT_RECOVERED: ("The inferred region is not supported: do not interpret it", "bad"),
}
NULL_TEST_FAILED = "A null test failed: density was inferred without signal"


@dataclass(frozen=True)
class Verdict:
    """A verdict as code and in words.

    Attributes
    ----------
    code : VerdictCode
        For programs.
    sentence : str
        The numbers.
    null_test_failed : bool
        Whether a null test found density that the data cannot support.
    """

    code: VerdictCode
    sentence: str
    null_test_failed: bool = False

    @property
    def judgement(self) -> str:
        """What may be done with the inferred region, in a few words."""
        return NULL_TEST_FAILED if self.null_test_failed else JUDGEMENTS[self.code][0]

    @property
    def level(self) -> str:
        """``good``, ``caution``, ``bad`` or ``neutral``."""
        return "bad" if self.null_test_failed else JUDGEMENTS[self.code][1]


def verdict(run: FinishedRun, numbers: dict[str, dict[str, Any]]) -> Verdict:
    """Summarise how much of a run's result is inferred, and how well.

    Parameters
    ----------
    run : FinishedRun
        The run.
    numbers : dict
        Numbers of the report's sections by their keys; ``inferred``, ``held_out`` and ``null_tests`` are used
        if present.
    """
    config = run.config
    if config.method == "learn" and config.epochs and not any(run.record["epoch_losses"].values()):
        return Verdict(
            VerdictCode.UNCHANGED,
            "The half maps do not correlate: no network was trained and the maps are unchanged.",
        )
    reductions = run.record.get("loss_reductions", {}).values()
    lowest = min((value for value in reductions if value is not None), default=None)
    unmeasured = 100 * run.record["unmeasured_fraction"]
    parts = [f"{unmeasured:.0f} % of Fourier space to {run.limit_angstrom:.2f} Å is unmeasured"]
    if inferred := numbers.get("inferred"):
        fraction = 100 * inferred["inferred_power_fraction"]
        parts.append(f"{fraction:.0f} % of the power of the corrected map is inferred")
    code, validation = _validation(run, numbers.get("held_out"))
    failed = _failed_null_tests(numbers.get("null_tests", {}))
    if failed:
        validation += f" Failed null tests: {', '.join(failed)}."
    if is_too_short(lowest):
        return Verdict(
            VerdictCode.TOO_SHORT, f"{too_short_sentence(lowest)} {'; '.join(parts)}. {validation}"
        )
    return Verdict(code, f"{'; '.join(parts)}. {validation}", null_test_failed=bool(failed))


def _failed_null_tests(record: dict[str, Any]) -> list[str]:
    tests = {name: found for name, found in record.items() if isinstance(found, dict)}
    return [name for name, found in tests.items() if found.get("result") == NullTestOutcome.FAILED.value]


def _validation(run: FinishedRun, held_out: dict[str, Any] | None) -> tuple[VerdictCode, str]:
    if held_out is None:
        return _why_not_validated(run)
    resolution = held_out["resolution_at_recovery_05_angstrom"]
    result = (
        f"Held-out validation: correlation with the signal {held_out['recovery']:.2f} (without a network "
        f"{held_out['recovery_without_network']:.2f})"
    )
    if held_out["settings"].get("start_weights"):
        result += ", possibly too high because of the start weights"
    if resolution is None:
        return VerdictCode.NOT_RECOVERED, f"{result}. Do not interpret the inferred region."
    if resolution <= TO_THE_LIMIT * run.limit_angstrom:
        return VerdictCode.RECOVERED, f"{result}, 0.5 or more at all resolutions."
    return (
        VerdictCode.PARTLY_RECOVERED,
        f"{result}, 0.5 or more to {resolution:.1f} Å. Do not interpret finer detail in the inferred region.",
    )


def _why_not_validated(run: FinishedRun) -> tuple[VerdictCode, str]:
    if run.config.method != "learn":
        return VerdictCode.NO_NETWORK, "The map was completed with mask and positivity constraints only."
    if run.config.i2 is None:
        return VerdictCode.SINGLE_MAP, "Held-out validation is not possible with a single map."
    return VerdictCode.NOT_VALIDATED, "Not validated yet: run spisonet.py validate."
