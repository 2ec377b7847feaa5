"""The missing wedge of a tilt series about ``y``.

A tilt series from ``t1`` to ``t2`` measures every frequency whose direction in the ``(x, z)`` plane is at an
angle of ``t1`` to ``t2`` from ``x``, both included, and the tilt axis. The rest is the missing wedge.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

ON_TILT_AXIS = 1e-4  # cycles per voxel


def measured_by_tilts(
    x: Any, z: Any, tilt_range_degrees: tuple[float, float], backend: ModuleType = np
) -> Any:
    """Tell which frequencies a tilt series measures.

    Parameters
    ----------
    x, z : ndarray or Tensor
        Frequencies across the tilt axis in cycles per voxel, of shapes that broadcast.
    tilt_range_degrees : tuple of float
        First and last tilt, within ±90 degrees.
    backend : module
        Array library of `x` and `z`: ``numpy`` or ``torch``.

    Returns
    -------
    ndarray or Tensor of bool
        False in the missing wedge.
    """
    lowest, highest = (math.radians(tilt) for tilt in tilt_range_degrees)
    # k and -k are measured together, so the half space x >= 0 stands for all.
    tilt = backend.arctan2(backend.where(x < 0, -z, z), backend.abs(x))
    on_axis = x * x + z * z < ON_TILT_AXIS**2
    return ((tilt >= lowest) & (tilt <= highest)) | on_axis


def measured_rfft(shape: tuple[int, ...], tilt_range_degrees: tuple[float, float]) -> NDArray[np.bool_]:
    """Tell which coefficients of a half spectrum a tilt series measures.

    Parameters
    ----------
    shape : tuple of int
        ``(z, y, x)`` of the volume.
    tilt_range_degrees : tuple of float
        First and last tilt, within ±90 degrees.

    Returns
    -------
    ndarray of bool
        ``(z, y, x // 2 + 1)``; False in the missing wedge.
    """
    z, x = np.fft.fftfreq(shape[0])[:, None, None], np.fft.rfftfreq(shape[2])
    measured = measured_by_tilts(x, z, tilt_range_degrees)
    return np.broadcast_to(measured, (shape[0], shape[1], shape[2] // 2 + 1))
