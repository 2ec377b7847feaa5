"""The command ``reference``: a model fitted into a map, and its faults."""

import numpy as np
import pytest

from spisonet.commands.main import main
from spisonet.commands.reference import REFUSED_CORRELATION
from spisonet.io.mrc import Volume, read_volume, write_volume
from spisonet.validation.rigid_fit import RigidFit
from tests.validation.asymmetric_model import BOX, CENTRE, VOXEL_SIZE, anisotropic_map, positions, write_model


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model in the frame of a map, and the map."""
    monkeypatch.chdir(tmp_path)
    path = write_model(tmp_path / "model.cif", positions() + CENTRE)
    volume = anisotropic_map(path)
    write_volume(tmp_path / "half1.mrc", Volume(volume.data, VOXEL_SIZE, nstart=START))
    return tmp_path


@pytest.fixture
def fitted(monkeypatch):
    """Replace the fit by one of given correlations, at the position of the model."""

    def use(correlation, mirror, agreement=1.0):
        def fit(model, volume, resolution, _sym):
            return RigidFit(model, np.eye(3), np.zeros(3), correlation, mirror, resolution, agreement)

        monkeypatch.setattr("spisonet.commands.reference.fit_model", fit)

    return use


def run(*words):
    try:
        main(["reference", *map(str, words)])
    except SystemExit as stop:
        return stop.code or 0
    return 0


START = (4, 5, 6)
LINE = ("model.cif", "--like", "half1.mrc", "--resolution", "20")


def test_the_reference_is_on_the_grid_of_the_map(folder, fitted, capsys):
    fitted(0.8, 0.6)
    # The model moves by the start of the map in voxels, as its frame does.
    write_model(folder / "model.cif", positions() + CENTRE + VOXEL_SIZE * np.array(START))
    assert run(*LINE, "-o", "new/reference.mrc") == 0
    reference, volume = read_volume(folder / "new" / "reference.mrc"), read_volume(folder / "half1.mrc")
    assert (reference.box, reference.voxel_size_angstrom, reference.nstart) == (BOX, VOXEL_SIZE, START)
    assert "model.cif fitted and filtered at 20 A" in reference.labels[-1]
    assert np.corrcoef(reference.data.ravel(), volume.data.ravel())[0, 1] > 0.5
    text = " ".join(capsys.readouterr().out.split())
    assert "correlation 0.80 to 20 Å; mirror image of the model 0.60" in text
    assert "features finer than 20 Å come from the data only" in text


def test_a_poor_fit_and_a_better_mirror_image_are_warned_of(folder, fitted, capsys):
    fitted(0.4, 0.5)
    assert run(*LINE) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "correlation 0.40 to 20 Å; mirror image of the model 0.50" in text
    assert "The fit is poor" in text
    assert "the map may have the wrong hand" in text
    fitted(0.6, 0.5)
    assert run(*LINE) == 0
    text = capsys.readouterr().out
    assert "poor" not in text
    assert "wrong hand" not in text


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("none.cif", *LINE[1:]), "none.cif does not exist"),
        (("empty.cif", *LINE[1:]), "empty.cif is not a readable atomic model"),
        (("model.cif", "--like", "none.mrc"), "none.mrc does not exist"),
        (("model.cif", "--like", "nosize.mrc"), "nosize.mrc"),
        ((*LINE[:-1], "6"), "beyond Nyquist"),
        ((*LINE, "-o", "half1.mrc"), "half1.mrc is also an input"),
        ((*LINE, "-o", "model.cif"), "model.cif is also an input"),
        ((*LINE[:-1], "100"), "fewer than 3 shells"),
        (LINE, "model.cif does not fit into half1.mrc"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(folder, fitted, capsys, words, complaint):
    if words == LINE:
        fitted(REFUSED_CORRELATION - 0.01, 0.1)
    (folder / "empty.cif").write_text("")
    write_volume(folder / "nosize.mrc", Volume(read_volume(folder / "half1.mrc").data, 0.0))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert run(*words) == 1
    sentence = capsys.readouterr().err
    assert complaint in sentence
    assert sentence.count("\n") == 1
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_model_without_the_point_group_is_refused(folder, fitted, capsys):
    fitted(0.8, 0.6, agreement=0.3)
    assert run(*LINE, "--sym", "c3") == 1
    assert "model.cif, fitted into half1.mrc, does not have the symmetry C3" in " ".join(
        capsys.readouterr().err.split()
    )
    assert not (folder / "reference.mrc").exists()
