"""Whether the corrected halves are independent, and what an FSC between them means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spisonet.anisotropy.independence import NETWORK, HalvesIndependence
from spisonet.figures.reconstruction import NO_CLAIM

if TYPE_CHECKING:
    from spisonet.anisotropy.config import ReconstructConfig
    from spisonet.validation.finished_run import FinishedRun

COUPLED = f"halves coupled: {NO_CLAIM}"
SAME_CONSTRAINTS = f"halves completed with the same mask and weight: {NO_CLAIM}"
COUPLED_INPUT = (
    "The input half maps were already corrected by one network and are not independent; inferred signal "
    "counts as measured."
)


def label_of_halves(run: FinishedRun) -> str:
    """Return a short label of an FSC between the corrected halves; empty for a single map.

    Halves that were corrected independently have independent noise, but mask, weight and positivity put the
    same into their unmeasured directions, where they agree whether it is right or wrong.
    """
    if run.config.i2 is None:
        return ""
    return COUPLED if run.halves_coupled else SAME_CONSTRAINTS


def note_on_independence(config: ReconstructConfig, record: dict[str, Any]) -> str:
    """Return sentences on the independence of the corrected halves.

    Parameters
    ----------
    config : ReconstructConfig
        Options of the run.
    record : dict
        Content of its ``job.json``.
    """
    halves = HalvesIndependence.from_record(record["halves"])
    if halves.independent is None:
        return "A single map was corrected; signal and noise cannot be separated independently."
    if halves.independent:
        note = (
            "Each half was deconvolved separately, without a network."
            if config.method == "deconvolve"
            else "Each half was corrected by a network that was trained on this half only."
        )
        if halves.shared:  # numbers only, no densities
            names = ", ".join(name.replace("_", " ") for name in halves.shared)
            note += f" Measured with both halves: {names}."
        return (
            f"{note} In unmeasured directions the halves agree because mask and weight are the same: an FSC "
            "between them does not measure resolution there."
        )
    if NETWORK not in halves.shared:
        return "The halves share start weights or a reference: the corrected halves are NOT independent."
    return (
        "One network was trained on both halves: the corrected halves are NOT independent, and an FSC "
        "between them overestimates the resolution. Use --independent if an FSC will be read from them."
    )
