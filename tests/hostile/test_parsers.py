"""Parsers of files from outside end on any content with a result or a sentence."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.hostile.fuzz import CORPUS, KINDS, mutated, verdict
from tests.hostile.generators import variants_of
from tests.hostile.inputs import write_inputs
from tests.hostile.parsers import PARSERS, corpus, samples

N_VARIANTS, N_MUTATIONS = 10, 4


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The valid content of each parser's file."""
    project = tmp_path_factory.mktemp("inputs")
    write_inputs(project)
    return samples(project)


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_any_content_is_read_or_refused(valid, name):
    rng = random.Random(name)
    contents = [c for _, c in variants_of(KINDS.get(name, ""), valid[name]) if isinstance(c, bytes)]
    chosen = rng.sample(contents, min(N_VARIANTS, len(contents)))
    chosen += [mutated(valid[name], [valid[name]], rng) for _ in range(N_MUTATIONS)]
    for content in chosen:
        error = verdict(PARSERS[name], content)
        assert error is None, (content[:200], error)


@pytest.mark.parametrize(("name", "content"), list(corpus(CORPUS)))
def test_contents_that_failed_once(name, content):
    assert verdict(PARSERS[name], content) is None


def test_a_fault_of_a_parser_is_found():
    """A parser with a defect fails this suite."""

    def defective(path: Path) -> object:
        return path.read_bytes()[0]

    parser = type(PARSERS["map"])(defective, "x", "half1.mrc")
    assert isinstance(verdict(parser, b""), IndexError)
    assert verdict(parser, b"x") is None
