"""The summary of a refinement's corrections: resolution, directions and views, by iteration."""

from __future__ import annotations

import json
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from relion_external.process import available_cores
from relion_external.workspace import CORRECTED, PLAIN, WAITED, IterationRecord, Workspace, read_records
from spisonet import __version__
from spisonet.analysis.fsc3d import estimate_fsc3d, summarise_fsc3d
from spisonet.errors import SpisonetError
from spisonet.geometry.rotations import view_directions
from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.io.atomic import atomic_path, write_json
from spisonet.io.mrc import Volume, read_volume, write_volume
from spisonet.io.particles import read_particle_orientations

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from relion_external.call import ReconstructCall
    from relion_external.refinement import Refinement
    from spisonet.misalignment.backprojection import BackProjector

CONE_ANGLE_DEGREES = 20.0
NEAR_DEGREES = 30.0
TABLE_FILE, PAGE_FILE = "summary.json", "summary.html"
SAID = {WAITED: "left alone", PLAIN: "NOT corrected"}
STYLE = (
    "body{font-family:sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse}td,th{padding:.2em .8em;border-bottom:1px solid #ddd;text-align:right}"
    "td.what{text-align:left;min-width:16em}.note{background:#fff3d6;padding:.6em 1em}"
    "svg{max-width:100%;height:auto}"
    "figure{display:inline-block;margin:1em 1em 1em 0}figcaption{color:#555;max-width:30em}"
)
JOINT_NOTE = (
    "Both halves were corrected by one network in some iterations (ISONET_JOINT), so they are NOT "
    "independent: the FSC of this refinement overestimates its resolution."
)
INITIAL_NOTE = (
    "Both halves kept the initial reference's low resolutions in some iterations (ISONET_KEEP_LOWRES): up to "
    "there they are not independent, as in the first iteration of any refinement from one reference."
)
ALIGNMENT_NOTE = (
    "The corrected maps serve the alignment alone. The final half maps and their FSC are RELION's own, from "
    "the particles at their final poses."
)


def write_summary(
    call: ReconstructCall, refinement: Refinement, workspace: Workspace, sums: BackProjector
) -> None:
    """Bring the summary of a job up to date; half 1 does it, with what both halves left before.

    Parameters
    ----------
    call : ReconstructCall
        Of this iteration.
    refinement : Refinement
        As it stood before.
    workspace : Workspace
        Where the summary goes.
    sums : BackProjector
        Of this half, whose map without correction is kept until the next iteration.
    """
    voxel_size = refinement.pixel_size_angstrom
    if voxel_size is None:
        return
    if call.half is not None:
        write_volume(
            workspace.plain(call.iteration, call.half),
            Volume(sums.reconstruct(regularised=False), voxel_size),
        )
    if call.half == 2:
        return
    before = call.iteration - 1
    facts = _view_facts(call, refinement, workspace, before)
    pair = [workspace.plain(before, half) for half in (1, 2)]
    records = [r for r in read_records(call.folder) if r.iteration == before]
    ends = [r.facts["last_shell"] for r in records if "last_shell" in r.facts]
    if ends and all(path.is_file() for path in pair):
        facts |= _direction_facts(pair, refinement, voxel_size, min(ends))
    for path in pair:
        path.unlink(missing_ok=True)
    if facts:
        write_json(workspace.directions(before), facts)
    _write_table_and_page(call, workspace)


def _direction_facts(
    pair: list[Path], refinement: Refinement, voxel_size: float, last_shell: int
) -> dict[str, Any]:
    """Directional FSC of two half maps up to the end of their sums, in a few numbers."""
    half1, half2 = (read_volume(path, voxel_size).data for path in pair)
    mask = None
    if refinement.mask is not None:
        mask = read_volume(refinement.mask, voxel_size).data
    try:
        fsc = estimate_fsc3d(half1, half2, mask, voxel_size, None, CONE_ANGLE_DEGREES, available_cores())
    except SpisonetError:  # nothing correlates yet
        return {}
    # Beyond, both hold only what the mask leaks there, which correlates.
    ended = [curves.copy() for curves in (fsc.directional_curves, fsc.cfar_curves)]
    for curves in ended:
        curves[:, last_shell:] = 0
    metrics = summarise_fsc3d(replace(fsc, directional_curves=ended[0], cfar_curves=ended[1]))
    best, worst = (float(f(metrics.directional_0143_angstrom)) for f in (np.min, np.max))
    return {
        "best_direction": best,
        "worst_direction": worst,
        "sphericity": metrics.sphericity,
        "cfar": metrics.cfar,
    }


def _view_facts(
    call: ReconstructCall, refinement: Refinement, workspace: Workspace, iteration: int
) -> dict[str, Any]:
    """Where the particles are seen from after an iteration, and how far that moved since the last."""
    path, kept = call.named(iteration, "data.star"), workspace.views(iteration)
    if not path.is_file() or kept.is_file():  # another class has been here
        return {}
    views = view_directions(read_particle_orientations(path).rotations)
    with atomic_path(kept) as temporary:
        np.save(temporary, views.astype(np.float32))
    mates = symmetry_rotations(refinement.symmetry)
    _, vectors = np.linalg.eigh(sum(mate @ (views.T @ views) @ mate.T for mate in mates))
    axis = vectors[:, -1] * (1 if vectors[2, -1] >= 0 else -1)
    axes = np.broadcast_to(axis, views.shape)
    cosine = np.maximum(max_over_mates(views, axes, mates), max_over_mates(views, -axes, mates))
    angles = np.degrees(np.arccos(np.minimum(cosine, 1)))
    facts = {
        "preferred_axis": [round(float(component), 3) for component in axis],
        "median_angle": float(np.median(angles)),
        "share_near_axis": float(np.mean(angles < NEAR_DEGREES)),
    }
    before = workspace.views(iteration - 1)
    if before.is_file():
        others = np.load(before)
        before.unlink()
        if len(others) == len(views):
            # Of the symmetry mates, the nearest.
            cosine = max_over_mates(views, others, mates)
            facts["median_change"] = float(np.degrees(np.median(np.arccos(np.clip(cosine, -1, 1)))))
    return facts


def max_over_mates(
    views: NDArray[np.floating], others: NDArray[np.floating], mates: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Largest cosine ``(n,)`` between views and the symmetry mates of others, both ``(n, 3)``."""
    best = np.full(len(views), -1.0)
    for mate in mates:
        best = np.maximum(best, np.einsum("ij,ij->i", views, others @ mate.T))
    return best


def _write_table_and_page(call: ReconstructCall, workspace: Workspace) -> None:
    records = read_records(call.folder)
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for record in records:
        row = rows.setdefault((record.iteration, record.part), {"corrections": []})
        row["corrections"].append(record)
        row["resolution"] = record.facts.get("resolution")
    for (iteration, part), row in rows.items():
        path = workspace.directions(iteration, part)
        if path.is_file():
            row.update(json.loads(path.read_text(encoding="utf-8")))
    table = [
        {"iteration": iteration, "part": part, **row, "corrections": [vars(r) for r in row["corrections"]]}
        for (iteration, part), row in sorted(rows.items())
    ]
    write_json(workspace.folder / TABLE_FILE, {"program": "spisonet", "version": __version__, "rows": table})
    with atomic_path(workspace.folder / PAGE_FILE) as temporary:
        temporary.write_text(_page(call.root, rows, records), encoding="utf-8")


COLUMNS = (
    ("resolution", "FSC of RELION, Å", 2),
    ("best_direction", "best direction, Å", 1),
    ("worst_direction", "worst direction, Å", 1),
    ("sphericity", "sphericity", 3),
    ("cfar", "cFAR", 3),
    ("median_angle", "median angle of views from their axis, °", 1),
    ("share_near_axis", f"share within {NEAR_DEGREES:.0f}°", 3),
    ("median_change", "views moved by, °", 1),
)


def _page(root: str, rows: dict[tuple[int, str], dict[str, Any]], records: list[IterationRecord]) -> str:
    header = "".join(f"<th>{escape(title)}</th>" for _, title, _ in COLUMNS)
    body = []
    for (iteration, part), row in sorted(rows.items()):
        cells = "".join(
            f"<td>{row[name]:.{digits}f}</td>" if row.get(name) is not None else "<td></td>"
            for name, _, digits in COLUMNS
        )
        what = "<br>".join(escape(_short(record)) for record in row["corrections"])
        body.append(
            f"<tr><td>{iteration}</td><td>{escape(part)}</td>{cells}<td class='what'>{what}</td></tr>"
        )
    parts = sorted({part for _, part in rows})
    figures = "".join(
        _chart(
            [
                (i, row[name])
                for (i, p), row in sorted(rows.items())
                if p == part and row.get(name) is not None
            ],
            f"{title} ({part})" if len(parts) > 1 else title,
        )
        for part in parts
        for name, title in (
            ("resolution", "Resolution by RELION's FSC, Å"),
            ("sphericity", "Sphericity of the plain half maps' 3D FSC"),
            ("median_angle", "Median angle of the views from their axis, °"),
            ("median_change", "Change of the views since the last iteration, °"),
        )
    )
    notes = [ALIGNMENT_NOTE]
    notes += [
        text
        for name, text in (("kept", INITIAL_NOTE), ("joint", JOINT_NOTE))
        if any(record.facts.get(name) for record in records)
    ]
    note = "".join(f"<p class='note'>{escape(text)}</p>" for text in notes)
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        f"<title>spisonet: {escape(root)}</title><style>{STYLE}</style>"
        f"<h1>Corrections of {escape(root)}</h1>{note}{figures}<table><tr><th>iteration</th><th></th>{header}"
        f"<th>correction</th></tr>{''.join(body)}</table><p>spisonet {__version__}</p></html>"
    )


def _short(record: IterationRecord) -> str:
    who = record.half or "all"
    if record.outcome != CORRECTED:
        return f"{who}: {SAID[record.outcome]} ({record.reason.rstrip('.')})"
    inferred = 100 * record.facts["inferred"]
    return f"{who}: corrected in {record.facts['seconds']:.0f} s, {inferred:.0f} % inferred"


def _chart(points: list[tuple[int, float]], title: str) -> str:
    """Line chart of a figure by iteration, as SVG."""
    if len(points) < 2:
        return ""
    width, height, left, base = 360, 170, 45, 145
    x, y = (np.array(values, dtype=float) for values in zip(*points, strict=True))
    low, high = float(y.min()), float(y.max())
    span = high - low or 1.0
    px = left + (x - x[0]) / max(x[-1] - x[0], 1) * (width - left - 15)
    py = base - (y - low) / span * (base - 20)
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(px, py, strict=True))
    dots = "".join(f"<circle cx='{a:.1f}' cy='{b:.1f}' r='2.5'/>" for a, b in zip(px, py, strict=True))
    return (
        f"<figure><svg viewBox='0 0 {width} {height}' width='{width}' role='img' font-size='11'>"
        f"<path d='M{left},15V{base}H{width - 10}' fill='none' stroke='#999'/>"
        f"<text x='{left - 5}' y='24' text-anchor='end'>{high:.3g}</text>"
        f"<text x='{left - 5}' y='{base}' text-anchor='end'>{low:.3g}</text>"
        f"<text x='{left}' y='{height - 8}'>{int(x[0])}</text>"
        f"<text x='{width - 15}' y='{height - 8}' text-anchor='end'>iteration {int(x[-1])}</text>"
        f"<polyline points='{line}' fill='none' stroke='#1f5fa8' stroke-width='1.5'/>"
        f"<g fill='#1f5fa8'>{dots}</g></svg><figcaption>{escape(title)}</figcaption></figure>"
    )
