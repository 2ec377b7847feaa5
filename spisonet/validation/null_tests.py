"""Null tests for hallucinated signal: correct half maps that lack something, and test whether it appears.

Three kinds of null half maps are made from those of a run, and corrected with the options of the run:

``noise``
    Noise only, with the directional power spectrum of the difference of the half maps.
``phases``
    The half maps with random phases beyond a resolution, independent in each half.
``deletion``
    The half maps without a domain: its corrected density, as far as the half maps contain it, is subtracted.
    The mask of the run still includes its volume.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from spisonet.analysis.half_maps import checked_limit_resolution
from spisonet.analysis.normalisation import solvent_level
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import rfft3
from spisonet.fourier.shells import FIRST_SLICE_SHELL, fourier_shell_correlation
from spisonet.io.events import report_progress
from spisonet.io.mrc import read_volume
from spisonet.validation.finished_run import FinishedRun
from spisonet.validation.null_maps import noise_halves, randomised_halves, read_domain, without_domain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.validation.config import NullTestConfig
    from spisonet.validation.null_maps import Halves

RANDOMISED_RELATIVE_TO_LIMIT = 1.5  # default resolution from which phases are random, over the limit
MAX_ADDED_FSC = 0.05  # mean over shells
MAX_DEVIATIONS = 3.0  # of the solvent, by which density may return where a domain was deleted
MAX_PATTERN_FRACTION = 0.5  # of the deleted domain's pattern
MIN_VISIBLE_DEVIATIONS = 6.0  # a domain fainter than that in the run's own result cannot be seen to return
MIN_ATTEMPTED = 0.05
SOLVENT, DOMAIN = 0.01, 0.5  # mask values


class NullTestOutcome(StrEnum):
    """Outcome of a null test."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_ATTEMPTED = "not_attempted"
    INCONCLUSIVE = "inconclusive"

    @property
    def sentence(self) -> str:
        """The outcome in words."""
        return _SENTENCES[self]


_SENTENCES = {
    NullTestOutcome.PASSED: "passed",
    NullTestOutcome.FAILED: "FAILED",
    NullTestOutcome.NOT_ATTEMPTED: "not attempted: without correlation of the halves nothing is corrected",
    NullTestOutcome.INCONCLUSIVE: "inconclusive: the domain hardly stands out from the solvent",
}


@dataclass(frozen=True)
class AddedCorrelation:
    """FSC of two half maps without common signal in some shells, before and after a correction.

    Attributes
    ----------
    before, after : float
        Mean FSC of the half maps over these shells, inside the mask.
    with_original : float
        Mean FSC of the corrected half map 1 with the original raw half map 2 over these shells.
    attempted : float
        Fraction in 0..1 of these shells that was corrected.
    limits_original : bool
        Whether `with_original` must be below the limit too: noise must not come to resemble the particle.
    """

    before: float
    after: float
    with_original: float
    attempted: float = 1.0
    limits_original: bool = False

    @property
    def outcome(self) -> NullTestOutcome:
        """Whether the correction added correlation."""
        if self.after - self.before >= MAX_ADDED_FSC:
            return NullTestOutcome.FAILED
        if self.limits_original and self.with_original >= MAX_ADDED_FSC:
            return NullTestOutcome.FAILED
        return NullTestOutcome.PASSED if self.attempted >= MIN_ATTEMPTED else NullTestOutcome.NOT_ATTEMPTED

    @property
    def numbers(self) -> dict[str, Any]:
        """All values and the outcome, for a JSON file."""
        values = asdict(self)
        del values["limits_original"]
        return values | _outcome_numbers(self.outcome)


@dataclass(frozen=True)
class DeletedDomain:
    """Density where a domain was deleted.

    Attributes
    ----------
    original, after : float
        Mean density inside the domain above the mean of the solvent, in standard deviations of the solvent:
        in the result of the run, and in that of half maps without the domain.
    pattern_fraction : float
        Fraction of the deleted density's pattern that returned: 1 for all of it.
    """

    original: float
    after: float
    pattern_fraction: float

    @property
    def outcome(self) -> NullTestOutcome:
        """Whether the domain stayed absent."""
        if self.after >= MAX_DEVIATIONS or self.pattern_fraction >= MAX_PATTERN_FRACTION:
            return NullTestOutcome.FAILED
        visible = self.original >= MIN_VISIBLE_DEVIATIONS
        return NullTestOutcome.PASSED if visible else NullTestOutcome.INCONCLUSIVE

    @property
    def numbers(self) -> dict[str, Any]:
        """All values and the outcome, for a JSON file."""
        return asdict(self) | _outcome_numbers(self.outcome)


def _outcome_numbers(outcome: NullTestOutcome) -> dict[str, str]:
    return {"result": outcome.value, "result_sentence": outcome.sentence}


@dataclass(frozen=True)
class NullCorrection:
    """Corrected null half maps.

    Attributes
    ----------
    half1, half2 : ndarray
        ``(n, n, n)`` corrected half maps.
    half1_filtered : ndarray
        ``(n, n, n)`` corrected half map 1, filtered to the resolution limit.
    corrected_by_shell : list of float
        Fraction in 0..1 of each shell that was corrected.
    """

    half1: NDArray[np.float32]
    half2: NDArray[np.float32]
    half1_filtered: NDArray[np.float32]
    corrected_by_shell: list[float]


class Correct(Protocol):
    """Corrects null half maps with the options of the run."""

    def __call__(self, name: str, halves: Halves) -> NullCorrection:
        """Correct the half maps of the test of this name."""


@dataclass(frozen=True)
class NullTestResult:
    """Results of the null tests of a run.

    Attributes
    ----------
    noise, phases : AddedCorrelation
        Tests with noise only, and with random phases.
    randomised_from_angstrom : float
        Resolution from which phases are random, in Å.
    deletion : DeletedDomain or None
        Test with a domain deleted; None if none was given.
    """

    noise: AddedCorrelation
    phases: AddedCorrelation
    randomised_from_angstrom: float
    deletion: DeletedDomain | None

    @property
    def numbers(self) -> dict[str, dict[str, Any]]:
        """Results by test, for a JSON file."""
        phases = {"beyond_angstrom": self.randomised_from_angstrom} | self.phases.numbers
        deletion = {} if self.deletion is None else {"deletion": self.deletion.numbers}
        return {"noise": self.noise.numbers, "phases": phases} | deletion


@dataclass(frozen=True)
class PreparedNullTests:
    """A finished run, read and prepared for null tests.

    Attributes
    ----------
    run : FinishedRun
        The run.
    randomised_from_angstrom : float
        Resolution from which phases are random, in Å.
    from_shell, last_shell : int
        The shell there, and that of the resolution limit.
    domain : ndarray or None
        ``(n, n, n)`` soft mask of the domain to delete.
    """

    run: FinishedRun
    randomised_from_angstrom: float
    from_shell: int
    last_shell: int
    domain: NDArray[np.float32] | None


def prepare_null_tests(config: NullTestConfig) -> PreparedNullTests:
    """Read a finished run and check the options; nothing is written.

    Raises
    ------
    SpisonetError
        If the folder does not contain a finished run of two half maps, or if an option or the mask of the
        domain is unusable.
    """
    run = FinishedRun.read(config.folder, config.ncpus)
    if run.config.i2 is None:
        raise SpisonetError("Null tests need two half maps, but the run corrected a single map.")
    first, mask = run.input_maps.half1, run.mask
    n, voxel_size = first.box, first.voxel_size_angstrom
    coarse = checked_limit_resolution(
        config.phase_res or RANDOMISED_RELATIVE_TO_LIMIT * run.limit_angstrom, voxel_size, "--phase_res"
    )
    from_shell, last = round(n * voxel_size / coarse), int(n * voxel_size / run.limit_angstrom)
    if from_shell >= last:
        raise SpisonetError(
            f"--phase_res {coarse:g} Å must be coarser than the resolution limit of the run, "
            f"{run.limit_angstrom:.2f} Å."
        )
    domain = None
    if config.delete is not None:
        domain = read_domain(config.delete, first, run.config.apix)
        if mask is None:
            raise SpisonetError("--delete needs a run with --mask, which separates solvent and particle.")
        inside = domain > DOMAIN
        if not inside.any() or float(mask[inside].mean()) < DOMAIN:
            raise SpisonetError(f"{config.delete}: the domain is empty or outside of the mask of the run.")
        if not _solvent(mask, domain).any():
            raise SpisonetError("The mask of the run leaves no solvent to compare a deleted domain with.")
    return PreparedNullTests(run, coarse, from_shell, last, domain)


def null_tests(prepared: PreparedNullTests, correct: Correct) -> NullTestResult:
    """Make null half maps from those of a run, correct them, and measure what was added.

    Parameters
    ----------
    prepared : PreparedNullTests
        See `prepare_null_tests`.
    correct : callable
        Corrects null half maps with the options of the run.

    Raises
    ------
    SpisonetError
        If a correction fails.
    """
    run, mask, domain = prepared.run, prepared.run.mask, prepared.domain
    maps, seed = run.input_maps, run.config.seed
    assert maps.half2 is not None
    halves = maps.half1.data, maps.half2.data
    total = 2 if domain is None else 3

    def progress(done: int) -> None:
        report_progress("null_tests", "null tests", done, total, "tests")

    def test(name: str, null: Halves, shells: slice, limits_original: bool) -> AddedCorrelation:
        corrected = correct(name, null)
        attempted = float(np.mean(corrected.corrected_by_shell[shells]))
        after = corrected.half1, corrected.half2
        return added_correlation(null, after, halves[1], mask, shells, attempted, limits_original)

    progress(0)
    noise = test(
        "noise",
        noise_halves(halves, seed),
        slice(FIRST_SLICE_SHELL, prepared.last_shell + 1),
        limits_original=True,
    )
    progress(1)
    fine = slice(prepared.from_shell + 1, prepared.last_shell + 1)
    phases = test("phases", randomised_halves(halves, prepared.from_shell, seed), fine, limits_original=False)
    progress(2)
    deletion = None
    if domain is not None and mask is not None:
        deletion = _delete(run, halves, domain, mask, correct)
        progress(3)
    return NullTestResult(noise, phases, prepared.randomised_from_angstrom, deletion)


def _delete(
    run: FinishedRun,
    halves: Halves,
    domain: NDArray[np.float32],
    mask: NDArray[np.float32],
    correct: Correct,
) -> DeletedDomain:
    corrected = run.corrected_maps
    assert corrected.half2 is not None
    mean = (corrected.half1.data + corrected.half2.data) / np.float32(2)
    null, deleted = without_domain(halves, mean - np.float32(solvent_level(mean, mask)), domain)
    original = read_volume(run.filtered_path(run.record["corrected_maps"][0]), run.config.apix)
    after = correct("deletion", null).half1_filtered
    return deleted_domain(original.data, after, deleted, domain, mask)


def added_correlation(
    before: Halves,
    after: Halves,
    original2: NDArray[np.float32],
    mask: NDArray[np.float32] | None,
    shells: slice,
    attempted: float = 1.0,
    limits_original: bool = False,
) -> AddedCorrelation:
    """Measure the FSC of half maps before and after a correction.

    Parameters
    ----------
    before, after : tuple of ndarray
        Half maps ``(n, n, n)``.
    original2 : ndarray
        ``(n, n, n)`` original raw half map 2.
    mask : ndarray or None
        ``(n, n, n)`` mask in 0..1, applied to all maps.
    shells : slice
        Shells over which the FSC is averaged.
    attempted, limits_original
        See `AddedCorrelation`.
    """

    def mean_fsc(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
        spectra = [
            rfft3((v - np.float32(solvent_level(v, mask))) * (1 if mask is None else mask))
            for v in (first, second)
        ]
        return float(fourier_shell_correlation(spectra[0], spectra[1], len(first))[shells].mean())

    return AddedCorrelation(
        mean_fsc(*before), mean_fsc(*after), mean_fsc(after[0], original2), attempted, limits_original
    )


def deleted_domain(
    original: NDArray[np.float32],
    after: NDArray[np.float32],
    deleted: NDArray[np.float32],
    domain: NDArray[np.float32],
    mask: NDArray[np.float32],
) -> DeletedDomain:
    """Measure the density where a domain was deleted.

    Parameters
    ----------
    original, after : ndarray
        ``(n, n, n)`` corrected maps from half maps with and without the domain, filtered to the resolution
        limit: noise beyond it would hide a domain that returned.
    deleted : ndarray
        ``(n, n, n)`` density of the domain.
    domain, mask : ndarray
        ``(n, n, n)`` soft masks in 0..1 of the domain and of the particle; the solvent is outside of both.
    """
    inside, solvent = domain > DOMAIN, _solvent(mask, domain)

    def deviations(volume: NDArray[np.float32]) -> float:
        spread = max(float(volume[solvent].std()), 1e-30)
        return float(volume[inside].mean() - volume[solvent].mean()) / spread

    pattern = deleted[inside] - deleted[inside].mean()
    fraction = float((after * domain)[inside] @ pattern / max(float(pattern @ pattern), 1e-30))
    return DeletedDomain(deviations(original), deviations(after), fraction)


def _solvent(mask: NDArray[np.float32], domain: NDArray[np.float32]) -> NDArray[np.bool_]:
    return (mask < SOLVENT) & (domain < SOLVENT)
