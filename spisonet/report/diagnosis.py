"""The ``diagnose`` command: how anisotropic half maps are, why, and what to do."""

from __future__ import annotations

import logging
from html import escape
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
from spisonet.figures.diagnosis import draw_diagnosis
from spisonet.geometry.view_sampling import UNEVEN
from spisonet.report.page import table
from spisonet.report.section import Section, beside

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.analysis.orientation_diagnostics import Coverage, Diagnosis
    from spisonet.analysis.recommendation import Advice
    from spisonet.validation.finished_run import FinishedRun

log = logging.getLogger("spisonet")

COUPLED = "One network has learned from both halves already: what it inferred counts as measured."
CAPTION = (
    "Top: FSC of the half maps, over all directions and along each. Below: half spheres seen along z (equal "
    "area; x to the right, y up; rings at 30°, 60° and 90° from z), with densities relative to even views. A "
    "view fills the plane in Fourier space that is normal to it. What the angles say was sampled, but the "
    "correlation does not say was measured, is misaligned."
)


def diagnosis_of_run(run: FinishedRun, page: Path) -> Section | None:
    """Tell how anisotropic the half maps of a finished run were; None where they hold too little to judge.

    Parameters
    ----------
    run : FinishedRun
        The run.
    page : Path
        The report's page, beside which the figure is drawn.
    """
    given = run.config
    if given.i2 is None:
        return None
    try:
        diagnosis = diagnose(run.measured, run.limit_angstrom, run.workers)
    except SpisonetError as error:
        log.info("No diagnosis: %s", error)
        return None
    advice = advise(diagnosis, given.i1, given.i2, given.mask, apix=given.apix)
    return diagnosis_section(diagnosis, advice, page, "Diagnosis before the correction")


def diagnosis_section(diagnosis: Diagnosis, advice: Advice, page: Path, title: str = "What to do") -> Section:
    """Tell a diagnosis in words, numbers and a figure beside a page."""
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in advice.reasons)
    parts = [f"<p><b>{escape(advice.headline)}</b></p><ul>{reasons}</ul>"]
    if advice.commands:
        parts.append(f"<pre>{escape(chr(10).join(advice.commands))}</pre>")
    section = Section(title, _numbers(diagnosis, advice), [*parts, _table(diagnosis)])
    section.add_figure(beside(page, "directions"), CAPTION, draw_diagnosis(diagnosis))
    return section


def _table(diagnosis: Diagnosis) -> str:
    """Every number that decides, with its threshold."""
    directional = diagnosis.metrics.directional_0143_angstrom
    particles = diagnosis.particles
    rows = [
        ["resolution at FSC 0.143", f"{diagnosis.metrics.resolution_0143_angstrom:.2f} Å", ""],
        ["best, median and worst direction (cones of 20°)",
         f"{directional.min():.2f}, {np.median(directional):.2f}, {directional.max():.2f} Å", ""],
        ["cFAR", f"{diagnosis.metrics.cfar:.2f}", f"problem below {CFAR_LIMIT}"],
        ["sphericity (3DFSC)", f"{diagnosis.metrics.sphericity:.2f}", ""],
        *_coverage_rows("measured", diagnosis.measured),
    ]  # fmt: skip
    if particles is not None:
        rows += [
            *_coverage_rows("sampled, by the angles", particles.coverage),
            ["SCF*", f"{particles.scf:.2f}", f"{SCF_EVEN} for side views from all around"],
            ["well sampled, but poorly correlated", f"{100 * particles.low_correlation_fraction:.0f} %",
             f"misalignment from {100 * POOR_SHARE:.0f} %"],
            ["well measured, but hardly sampled", f"{100 * particles.inconsistent_fraction:.0f} %",
             f"not these particles, or not this symmetry, from {100 * UNEXPLAINED:.0f} %"],
        ]  # fmt: skip
    return table(["", "", "threshold"], rows)


def _coverage_rows(name: str, coverage: Coverage) -> list[list[str]]:
    return [
        [f"{name} with less than a quarter of an even share", f"{100 * coverage.undersampled_fraction:.0f} %",
         f"problem from {100 * UNEVEN:.0f} %"],
        [f"psf_aspect_ratio of a point as {name}", f"{coverage.psf_aspect_ratio:.1f}",
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
            "poorly_correlated_share": particles.low_correlation_fraction,
            "inconsistent_fraction": particles.inconsistent_fraction,
            **_coverage_numbers(particles.coverage),
        },
    }


def _coverage_numbers(coverage: Coverage) -> dict[str, float]:
    return {
        "undersampled_fraction": coverage.undersampled_fraction,
        "unmeasured_share": coverage.unmeasured_share,
        "psf_aspect_ratio": coverage.psf_aspect_ratio,
    }
