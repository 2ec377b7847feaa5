"""Errors of the functions for Python programs name their parameters, not the options of the commands."""

from __future__ import annotations

import functools
import inspect
import re
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

P = ParamSpec("P")
R = TypeVar("R")

OPTION = re.compile(r"--(\w+(?:-\w+)*)", re.ASCII)
# Parameters for the options of commands; the first that a function has. Others have the name of the option.
PARAMETERS = {
    **dict.fromkeys(("apix", "pixel_size"), ("voxel_size_angstrom",)),
    **dict.fromkeys(("h", "h1", "i1"), ("half1",)),
    **dict.fromkeys(("h2", "i2"), ("half2",)),
    **dict.fromkeys(("star_file", "star"), ("particles", "tomograms")),
    **dict.fromkeys(("tilt_min", "tilt_max"), ("tilt_range_degrees",)),
    "aniso_file": ("fsc3d",),
    "cone_angle": ("cone_angle_degrees",),
    "defocus": ("defocus_angstrom",),
    "folder": ("run",),
    "folder_name": ("folder",),
    "gpuID": ("device",),
    "high_res": ("high_resolution_angstrom",),
    "limit_res": ("limit_resolution_angstrom",),
    "low_res": ("low_resolution_angstrom",),
    "mask_file": ("mask",),
    "memory_limit": ("memory_limit_gigabytes",),
    "model": ("network",),
    "ncpus": ("threads",),
    "number_subset": ("max_particles",),
    "pose_drift_particles": ("max_drift_particles",),
    "sym": ("symmetry",),
    "tilt_step": ("tilt_step_degrees",),
    "turns": ("rotations",),
    "with_predict": ("predict",),
}


@functools.cache
def naming_parameters(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function whose errors name its parameters where they named options."""
    own = inspect.signature(function).parameters

    def parameter_of(option: str) -> str:
        name = option.replace("-", "_")
        return next((each for each in (name, *PARAMETERS.get(name, ())) if each in own), name)

    @functools.wraps(function)
    def named(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except SpisonetError as error:
            error.args = (OPTION.sub(lambda found: parameter_of(found[1]), str(error)),)
            if error.field is not None and error.field not in kwargs:
                error.field = parameter_of(error.field)
            raise

    return named


def require_known(function: str, options: dict[str, Any], known: Collection[str]) -> None:
    """Refuse options that a function does not have.

    Raises
    ------
    SpisonetError
        Naming the first one.
    """
    if unknown := sorted(set(options) - set(known)):
        raise SpisonetError(
            f"{function} has no option {unknown[0]}; beside its arguments it takes "
            f"{', '.join(sorted(known))}.",
            code="invalid_option",
            field=unknown[0],
        )
