"""Agreement of maps with an atomic model."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from spisonet.commands.main import main
from spisonet.errors import SpisonetError
from spisonet.io.mrc import Volume, read_volume, write_volume
from spisonet.validation.model import model_density, positions_in_map, read_model, write_scored_model
from spisonet.validation.model_comparison import compare_with_model
from spisonet.validation.q_score import q_scores

gemmi = pytest.importorskip("gemmi")

BOX, VOXEL_SIZE = 40, 1.5


def write_helix(path, shift=(0.0, 0.0, 0.0), n_residues=24):
    """Write an alanine helix along z about the centre of the box, displaced by a shift in Å."""
    structure, model, chain = gemmi.Structure(), gemmi.Model(1), gemmi.Chain("A")
    centre = BOX * VOXEL_SIZE / 2
    for number in range(n_residues):
        residue = gemmi.Residue()
        residue.name, residue.seqid = "ALA", gemmi.SeqId(str(number + 1))
        for name, element, radius, turn, rise in (
            ("N", "N", 1.55, 0, 0.0),
            ("CA", "C", 2.28, 28, 0.9),
            ("C", "C", 1.68, 56, 2.0),
            ("O", "O", 2.0, 60, 3.2),
            ("CB", "C", 3.3, 10, 1.3),
        ):
            angle = np.radians(100 * number + turn)
            atom = gemmi.Atom()
            atom.name, atom.element, atom.b_iso = name, gemmi.Element(element), 20.0
            z = centre + 1.5 * (number - n_residues / 2) + rise
            x, y = centre + radius * np.cos(angle), centre + radius * np.sin(angle)
            atom.pos = gemmi.Position(x + shift[0], y + shift[1], z + shift[2])
            residue.add_atom(atom)
        chain.add_residue(residue)
    model.add_chain(chain)
    structure.add_model(model)
    structure.make_mmcif_document().write_file(str(path))
    return path


@pytest.fixture
def helix(tmp_path):
    return read_model(write_helix(tmp_path / "helix.cif"))


def empty(box=BOX, voxel_size=VOXEL_SIZE, **header):
    return Volume(np.zeros((box,) * 3, np.float32), voxel_size, **header)


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


def test_a_model_agrees_with_its_own_map_and_not_with_a_smeared_one(helix):
    density = model_density(helix, empty())
    volume = Volume(density, VOXEL_SIZE)
    own = compare_with_model(volume, helix, density, None, 3.5, 1)
    assert own.mean_fsc == pytest.approx(1, abs=1e-4)
    # Smeared along z, as views along z alone leave it.
    spectrum = np.fft.fftn(density)
    k = np.fft.fftfreq(BOX)
    spectrum[np.abs(k) > 0.1] *= 0.02
    rng = np.random.default_rng(0)
    noisy = np.fft.ifftn(spectrum).real + 0.05 * density.std() * rng.normal(size=density.shape)
    smeared = compare_with_model(Volume(noisy.astype(np.float32), VOXEL_SIZE), helix, density, None, 3.5, 1)
    assert smeared.mean_fsc < own.mean_fsc
    assert smeared.directional_05_angstrom.max() > 2 * smeared.directional_05_angstrom.min()
    assert smeared.q_scores.mean() < own.q_scores.mean() - 0.1


def test_q_score_of_an_atom_in_its_reference_is_one():
    """A lone Gaussian of 0.6 Å is what the score compares with; a wider one is less like an atom."""
    voxel_size, centre = 0.25, 20
    distance2 = sum((axis - centre) ** 2 for axis in np.indices((41,) * 3)) * voxel_size**2
    position = np.full((1, 3), float(centre))

    def score(sigma):
        density = (5 * np.exp(-distance2 / (2 * sigma**2)) + 3).astype(np.float32)
        return float(q_scores(Volume(density, voxel_size), position)[0])

    assert score(0.6) == pytest.approx(1, abs=2e-3)
    assert score(0.6) > score(1.0) > score(2.0)
    flat_noise = np.random.default_rng(0).normal(size=(41, 41, 41)).astype(np.float32)
    assert abs(float(q_scores(Volume(flat_noise, voxel_size), position)[0])) < 0.5


def test_neighbours_do_not_count_as_an_atoms_own_surroundings():
    """Two atoms 1.5 Å apart: points beyond the middle belong to the other one."""
    voxel_size = 0.25
    z, y, x = np.indices((41,) * 3)
    density = sum(
        np.exp(-((x - cx) ** 2 + (y - 20) ** 2 + (z - 20) ** 2) * voxel_size**2 / 0.72) for cx in (17, 23)
    )
    both = np.array([[17.0, 20, 20], [23.0, 20, 20]])
    volume = Volume(density.astype(np.float32), voxel_size)
    assert q_scores(volume, both).min() > q_scores(volume, both[:1])[0]


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


def halves_of_helix(folder, helix):
    rng = np.random.default_rng(1)
    density = model_density(helix, empty())
    density /= density.std()
    for number in (1, 2):
        noisy = (density + 0.3 * rng.normal(size=density.shape)).astype(np.float32)
        write_volume(folder / f"half{number}.mrc", Volume(noisy, VOXEL_SIZE))
    distance2 = sum((axis - BOX / 2) ** 2 for axis in np.indices((BOX,) * 3))
    write_volume(folder / "mask.mrc", Volume((distance2 < 17**2).astype(np.float32), VOXEL_SIZE))


def test_the_report_compares_with_a_model(tmp_path, helix):
    halves_of_helix(tmp_path, helix)
    out = tmp_path / "out"
    halves = [str(tmp_path / f"half{number}.mrc") for number in (1, 2)]
    common = ["--mask", str(tmp_path / "mask.mrc"), "--limit_res", "4", "--method", "deconvolve"]
    main(["reconstruct", *halves, *common, "--output_dir", str(out), "--model", str(helix.path)])
    found = json.loads((out / "report.json").read_text(encoding="utf-8"))["model"]
    assert 0.3 < found["after"]["mean_q_score"] <= 1
    assert found["after"]["mean_fsc"] > 0.5
    assert (out / "report_model_q.cif").is_file()
    assert "Comparison with an atomic model" in (out / "report.html").read_text(encoding="utf-8")
    assert read_volume(out / "corrected_half1.mrc").box == BOX


@pytest.mark.parametrize("words", ["does not exist", "contains no atoms", "outside"])
def test_an_unusable_model_is_refused_before_anything_is_written(tmp_path, helix, capsys, words):
    halves_of_helix(tmp_path, helix)
    bad = tmp_path / "bad.cif"
    if words == "contains no atoms":
        bad.write_text("data_x\n", encoding="utf-8")
    elif words == "outside":
        write_helix(bad, (500.0, 0, 0))
    halves = [str(tmp_path / f"half{number}.mrc") for number in (1, 2)]
    with pytest.raises(SystemExit) as stop:
        main(["reconstruct", *halves, "--model", str(bad), "--output_dir", str(tmp_path / "out")])
    assert stop.value.code == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
