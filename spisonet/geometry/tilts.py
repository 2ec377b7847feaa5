"""Geometry of tilt series.

In the convention of IsoNet and RELION the tilt axis is ``y``. A projection at tilt ``t`` is taken along
``(-sin t, 0, cos t)`` in the frame of the tomogram, and measures the plane of Fourier space that contains
``(cos t, 0, sin t)`` and the tilt axis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# By tilt axis, if the beam is the second axis of its plane.
QUARTER_TURNS = {"x": "by 90° about z ", "z": "by 90° about x (IMOD: trimvol -rx) "}


def projection_directions(y_tilt_degrees: ArrayLike, x_tilt_degrees: ArrayLike = 0.0) -> NDArray[np.float64]:
    """Directions of projection in the frame of the tomogram.

    Parameters
    ----------
    y_tilt_degrees : array_like
        ``(n,)`` tilts about ``y`` in degrees.
    x_tilt_degrees : array_like
        ``(n,)`` tilts about ``x`` in degrees, applied first.

    Returns
    -------
    ndarray
        ``(n, 3)`` unit vectors ``(x, y, z)``: the third row of ``Ry(y) Rx(x)``, the rotation from the
        tomogram to the tilt image (a rotation about ``z`` leaves it as it is).
    """
    y, x = np.broadcast_arrays(*(np.radians(np.asarray(t, float)) for t in (y_tilt_degrees, x_tilt_degrees)))
    return np.stack([-np.sin(y), np.cos(y) * np.sin(x), np.cos(y) * np.cos(x)], axis=-1)


def tilt_series_directions(
    lowest_degrees: float, highest_degrees: float, step_degrees: float
) -> NDArray[np.float64]:
    """Directions of projection ``(n, 3)`` of evenly spaced tilts about ``y``, both ends included."""
    return projection_directions(np.arange(lowest_degrees, highest_degrees + step_degrees / 2, step_degrees))


def slice_directions(tilt_degrees: ArrayLike) -> NDArray[np.float64]:
    """Directions ``(..., 2)`` ``(x, z)`` in the plane normal to the tilt axis that projections measure."""
    tilt = np.radians(np.asarray(tilt_degrees, float))
    return np.stack([np.cos(tilt), np.sin(tilt)], axis=-1)


def rotation_to_convention(tilt_axis: str | None) -> str:
    """Return what to do with a tomogram tilted about ``x`` or ``z``, or about an inclined axis (None)."""
    turn = "" if tilt_axis is None else QUARTER_TURNS.get(tilt_axis, "")
    return f"rotate the volume {turn}such that the tilt axis is y and the beam z"
