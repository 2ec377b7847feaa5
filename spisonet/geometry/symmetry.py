"""Rotational point groups in RELION's conventions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.geometry.rotations import rotation_vector_matrices

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALLOWED_SYMMETRIES = "C1 to C99, D1 to D99, T, O, I, I1, I2, I3 or I4"
SAME_ROTATION_TOLERANCE = 1e-6

GOLDEN_RATIO = (1 + 5**0.5) / 2
# Two generators of each polyhedral group, as (order, axis). RELION's I is I2.
POLYHEDRAL_GENERATORS: dict[str, tuple[tuple[int, tuple[float, float, float]], ...]] = {
    "T": ((3, (0, 0, 1)), (2, (0, 2**0.5, 1))),
    "O": ((4, (0, 0, 1)), (4, (1, 0, 0))),
    "I1": ((2, (0, 0, 1)), (5, (GOLDEN_RATIO, 0, 1))),
    "I2": ((2, (0, 0, 1)), (5, (1, 0, GOLDEN_RATIO))),
    "I3": ((5, (0, 0, 1)), (5, (-2, 0, 1))),
    "I4": ((5, (0, 0, 1)), (5, (2, 0, 1))),
}
CYCLIC_OR_DIHEDRAL = re.compile(r"([CD])([1-9]\d?)")
MIRROR_GROUP = re.compile(r"CI|CS|[CD]\d+[VH]|S\d+|T[DH]|OH|I\d?H")


def symmetry_rotations(name: str) -> NDArray[np.float64]:
    """Return the rotations of a point group.

    Parameters
    ----------
    name : str
        Symbol as RELION spells it, in either case. Cn has its axis on z; Dn another 2-fold on x;
        T a 3-fold on z; O its 4-folds on x, y and z; I1 and I2 (also called I) have 2-folds on
        x, y and z, I3 and I4 a 5-fold on z.

    Returns
    -------
    ndarray
        ``(n, 3, 3)``, the identity first.

    Raises
    ------
    SpisonetError
        If the symbol is unknown or names a group with mirrors.

    References
    ----------
    The operators equal those that ``relion_refine --sym NAME --print_symmetry_ops`` prints.
    """
    symbol = name.strip().upper()
    if MIRROR_GROUP.fullmatch(symbol):
        raise SpisonetError(
            f"Symmetry {name} contains mirrors or an inversion, which proteins cannot have; "
            f"use {ALLOWED_SYMMETRIES}."
        )
    if match := CYCLIC_OR_DIHEDRAL.fullmatch(symbol):
        cyclic = _axis_rotations(int(match[2]), (0, 0, 1))
        if match[1] == "C":
            return cyclic
        return np.concatenate([cyclic, cyclic @ _axis_rotations(2, (1, 0, 0))[1]])
    generators = POLYHEDRAL_GENERATORS.get("I2" if symbol == "I" else symbol)
    if generators is None:
        raise SpisonetError(f"Symmetry {name} is unknown; use {ALLOWED_SYMMETRIES}.")
    return _closure([_axis_rotations(order, axis)[1] for order, axis in generators])


def _axis_rotations(order: int, axis: tuple[float, float, float]) -> NDArray[np.float64]:
    angles = 2 * np.pi * np.arange(order) / order
    return rotation_vector_matrices(np.outer(angles, np.array(axis) / np.linalg.norm(axis)))


def _closure(generators: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    group = [np.eye(3)]
    for element in group:  # the list grows during the loop
        for generator in generators:
            product = element @ generator
            if all(np.abs(product - known).max() > SAME_ROTATION_TOLERANCE for known in group):
                group.append(product)
    return np.stack(group)
