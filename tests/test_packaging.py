"""Recipes and metadata of a release agree with the package."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import spisonet

ROOT = Path(__file__).parents[1]
PACKAGING = ROOT / "packaging"
NAMES_IN_CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
SECTIONS = {"arguments", "files", "post", "runscript", "test", "labels", "help"}  # of an Apptainer definition

pytestmark = pytest.mark.checkout


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("CITATION.cff", r"^version: (.*)$"),
        ("packaging/conda/recipe.yaml", r'^  version: "(.*)"$'),
        ("packaging/spisonet.def", r"image\.version (.*)$"),
        ("CHANGELOG.md", r"^## (\S+)"),
    ],
)
def test_a_release_has_one_version(name, pattern):
    found = re.search(pattern, text(name), re.MULTILINE)
    assert found is not None
    assert found[1] == spisonet.__version__


def test_the_archive_has_version_licence_and_keywords_of_the_package():
    record = json.loads(text(".zenodo.json"))
    assert record["version"] == spisonet.__version__
    assert record["license"] == project()["license"]
    assert set(project()["keywords"]) <= set(record["keywords"])
    dois = {entry["identifier"] for entry in record["related_identifiers"]}
    assert dois == set(re.findall(r"doi: (\S+)", text("CITATION.cff")))


def test_the_conda_recipe_needs_what_the_package_needs():
    listed = re.search(r"^  run:\n((?:    - .*\n)+)", text("packaging/conda/recipe.yaml"), re.MULTILINE)
    assert listed is not None
    recipe = {line.strip(" -").replace(" ", "") for line in listed[1].splitlines()}
    extras = project()["optional-dependencies"]
    needed = [*project()["dependencies"], *extras["model"], *extras["gui"]]
    names = [re.match(r"[\w-]+", requirement)[0] for requirement in needed]
    renamed = {r.replace(n, NAMES_IN_CONDA.get(n, n), 1) for r, n in zip(needed, names, strict=True)}
    assert recipe == renamed | {f"python{project()['requires-python']}"}


def test_the_conda_recipe_makes_the_same_programs():
    entries = re.findall(r"^      - (\S+) = (\S+)$", text("packaging/conda/recipe.yaml"), re.MULTILINE)
    assert dict(entries) == project()["scripts"]


def test_containers_copy_files_that_exist_and_that_the_build_context_contains():
    docker, apptainer = text("packaging/Dockerfile"), text("packaging/spisonet.def")
    copied = {name for line in re.findall(r"^COPY (.*)$", docker, re.MULTILINE) for name in line.split()[:-1]}
    allowed = {line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")}
    files = re.search(r"^%files\n((?:    .*\n)+)", apptainer, re.MULTILINE)
    assert files is not None
    assert copied == allowed == {line.split()[0] for line in files[1].splitlines()}
    assert all((ROOT / name).exists() for name in copied)


def test_the_apptainer_definition_has_known_sections_and_valid_scripts():
    parts = re.split(r"^%(\w+)\n", text("packaging/spisonet.def"), flags=re.MULTILINE)
    assert parts[0].split("\n\n")[0].startswith("# ")
    assert re.search(r"^Bootstrap: docker\nFrom: \S+$", parts[0], re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert sections.keys() == SECTIONS
    for name in ("post", "runscript", "test"):
        subprocess.run(["sh", "-n"], input=sections[name], text=True, check=True)


def test_every_supported_python_is_tested():
    versions = re.findall(r"Python :: (3\.\d+)", "\n".join(project()["classifiers"]))
    matrix = re.search(r"python: \[(.*)\]", text(".github/workflows/checks.yml"))
    assert matrix is not None
    assert re.findall(r"\d\.\d+", matrix[1]) == versions
    assert project()["requires-python"] == f">={versions[0]}"
