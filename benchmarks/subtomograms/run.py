"""Refine simulated subtomograms with RELION, with a different reference in each arm, and score them.

    python -m benchmarks.subtomograms.run --density examples/hemagglutinin --out OUT
        [--regimes NAME ...] [--arms NAME ...] [--seeds 1 2 3 4 5]
    python -m benchmarks.subtomograms.run --out OUT --table

A refinement starts at poses 8° off (rms), from the average at these poses, and ends after six iterations.
RELION calls a script in every iteration; it waits until this program has written the reference of the arm.
Refinements in OUT/relion.jsonl are not repeated. Needs RELION 3.1. Prints a line for each result;
``--table`` prints medians and standard deviations over the seeds, and the change by each arm.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).parents[2]))  # the checkout
import torch

from benchmarks.subtomograms import references
from benchmarks.subtomograms.references import HalfSet
from benchmarks.subtomograms.regimes import (
    REGIMES,
    append_result,
    argument_parser,
    make_case,
    read_results,
    table,
)
from benchmarks.subtomograms.score import score
from relion_external.call import read_call
from relion_external.inputs import read_all
from spisonet.errors import SpisonetError
from spisonet.io.mrc import Volume, read_volume, write_volume

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Reference = Callable[[HalfSet], NDArray[np.float32]]

CLIENT, RESULTS = "wait_for_reference.sh", "relion.jsonl"
POLL_SECONDS = 0.05
FILLED = "plain, wedge filled with noise"
ARMS: dict[str, Reference | None] = {
    "plain": None,
    FILLED: None,
    "constraints": references.corrected,
    "network": references.with_network,
    "filled only": references.filled,
    "denoised only": references.denoised,
    "FSC-weighted": references.fsc_weighted,
    "filled with truth": references.filled_with_truth,
    "truth": references.truth_reference,
}
REFINE = (
    "mpirun --allow-run-as-root --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 -np 3 "
    "relion_refine_mpi --auto_refine --split_random_halves --i particles.star --ref start.mrc --ini_high 20 "
    "--ctf --ctf_corrected_ref --skip_gridding --pad 1 --dont_combine_weights_via_disc --pool 20 "
    "--flatten_solvent --zero_mask --solvent_mask mask.mrc --solvent_correct_fsc --oversampling 1 "
    "--auto_iter_max 6 --healpix_order 3 --auto_local_healpix_order 3 --offset_range 1 --offset_step 1 "
    "--low_resol_join_halves 40 --norm --scale --j 1 --random_seed 1 --particle_diameter 150 --sym C1"
)
CLIENT_SCRIPT = f"""#!/bin/sh
touch "$1.request"
while [ ! -e "$1.done" ]; do sleep {POLL_SECONDS}; done
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    args = argument_parser(__doc__, list(ARMS)).parse_args(arguments)
    if args.table:
        print(table(read_results(args.out / RESULTS)))
        return 0
    torch.set_num_threads(1)
    os.environ["ISONET_SUBTOMOGRAMS"] = "True"
    done = {(row["regime"], row["seed"], row["arm"]) for row in read_results(args.out / RESULTS)}
    for seed in args.seeds:
        for regime in args.regimes:
            for arm in args.arms:
                if (regime, seed, arm) in done:
                    continue
                case = replace(REGIMES[regime], seed=seed, filled_wedge=arm == FILLED)
                place = make_case(args.out, regime, case, args.density)
                job = place / arm.replace(" ", "_").replace(",", "")
                refine(place, job, ARMS[arm])
                append_result(
                    args.out / RESULTS, {"regime": regime, "seed": seed, "arm": arm} | score(place, job)
                )
    return 0


def refine(place: Path, job: Path, reference: Reference | None) -> None:
    """Refine a case, and make the references while RELION waits for them, unless they are RELION's own.

    Raises
    ------
    SpisonetError
        If RELION is missing or fails.
    """
    if shutil.which("relion_refine_mpi") is None:
        raise SpisonetError("relion_refine_mpi is not on PATH; this benchmark needs RELION 3.1.")
    shutil.rmtree(job, ignore_errors=True)
    job.mkdir()
    words, environment = [*shlex.split(REFINE), "--o", f"{job.name}/run"], dict(os.environ)
    if reference is not None:
        client = (job / CLIENT).absolute()
        client.write_text(CLIENT_SCRIPT, encoding="utf-8")
        client.chmod(0o755)
        words.append("--external_reconstruct")
        environment["RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE"] = str(client)
    with (job / "run.out").open("w") as out:
        process = subprocess.Popen(words, cwd=place, env=environment, stdout=out, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                if reference is not None:
                    _make_references(place, job, reference)
                time.sleep(POLL_SECONDS)
        finally:
            process.terminate()
    if process.returncode:
        raise SpisonetError(f"RELION failed; see {job / 'run.out'}.")


def _make_references(place: Path, job: Path, reference: Reference) -> None:
    """Write the maps that RELION waits for."""
    for request in job.glob("*.request"):
        request.unlink()
        star = request.with_suffix("")
        with chdir(place):
            call = read_call(star.relative_to(place))
            inputs = read_all(call)
            half = HalfSet(
                inputs.back_projector,
                call.fsc,
                inputs.check,
                inputs.voxel_size_angstrom,
                inputs.prior(),
                inputs.settings,
                2 * call.iteration + (call.half or 0),
                read_volume(Path("truth.mrc")).data,
            )
            skipped = inputs.skip_reason is not None and reference in references.BY_HOOK
            last = call.half is None  # joins the halves
            made = references.maximum_a_posteriori if skipped or last else reference
            write_volume(call.result, Volume(made(half), half.voxel_size_angstrom))
        star.with_name(f"{star.name}.done").touch()


if __name__ == "__main__":
    sys.exit(main())
