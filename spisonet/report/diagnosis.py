"""Report section: diagnosis of the anisotropy of half maps and the recommended strategy."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from spisonet.analysis.fsc_metrics import DIRECTION_CONE_DEGREES
from spisonet.analysis.orientation_diagnostics import (
    CFAR_LIMIT,
    INCONSISTENT_FRACTION_LIMIT,
    LOW_CORRELATION_FRACTION_LIMIT,
    PSF_ASPECT_RATIO_LIMIT,
    SCF_SIDE_VIEWS,
    diagnose,
)
from spisonet.analysis.recommendation import recommend
from spisonet.errors import SpisonetError
from spisonet.figures import captions
from spisonet.figures.diagnosis import draw_diagnosis
from spisonet.geometry.view_sampling import UNDERSAMPLED_FRACTION_LIMIT
from spisonet.report.page import bullet_list, code_block, heading, table
from spisonet.report.section import Section, beside

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.analysis.orientation_diagnostics import Diagnosis, SamplingStatistics
    from spisonet.analysis.recommendation import Recommendation
    from spisonet.validation.finished_run import FinishedRun

log = logging.getLogger("spisonet")


def diagnosis_of_run(run: FinishedRun, page: Path) -> Section | None:
    """Diagnose the input half maps of a run; None for a single map, or if they correlate too little.

    Parameters
    ----------
    run : FinishedRun
        The run.
    page : Path
        HTML file of the report; the figure is named after it.
    """
    config = run.config
    if config.i2 is None:
        return None
    try:
        diagnosis = diagnose(
            run.half_maps, run.limit_angstrom, run.workers, beyond_limit=run.limit_is_measured
        )
    except SpisonetError as error:
        log.info("The report does not include a diagnosis: %s", error)
        return None
    recommendation = recommend(diagnosis, config.i1, config.i2, config.mask, apix=config.apix)
    return diagnosis_section(diagnosis, recommendation, page, "Diagnosis of the input half maps")


def diagnosis_section(
    diagnosis: Diagnosis, recommendation: Recommendation, page: Path, title: str = "Recommended strategy"
) -> Section:
    """Report a diagnosis: strategy, reasons, commands, numbers and a figure beside a page."""
    parts = [heading(recommendation.headline), bullet_list(recommendation.reasons)]
    if recommendation.commands:
        parts.append(code_block("\n".join(recommendation.commands)))
    section = Section(title, _numbers(diagnosis, recommendation), [*parts, _table(diagnosis)])
    section.add_figure(beside(page, "directions"), captions.DIAGNOSIS, draw_diagnosis(diagnosis))
    return section


def _table(diagnosis: Diagnosis) -> str:
    """Return the numbers that decide the strategy, with their thresholds."""
    metrics, particles = diagnosis.metrics, diagnosis.particles
    rows = [
        ["resolution at FSC 0.143", str(metrics.resolution_0143), ""],
        [f"by direction (cones of {DIRECTION_CONE_DEGREES:g}°)", str(metrics.directional_0143), ""],
        ["cFAR", f"{metrics.cfar:.2f}", f"problem below {CFAR_LIMIT}"],
        ["sphericity (3DFSC)", f"{metrics.sphericity:.2f}", ""],
        *_sampling_rows("measured (FSC)", diagnosis.measured),
    ]  # fmt: skip
    if diagnosis.drift is not None:
        drift = diagnosis.drift
        rows.append(
            [
                "most likely collective motion of the poses (particle images)",
                f"{drift.motion_degrees:.1f}° rms",
                f"drift from {drift.smallest_drift_degrees:.1f}°",
            ]
        )
    if particles is not None:
        rows += [
            *_sampling_rows("sampled (particle angles)", particles.sampling),
            ["SCF*", f"{particles.scf:.2f}", f"{SCF_SIDE_VIEWS} for even side views"],
            ["well sampled, but low correlation", f"{100 * particles.low_correlation_fraction:.0f} %",
             f"misalignment from {100 * LOW_CORRELATION_FRACTION_LIMIT:.0f} %"],
            ["well measured, but not sampled", f"{100 * particles.inconsistent_fraction:.0f} %",
             f"other particles or symmetry from {100 * INCONSISTENT_FRACTION_LIMIT:.0f} %"],
        ]  # fmt: skip
    return table(["", "", "threshold"], rows)


def _sampling_rows(name: str, sampling: SamplingStatistics) -> list[list[str]]:
    undersampled = f"{100 * sampling.undersampled_fraction:.0f} %"
    return [
        [f"undersampled (less than 25 % of the mean view density), {name}", undersampled,
         f"problem from {100 * UNDERSAMPLED_FRACTION_LIMIT:.0f} %"],
        [f"aspect ratio of the point spread function, {name}", f"{sampling.psf_aspect_ratio:.1f}",
         f"severe from {PSF_ASPECT_RATIO_LIMIT:g}"],
    ]  # fmt: skip


def _numbers(diagnosis: Diagnosis, recommendation: Recommendation) -> dict[str, Any]:
    metrics, particles = diagnosis.metrics, diagnosis.particles
    directional = metrics.directional_0143
    return {
        "strategy": diagnosis.strategy.value,
        "recommendation": recommendation.headline,
        "reasons": recommendation.reasons,
        "commands": recommendation.commands,
        "limit_resolution_angstrom": diagnosis.fsc.limit_resolution_angstrom,
        "resolution_0143_angstrom": metrics.resolution_0143.number,
        "best_direction_0143_angstrom": directional.best.number,
        "median_direction_0143_angstrom": directional.median.number,
        "worst_direction_0143_angstrom": directional.worst.number,
        "cfar": metrics.cfar,
        "sphericity": metrics.sphericity,
        "pose_drift": None if diagnosis.drift is None else diagnosis.drift.numbers,
        "measured": _sampling_numbers(diagnosis.measured),
        "particles": None
        if particles is None
        else {
            "n_particles": particles.n_particles,
            "scf_star": particles.scf,
            "low_correlation_fraction": particles.low_correlation_fraction,
            "inconsistent_fraction": particles.inconsistent_fraction,
            **_sampling_numbers(particles.sampling),
        },
    }


def _sampling_numbers(sampling: SamplingStatistics) -> dict[str, float]:
    return {
        "undersampled_fraction": sampling.undersampled_fraction,
        "psf_aspect_ratio": sampling.psf_aspect_ratio,
    }
