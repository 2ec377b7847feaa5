"""Inputs of a correction besides the accumulators: view directions and the initial reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relion_external.call import read_call
from relion_external.inputs import read_all
from spisonet.errors import SpisonetError
from spisonet.geometry.rotations import relion_rotation_matrices
from spisonet.io.mrc import Volume, write_volume
from tests.misalignment.accumulators import body_map, without_cone
from tests.relion_external.conftest import BOX, PIXEL, uneven_back_projector

TILTS = (-60, -20, 0, 40)
VISIBLE = ("[1,1,1,1]", "[1,0,1,1]")


def write_subtomograms(path: Path) -> np.ndarray:
    """Write six particles of two tomograms and optics groups; return their angles."""
    rng = np.random.default_rng(0)
    angles = rng.uniform(-80, 80, (6, 6)).round(3)
    labels = "TomoSubtomogramRot TomoSubtomogramTilt TomoSubtomogramPsi AngleRot AngleTilt AnglePsi"
    labels += " TomoName TomoVisibleFrames OpticsGroup RandomSubset"
    rows = [
        [*angles[i], f"TS_{i % 2 + 1}", VISIBLE[i % 2], i % 2 + 1, 1 + (i >= 2)] for i in range(len(angles))
    ]
    optics = "data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnImagePixelSize #2\n1 4.0\n2 4.2\n\n"
    columns = "".join(f"_rln{label} #{i}\n" for i, label in enumerate(labels.split(), start=1))
    body = "\n".join(" ".join(map(str, row)) for row in rows)
    path.write_text(f"{optics}data_particles\n\nloop_\n{columns}{body}\n\n")
    return angles


def write_tomograms(path: Path) -> None:
    rows = "\n".join(f"[{-np.sin(t):.6f},0,{np.cos(t):.6f},0]" for t in np.radians(TILTS))
    blocks = (f"data_TS_{number}\n\nloop_\n_rlnTomoProjZ #1\n{rows}\n\n" for number in (1, 2))
    path.write_text("".join(blocks))


def test_subtomograms_have_a_view_for_each_visible_tilt(make_job, monkeypatch):
    monkeypatch.setenv("ISONET_3DFSD", "True")
    job = make_job("4.0")
    job.write_iteration(2, dimensionality=3, rlnTomoTomogramsFile="tomograms.star")
    angles = write_subtomograms(job.folder / "run_it002_data.star")
    write_tomograms(job.project / "tomograms.star")
    views = read_all(read_call(job.write_call(3))).prior().view_directions
    expected = []
    for particle in (0, 1):  # half 1
        box, own = (relion_rotation_matrices(*angles[particle, i : i + 3])[0] for i in (0, 3))
        for tilt, visible in zip(np.radians(TILTS), VISIBLE[particle].strip("[]").split(","), strict=True):
            if visible == "1":
                expected.append((box @ own).T @ [-np.sin(tilt), 0, np.cos(tilt)])
    assert views == pytest.approx(np.array(expected), abs=1e-5)


def test_a_tomogram_that_is_not_listed_is_an_error(make_job, monkeypatch):
    monkeypatch.setenv("ISONET_3DFSD", "True")
    job = make_job("5.0")
    job.write_iteration(2, rlnTomoTomogramsFile="tomograms.star")
    write_subtomograms(job.folder / "run_it002_data.star")
    write_tomograms(job.project / "tomograms.star")
    text = (job.project / "tomograms.star").read_text()
    (job.project / "tomograms.star").write_text(text.replace("TS_2", "TS_3"))
    with pytest.raises(
        SpisonetError,
        match="has no tilt series TS_2, of which",
    ):
        read_all(read_call(job.write_call(3))).prior()


def test_without_a_tomogram_set_relions_weights_are_used(make_job, monkeypatch):
    monkeypatch.setenv("ISONET_3DFSD", "True")
    job = make_job("3.1")
    job.write_iteration(2, dimensionality=3)
    write_subtomograms(job.folder / "run_it002_data.star")
    assert read_all(read_call(job.write_call(3))).prior().view_directions is None


def category_and_kept(job) -> tuple[str, bool]:
    inputs = read_all(read_call(job.write_call(3)))
    assert inputs.reference_check is not None
    return inputs.reference_check.category, inputs.keeps_low_resolutions


def test_an_anisotropic_reference_is_kept_on_request_only(make_job, monkeypatch):
    job = make_job()
    assert category_and_kept(job) == ("trusted", True)
    write_volume(job.project / "ref.mrc", Volume(without_cone(body_map(BOX), 40.0), PIXEL))
    assert category_and_kept(job) == ("anisotropic", False)
    monkeypatch.setenv("ISONET_KEEP_LOWRES", "True")
    assert category_and_kept(job) == ("anisotropic", True)
    monkeypatch.setenv("ISONET_KEEP_LOWRES", "no")
    write_volume(job.project / "ref.mrc", Volume(body_map(BOX), PIXEL))
    assert category_and_kept(job) == ("trusted", False)
    monkeypatch.delenv("ISONET_KEEP_LOWRES")
    even = read_all(read_call(job.write_call(3, back_projector=uneven_back_projector(opening=0.0))))
    assert not even.keeps_low_resolutions


def test_a_reference_of_another_grid_is_judged_by_relions_copy(make_job):
    job = make_job()
    write_volume(job.project / "ref.mrc", Volume(body_map(2 * BOX), PIXEL / 2))
    for half in (1, 2):
        path = job.folder / f"run_it000_half{half}_class001.mrc"
        write_volume(path, Volume(without_cone(body_map(BOX), 40.0), PIXEL))
    assert category_and_kept(job) == ("anisotropic", False)
    (job.project / "ref.mrc").unlink()
    assert category_and_kept(job) == ("anisotropic", False)


def test_without_any_initial_reference_none_is_kept(make_job):
    job = make_job()
    (job.folder / "run_it000_half1_class001.mrc").unlink()
    inputs = read_all(read_call(job.write_call(3)))
    assert inputs.reference_check is None
    assert not inputs.keeps_low_resolutions
