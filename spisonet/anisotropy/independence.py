"""Independence of two corrected half maps: as data in ``job.json``, and as a token in header labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spisonet.io.labels import COUPLED, INDEPENDENT, SINGLE, label_with_tokens

if TYPE_CHECKING:
    from typing import Self

NETWORK, START_WEIGHTS = "network", "start_weights"
REFERENCE, FOURIER_WEIGHTS = "reference", "fourier_weights"
INFERRED_GAIN, DATA_FACTORS, PREDICTION_SHARES = "inferred_gain", "data_factors", "prediction_shares"
COUPLING = frozenset({NETWORK, START_WEIGHTS, REFERENCE})  # the others contain no density

# What corrected each half, by method.
HOW_CORRECTED = {
    "learn": "one network per half",
    "prior": "pretrained network",
    "deconvolve": "deconvolved",
}


@dataclass(frozen=True)
class HalvesIndependence:
    """Whether the noise of two corrected half maps is independent, and what both were corrected with.

    Attributes
    ----------
    independent : bool or None
        None for a single map.
    shared : tuple of str
        Any of ``network`` (trained on both halves), ``start_weights`` (of their networks), ``reference``
        (whose low resolutions replace theirs), and of the numbers that were measured with both halves:
        ``fourier_weights``, ``inferred_gain``, ``data_factors`` and ``prediction_shares``.
    """

    independent: bool | None
    shared: tuple[str, ...] = ()

    @classmethod
    def of_shared(cls, n_maps: int, *shared: str | None) -> Self:
        """Return the independence of `n_maps` maps that share these; None is left out."""
        if n_maps == 1:
            return cls(None)
        names = tuple(dict.fromkeys(name for name in shared if name is not None))
        return cls(COUPLING.isdisjoint(names), names)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Read it from the entry ``halves`` of ``job.json``."""
        return cls(record["independent"], tuple(record["shared"]))

    def as_record(self) -> dict[str, Any]:
        """Return the entry ``halves`` of ``job.json``."""
        return {"independent": self.independent, "shared": list(self.shared)}

    def label(self, method: str) -> str:
        """Return the header label of maps that were corrected by a method of ``reconstruct``."""
        if self.independent is None:
            return label_with_tokens("spisonet: anisotropy corrected from this map alone", halves=SINGLE)
        if NETWORK in self.shared:
            return label_with_tokens("spisonet: one network was trained on both halves", halves=COUPLED)
        if not self.independent:
            return label_with_tokens("spisonet: halves share start weights or a reference", halves=COUPLED)
        how = HOW_CORRECTED[method]
        weights = "common Fourier weights" if FOURIER_WEIGHTS in self.shared else "no data shared"
        return label_with_tokens(f"spisonet: {how}, {weights}", halves=INDEPENDENT)
