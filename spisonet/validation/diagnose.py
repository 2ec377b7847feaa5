"""The ``diagnose`` command: how anisotropic half maps are, why, and what to do."""

from __future__ import annotations

import logging
import os
import shlex
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet import __version__
from spisonet.anisotropy.fsd3d import read_views
from spisonet.anisotropy.inputs import checked_limit_resolution, read_half_maps
from spisonet.errors import SpisonetError
from spisonet.geometry.sampling import UNEVEN
from spisonet.io.atomic import prepare_output_file
from spisonet.io.config import command_words, write_json
from spisonet.io.pages import table, warning, write_page
from spisonet.validation.advice import advise
from spisonet.validation.diagnosis import (
    CFAR_LIMIT,
    POOR_SHARE,
    SCF_EVEN,
    SEVERE_ELONGATION,
    UNEXPLAINED,
    diagnose,
)
from spisonet.validation.figures_diagnosis import draw_diagnosis
from spisonet.validation.section import Section, beside

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.validation.advice import Advice
    from spisonet.validation.config import DiagnoseConfig
    from spisonet.validation.diagnosis import Coverage, Diagnosis
    from spisonet.validation.finished import FinishedRun

log = logging.getLogger("spisonet")

PAGE = "diagnosis.html"
COUPLED = "One network has learned from both halves already: what it inferred counts as measured."
CAPTION = (
    "Top: FSC of the half maps, over all directions and along each. Below: half spheres seen along z (equal "
    "area; x to the right, y up; rings at 30°, 60° and 90° from z), with densities relative to even views. A "
    "view fills the plane in Fourier space that is normal to it. What the angles say was sampled, but the "
    "correlation does not say was measured, is misaligned."
)


def run_diagnose(config: DiagnoseConfig) -> None:
    """Diagnose two half maps: a page, its numbers as JSON, and its figure.

    Raises
    ------
    SpisonetError
        If an input or option is at fault, or the half maps hold too little to judge; nothing has been written
        then.
    """
    maps = read_half_maps(config.h, config.h2, config.mask, config.apix)
    limit = checked_limit_resolution(config.limit_res, maps.half1.voxel_size_angstrom)
    directions, n_particles = None, 0
    if config.star is not None:
        views = read_views(config)
        directions, n_particles = views.directions, views.n_used
    elif config.sym.upper() != "C1" or config.tomograms is not None or config.tilt_min is not None:
        raise SpisonetError("--sym, --tomograms and tilts belong to particles: give them with --star.")
    diagnosis = diagnose(maps, limit, min(config.ncpus, os.cpu_count() or 1), directions, n_particles)
    advice = advise(diagnosis, config.h, config.h2, config.mask, config.sym, config.apix)
    page = config.output_dir / PAGE
    prepare_output_file(page, config.h, config.h2, config.mask, config.star)
    section = diagnosis_section(diagnosis, advice, page)
    words = shlex.join(["spisonet.py", *command_words(config)])
    write_json(
        page.with_suffix(".json"),
        {
            "program": "spisonet",
            "version": __version__,
            "command": config.command,
            "config": config.model_dump(mode="json"),
            "halves_coupled": maps.coupled,
            **section.numbers,
        },
    )
    notes = [warning(COUPLED)] if maps.coupled else []
    how = f"<p>spisonet {__version__}, by this command:</p><pre>{escape(words)}</pre>"
    write_page(page, f"spisonet: {config.h}", "Diagnosis", *notes, section.html, how)
    if maps.coupled:
        log.warning(COUPLED)
    _log(advice)
    log.info("Written: %s", page)


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
            ["well sampled, but poorly correlated", f"{100 * particles.poor_share:.0f} %",
             f"misalignment from {100 * POOR_SHARE:.0f} %"],
            ["well measured, but hardly sampled", f"{100 * particles.unexplained_share:.0f} %",
             f"not these particles, or not this symmetry, from {100 * UNEXPLAINED:.0f} %"],
        ]  # fmt: skip
    return table(["", "", "threshold"], rows)


def _coverage_rows(name: str, coverage: Coverage) -> list[list[str]]:
    return [
        [f"{name} with less than a quarter of an even share", f"{100 * coverage.sparse_share:.0f} %",
         f"problem from {100 * UNEVEN:.0f} %"],
        [f"elongation of a point as {name}", f"{coverage.elongation:.1f}",
         f"severe from {SEVERE_ELONGATION:g}"],
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
            "poorly_correlated_share": particles.poor_share,
            "unexplained_share": particles.unexplained_share,
            **_coverage_numbers(particles.coverage),
        },
    }


def _coverage_numbers(coverage: Coverage) -> dict[str, float]:
    return {
        "sparse_share": coverage.sparse_share,
        "unmeasured_share": coverage.unmeasured_share,
        "elongation": coverage.elongation,
    }


def _log(advice: Advice) -> None:
    for reason in advice.reasons:
        log.info("%s", reason)
    log.info("%s", advice.headline)
    for line in advice.commands:
        log.info("  %s", line)
