"""Report section: drift of the poses, measured on the particles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.figures import captions
from spisonet.figures.pose_drift import draw_drift
from spisonet.report.page import paragraph, warning
from spisonet.report.section import Section, beside

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.analysis.pose_drift import PoseDrift

METHOD = (
    "Each half map predicts the images of the other half set. If the poses of both halves have drifted "
    "alike, the half maps still agree with each other, but they predict these images worse than maps from "
    "correct poses. A motion turns all particles by rotations that vary smoothly with the view direction."
)
NOT_APPLIED = (
    "These aberrations are in the particle STAR file and were not applied: {columns}. At the resolutions "
    "used here their effect is usually small."
)


def drift_section(drift: PoseDrift, page: Path) -> Section:
    """Report the likelihood along the most likely motion, with a figure beside a page."""
    section = Section("Drift of the poses", drift.numbers, [paragraph(drift.sentence), paragraph(METHOD)])
    section.add_figure(beside(page, "pose_drift"), captions.POSE_DRIFT, draw_drift(drift))
    if drift.ignored_aberrations:
        section.parts.append(warning(NOT_APPLIED.format(columns=", ".join(drift.ignored_aberrations))))
    return section
