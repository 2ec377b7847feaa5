"""Mutate valid files until a parser fails: ``python -m tests.hostile.fuzz MINUTES [PARSER ...]``.

Mutations are kept that reach lines of this project which no earlier input has reached. Inputs that fail are
written to ``tests/hostile/corpus``, where the tests read them.
"""

from __future__ import annotations

import hashlib
import logging
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from tests.hostile.generators import ODD_NUMBERS, variants_of
from tests.hostile.inputs import write_inputs
from tests.hostile.parsers import PARSERS, Parser, defect, samples

if TYPE_CHECKING:
    from types import FrameType

CORPUS = Path(__file__).parent / "corpus"
ROOT = Path(__file__).parents[2]
SLOW_SECONDS = 20
MAX_KEPT, MAX_BYTES = 300, 2**17
KINDS = {
    **dict.fromkeys(("map", "regions"), "map"),
    **dict.fromkeys(("blocks", "star", "table", "particles", "subtomograms", "projections", "call"), "star"),
    **dict.fromkeys(("star coordinates", "optimiser", "form"), "star"),
    **dict.fromkeys(("coordinates", "tilts", "mdoc", "aln", "settings", "template", "model"), "text"),
    **dict.fromkeys(("record", "run", "fsc3d", "hook record"), "json"),
    "cryosparc": "cs",
    "contours": "model",
    **dict.fromkeys(("network", "checkpoint"), "weights"),
}
INTERESTING = (
    b"\xff\xff\xff\xff",
    b"\x80\0\0\0",
    b"\x7f\xff\xff\xff",
    b"\0\0\0\0",
    b"\0\0\xc0\x7f",
    b"\xe9",
    b"\0",
)
WORDS = (
    b"data_",
    b"loop_",
    b"_rln",
    b"'",
    b'"',
    b"#",
    b"[",
    b"{",
    b"}",
    b"]",
    b",",
    b"\\ud800",
    b"nan",
    b"1e999",
)


class TooSlow(Exception):  # noqa: N818 - a verdict
    """A parser has not ended in time."""


class Coverage:
    """Lines of this project that have been executed."""

    def __init__(self) -> None:
        self._lines: set[tuple[str, int]] = set()
        self.is_new = False

    def __enter__(self) -> Coverage:
        self.is_new = False
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _call(self, frame: FrameType, event: str, argument: object) -> object:
        name = frame.f_code.co_filename
        return self._line if "/spisonet/" in name or "/relion_external/" in name else None

    def _line(self, frame: FrameType, event: str, argument: object) -> object:
        key = frame.f_code.co_filename, frame.f_lineno
        if key not in self._lines:
            self._lines.add(key)
            self.is_new = True
        return self._line


def mutated(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Return a variant of some content."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        size = len(changed)
        place = rng.randrange(size + 1)
        match rng.randrange(9):
            case 0 if size:
                changed[rng.randrange(size)] = rng.randrange(256)
            case 1:
                word = rng.choice(INTERESTING)
                changed[place : place + len(word)] = word
            case 2:
                changed[place:place] = rng.choice(WORDS)
            case 3:
                del changed[place : place + rng.choice((1, 4, 16, 256))]
            case 4:
                part = changed[place : place + rng.choice((4, 16, 256))]
                changed[place:place] = part * rng.choice((1, 2, 50))
            case 5:
                other = rng.choice(others)
                start = rng.randrange(len(other) + 1)
                changed[place:place] = other[start : start + 64]
            case 6:
                changed[place:] = b""
            case 7:
                words = bytes(changed).split(b" ")
                words[rng.randrange(len(words))] = rng.choice(ODD_NUMBERS).encode()
                changed = bytearray(b" ".join(words))
            case _:
                lines = bytes(changed).split(b"\n")
                rng.shuffle(lines[: rng.randrange(len(lines)) + 1])
                first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
                lines[first], lines[second] = lines[second], lines[first]
                changed = bytearray(b"\n".join(lines))
    return bytes(changed[:MAX_BYTES])


def verdict(parser: Parser, content: bytes) -> Exception | None:
    """Return what is wrong with a parser's end on some content."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlow(f"no end after {SLOW_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SLOW_SECONDS)
    try:
        return defect(parser, content)
    except TooSlow as slow:
        return slow
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fuzz(names: list[str], seconds: float, seed: int, project: Path) -> dict[str, list[str]]:
    """Fuzz some parsers in turn; return the faults that were found, by parser."""
    rng = random.Random(seed)
    valid, faults, coverage = samples(project), dict[str, list[str]](), Coverage()
    pools = {name: [valid[name]] for name in names}
    waiting = {
        name: [c for _, c in variants_of(KINDS.get(name, ""), valid[name], seed) if isinstance(c, bytes)]
        for name in names
    }
    count, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        for name in names:
            pool = pools[name]
            content = waiting[name].pop() if waiting[name] else mutated(rng.choice(pool), pool, rng)
            if len(content) > MAX_BYTES:  # tracing takes a multiple of the time
                coverage.is_new, error = False, verdict(PARSERS[name], content)
            else:
                with coverage:
                    error = verdict(PARSERS[name], content)
            count += 1
            if coverage.is_new and len(pool) < MAX_KEPT and len(content) <= MAX_BYTES:
                pool.append(content)
            if error is not None:
                place = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
                fault = f"{type(error).__name__}: {str(error)[:100]} ({place and place.name})"
                key = f"{type(error).__name__} {place and (place.filename, place.lineno)}"
                if key not in faults.setdefault(name, []):
                    faults[name].append(key)
                    _keep(name, content)
                    sys.stdout.write(f"{name}: {fault}\n")
                    sys.stdout.flush()
    sys.stdout.write(f"{count} inputs, {sum(map(len, faults.values()))} faults\n")
    return faults


def _keep(name: str, content: bytes) -> None:
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.blake2b(content, digest_size=6).hexdigest()).write_bytes(content)


def main(arguments: list[str]) -> int:
    """Fuzz for some minutes; return 1 if there are faults."""
    logging.disable(logging.CRITICAL)
    minutes, *names = arguments or ["1"]
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        write_inputs(project)
        faults = fuzz(names or list(PARSERS), 60 * float(minutes), time.time_ns(), project)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
