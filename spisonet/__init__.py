"""Correct anisotropic cryo-EM maps and fill the missing wedge of tomograms, by self-supervised learning.

Functions take paths or arrays and return frozen dataclasses with arrays, numbers and ``plot()``. They write
nothing unless an output is given, report progress to a callback, and log to the logger ``spisonet`` without
configuring it. They are imported when they are first used; ``__init__.pyi`` declares them to type checkers.
"""

from importlib import import_module
from types import FunctionType
from typing import Any

__version__ = "2.0.0"

_MODULES = {
    "spisonet.api.fsc": (
        "FourierShellCorrelation",
        "Fsc3dResult",
        "fourier_shell_correlation",
        "fsc3d",
    ),
    "spisonet.api.held_out": ("HeldOutValidation", "validate"),
    "spisonet.api.maps": ("Map", "read_map", "write_map"),
    "spisonet.api.orientation": ("DiagnosisResult", "FourierSampling", "diagnose", "fourier_sampling"),
    "spisonet.api.reconstruction": ("Reconstruction", "reconstruct"),
    "spisonet.api.tomogram_networks": (
        "TomogramNetwork",
        "TomogramPrediction",
        "predict_tomograms",
        "refine_tomograms",
    ),
    "spisonet.api.tomograms": (
        "DeconvolvedTomogram",
        "PreparedTomograms",
        "TomogramMask",
        "deconvolve_ctf",
        "make_mask",
        "prepare_tomograms",
    ),
    "spisonet.errors": ("SpisonetError",),
    "spisonet.io.events": ("ProgressEvent",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605 - type checkers read __init__.pyi


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        found = getattr(import_module(_MODULE_OF[name]), name)
        if isinstance(found, FunctionType):
            return import_module("spisonet.api.parameters").naming_parameters(found)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
