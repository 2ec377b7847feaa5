"""Scripts that show a finished run in ChimeraX and PyMOL: before, after, and what is inferred."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.figures.surfaces import enclosing_level
from spisonet.fourier.grids import irfft3, rfft3
from spisonet.fourier.windows import soft_lowpass_weights
from spisonet.io.atomic import write_text
from spisonet.io.mrc import Volume, write_volume
from spisonet.report.inferred import INFERRED_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.validation.finished_run import FinishedRun

CHIMERAX_FILE, PYMOL_FILE = "view.cxc", "view.pml"
BEFORE_FILE = "input_filtered.mrc"
LOWPASS_WIDTH_SHELLS = 1.0
COLOURS = {0.0: "#2166ac", 0.5: "#f7f7f7", 1.0: "#b2182b"}  # measured to inferred
BEFORE_COLOUR, AXIS_COLOUR = "#999999", "#444444"
# ChimeraX: numbers that the models of an open session hardly have. The axis belongs to its map, because
# models that are rotated independently rotate about the centres of what is shown of them.
BEFORE, AFTER, INFERRED = 901, 902, 903
AXIS = 10  # among the models within a map, of which its surfaces are the first
AXIS_RADIUS_FRACTION, AXIS_LENGTH_FRACTION = 0.006, 0.55  # of the box


@dataclass(frozen=True)
class ViewerScene:
    """What the scripts show; paths are relative to the folder of the scripts.

    Attributes
    ----------
    before, after : str
        Input map and corrected map, low-pass filtered alike.
    before_level, after_level : float
        Densities of isosurfaces that enclose the same volume.
    inferred : str or None
        Map of the inferred fraction in 0..1; None if the run wrote none.
    centre_angstrom : tuple of float
        Centre of the box ``(x, y, z)``.
    box_angstrom : float
        Edge of the box.
    limit_angstrom : float
        Resolution limit of the correction.
    """

    before: str
    after: str
    before_level: float
    after_level: float
    inferred: str | None
    centre_angstrom: tuple[float, float, float]
    box_angstrom: float
    limit_angstrom: float


def write_viewer_scripts(run: FinishedRun) -> list[Path]:
    """Write the filtered input map and both scripts into the folder of a run.

    The full map is shown if there is one, otherwise the corrected map of the single input.

    Returns
    -------
    list of Path
        The scripts.
    """
    full, average = run.full_map, run.average_map
    before = run.input_maps.half1 if average is None or full is None else average
    name = run.record["corrected_maps"][0] if full is None else run.record["full_map"]["corrected"]
    after = run.filtered_path(name)
    filtered = before.with_data(lowpass_filtered(before, run.limit_angstrom))
    write_volume(run.folder / BEFORE_FILE, filtered, "spisonet: input map, low-pass filtered")
    corrected = run.corrected_maps.half1 if full is None else full
    shown = lowpass_filtered(corrected, run.limit_angstrom)
    inferred = run.folder / INFERRED_FILE
    x, y, z = (float(start) + (before.box // 2) * before.voxel_size_angstrom for start in _origin(before))
    scene = ViewerScene(
        BEFORE_FILE,
        os.path.relpath(after, run.folder),
        enclosing_level(filtered.data, run.mask),
        enclosing_level(shown, run.mask),
        INFERRED_FILE if inferred.is_file() else None,
        (x, y, z),
        before.box * before.voxel_size_angstrom,
        run.limit_angstrom,
    )
    scripts = {CHIMERAX_FILE: chimerax_script(scene), PYMOL_FILE: pymol_script(scene)}
    for script, text in scripts.items():
        write_text(run.folder / script, text)
    return [run.folder / script for script in scripts]


def lowpass_filtered(volume: Volume, limit_angstrom: float) -> NDArray[np.float32]:
    """Return a map ``(n, n, n)`` that is low-pass filtered at a resolution in Å."""
    n = volume.box
    shell = min(n * volume.voxel_size_angstrom / limit_angstrom, n // 2)
    weights = soft_lowpass_weights(n, shell, LOWPASS_WIDTH_SHELLS)
    return irfft3((rfft3(volume.data) * weights).astype(np.complex64), volume.data.shape)


def chimerax_script(scene: ViewerScene) -> str:
    """Return ChimeraX commands: the maps beside each other, turning together, each with the axis z.

    ChimeraX runs a script in the folder of the script, and keeps what is open.
    """
    before, after, inferred = f"#{BEFORE}", f"#{AFTER}", f"#{INFERRED}"
    lines = [
        "# Before (left) and after (right), at levels that enclose the same volume.",
        "# Blue is measured, red is inferred. Open with: chimerax view.cxc",
        "set bgColor white",
        f'open "{scene.before}" id {before}',
        f'open "{scene.after}" id {after}',
        f"rename {before} before",
        f"rename {after} after",
        f"volume {before} style surface step 1 level {scene.before_level:.6g} color {BEFORE_COLOUR}",
        f"volume {after} style surface step 1 level {scene.after_level:.6g} color {BEFORE_COLOUR}",
    ]
    if scene.inferred is not None:
        palette = ":".join(f"{fraction:g},{colour}" for fraction, colour in COLOURS.items())
        lines += [
            f'open "{scene.inferred}" id {inferred}',
            f"rename {inferred} inferred_fraction",
            f"volume {inferred} hide",
            f"color sample {after} map {inferred} palette {palette} key true",
        ]
    x, y, z = scene.centre_angstrom
    reach, radius = AXIS_LENGTH_FRACTION * scene.box_angstrom, AXIS_RADIUS_FRACTION * scene.box_angstrom
    ends = [f"{x:.2f},{y:.2f},{end:.2f}" for end in (z - reach, z + reach)]
    lines += [
        f"shape cylinder radius {radius:.2f} fromPoint {ends[0]} toPoint {ends[1]} color {AXIS_COLOUR} "
        f"name z_axis modelId {map_model}.{AXIS}"
        for map_model in (before, after)
    ]
    lines += [
        "camera ortho",
        "graphics silhouettes true",
        "view orient",
        "turn x -90",
        f"tile {before},{AFTER} columns 2",
        "",
    ]
    return "\n".join(lines)


def pymol_script(scene: ViewerScene) -> str:
    """Return PyMOL commands: both surfaces in a grid of two, that after coloured by the inferred fraction."""
    lines = [
        "# Before (left) and after (right), at levels that enclose the same volume.",
        "# Blue is measured, red is inferred. Open in this folder with: pymol view.pml",
        "set normalize_ccp4_maps, 0",
        "set grid_mode, 1",
        "bg_color white",
        f"load {scene.before}, before_map, 0, ccp4",
        f"load {scene.after}, after_map, 0, ccp4",
        f"isosurface before, before_map, {scene.before_level:.6g}",
        f"isosurface after, after_map, {scene.after_level:.6g}",
        "color grey60, before",
    ]
    if scene.inferred is None:
        lines.append("color grey60, after")
    else:
        rgb = [[round(int(c[i : i + 2], 16) / 255, 3) for i in (1, 3, 5)] for c in COLOURS.values()]
        lines += [
            f"load {scene.inferred}, inferred_fraction, 0, ccp4",
            f"ramp_new inferred, inferred_fraction, {list(COLOURS)}, {rgb}",
            "set surface_color, inferred, after",
            "disable inferred",
        ]
    lines += [
        "set grid_slot, 1, before",
        "set grid_slot, 2, after",
        "orient after",
        "turn x, -90",
        "zoom after",
        "",
    ]
    return "\n".join(lines)


def _origin(volume: Volume) -> tuple[float, float, float]:
    """Return the position of the first voxel ``(x, y, z)`` in Å, as ChimeraX and PyMOL read it."""
    if any(volume.origin_angstrom):
        x, y, z = volume.origin_angstrom
        return float(x), float(y), float(z)
    x, y, z = (start * volume.voxel_size_angstrom for start in volume.nstart)
    return float(x), float(y), float(z)
