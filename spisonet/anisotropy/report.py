"""The report of a correction: one self-contained HTML page."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING, Any

from spisonet import __version__
from spisonet.io.atomic import atomic_path

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.anisotropy.config import ReconstructConfig

CAPTIONS = {
    "slices.png": "Central slices before and after the correction, in the same grey scale.",
    "fourier.png": "Central Fourier slices. Where the measurement weight is 1 the data are kept as measured; "
    "where it is 0 the amplitudes after the correction are inferred by the network.",
    "fsc.png": "Fourier shell correlations. Correlation between corrected halves is no measure of resolution "
    "unless each half was corrected alone, and even then both networks share one architecture.",
    "loss.png": "Training loss per epoch.",
}
STYLE = (
    "body{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
    "img{max-width:100%}figure{margin:2em 0}figcaption{color:#555}"
    "td{padding:.15em 1em .15em 0;vertical-align:top}.note{background:#fff3d6;padding:.6em 1em}"
)


def write_report(folder: Path, config: ReconstructConfig, outcome: dict[str, Any]) -> Path:
    """Write ``report.html`` with the run's facts and figures.

    Parameters
    ----------
    folder : Path
        The run's output folder, which holds the figures.
    config : ReconstructConfig
        What was asked for.
    outcome : dict
        What the run found, as in ``job.json``.
    """
    facts = {
        "Half maps": ", ".join(str(path) for path in (config.i1, config.i2) if path),
        "Mask": str(config.mask or "none"),
        "Anisotropy": str(config.aniso_file or "3D FSC computed from the half maps (FSC3D.mrc)"),
        "Resolution limit": f"{outcome['limit_resolution_angstrom']:.2f} Å; what is finer is the input's",
        "Not measured": f"{100 * outcome['hidden_fraction']:.0f} % of Fourier space up to the limit",
        "Training": f"{config.objective}, {config.epochs} epochs of {config.n_subvolume} crops",
        "Corrected maps": ", ".join(outcome["corrected_maps"]),
        "Program": f"spisonet {__version__}, on {outcome['device']}",
    }
    if outcome["halves_independent"]:
        note = "Each half was corrected by a network that saw this half alone."
        if config.aniso_file is None:
            note += " The 3D FSC that says what was measured, and the limit, come from both halves."
    elif config.i2 is None:
        note = "One map was corrected; nothing here tells signal from noise independently."
    elif config.independent:
        note = "The halves share start weights or a reference, so the corrected halves are NOT independent."
    else:
        note = (
            "One network learned from both halves, so the corrected halves are NOT independent: an FSC "
            "between them overstates the resolution. Use --independent where an FSC will be read from them."
        )
    rows = "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in facts.items())
    figures = "".join(_figure(folder / name) for name in outcome["figures"])
    page = (
        f"<!doctype html><html lang='en'><meta charset='utf-8'>"
        f"<title>spisonet: {escape(str(config.i1))}</title>"
        f"<style>{STYLE}</style><h1>Anisotropy correction</h1><table>{rows}</table>"
        f"<p class='note'>{escape(note)}</p>{figures}</html>"
    )
    path = folder / "report.html"
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _figure(path: Path) -> str:
    image = base64.b64encode(path.read_bytes()).decode("ascii")
    caption = escape(CAPTIONS[path.name])
    picture = f"<img alt='{caption}' src='data:image/png;base64,{image}'>"
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"
