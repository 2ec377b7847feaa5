"""Report section: the result without a network, beside that with one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.figures.reconstruction import draw_slices
from spisonet.fourier.grids import half_from_centred
from spisonet.io.mrc import read_volume
from spisonet.report.page import table
from spisonet.report.section import Section, beside
from spisonet.validation.classical import compare

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.validation.finished_run import FinishedRun


CAPTION = (
    "The first half map: as it was (top), corrected by the network (middle), and by the classical baseline "
    "(bottom), in the same grey scale. Detail that only the middle row shows is told by the network alone."
)


def classical_section(run: FinishedRun, page: Path) -> Section | None:
    """Set the classical baseline beside a learned result; None where a run has none.

    Parameters
    ----------
    run : FinishedRun
        The run.
    page : Path
        The report's page, beside which the figure is drawn.
    """
    names = run.outcome.get("classical_maps", [])
    weight = run.data_weight
    if not names or weight is None or not all((run.folder / name).is_file() for name in names):
        return None
    maps = {
        "input": run.before.half1,
        "learned": run.after.half1,
        "classical": read_volume(run.folder / names[0], run.config.apix),
    }
    known = half_from_centred(read_volume(weight, maps["input"].voxel_size_angstrom).data)
    last = maps["input"].box * maps["input"].voxel_size_angstrom / run.limit_angstrom
    numbers = compare(maps, known, last)
    section = Section("Beside the classical baseline", numbers)
    section.parts.append(
        "<p>The same half map by a directional Wiener filter, deconvolved under mask and positivity: the "
        "measured data, but no network.</p>"
    )
    rows = [
        ["power where hardly measured, relative to where measured", *_cells(numbers["unmeasured_power"])],
        ["agreement with the learned map, FSC where measured", *_cells(numbers["agreement_measured"])],
        ["the same where hardly measured", *_cells(numbers["agreement_unmeasured"])],
    ]
    section.parts.append(table(["", *maps], rows))
    section.add_figure(beside(page, "classical"), CAPTION, draw_slices(maps, run.limit_angstrom))
    return section


def _cells(values: dict[str, float]) -> list[str]:
    return [f"{value:.2f}" for value in values.values()]
