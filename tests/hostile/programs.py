"""Run the programs on hostile inputs: ``python -m tests.hostile.programs MINUTES``."""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.hostile.generators import variants_of
from tests.hostile.inputs import READERS, Reader, copy_inputs, write_inputs
from tests.hostile.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.hostile.generators import Variant
    from tests.hostile.sandbox import Outcome


def run_on(
    sandbox: Sandbox, project: Path, folder: Path, reader: Reader, slot: str, variant: Variant
) -> Outcome:
    """Run a command line in a new folder, where one input is replaced by a hostile variant."""
    shutil.rmtree(folder, ignore_errors=True)
    copy_inputs(project, folder, reader)
    path, content = folder / slot, variant[1]
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)
    return sandbox.run(folder, reader.program, *reader.line.split())


def main(arguments: list[str]) -> int:
    """Run for some minutes; return 1 if a program ended as it should not."""
    rng, n_runs, n_faults = random.Random(time.time_ns()), 0, 0
    deadline = time.monotonic() + 60 * float((arguments or ["1"])[0])
    with tempfile.TemporaryDirectory() as name:
        project, folder = Path(name) / "project", Path(name) / "case"
        project.mkdir()
        write_inputs(project)
        with Sandbox(Path(name)) as sandbox:
            while time.monotonic() < deadline:
                slot, (kind, readers) = rng.choice(list(READERS.items()))
                variants = list(variants_of(kind, (project / slot).read_bytes(), rng.randrange(2**31)))
                variant, reader = rng.choice(variants), rng.choice(readers)
                outcome = run_on(sandbox, project, folder, reader, slot, variant)
                n_runs += 1
                if outcome.fault:
                    n_faults += 1
                    line = " ".join(outcome.words)
                    sys.stdout.write(f"{slot}, {variant[0]}: {line[:100]}: {outcome.fault}\n")
                    sys.stdout.flush()
    sys.stdout.write(f"{n_runs} runs, {n_faults} faults\n")
    return int(n_faults > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
