"""Refinements of subtomograms by RELION with this executable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.subtomograms.simulate import Case
from spisonet.io.mrc import read_volume
from tests.relion_at_hand import version_at_hand
from tests.relion_external.refinements import lines, refine, run_until, start
from tests.subtomogram_case import simulate_phantom

pytestmark = [pytest.mark.relion, pytest.mark.slow]

BOX, PIXEL = 24, 6.0
COMMON = (
    "--i particles.star --ref ref.mrc --ini_high 40 --firstiter_cc --dont_combine_weights_via_disc --pool 5 "
    f"--ctf --particle_diameter {BOX * PIXEL * 0.85:.0f} --flatten_solvent --zero_mask --oversampling 1 "
    "--offset_range 2 --offset_step 2 --sym C1 --norm --scale --j 1 --random_seed 1"
).split()


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Subtomograms with missing wedges, most of them seen from the top."""
    folder = tmp_path_factory.mktemp("subtomograms")
    simulate_phantom(folder, BOX, PIXEL, Case(n=36, noise=1.0, jitter=4.0))
    return folder


@pytest.mark.parametrize(
    ("words", "tolerance"),
    [
        ("--pad 1", 1e-4),
        ("--pad 2", 1e-4),
        ("--pad 1 --minres_map 0", 1e-4),
        ("--pad 1 --skip_gridding --minres_map 0", 1e-4),
        ("--pad 1 --skip_gridding", 5e-3),  # empty coefficients without a prior get RELION's floor
    ],
)
def test_the_average_is_relions_own(project, words, tolerance):
    job = words.replace("-", "").replace(" ", "_")
    once = (*COMMON, *words.split(), *"--iter 1 --K 1 --tau2_fudge 4 --skip_align".split())
    refine(project, f"own_{job}", *once, mpi=False)
    out = refine(
        project, f"ours_{job}", *once, "--external_reconstruct", mpi=False, ISONET_START_HEALPIX="99"
    )
    assert "skipped" in lines(out)[-1]
    own, ours = (
        read_volume(project / f"{who}_{job}" / "run_it001_class001.mrc").data for who in ("own", "ours")
    )
    assert float((own * ours).sum() / (ours * ours).sum()) == pytest.approx(1, abs=1e-4)
    assert ours == pytest.approx(own, abs=tolerance * float(np.abs(own).max()))


def test_references_of_subtomograms_are_corrected_on_their_scale(project):
    words = "--pad 1 --auto_refine --split_random_halves --low_resol_join_halves 60 --healpix_order 3 "
    words += "--auto_local_healpix_order 3 --solvent_mask mask.mrc --solvent_correct_fsc"
    folder = project / "corrected"
    process = start(
        project, "corrected", *COMMON, *words.split(), "--external_reconstruct", ISONET_SUBTOMOGRAMS="True"
    )
    # RELION 5 in single precision ends in iteration 3 of these data ("zero sum of weights"), also by itself.
    last = 2 if version_at_hand()[:1] == (5,) else 3
    out = run_until(folder / f"run_it{last:03d}_optimiser.star", process)
    corrected = [line for line in lines(out) if f"iteration {last}" in line]
    assert len(corrected) == 2
    assert all("corrected in" in line for line in corrected)
    assert "initial reference" not in out
    own, ours = (
        read_volume(folder / f"run_it{last:03d}_half1_class001{kind}.mrc", PIXEL).data
        for kind in ("_unfil", "_external_reconstruct")
    )
    slope = float((own * ours).sum() / (ours * ours).sum())
    assert slope == pytest.approx(1, abs=0.2)
