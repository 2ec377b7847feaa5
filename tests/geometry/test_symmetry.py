"""Point groups against the operators that RELION 3.1.3 prints (``relion_symmetry_operators.npz``)."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spisonet.errors import SpisonetError
from spisonet.geometry.symmetry import symmetry_rotations

GOLDEN = np.load(Path(__file__).with_name("relion_symmetry_operators.npz"))
RELION_PRINTED_PRECISION = 2e-5
ORDERS = {
    "C1": 1,
    "C5": 5,
    "D1": 2,
    "D4": 8,
    "T": 12,
    "O": 24,
    "I": 60,
    "I1": 60,
    "I2": 60,
    "I3": 60,
    "I4": 60,
}


def distance(group1, group2):
    """Largest distance from a member of one set to the nearest of the other."""
    pairs = np.abs(group1[:, None] - group2[None]).max(axis=(2, 3))
    return max(pairs.min(axis=0).max(), pairs.min(axis=1).max())


@pytest.mark.parametrize("name", ORDERS)
def test_groups_are_closed_and_proper(name):
    group = symmetry_rotations(name)
    assert len(group) == ORDERS[name]
    np.testing.assert_allclose(group[0], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(group), 1)
    products = np.einsum("aij,bjk->abik", group, group).reshape(-1, 3, 3)
    assert distance(products, group) < 1e-9


@given(n=st.integers(1, 99), letter=st.sampled_from("CDcd"))
@settings(deadline=None)
def test_cyclic_and_dihedral_orders(n, letter):
    group = symmetry_rotations(f"{letter}{n}")
    assert len(group) == n * (2 if letter in "Dd" else 1)
    assert len(np.unique(group.round(6), axis=0)) == len(group)


@pytest.mark.parametrize("name", GOLDEN.files)
def test_groups_equal_those_of_relion(name):
    golden = GOLDEN[name]
    group = symmetry_rotations(name.lower())
    assert len(golden) == len(group)
    assert distance(golden, group) < RELION_PRINTED_PRECISION


@pytest.mark.parametrize("name", ["", "C0", "C100", "X", "I5", "D", "c", "C3 D2", "C-1"])
def test_unknown_symbols(name):
    with pytest.raises(SpisonetError, match="C1 to C99"):
        symmetry_rotations(name)


@pytest.mark.parametrize("name", ["Td", "Th", "Oh", "Ih", "I2H", "C3v", "D5h", "Ci", "Cs", "S4"])
def test_mirror_groups_are_refused(name):
    with pytest.raises(SpisonetError, match="mirrors"):
        symmetry_rotations(name)


@pytest.mark.relion
@pytest.mark.skipif(shutil.which("relion_refine") is None, reason="relion_refine is not on PATH")
@pytest.mark.parametrize("name", ["C6", "D5", "T", "O", "I", "I1", "I3", "I4"])
def test_groups_equal_those_of_the_installed_relion(name):
    printed = subprocess.run(
        ["relion_refine", "--sym", name, "--print_symmetry_ops"], check=True, capture_output=True, text=True
    ).stdout
    rows = []
    for words in map(str.split, printed.splitlines()):
        if len(words) == 3 and words[0].lstrip("-")[0].isdigit():
            rows.append([float(word) for word in words])
    operators = np.array(rows).reshape(-1, 3, 3)
    group = symmetry_rotations(name)
    assert len(operators) == len(group)
    assert distance(operators, group) < RELION_PRINTED_PRECISION
