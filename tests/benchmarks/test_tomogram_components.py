"""Components of a simulated tomogram: what is lost with the missing wedge of its vesicles."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "tomograms"
SHAPE, TILTS = (40, 64, 64), (-60.0, 60.0)


@pytest.fixture
def components(monkeypatch):
    """The script; its neighbours are imported by their names alone."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    yield importlib.import_module("components")
    for name in {"components", "score", "simulate"} - before:
        sys.modules.pop(name, None)


@pytest.fixture
def truth() -> np.ndarray:
    """A thick shell (a vesicle) and a small ball (a molecule), dark."""
    z, y, x = np.indices(SHAPE).astype(np.float32)
    shell = np.abs(np.sqrt((z - 20) ** 2 + (y - 26) ** 2 + (x - 26) ** 2) - 14) < 3
    ball = (z - 20) ** 2 + (y - 52) ** 2 + (x - 54) ** 2 < 16
    return -(shell | ball).astype(np.float32)


def test_the_masks_separate_vesicles_from_molecules(components, truth):
    masks = components.component_masks(truth)
    assert masks["vesicles"][20, 26, 40] == 1
    assert masks["vesicles"][20, 52, 54] == 0
    assert masks["vesicles"] + masks["molecules"] == pytest.approx(1)


def test_only_the_wedge_of_the_component_is_removed(components, truth):
    vesicles = components.component_masks(truth)["vesicles"]
    removed = truth - components.without_wedge(truth, vesicles, TILTS)
    spectrum = np.abs(np.fft.rfftn(removed)) ** 2
    inside = components._wedge(SHAPE, TILTS)
    assert spectrum[inside].sum() > 1e4 * spectrum[~inside].sum()
    bound = {
        name: components.score(components.without_wedge(truth, mask, TILTS), truth, 10.0, TILTS)["missing"]
        for name, mask in components.component_masks(truth).items()
    }
    assert bound["vesicles"] < 0.5
    assert bound["molecules"] > 0.8


def test_shells_of_the_wedge_do_not_overlap(components):
    shells = components.wedge_shells(SHAPE, TILTS)
    assert np.sum(shells, axis=0).max() == 1
    assert all(0 < shell.sum() for shell in shells)
