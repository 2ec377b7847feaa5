"""The STAR file of a call and its arrays."""

from __future__ import annotations

import warnings
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_external.call import NAME, read_back_projector, read_call
from spisonet.errors import SpisonetError
from tests.relion_external.conftest import BOX, LAST


@pytest.mark.parametrize("version", ["3.1", "4.0", "5.0"])
def test_every_version_is_read_by_its_columns(make_job, version):
    job = make_job(version)
    call = read_call(job.write_call(3, "_half2_class001"))
    assert (call.iteration, call.half, call.part) == (3, 2, "class001")
    assert (call.box, call.r_max, call.padding, call.tau2_fudge) == (BOX, LAST, 1.0, 1.0)
    assert call.tau2.shape == call.fsc.shape == (BOX // 2 + 1,)
    assert call.pixel_size_angstrom == (None if version == "3.1" else 4.0)
    assert call.particle_diameter_angstrom == (None if version == "3.1" else 80.0)
    back_projector = read_back_projector(call)
    assert back_projector.data_rfft.shape == back_projector.weight_rfft.shape == (BOX, BOX, BOX // 2 + 1)
    assert call.iteration_file(2, "data.star") == Path("Refine3D/job007/run_it002_data.star")


@given(
    root=st.text(st.sampled_from("ab_1/."), min_size=1, max_size=12),
    iteration=st.integers(0, 12345),
    half=st.sampled_from(["", "_half1", "_half2"]),
    part=st.sampled_from(["class001", "class012", "body003"]),
)
def test_names_are_parsed_with_any_root(root, iteration, half, part):
    match = NAME.match(f"{root}_it{iteration:03d}{half}_{part}_external_reconstruct.star")
    assert match is not None
    assert match["root"] == root
    assert int(match["iteration"]) == iteration
    assert (match["half"] or "") == half[-1:]
    assert match["part"] == part


def test_other_files_are_rejected_by_name(make_job):
    job = make_job()
    with pytest.raises(SpisonetError, match="does not have the name"):
        read_call(Path("particles.star"))
    absent = Path("Refine3D/job007/run_it009_half1_class001_external_reconstruct.star")
    with pytest.raises(SpisonetError, match="does not exist"):
        read_call(absent)
    absent.write_text("\ndata_optics\n\nloop_\n_rlnVoltage #1\n300\n")
    with pytest.raises(SpisonetError, match="not a STAR file of RELION's external"):
        read_call(absent)
    star = job.write_call(3)
    star.write_text(star.read_text().replace("Dimensionality 3", "Dimensionality 2"))
    with pytest.raises(SpisonetError, match="2D"):
        read_call(star)
    star = job.write_call(3)
    star.write_text("\n".join(star.read_text().splitlines()[:-8]) + "\n\n")
    with pytest.raises(SpisonetError, match="shells"):
        read_call(star)


def test_damaged_arrays_are_rejected_by_name(make_job):
    job = make_job()
    call = read_call(job.write_call(3))
    whole = call.weight.read_bytes()
    call.weight.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SpisonetError, match=r"weight\.mrc is not a readable"):
        read_back_projector(call)
    call.weight.unlink()
    with pytest.raises(SpisonetError, match=r"weight\.mrc does not exist"):
        read_back_projector(call)
    for change, complaint in (
        (lambda a: np.where(np.arange(a.shape[2]) == 1, np.nan, a), "NaN"),
        (lambda a: a[:-2], "shape"),
        (lambda a: -a, "weights above 0"),
        (lambda a: 0 * a, "weights above 0"),
    ):
        call = read_call(job.write_call(3))
        with mrcfile.open(call.weight) as mrc:
            array = mrc.data.copy()
        with warnings.catch_warnings(), mrcfile.new(call.weight, overwrite=True) as mrc:
            warnings.simplefilter("ignore")  # mrcfile remarks on NaN
            mrc.set_data(change(array).astype(np.float32))
        with pytest.raises(SpisonetError, match=complaint):
            read_back_projector(call)
