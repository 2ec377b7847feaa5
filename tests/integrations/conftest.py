"""A finished run in seconds: maps corrected without a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from spisonet.commands.main import main
from tests.anisotropy.small_case import SmallCase, make_case

LIMIT_ANGSTROM = 6.0


@dataclass(frozen=True)
class DeconvolvedRun:
    """Folder of a run, and the case that it corrected."""

    folder: Path
    case: SmallCase


@pytest.fixture(scope="session")
def deconvolved_run(tmp_path_factory) -> DeconvolvedRun:
    """A run with report; tests read it and write elsewhere."""
    folder = tmp_path_factory.mktemp("run")
    case = make_case(folder)
    words = ["--limit_res", str(LIMIT_ANGSTROM), "--output_dir", str(folder / "corrected")]
    main(["reconstruct", *case.inputs, "--method", "deconvolve", "--sharpen", *words])
    return DeconvolvedRun(folder / "corrected", case)
