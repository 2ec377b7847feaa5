"""Summary of a refinement: resolution, directions, views and corrections by iteration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from relion_external.directions import NEAR_DEGREES, directional_resolution, view_metrics
from relion_external.workspace import CORRECTED, SKIPPED, IterationRecord, Workspace, read_records
from spisonet import __version__
from spisonet.analysis.fsc_metrics import NOT_REACHED
from spisonet.geometry.rotations import view_directions
from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.io.atomic import atomic_path, write_json
from spisonet.io.json_files import read_json_object
from spisonet.io.labels import COUPLED
from spisonet.io.mrc import Volume, write_volume
from spisonet.io.particles import read_particle_orientations
from spisonet.report.page import embedded_figure, paragraph, table, warning, write_page

if TYPE_CHECKING:
    from relion_external.call import ReconstructCall
    from relion_external.refinement import Refinement
    from spisonet.misalignment.backprojection import BackProjector

TABLE_FILE, PAGE_FILE, FIGURE_FILE = "summary.json", "summary.html", "summary.png"
COUPLED_NOTE = (
    "Some iterations were corrected jointly (ISONET_JOINT=True): one network was trained on both halves, so "
    "they are NOT independent, and the FSC of this refinement overestimates the resolution."
)
INITIAL_NOTE = (
    "In some iterations both halves kept the low resolutions of the initial reference (ISONET_KEEP_LOWRES). "
    "They are not independent there, as in the first iteration of any refinement from one reference."
)
ALIGNMENT_NOTE = (
    "The corrected maps are used as alignment references only. The final half maps and their FSC are "
    "RELION's own, from the particles at their final poses."
)
CLASSES_NOTE = (
    "The corrected maps are used as alignment references. The maps of the classes in the last iteration "
    "are RELION's own, from the particles at their final poses; those of earlier iterations "
    "(run_itNNN_classNNN.mrc) are the corrected references, inferred in part."
)
COLUMNS = (
    ("best_direction_angstrom", "best direction / Å", 1),
    ("worst_direction_angstrom", "worst direction / Å", 1),
    ("sphericity", "sphericity", 3),
    ("cfar", "cFAR", 3),
    ("median_view_angle_degrees", "median angle of the views from their axis / °", 1),
    ("fraction_near_axis", f"fraction within {NEAR_DEGREES:.0f}°", 3),
    ("median_view_change_degrees", "median change of the views / °", 1),
    ("pose_motion_degrees", "most likely collective motion of the poses before / °", 1),
)
PANELS = (
    ("sphericity", "Sphericity of the 3D FSC"),
    ("median_view_angle_degrees", "Median angle of the views from their axis (°)"),
    ("median_view_change_degrees", "Median change of the views (°)"),
)
VIEWS_CAPTION = "The axis of the views is the principal axis of the view directions."


@dataclass(frozen=True)
class Wording:
    """What a summary calls the resolution, and what it says about the maps.

    Attributes
    ----------
    note, caption : str
        Sentences above the table and below the figure.
    column, panel : str
        Titles of the resolution in table and figure.
    """

    note: str
    caption: str
    column: str
    panel: str


OF_HALVES = Wording(
    ALIGNMENT_NOTE,
    f"Resolution, sphericity and cFAR are those of the uncorrected half maps. {VIEWS_CAPTION}",
    "RELION's FSC / Å",
    "Resolution by RELION's FSC (Å)",
)
OF_CLASSES = Wording(
    CLASSES_NOTE,
    "Classes have no FSC: the limit is where the mean weight of the data against the prior falls to 0.143. "
    + VIEWS_CAPTION,
    "limit by the weight of the data / Å",
    "Limit by the weight of the data (Å)",
)

Rows = dict[tuple[int, str], dict[str, Any]]  # by iteration and class or body


def write_summary(
    call: ReconstructCall, refinement: Refinement, workspace: Workspace, back_projector: BackProjector
) -> None:
    """Update the summary of a job.

    Half 1 writes it, with the directions and views of the previous iteration, for which both halves are
    complete.

    Parameters
    ----------
    call : ReconstructCall
        Call of this iteration.
    refinement : Refinement
        State of the refinement after the previous iteration.
    workspace : Workspace
        Folder of the summary.
    back_projector : BackProjector
        Accumulators of this half; its uncorrected map is kept until the next iteration.
    """
    voxel_size = refinement.pixel_size_angstrom
    if voxel_size is None:
        return
    if call.half is not None:
        write_volume(
            workspace.uncorrected_map(call.iteration, call.half),
            Volume(back_projector.reconstruct(regularised=False), voxel_size),
        )
    if call.half == 2:
        return
    previous = call.iteration - 1
    metrics = _measure_views(call, refinement, workspace, previous)
    half1, half2 = (workspace.uncorrected_map(previous, half) for half in (1, 2))
    records = [record for record in read_records(call.folder) if record.iteration == previous]
    r_max = [record.metrics["r_max"] for record in records if "r_max" in record.metrics]
    if r_max and half1.is_file() and half2.is_file():
        metrics |= directional_resolution(half1, half2, refinement, voxel_size, min(r_max))
    for path in (half1, half2):
        path.unlink(missing_ok=True)
    if metrics:
        write_json(workspace.direction_metrics(previous), metrics)
    rows = _collect_rows(call, workspace)
    _write_table(rows, workspace)
    _write_page(rows, call, workspace, OF_CLASSES if refinement.is_classification else OF_HALVES)


def _measure_views(
    call: ReconstructCall, refinement: Refinement, workspace: Workspace, iteration: int
) -> dict[str, Any]:
    """Summarise the views of a class (or of all particles) after an iteration, and keep all for the next."""
    path = call.iteration_file(iteration, "data.star")
    if not path.is_file():
        return {}
    particles = read_particle_orientations(path)
    views = view_directions(particles.rotations)
    with atomic_path(workspace.view_directions(iteration)) as temporary:
        np.save(temporary, views.astype(np.float32))
    workspace.view_directions(iteration - 2).unlink(missing_ok=True)
    previous = None
    if (previous_path := workspace.view_directions(iteration - 1)).is_file():
        previous = np.load(previous_path)
    if refinement.is_classification and particles.class_number is not None:
        chosen = particles.class_number == call.part_number
        if not chosen.any():
            return {}
        previous = previous[chosen] if previous is not None and len(previous) == len(views) else None
        views = views[chosen]
    return view_metrics(views, previous, symmetry_rotations(refinement.symmetry))


def _collect_rows(call: ReconstructCall, workspace: Workspace) -> Rows:
    rows: Rows = {}
    for record in read_records(call.folder):
        row = rows.setdefault((record.iteration, record.part), {"corrections": []})
        row["corrections"].append(record)
        row["resolution_angstrom"] = record.metrics.get("resolution_angstrom")
        if "pose_drift" in record.metrics:
            row["pose_motion_degrees"] = record.metrics["pose_drift"]["motion_degrees"]
    for (iteration, part), row in rows.items():
        path = workspace.direction_metrics(iteration, part)
        if path.is_file():
            row.update(read_json_object(path))
    return dict(sorted(rows.items()))


def _write_table(rows: Rows, workspace: Workspace) -> None:
    content = [
        {"iteration": iteration, "part": part, **row, "corrections": [vars(r) for r in row["corrections"]]}
        for (iteration, part), row in rows.items()
    ]
    write_json(
        workspace.folder / TABLE_FILE, {"program": "spisonet", "version": __version__, "rows": content}
    )


def _write_page(rows: Rows, call: ReconstructCall, workspace: Workspace, wording: Wording) -> None:
    records: list[IterationRecord] = [record for row in rows.values() for record in row["corrections"]]
    parts = [paragraph(wording.note)]
    if any(record.metrics.get("initial_reference_to_angstrom") for record in records):
        parts.append(warning(INITIAL_NOTE))
    if any(record.halves == COUPLED for record in records):
        parts.append(warning(COUPLED_NOTE))
    if len({iteration for iteration, _ in rows}) > 1:
        parts.append(_figure(rows, workspace, wording))
    columns = [("resolution_angstrom", wording.column, 2)]
    columns += [column for column in COLUMNS if any(column[0] in row for row in rows.values())]
    head = ["iteration", "", *(title for _, title, _ in columns), "correction"]
    body = [
        [
            str(iteration),
            part,
            *(_cell(row, key, digits) for key, _, digits in columns),
            "; ".join(_brief(record) for record in row["corrections"]),
        ]
        for (iteration, part), row in rows.items()
    ]
    parts += [table(head, body), paragraph(f"spisonet {__version__}")]
    write_page(workspace.folder / PAGE_FILE, f"spisonet: {call.root}", f"Corrections of {call.root}", *parts)


def _cell(row: dict[str, Any], key: str, digits: int) -> str:
    if key.endswith("_direction_angstrom") and key in row and row[key] is None:
        return NOT_REACHED
    return "" if row.get(key) is None else f"{row[key]:.{digits}f}"


def _figure(rows: Rows, workspace: Workspace, wording: Wording) -> str:
    """Draw the progress of the refinement; return the figure as HTML."""
    # matplotlib is slow to import, and RELION waits only for the map.
    from spisonet.figures.refinement import draw_progress  # noqa: PLC0415
    from spisonet.figures.style import save_figure  # noqa: PLC0415

    names = sorted({part for _, part in rows})
    curves = {
        title: {
            name: [
                (iteration, row[key])
                for (iteration, part), row in rows.items()
                if part == name and row.get(key) is not None
            ]
            for name in names
        }
        for key, title in (("resolution_angstrom", wording.panel), *PANELS)
        if any(row.get(key) is not None for row in rows.values())
    }
    path = workspace.folder / FIGURE_FILE
    save_figure(path, draw_progress(curves), vector=True)
    return embedded_figure(path, wording.caption)


def _brief(record: IterationRecord) -> str:
    half = record.half or "all"
    if record.status != CORRECTED:
        status = "skipped" if record.status == SKIPPED else "NOT corrected"
        return f"{half}: {status} ({record.reason.rstrip('.')})"
    percent = 100 * record.metrics["inferred_fraction"]
    return f"{half}: corrected in {record.metrics['seconds']:.0f} s, {percent:.0f} % of the power inferred"
