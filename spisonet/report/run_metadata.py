"""Report section: options, results and command line of a run."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from spisonet import __version__
from spisonet.anisotropy.config import ReconstructConfig
from spisonet.anisotropy.run_inputs import UNMEASURED_DEFINITION
from spisonet.io.config import command_words
from spisonet.learning.training_end import epochs_sentence
from spisonet.report.page import code_block, metadata_table, paragraph
from spisonet.report.section import Section

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.validation.finished_run import FinishedRun


def run_metadata_section(run: FinishedRun, page: Path) -> Section:
    """Report how the maps were made."""
    # As it was run: a model may have been given to the report only.
    config = ReconstructConfig.from_options(run.record["config"])
    words = shlex.join(["spisonet.py", *command_words(config)])
    metadata = run_metadata(run.config, run.record) | {"Seed": str(run.config.seed)}
    return Section(
        "Run", {"command": words}, [metadata_table(metadata), paragraph("Command:"), code_block(words)]
    )


def run_summary(run: FinishedRun) -> dict[str, str]:
    """Return date, duration, box and voxel size of a run."""
    half = run.input_maps.half1
    return {
        "Maps": ", ".join(path.name for path in (run.config.i1, run.config.i2) if path),
        "Box": f"{half.box}³ voxels of {half.voxel_size_angstrom:.4g} Å",
        "Resolution limit": f"{run.limit_angstrom:.2f} Å",
        **date_and_duration(run.record),
    }


def date_and_duration(record: dict[str, Any]) -> dict[str, str]:
    """Return when a run was written (UTC) and how long it took, as far as its ``job.json`` has them."""
    rows = {}
    if record.get("written"):
        rows["Date"] = f"{datetime.fromisoformat(record['written']).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if record.get("seconds"):
        rows["Duration"] = duration_text(record["seconds"])
    return rows


def duration_text(seconds: float) -> str:
    """Return a duration in hours, minutes or seconds."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def run_metadata(config: ReconstructConfig, record: dict[str, Any]) -> dict[str, str]:
    """Return names and values that summarise a run.

    Parameters
    ----------
    config : ReconstructConfig
        Options of the run.
    record : dict
        Content of its ``job.json``.
    """
    method = "deconvolution with the directional transfer function, without a network"
    if config.method == "prior":
        method = "network trained on other structures, without training"
    elif config.method == "learn":
        method = f"network, {config.objective}, {config.epochs} epochs of {config.n_subvolume} subvolumes"
        ends = record.get("training_ends", {})
        method += "".join(f"; {name}: {epochs_sentence(end)}" for name, end in ends.items())
    libraries = [f"{name} {number}" for name, number in record.get("libraries", {}).items()]
    limit = record["limit_resolution_angstrom"]
    full_map = (record.get("full_map") or {}).get("corrected")
    return {
        "Half maps": ", ".join(str(path) for path in (config.i1, config.i2) if path),
        "Mask": str(config.mask or "none"),
        "Anisotropy": str(config.aniso_file or "3D FSC of the half maps (FSC3D.mrc)"),
        "Resolution limit": f"{limit:.2f} Å (beyond it the maps are unchanged)",
        "Unmeasured": f"{100 * record['unmeasured_fraction']:.0f} % of Fourier space to the resolution limit "
        f"({UNMEASURED_DEFINITION})",
        "Method": method,
        **_shares(record.get("prediction_shares", {})),
        **_gains(record.get("inferred_gains", {}), record.get("corrected_by_shell", [])),
        **_factors(record.get("data_factors", {})),
        **({} if full_map is None else {"Corrected full map": f"{full_map} (the map to build into)"}),
        "Corrected half maps": ", ".join(record["corrected_maps"]),
        "Program": ", ".join(
            [f"spisonet {record.get('version', __version__)}", *libraries, f"on {record['device']}"]
        ),
    }


def _shares(of_units: dict[str, dict[str, float]]) -> dict[str, str]:
    """Return a row with the shares of the predictions, if any were measured."""
    names = {"prior": "network trained on other structures", "trained": "network trained on these maps"}
    lines = []
    for unit, shares in of_units.items():
        parts = [f"{names[name]} {share:.2f}" for name, share in shares.items()]
        if parts:
            parts.append(f"mask and positivity constraints {1 - sum(shares.values()):.2f}")
            lines.append(f"{unit}: {', '.join(parts)}")
    return {"Shares in the inferred part, by a held-out cone": "; ".join(lines)} if lines else {}


def _gains(of_units: dict[str, list[float] | None], corrected_by_shell: list[float]) -> dict[str, str]:
    """Return a row with the range of the gains in corrected shells, if any were measured."""
    lines = []
    for unit, gains in of_units.items():
        corrected = [gain for gain, part in zip(gains or [], corrected_by_shell, strict=False) if part > 0]
        if corrected:
            lines.append(f"{unit}: {min(corrected):.2f} to {max(corrected):.2f}")
    return {"Gain of the inferred part by shell, by a held-out cone": "; ".join(lines)} if lines else {}


def _factors(of_units: dict[str, dict[str, float]]) -> dict[str, str]:
    """Return a row with the factors of the data, if any were measured."""
    lines = [
        f"{unit}: {factors['well_measured']:.2f} in the best measured directions of a shell, "
        f"{factors['poorly_measured']:.2f} in poorly measured ones"
        for unit, factors in of_units.items()
        if set(factors.values()) != {1.0}
    ]
    return (
        {"Factor of the signal-to-noise ratio of the data, by the other half": "; ".join(lines)}
        if lines
        else {}
    )
