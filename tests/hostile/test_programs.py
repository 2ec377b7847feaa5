"""Programs end on hostile inputs with a result or a sentence, and leave inputs and folder as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.generators import variants_of
from tests.hostile.inputs import (
    DECONVOLVE,
    DIAGNOSE_PARTICLES,
    HOOK,
    NULL_TEST,
    PREDICT,
    READERS,
    REFINE,
    RESCUE,
    START,
    VALIDATE,
    write_inputs,
)
from tests.hostile.programs import run_on
from tests.hostile.sandbox import Sandbox

N_VARIANTS = 2
# Whose valid runs take many seconds; ``make fuzz`` runs them.
LONG = (HOOK, REFINE, PREDICT, START, VALIDATE, NULL_TEST, RESCUE, DECONVOLVE, DIAGNOSE_PARTICLES)
QUICK = {slot: [r for r in readers if r not in LONG] for slot, (_, readers) in READERS.items()}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


@pytest.mark.parametrize("slot", [slot for slot, readers in QUICK.items() if readers])
def test_hostile_inputs_end_in_order(sandbox, project, tmp_path, slot):
    rng = random.Random(slot)
    variants = list(variants_of(READERS[slot][0], (project / slot).read_bytes()))
    for variant in rng.sample(variants, N_VARIANTS):
        outcome = run_on(sandbox, project, tmp_path / "case", rng.choice(QUICK[slot]), slot, variant)
        assert not outcome.fault, (variant[0], outcome)


def test_defects_are_recognised(sandbox, project, tmp_path):
    """The judgement itself: a program that changes an input does not pass."""
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "half.mrc").write_bytes((project / "half1.mrc").read_bytes())
    words = ("whitening", "half.mrc", "--high_res", "6", "--low_res", "16", "--o")
    assert sandbox.run(folder, "spisonet.py", *words, "new.mrc").fault == ""
    other = ("whitening", "half.mrc", "--high_res", "7", "--low_res", "16", "--o")
    assert sandbox.run(folder, "spisonet.py", *other, "new.mrc").fault.startswith("changed inputs")
    assert sandbox.run(folder, "spisonet.py", *words, "other.mrc", seconds=0.0).fault.startswith("no end")
