"""Captions of figures, for every report that shows them."""

from __future__ import annotations

# By the file names of a reconstruct run; see `correction_caption`.
_CORRECTION = {
    "full_map.png": "Central slices of the average of the half maps and of the corrected full map, in the "
    "same grey scale.",
    "slices.png": "Central slices of {map} before and after the correction, in the same grey scale.",
    "fourier.png": "Central Fourier slices of {map} before and after the correction, and of the data weight "
    "(dashed: resolution limit). Data are kept as measured where the data weight is 1; amplitudes "
    "after the correction are inferred where it is 0.",
    "fsc.png": "Fourier shell correlations between the half maps before and after the correction, and "
    "between each map before and after. The FSC between corrected halves does not measure resolution: their "
    "unmeasured regions are filled by the same network, or by the same mask and weight.",
    "loss.png": "Mean training loss per epoch.",
}
_SINGLE_MAP_FSC = "Fourier shell correlation between the map before and after the correction."
_SURFACES = "Isosurfaces of {map} before and after, at levels that enclose the same volume."
FULL_MAP_SURFACES = (
    "Isosurfaces of the average of the half maps (before) and of the corrected full map (after), at levels "
    "that enclose the same volume."
)
INFERRED = (
    "Fraction of the power of the corrected map that is inferred: by resolution (line: whole shells; band: "
    "range over cones of 15° in all directions) and over the hemisphere of directions seen along z."
)
HELD_OUT = (
    "Held-out cones, mean of all. Left: FSC between the prediction from half map 1 and raw half map 2; the "
    "ceiling is the FSC of a perfect prediction, given the noise of half map 2. Right: their ratio."
)
UNCERTAINTY = (
    "Fraction of the power of the corrected map that is expected error of the prediction, by resolution and "
    "direction."
)
DIRECTIONAL_FSC = (
    "FSC of the half maps by direction, in cones of 20°, before and after ({label}). With a mask, all curves "
    "are corrected for it; the global curve and the mean of the directions are also shown without correction."
)
DECONVOLVED = (
    "Half map 1: input (top), corrected by the network (middle), and deconvolved without a network (bottom), "
    "in the same grey scale. Detail that appears only in the middle row is inferred by the network alone."
)
MODEL_FSC = "FSC between half map 1 and the model, over all directions and by direction, before and after."
MODEL_Q_SCORES = (
    "Mean Q-score of each residue, before and after. {file} contains the scores after the correction as B "
    "factors (ChimeraX: color bfactor)."
)
DIAGNOSIS = (
    "Top: FSC of the half maps, over all directions and by direction. Below: hemispheres seen along z "
    "(equal area; x to the right, y up; rings at polar angles of 30°, 60° and 90°); density relative to "
    "even views. A view samples the plane in Fourier space that is perpendicular to it. Directions that are "
    "sampled but not measured indicate misalignment."
)
POSE_DRIFT = (
    "Log-likelihood of each half set's particles given the other half's map, along the most likely "
    "collective motion. A maximum at 0 means that the poses have not drifted."
)
VIEWS_BEFORE_AFTER = (
    "View distribution before and after the correction of the poses: hemispheres seen along z (equal area; "
    "x to the right, y up; rings at polar angles of 30°, 60° and 90°)."
)
POSE_SURFACES = (
    "Isosurfaces of the average of the half maps, reconstructed from the poses before and after their "
    "correction, at levels that enclose the same volume."
)
POSE_FSC = (
    "FSC of the half maps by direction, in cones of 20°, before and after the correction of the poses. "
    "Half maps that have drifted alike agree too well, so that the FSC can fall when the poses are corrected."
)


def correction_caption(name: str, single_map: bool) -> str:
    """Return the caption of a figure of a reconstruct run by its file name.

    Parameters
    ----------
    name : str
        ``full_map.png``, ``slices.png``, ``fourier.png``, ``fsc.png`` or ``loss.png``.
    single_map : bool
        Whether a single map was corrected instead of two half maps.
    """
    if name == "fsc.png" and single_map:
        return _SINGLE_MAP_FSC
    return _CORRECTION[name].format(map=_map_name(single_map))


def surfaces_caption(single_map: bool) -> str:
    """Return the caption of isosurfaces of the first map; see `correction_caption`."""
    return _SURFACES.format(map=_map_name(single_map))


def _map_name(single_map: bool) -> str:
    return "the map" if single_map else "half map 1"
