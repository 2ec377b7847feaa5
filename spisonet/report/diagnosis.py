"""Report section: diagnosis of the anisotropy of half maps and the recommended strategy."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet.analysis.orientation_diagnostics import (
    CFAR_LIMIT,
    POOR_SHARE,
    SCF_EVEN,
    SEVERE_PSF_ASPECT_RATIO,
    UNEXPLAINED,
    diagnose,
)
from spisonet.analysis.recommendation import advise
from spisonet.errors import SpisonetError
from spisonet.figures import captions
from spisonet.figures.diagnosis import draw_diagnosis
from spisonet.geometry.view_sampling import UNEVEN
from spisonet.report.page import bullet_list, code_block, heading, table
from spisonet.report.section import Section, beside

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.analysis.orientation_diagnostics import Coverage, Diagnosis
    from spisonet.analysis.recommendation import Advice
    from spisonet.validation.finished_run import FinishedRun

log = logging.getLogger("spisonet")

COUPLED = (
    "The half maps were already corrected by one network and are not independent; inferred signal counts as "
    "measured."
)


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
        diagnosis = diagnose(run.half_maps, run.limit_angstrom, run.workers)
    except SpisonetError as error:
        log.info("The report does not include a diagnosis: %s", error)
        return None
    advice = advise(diagnosis, config.i1, config.i2, config.mask, apix=config.apix)
    return diagnosis_section(diagnosis, advice, page, "Diagnosis of the input half maps")


def diagnosis_section(
    diagnosis: Diagnosis, advice: Advice, page: Path, title: str = "Recommended strategy"
) -> Section:
    """Report a diagnosis: strategy, reasons, commands, numbers and a figure beside a page."""
    parts = [heading(advice.headline), bullet_list(advice.reasons)]
    if advice.commands:
        parts.append(code_block("\n".join(advice.commands)))
    section = Section(title, _numbers(diagnosis, advice), [*parts, _table(diagnosis)])
    section.add_figure(beside(page, "directions"), captions.DIAGNOSIS, draw_diagnosis(diagnosis))
    return section


def _table(diagnosis: Diagnosis) -> str:
    """Return the numbers that decide the strategy, with their thresholds."""
    directional = diagnosis.metrics.directional_0143_angstrom
    particles = diagnosis.particles
    rows = [
        ["resolution at FSC 0.143", f"{diagnosis.metrics.resolution_0143_angstrom:.2f} Å", ""],
        ["resolution of the best, median and worst direction (cones of 20°)",
         f"{directional.min():.2f}, {np.median(directional):.2f}, {directional.max():.2f} Å", ""],
        ["cFAR", f"{diagnosis.metrics.cfar:.2f}", f"problem below {CFAR_LIMIT}"],
        ["sphericity (3DFSC)", f"{diagnosis.metrics.sphericity:.2f}", ""],
        *_coverage_rows("measured (FSC)", diagnosis.measured),
    ]  # fmt: skip
    if particles is not None:
        rows += [
            *_coverage_rows("sampled (particle angles)", particles.coverage),
            ["SCF*", f"{particles.scf:.2f}", f"{SCF_EVEN} for even side views"],
            ["well sampled, but low correlation", f"{100 * particles.low_correlation_fraction:.0f} %",
             f"misalignment from {100 * POOR_SHARE:.0f} %"],
            ["well measured, but not sampled", f"{100 * particles.inconsistent_fraction:.0f} %",
             f"other particles or symmetry from {100 * UNEXPLAINED:.0f} %"],
        ]  # fmt: skip
    return table(["", "", "threshold"], rows)


def _coverage_rows(name: str, coverage: Coverage) -> list[list[str]]:
    undersampled = f"{100 * coverage.undersampled_fraction:.0f} %"
    return [
        [f"Fourier space {name} with less than 25 % of an even density", undersampled,
         f"problem from {100 * UNEVEN:.0f} %"],
        [f"aspect ratio of the point spread function, {name}", f"{coverage.psf_aspect_ratio:.1f}",
         f"severe from {SEVERE_PSF_ASPECT_RATIO:g}"],
    ]  # fmt: skip


def _numbers(diagnosis: Diagnosis, advice: Advice) -> dict[str, Any]:
    directional, particles = diagnosis.metrics.directional_0143_angstrom, diagnosis.particles
    return {
        "strategy": diagnosis.strategy.value,
        "advice": advice.headline,
        "reasons": advice.reasons,
        "commands": advice.commands,
        "limit_resolution_angstrom": diagnosis.fsc3d.limit_resolution_angstrom,
        "resolution_0143_angstrom": diagnosis.metrics.resolution_0143_angstrom,
        "best_direction_0143_angstrom": float(directional.min()),
        "median_direction_0143_angstrom": float(np.median(directional)),
        "worst_direction_0143_angstrom": float(directional.max()),
        "cfar": diagnosis.metrics.cfar,
        "sphericity": diagnosis.metrics.sphericity,
        "measured": _coverage_numbers(diagnosis.measured),
        "particles": None
        if particles is None
        else {
            "number": particles.n_particles,
            "scf_star": particles.scf,
            "low_correlation_fraction": particles.low_correlation_fraction,
            "inconsistent_fraction": particles.inconsistent_fraction,
            **_coverage_numbers(particles.coverage),
        },
    }


def _coverage_numbers(coverage: Coverage) -> dict[str, float]:
    return {
        "undersampled_fraction": coverage.undersampled_fraction,
        "unmeasured_fraction": coverage.unmeasured_share,
        "psf_aspect_ratio": coverage.psf_aspect_ratio,
    }
