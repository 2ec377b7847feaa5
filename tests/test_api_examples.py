"""The examples in the docstrings of the Python interface run as they are written."""

from __future__ import annotations

import doctest
import shutil
from importlib import import_module
from pathlib import Path

import pytest

import spisonet
from tests.anisotropy.small_case import make_case
from tests.tomography.simulation import slab_of_rods, with_missing_wedge, write_mrc

EXAMPLE = Path(__file__).parents[1] / "examples" / "subtomograms"
TRAINED = ("reconstruct", "validate")
FUNCTIONS = [name for name in spisonet.__all__ if name == name.lower()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files that the examples name."""
    folder = tmp_path_factory.mktemp("examples")
    for name in ("half1.mrc", "half2.mrc", "mask.mrc", "particles.star"):
        shutil.copy(EXAMPLE / name, folder)
    tomograms = folder / "tomograms"
    tomograms.mkdir()
    truth = slab_of_rods((32, 48, 48), 20, 0)
    write_mrc(tomograms / "TS_01.mrc", with_missing_wedge(truth, 0.5, 0))
    return folder


def test_the_functions_are_those_of_the_documentation():
    assert set(FUNCTIONS) == {
        *("fourier_shell_correlation", "fsc3d", "diagnose", "reconstruct", "validate", "fourier_sampling"),
        *("prepare_tomograms", "deconvolve_ctf", "make_mask", "refine_tomograms", "predict_tomograms"),
        *("read_map", "write_map"),
    }


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory):
    """A folder with smaller half maps, for examples that train."""
    folder = tmp_path_factory.mktemp("small")
    make_case(folder)
    return folder


@pytest.mark.parametrize("name", sorted(FUNCTIONS, key=lambda name: name == "predict_tomograms"))
def test_an_example_runs(name, folder, small_folder, monkeypatch):
    """In the order of a work-flow: the network of `refine_tomograms` is used by `predict_tomograms`."""
    monkeypatch.chdir(small_folder if name in TRAINED else folder)
    function = getattr(spisonet, name)
    module = import_module(function.__module__)
    (example,) = doctest.DocTestFinder(recurse=False).find(function, name, module, globs={})
    assert example.examples, "no example"
    out: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=out.append)
    assert not out, "".join(out)
