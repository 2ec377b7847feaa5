"""Correct anisotropic cryo-EM maps and fill the missing wedge of tomograms, by self-supervised learning.

The functions of `spisonet.api` are attributes of this package; they are imported when they are first used.
"""

from importlib import import_module
from typing import Any

__version__ = "2.0.0a1"

_API = (
    "CorrectionResult",
    "Diagnosis",
    "Fsc3d",
    "Fsc3dMetrics",
    "ParticleViews",
    "SpisonetError",
    "Volume",
    "correct_anisotropy",
    "diagnose",
    "estimate_fsc3d",
    "fourier_sampling",
    "read_map",
    "read_particle_views",
    "summarise_fsc3d",
    "write_map",
)


def __getattr__(name: str) -> Any:
    if name in _API:
        return getattr(import_module("spisonet.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_API])
