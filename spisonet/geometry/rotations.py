"""Rotations of the cube, random rotations, and rotations of particle orientations.

A rotation is a 3 × 3 matrix that acts on column vectors ``(x, y, z)`` and has determinant +1.
"""

from __future__ import annotations

from itertools import permutations, product
from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

POLE_SINE = 1e-7  # of tilts that are 0 or 180 degrees


SUPER_FIBONACCI_PSI = 1.533751168755204288118041  # the real root of psi^4 = psi + 4


def cube_rotations() -> NDArray[np.float64]:
    """Return the rotations that map a cubic grid onto itself.

    Returns
    -------
    ndarray
        ``(24, 3, 3)`` signed permutation matrices of determinant +1, the identity first.
    """
    matrices = []
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[np.arange(3), order] = signs
            if np.linalg.det(matrix) > 0:
                matrices.append(matrix)
    return np.stack(matrices)


def tetrahedral_rotations() -> NDArray[np.float64]:
    """Return the 12 rotations of the cube that permute its axes cyclically.

    ``(12, 3, 3)``, the identity first. Each axis is mapped onto each of the three axes equally often.
    """
    rotations = cube_rotations()
    return cast("NDArray[np.float64]", rotations[np.linalg.det(np.abs(rotations)) > 0])


def half_turns() -> NDArray[np.float64]:
    """Return the identity and the half turns about x, y and z, ``(4, 3, 3)``."""
    return np.stack([np.diag(signs) for signs in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))]).astype(
        float
    )


def random_rotations(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw uniformly distributed rotations (Haar measure of SO(3)).

    Parameters
    ----------
    n : int
        Number of rotations.
    rng : numpy.random.Generator
        Random number generator.

    Returns
    -------
    ndarray
        ``(n, 3, 3)``.

    References
    ----------
    Shoemake (1992) Graphics Gems III, 124-132: a normalised Gaussian 4-vector is a uniform unit
    quaternion.
    """
    quaternion = rng.normal(size=(n, 4))
    return _quaternion_matrices(quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True))


def uniform_rotations(n: int) -> NDArray[np.float64]:
    """Return rotations that sample SO(3) nearly uniformly, on a super-Fibonacci spiral.

    Parameters
    ----------
    n : int
        Number of rotations; the angle between neighbours is about ``(8 pi^2 / n)^(1/3)`` radians.

    Returns
    -------
    ndarray
        ``(n, 3, 3)``.

    References
    ----------
    Alexa (2022) CVPR, 8291-8300.
    """
    index = np.arange(n) + 0.5
    inner, outer = np.sqrt(index / n), np.sqrt(1 - index / n)
    alpha = 2 * np.pi * index / np.sqrt(2)
    beta = 2 * np.pi * index / SUPER_FIBONACCI_PSI
    parts = inner * np.sin(alpha), inner * np.cos(alpha), outer * np.sin(beta), outer * np.cos(beta)
    return _quaternion_matrices(np.stack(parts, axis=1))


def _quaternion_matrices(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrices ``(n, 3, 3)`` of unit quaternions ``(n, 4)`` ``(w, x, y, z)``."""
    w, x, y, z = quaternion.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return cast("NDArray[np.float64]", np.moveaxis(np.array(rows), -1, 0))


def relion_rotation_matrices(rot: ArrayLike, tilt: ArrayLike, psi: ArrayLike) -> NDArray[np.float64]:
    """Return the matrices of RELION's Euler angles, equal to its ``Euler_angles2matrix``.

    Parameters
    ----------
    rot, tilt, psi : array_like
        Angles in degrees, ``(n,)`` or scalars.

    Returns
    -------
    ndarray
        ``(n, 3, 3)`` matrices ``A = Rz(-psi) Ry(-tilt) Rz(-rot)`` from the map to the frame of the
        particle's image. The z axis of the image frame is the direction of projection.

    References
    ----------
    Heymann, Chagoyen & Belnap (2005) J. Struct. Biol. 151, 196-207 (ZYZ convention).
    """
    angles = np.broadcast_arrays(*(np.atleast_1d(np.radians(np.asarray(a, float))) for a in (rot, tilt, psi)))
    (cos_rot, cos_tilt, cos_psi), (sin_rot, sin_tilt, sin_psi) = np.cos(angles), np.sin(angles)
    rows = [
        [
            cos_psi * cos_tilt * cos_rot - sin_psi * sin_rot,
            cos_psi * cos_tilt * sin_rot + sin_psi * cos_rot,
            -cos_psi * sin_tilt,
        ],
        [
            -sin_psi * cos_tilt * cos_rot - cos_psi * sin_rot,
            -sin_psi * cos_tilt * sin_rot + cos_psi * cos_rot,
            sin_psi * sin_tilt,
        ],
        [sin_tilt * cos_rot, sin_tilt * sin_rot, cos_tilt],
    ]
    return cast("NDArray[np.float64]", np.moveaxis(np.array(rows), -1, 0))


def relion_euler_angles(rotations: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return RELION's Euler angles of matrices, the inverse of `relion_rotation_matrices`.

    Parameters
    ----------
    rotations : ndarray
        ``(n, 3, 3)`` matrices from the map to the frame of the image.

    Returns
    -------
    ndarray
        ``(n, 3)`` rot, tilt and psi in degrees: tilt in 0..180, the others in -180..180. Where the tilt is 0
        or 180, only a sum of rot and psi is determined, and rot is 0.
    """
    a = np.asarray(rotations, dtype=np.float64)
    sine = np.hypot(a[:, 2, 0], a[:, 2, 1])
    at_pole = sine < POLE_SINE
    rot = np.where(at_pole, 0.0, np.arctan2(a[:, 2, 1], a[:, 2, 0]))
    psi = np.where(
        at_pole,
        np.arctan2(a[:, 0, 1], a[:, 1, 1]),
        np.arctan2(a[:, 1, 2], -a[:, 0, 2]),
    )
    tilt = np.arctan2(np.where(at_pole, 0.0, sine), a[:, 2, 2])
    return np.asarray(np.degrees(np.stack([rot, tilt, psi], axis=1)))


def rotation_vector_matrices(vectors: ArrayLike) -> NDArray[np.float64]:
    """Return the matrices of rotation vectors (axis times angle in radians), by Rodrigues' formula.

    Parameters
    ----------
    vectors : array_like
        ``(n, 3)``, each ``(x, y, z)``.

    Returns
    -------
    ndarray
        ``(n, 3, 3)``.
    """
    vectors = np.asarray(vectors, dtype=np.float64).reshape(-1, 3)
    angle = np.linalg.norm(vectors, axis=1)
    x, y, z = (vectors / np.where(angle > 0, angle, 1.0)[:, None]).T
    zero = np.zeros_like(x)
    cross = np.moveaxis(np.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]]), -1, 0)
    sine, versine = np.sin(angle)[:, None, None], (1 - np.cos(angle))[:, None, None]
    return cast("NDArray[np.float64]", np.eye(3) + sine * cross + versine * (cross @ cross))


def view_directions(rotations: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the directions of projection in the frame of the map.

    Parameters
    ----------
    rotations : ndarray
        ``(n, 3, 3)`` matrices from the map to the image frame.

    Returns
    -------
    ndarray
        ``(n, 3)`` unit vectors ``(x, y, z)``: the z axis of the image frame, the third row of the matrix.
    """
    return np.asarray(rotations[:, 2, :], dtype=np.float64)
