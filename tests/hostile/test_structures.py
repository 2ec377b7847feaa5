"""Files of a valid structure with any content, by hypothesis: parsers end with a result or a sentence."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from spisonet.io.numbers import RANGES
from tests.hostile.fuzz import verdict
from tests.hostile.generators import ODD_NUMBERS
from tests.hostile.parsers import PARSERS

LABELS = (
    *("rlnTomoName", "rlnIndex", "rlnTomoReconstructedTomogram", "rlnTomoReconstructedTomogramHalf1"),
    *("rlnImageName", "rlnTomoVisibleFrames", "rlnTomoParticleId", "rlnTomoProjX", "rlnCorrectedTomogram"),
    *RANGES,
)
CELLS = st.one_of(
    st.sampled_from([number for number in ODD_NUMBERS if number and not set(number) & set("\x00\n")]),
    st.floats().map(repr),
    st.integers().map(str),
    st.sampled_from(["a.mrc", "1@a.mrcs", "None", "[1,0,1]", "[1,0,0,0]", "'two words'", '""', "../a.mrc"]),
)
RECORDS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["config", "halves", "corrected_maps", "epoch_losses", "status", "command", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
BRIEF = settings(max_examples=25, deadline=None, derandomize=True)


@st.composite
def tables(draw: st.DrawFn) -> str:
    """Return the text of a STAR file with one loop."""
    labels = draw(st.lists(st.sampled_from(LABELS), min_size=1, max_size=8, unique=True))
    row = st.lists(CELLS, min_size=len(labels), max_size=len(labels))
    rows = draw(st.lists(row, min_size=1, max_size=3))
    head = "".join(f"_{label} #{number}\n" for number, label in enumerate(labels, start=1))
    name = draw(st.sampled_from(["", "particles", "global", "optics", "TS_1"]))
    return f"data_{name}\n\nloop_\n{head}" + "".join(f"{' '.join(row)}\n" for row in rows)


@BRIEF
@given(tables())
def test_any_table_is_read_or_refused(text):
    for name in ("table", "particles", "subtomograms", "projections", "optimiser", "form"):
        error = verdict(PARSERS[name], text.encode())
        assert error is None, (name, text, error)


@BRIEF
@given(st.dictionaries(st.sampled_from(["config", "command", "program", "status", "halves"]), RECORDS))
def test_any_record_is_read_or_refused(record):
    for name in ("record", "run", "hook record", "fsc3d"):
        error = verdict(PARSERS[name], json.dumps(record).encode())
        assert error is None, (name, record, error)
