"""Atomic models: reading, placing in a map, density, and scores as B factors."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from spisonet.errors import SpisonetError
from spisonet.validation.model import model_density, positions_in_map, read_model, write_scored_model

pytest.importorskip("gemmi")
import gemmi

from tests.validation.helix import VOXEL_SIZE, empty, write_helix


@pytest.fixture
def helix(tmp_path):
    return read_model(write_helix(tmp_path / "helix.cif"))


def test_density_is_where_the_atoms_are(helix):
    density = model_density(helix, empty())
    centre = np.array([np.average(axis, weights=density) for axis in np.indices(density.shape)])
    mean = positions_in_map(helix, empty()).mean(axis=0)[::-1]
    assert centre == pytest.approx(mean, abs=0.1)


@pytest.mark.parametrize("header", [{"origin_angstrom": (7.0, -3.0, 12.0)}, {"nstart": (4, -2, 8)}])
def test_the_maps_header_places_the_model(tmp_path, header):
    shift = header.get("origin_angstrom") or tuple(VOXEL_SIZE * n for n in header["nstart"])
    moved = read_model(write_helix(tmp_path / "moved.cif", shift))
    there = model_density(moved, empty(**header))
    here = model_density(read_model(write_helix(tmp_path / "here.cif")), empty())
    assert np.abs(there - here).max() < 1e-3 * here.max()


def test_scores_are_written_as_b_factors(helix, tmp_path):
    scores = np.linspace(-0.2, 0.9, len(helix.positions_xyz))
    write_scored_model(tmp_path / "scored.cif", helix, scores)
    again = gemmi.read_structure(str(tmp_path / "scored.cif"))
    read = [atom.b_iso for chain in again[0] for residue in chain for atom in residue]
    assert read == pytest.approx(scores, abs=0.01)


def test_a_model_elsewhere_is_refused(tmp_path):
    far = read_model(write_helix(tmp_path / "far.cif", (500.0, 0, 0)))
    with pytest.raises(SpisonetError, match="outside"):
        model_density(far, empty())


def test_without_gemmi_a_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gemmi", None)
    with pytest.raises(SpisonetError, match=r"spisonet\[model\]"):
        read_model(write_helix(tmp_path / "helix.cif"))
