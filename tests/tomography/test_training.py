"""Training on tomograms and predicting them: chains of commands, recovery, resumption, bad input."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spisonet.commands.main import isonet
from spisonet.fourier.ctf import Microscope, ctf_amplitude, find_defocus, phase_flip
from spisonet.fourier.grids import irfft3, rfft3
from spisonet.io.tomogram_table import TomogramTable
from spisonet.io.tomograms import open_tomogram
from spisonet.learning.checkpoint import load_network
from spisonet.learning.devices import Backend
from spisonet.learning.spectra import WedgeWeight, frequency_points_rfft
from spisonet.tomography.ctf_correction import CtfCorrection
from spisonet.tomography.inputs import read_tomograms
from spisonet.tomography.normalisation import normalise
from spisonet.tomography.objective import TomogramObjective
from spisonet.tomography.predict import TilePredictor, predict_tomogram, wedge_rotations
from spisonet.tomography.subvolume_centres import subvolume_centres
from spisonet.tomography.tomogram import Tomogram
from spisonet.tomography.training_config import RefineConfig
from spisonet.tomography.training_method import TrainingMethod
from spisonet.tomography.training_set import TrainingSet
from tests.tomography.simulation import (
    CPU,
    correlation,
    seen,
    slab_of_rods,
    wedge_rfft,
    write_halves,
    write_mrc,
)

TINY = "--filter_base 4 --cube_size 16 --device cpu"
SINGLE = "--method isonet2 --input_column rlnTomoReconstructedTomogramHalf1"
QUICK = f"{TINY} --epochs 2 --n_subvolume 16"


def run(line: str) -> None:
    isonet(line.split())


def failure(line: str, capsys) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        run(line)
    assert stopped.value.code == 1
    message = capsys.readouterr().err.strip().splitlines()
    assert len(message) == 1
    return message[0]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    # What tests of other programs have set up would write the log to the error stream.
    monkeypatch.setattr(logging.getLogger("spisonet"), "handlers", [])
    return tmp_path


# --- the wedge -----------------------------------------------------------------------------------------


def test_a_wedge_holds_the_planes_of_its_projections():
    """A projection at tilt t sees the plane of (cos t, 0, sin t) and the tilt axis."""
    rng = np.random.default_rng(0)
    wedge = WedgeWeight(-50, 66)
    for tilt in rng.uniform(-90, 90, 200):
        along, axis = rng.normal(size=2)
        point = [along * math.cos(math.radians(tilt)), axis, along * math.sin(math.radians(tilt))]
        assert wedge.at(torch.tensor([point]))[0] == (-50 <= tilt <= 66)


def test_the_wedge_is_that_of_the_published_program():
    """IsoNet2's mw3D: along x > 0, z > 0 up to the largest tilt, along x > 0, z < 0 down to the smallest."""
    wedge = WedgeWeight(-40, 60)
    for x, z, measured in ((1, 1.7, True), (1, 1.8, False), (1, -0.8, True), (1, -0.9, False)):
        for sign in (1, -1):
            assert wedge.at(torch.tensor([[sign * x, 0.3, sign * z]]))[0] == measured


@given(low=st.floats(-89, 0), high=st.floats(1, 89), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_a_wedge_is_symmetric_about_dc_and_holds_the_tilt_axis(low, high, seed):
    points = torch.from_numpy(np.random.default_rng(seed).normal(size=(50, 3)))
    wedge = WedgeWeight(low, high)
    assert torch.equal(wedge.at(points), wedge.at(-points))
    assert wedge.at(torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.4, 0.0]])).tolist() == [1, 1]


# --- prediction ----------------------------------------------------------------------------------------


def test_an_identity_network_returns_the_tomogram(tmp_path):
    """Also where tiles meet: the difference has no structure at their borders."""
    data = np.random.default_rng(0).normal(5, 3, (40, 150, 170)).astype(np.float32)
    path = write_mrc(tmp_path / "t.mrc", data, 8.0)
    tomogram = normalise(Tomogram("t", (open_tomogram(path),), (-60, 60), None, None, 1))
    sizes = []

    def predict(part: torch.Tensor) -> torch.Tensor:
        sizes.append(part.shape)
        return part.mean(dim=0)

    predict_tomogram(tomogram, predict, CPU, 64, tmp_path / "o.mrc", "test")
    assert len(sizes) > 4
    assert all(max(size) <= 64 and all(n % 8 == 0 for n in size[1:]) for size in sizes)
    with mrcfile.open(tmp_path / "o.mrc") as mrc:
        np.testing.assert_allclose(mrc.data, data, atol=2e-5)
        assert mrc.voxel_size.x == 8
        assert int(mrc.header.nystart) == -2


def test_tiles_of_a_network_with_a_reach_leave_no_seam(tmp_path):
    """A smoothing network on tiles gives what it gives on the whole; so no peak at the tiles' period."""
    data = np.random.default_rng(1).normal(size=(32, 160, 32)).astype(np.float32)
    path = write_mrc(tmp_path / "t.mrc", data)
    tomogram = Tomogram("t", (open_tomogram(path),), (-60, 60), None, None, 1)
    smooth = torch.nn.Conv3d(1, 1, 9, padding=4, bias=False)
    torch.nn.init.constant_(smooth.weight, 1 / 9**3)

    def predict(part: torch.Tensor) -> torch.Tensor:
        return smooth(part[None])[0, 0]

    predict_tomogram(tomogram, predict, CPU, 64, tmp_path / "tiles.mrc", "test")
    predict_tomogram(tomogram, predict, CPU, 160, tmp_path / "whole.mrc", "test")
    tiles, whole = (mrcfile.read(tmp_path / f"{name}.mrc") for name in ("tiles", "whole"))
    np.testing.assert_allclose(tiles[6:-6, 6:-6, 6:-6], whole[6:-6, 6:-6, 6:-6], atol=1e-5)
    # Tiles are 32 voxels apart: their period is the fifth of 160.
    spectra = [np.abs(np.fft.rfft(v[6:-6, :, 6:-6].mean(axis=(0, 2)))) for v in (tiles, whole)]
    np.testing.assert_allclose(spectra[0][5], spectra[1][5], rtol=0.05)


def test_turned_copies_bring_the_wedge_elsewhere():
    wedge = wedge_rfft((32, 32, 32))
    assert len(wedge_rotations()) == 16
    shares = []
    for rotation in wedge_rotations():
        points = frequency_points_rfft(32, CPU).numpy() @ rotation
        turned = WedgeWeight(-60, 60).at(torch.from_numpy(points.astype(np.float32))).numpy()
        shares.append(turned[wedge == 0].mean())
    assert min(shares) > 0.25
    assert np.mean(shares[:6]) > 0.6


def test_turns_fill_what_was_not_measured(tmp_path):
    truth = slab_of_rods((32, 32, 32), 12, 0)
    path = write_mrc(tmp_path / "t.mrc", seen(truth, 0.0, 0))
    tomogram = Tomogram("t", (open_tomogram(path),), (-60, 60), None, None, 1)

    class Identity(torch.nn.Module):
        def forward(self, volumes):
            return volumes

    class Plain:
        def apply(self, network, volumes):
            return network(volumes)

    part = torch.from_numpy(mrcfile.read(path))[None]
    turned = TilePredictor(Identity(), Plain(), tomogram, 3)(part).numpy()
    # With the identity, turned copies only lose what lies in the wedge of each.
    measured = wedge_rfft(truth.shape) > 0
    assert correlation(turned, truth, measured) > 0.95


# --- training ------------------------------------------------------------------------------------------


def halves_of(folder: Path, name: str = "t") -> tuple:
    return tuple(open_tomogram(folder / kind / f"{name}.mrc") for kind in ("even", "odd"))


def test_noise_is_measured_from_the_halves(tmp_path):
    write_halves(tmp_path, "t", noise=2.0, shape=(64, 64, 64))
    tomogram = normalise(Tomogram("t", halves_of(tmp_path), (-60, 60), None, None, 1))
    # The halves' noise has a deviation of 2 where something was measured, white before the wedge.
    np.testing.assert_allclose(tomogram.noise_amplitude.values[4:38] * tomogram.deviation, 2.0, rtol=0.12)


@pytest.mark.parametrize(("told", "warned"), [((-66, 40), False), ((-40, 66), True), ((-60, 60), False)])
def test_a_tilt_range_of_the_wrong_sign_is_noticed(tmp_path, caplog, told, warned):
    truth = slab_of_rods((32, 64, 64), 30, 0)
    path = write_mrc(tmp_path / "t.mrc", seen(truth, 1.0, 0, (-66, 40)))
    normalise(Tomogram("t", (open_tomogram(path),), told, None, None, 1))
    assert ("it is probably -66 to 40" in caplog.text) == warned


def test_hidden_parts_are_as_noisy_as_visible_ones(tmp_path):
    """In a turned, filled copy the input's noise is that of a measurement, also where it was filled."""
    write_halves(tmp_path, "t", noise=10.0, shape=(48, 48, 48), n=1)
    tomogram = normalise(Tomogram("t", halves_of(tmp_path), (-60, 60), None, None, 1))
    centres = subvolume_centres(tomogram, 16, np.random.default_rng(0))
    objective = TomogramObjective(
        TrainingSet((tomogram,), (centres,), 1e9, 0, CPU), TrainingMethod(True, 16), 100
    )
    objective.begin_epoch(0)
    objective.refresh(torch.zeros_like)  # as a network that predicts nothing
    inputs: list[torch.Tensor] = []

    def record(crops: torch.Tensor) -> torch.Tensor:
        inputs.append(crops)
        return crops

    rng = np.random.default_rng(0)
    for _ in range(30):
        objective.loss(record, 8, rng)
    power = torch.fft.rfftn(torch.cat(inputs), dim=(-3, -2, -1)).abs().square().mean(dim=0)
    radius = frequency_points_rfft(16, CPU).norm(dim=-1)
    chosen = (radius > 0.15) & (radius < 0.35) & (WedgeWeight(-60, 60).at(frequency_points_rfft(16, CPU)) > 0)
    deviation = power[chosen].mean().sqrt() / 16**1.5 * tomogram.deviation
    assert deviation == pytest.approx(10.0, rel=0.1)


def test_tomograms_that_do_not_fit_are_looked_at_in_parts(tmp_path):
    write_halves(tmp_path, "t", shape=(32, 96, 96), n=5)
    tomogram = normalise(Tomogram("t", halves_of(tmp_path), (-60, 60), None, None, 1))
    centres = subvolume_centres(tomogram, 8, np.random.default_rng(0))
    small = TrainingSet((tomogram,), (centres,), 4 * 12 * 2 * 60**3, 0, CPU)
    parts = [small.draw_regions(number, 8) for number in (0, 1, 0)]
    assert parts[0] == parts[2] != parts[1]
    assert sum(part.n_voxels(tomogram, 8) for part in parts[0]) <= 2 * 60**3
    objective = TomogramObjective(small, TrainingMethod(True, 8), 1000)
    objective.begin_epoch(0)
    objective.refresh(torch.clone)
    inputs: list[torch.Tensor] = []

    def record(crops: torch.Tensor) -> torch.Tensor:
        inputs.append(crops)
        return crops

    assert torch.isfinite(objective.loss(record, 64, np.random.default_rng(0)))
    # No crop reaches beyond the part into nothing.
    assert torch.cat(inputs).abs().flatten(1).median(dim=1).values.min() > 0.05


def test_filling_costs_no_more_than_half_of_training(tmp_path):
    """Also for large tomograms and short epochs, and everything is filled anew every few hundred crops."""
    volume = open_tomogram(write_mrc(tmp_path / "t.mrc", np.zeros((64, 128, 128), np.float32)))
    tomogram = Tomogram("t", (volume, volume), (-60, 60), None, None, 20, deviation=1.0)
    centres = subvolume_centres(tomogram, 16, np.random.default_rng(0))
    training_set = TrainingSet((tomogram,), (centres,), 1e9, 0, CPU)
    objective = TomogramObjective(training_set, TrainingMethod(True, 16), 20)
    filled = 0

    def predict(volumes: torch.Tensor) -> torch.Tensor:
        nonlocal filled
        filled += volumes.numel()
        return volumes

    epochs, updates, batch = 60, 5, 4
    for epoch in range(epochs):
        objective.begin_epoch(epoch)
        for step in range(updates):
            if step % objective.refresh_interval(batch) == 0:
                objective.refresh(predict)
    trained = 3 * epochs * updates * batch * 16**3
    assert 0.1 * trained < filled < 0.5 * trained


def test_masks_and_coordinates_say_where_crops_lie(tmp_path):
    volume = open_tomogram(write_mrc(tmp_path / "t.mrc", np.zeros((32, 48, 64), np.float32)))
    mask = np.zeros((32, 48, 64), np.int8)
    mask[10:14, 20:24, 40:44] = 1
    masked = open_tomogram(write_mrc(tmp_path / "m.mrc", mask))
    tomogram = Tomogram("t", (volume,), (-60, 60), masked, None, 1)
    centres = subvolume_centres(tomogram, 16, np.random.default_rng(0))
    assert len(centres) == 64
    assert (centres.min(axis=0) == [40, 20, 10]).all()
    assert (centres.max(axis=0) == [43, 23, 13]).all()
    (tmp_path / "c.txt").write_text("1 20 15\n60 30 16\n")
    listed = Tomogram("t", (volume,), (-60, 60), None, tmp_path / "c.txt", 1)
    assert subvolume_centres(listed, 16, np.random.default_rng(0)).tolist() == [[8, 20, 15], [56, 30, 16]]


@pytest.mark.parametrize("halves", [True, False])
def test_training_recovers_what_the_wedge_hides(project, halves):
    """Both in the wedge and outside it, the prediction is nearer to the truth than the data are."""
    truth = write_halves(project, "t", shape=(40, 72, 72), noise=1.5 if halves else 0.2, n=110)
    if halves:
        run("prepare_star --even even --odd odd --pixel_size 10")
    else:
        run("prepare_star even --pixel_size 10")
    run(
        "refine tomograms.star --filter_base 8 --cube_size 16 --epochs 3 --n_subvolume 800 "
        "--device cpu --turns 2"
    )
    before = mrcfile.read("even/t.mrc")
    after = mrcfile.read("isonet_maps/corrected/corrected_t.mrc")
    radius = frequency_points_rfft(truth.shape, CPU).norm(dim=-1).numpy()
    band = (radius > 0.03) & (radius < 0.25)
    wedge = wedge_rfft(truth.shape) > 0
    assert correlation(after, truth, band & ~wedge) > 0.35
    assert abs(correlation(before, truth, band & ~wedge)) < 0.1
    if halves:
        gain = correlation(after, truth, band & wedge) - correlation(before, truth, band & wedge)
        assert gain > 0.03


def test_a_network_learns_to_undo_the_ctf(project):
    """Where the CTF is weak, the prediction of mode network is stronger than the data."""
    truth = slab_of_rods((40, 72, 72), 110, 3)
    microscope = Microscope(10.0, 40000.0, amplitude_contrast=0.1)
    spectrum = rfft3(truth / truth.std())
    radius = frequency_points_rfft(truth.shape, CPU).norm(dim=-1).numpy()
    contrast = np.interp(radius, np.linspace(0, 0.5, 2048), microscope.ctf)
    shown = irfft3((spectrum * contrast).astype(np.complex64), truth.shape)
    for kind, seed in (("even", 1), ("odd", 2)):
        write_mrc(project / kind / "t.mrc", seen(shown, 0.3, seed))
    run("prepare_star --even even --odd odd --pixel_size 10 --defocus 40000 --ac 0.1")
    options = "--filter_base 8 --cube_size 16 --epochs 2 --n_subvolume 800 --device cpu"
    run(f"refine tomograms.star {options} --CTF_mode network --output_dir network --clip_first_peak_mode 0")
    run(f"refine tomograms.star {options} --output_dir none")
    wedge = wedge_rfft(truth.shape) > 0
    band = (radius > 0.03) & (radius < 0.35) & wedge
    plain, undone = (
        correlation(mrcfile.read(f"{name}/corrected/corrected_t.mrc"), truth, band)
        for name in ("none", "network")
    )
    assert undone > plain + 0.005
    assert not (project / "network" / "spisonet_ctf").exists()


def test_curves_of_the_ctf():
    microscope = Microscope(10.0, 40000.0)
    transfer = microscope.ctf
    assert transfer[0] == pytest.approx(0.1)
    flip = phase_flip(microscope)
    assert (flip.values * transfer >= 0).all()
    kept = ctf_amplitude(microscope, keep_low=True, b_factor=0.0).values
    first_peak = int(np.argmax(transfer > 0.999))
    assert (kept[:first_peak] == 1).all()
    np.testing.assert_allclose(kept[first_peak + 20 :], np.abs(transfer[first_peak + 20 :]))
    damped = ctf_amplitude(microscope, keep_low=True, b_factor=200.0).values
    assert damped[-1] / kept[-1] == pytest.approx(math.exp(-200 * 0.05**2 / 4))
    assert phase_flip(Microscope(10.0, 40000.0, phase_flipped=True)) is None


# --- chains of commands --------------------------------------------------------------------------------


def test_the_chain_of_isonet_0_2(project):
    """As its tutorial writes it, with small numbers."""
    for index in (1, 2):
        truth = slab_of_rods((40, 64, 64), 30, index)
        write_mrc(project / "tomoset" / f"TS{index}.rec", seen(truth, 0.5, index))
    run("prepare_star tomoset --output_star tomo.star --pixel_size 10 --defocus 30000 --number_subtomos 6")
    run("deconv tomo.star --snrfalloff 0.7 --deconv_folder deconv")
    run("make_mask tomo.star --mask_folder mask --density_percentage 60 --std_percentage 60 --z_crop 0.14")
    run("extract tomo.star --cube_size 16 --subtomo_folder subtomo --subtomo_star subtomo.star")
    listed = TomogramTable.read(Path("subtomo.star")).rows
    assert len(listed) == 12
    assert {row.text("rlnCropSize") for row in listed} == {"24"}
    run(
        "refine subtomo.star --iterations 2 --epochs 1 --noise_start_iter 1,2 --noise_level 0.05,0.1 "
        "--batch_size 4 --learning_rate 0.0004 --drop_out 0.3 --filter_base 4 --log_level info "
        "--preprocessing_ncpus 2 --device cpu"
    )
    _, record = load_network(Path("results/network.safetensors"))
    assert record["method"] == "isonet2"
    assert record["cube_size"] == 16
    run(
        "predict tomo.star ./results/model_iter2.h5 --cube_size 48 --crop_size 64 --batch_size 8 --device cpu"
    )
    for row in TomogramTable.read(Path("tomo.star")).rows:
        corrected = row.path("rlnCorrectedTomoName")
        assert open_tomogram(corrected).shape == (40, 64, 64)
        assert corrected.parent == Path("corrected_tomos")


def test_the_chain_of_isonet2(project):
    for index in (1, 2):
        write_halves(project, f"TS_{index}", shape=(24, 40, 40), seed=index, n=10)
    run(
        "prepare_star --even even --odd odd --star_name tomograms.star --tilt_min -51 --tilt_max 60 "
        "--number_subtomos 8 --create_average True --defocus 30000"
    )
    run(
        "deconv tomograms.star --input_column rlnTomoName --output_dir deconv "
        "--snrfalloff 1 --deconvstrength 1"
    )
    run(
        "make_mask tomograms.star --input_column rlnDeconvTomoName --output_dir mask "
        "--z_crop 0.1 --patch_size 2"
    )
    run(
        "refine tomograms.star --output_dir isonet_maps --method isonet2-n2n --arch unet-small "
        "--cube_size 16 --epochs 1 --mw_weight 20 --CTF_mode phase_only --noise_level 0 --loss_func L2 "
        "--mixed_precision True --with_predict False --device cpu"
    )
    assert not Path("isonet_maps/corrected").exists()
    run(
        "predict tomograms.star isonet_maps/network_isonet2-n2n_unet-small_16_full.pt "
        "--tomo_idx 2 --device cpu"
    )
    first, second = TomogramTable.read(Path("tomograms.star")).rows
    assert first.path("rlnCorrectedTomoName") is None
    assert second.path("rlnCorrectedTomoName") == Path("corrected_tomos/corrected_TS_2.mrc")
    run(f"denoise tomograms.star {QUICK} --output_dir denoise")
    first, _ = TomogramTable.read(Path("tomograms.star")).rows
    assert open_tomogram(first.path("rlnDenoisedTomoName")).shape == (24, 40, 40)


def test_relion5_columns_come_back_with_what_is_added(project):
    lines = [
        "# version 50001\n\ndata_global\n\nloop_\n_rlnTomoName #1\n_rlnVoltage #2\n_rlnOpticsGroupName #3\n"
        "_rlnTomoTiltSeriesPixelSize #4\n_rlnTomoTiltSeriesStarFile #5\n_rlnTomoTomogramBinning #6\n"
        "_rlnTomoReconstructedTomogramHalf1 #7\n_rlnTomoReconstructedTomogramHalf2 #8\n"
        "TS_01 300.000000 optics1 1.350000 tilts/TS_01.star 7.407407 even/TS_01.mrc odd/TS_01.mrc\n"
    ]
    Path("tilts").mkdir()
    angles = "\n".join(f"{angle} 1 {30000 + 10 * angle} 30000" for angle in range(-48, 64, 3))
    Path("tilts/TS_01.star").write_text(
        f"data_TS_01\n\nloop_\n_rlnTomoNominalStageTiltAngle #1\n_rlnTomoTiltMovieIndex #2\n"
        f"_rlnDefocusU #3\n_rlnDefocusV #4\n{angles}\n"
    )
    Path("tomograms.star").write_text(lines[0])
    write_halves(project, "TS_01", shape=(24, 40, 40), n=5)
    before = TomogramTable.read(Path("tomograms.star")).rows[0].values
    row = TomogramTable.read(Path("tomograms.star")).rows[0]
    assert read_tomograms([row], True, [None])[0].tilt_range_degrees == (-48, 63)
    assert find_defocus(row) == pytest.approx(30000, abs=40)
    run(f"refine tomograms.star {QUICK} --CTF_mode network")
    table = TomogramTable.read(Path("tomograms.star"))
    after = table.rows[0].values
    assert list(after)[: len(before)] == list(before)
    assert {name: after[name] for name in before} == before
    assert after["rlnTomoReconstructedTomogramDenoised"] == "isonet_maps/corrected/corrected_TS_01.mrc"
    assert "data_global" in Path("tomograms.star").read_text()
    assert json.loads(Path("isonet_maps/job.json").read_text())["status"] == "finished"


def test_tomograms_of_several_wedges_and_voxel_sizes_train_together(project, caplog):
    write_halves(project, "a", shape=(24, 40, 40), n=5, seed=1)
    write_halves(project, "b", shape=(32, 48, 40), n=5, seed=2)
    run("prepare_star --even even --odd odd --pixel_size 10")
    table = TomogramTable.read(Path("tomograms.star"))
    for row, low, size in zip(table.rows, ("-40", "-66"), ("10", "14"), strict=True):
        table.set(row, "rlnTiltMin", low)
        table.set(row, "rlnPixelSize", size)
    table.write()
    run(f"refine tomograms.star {QUICK}")
    assert "differ (10.00 to 14.00 Å)" in caplog.text
    for name, shape in (("a", (24, 40, 40)), ("b", (32, 48, 40))):
        assert open_tomogram(Path(f"isonet_maps/corrected/corrected_{name}.mrc")).shape == shape


def test_two_processes_train_and_predict_as_one(project):
    """Started by torchrun, the processes share every batch; predictions follow in a command of their own."""
    write_halves(project, "t", shape=(24, 40, 40), n=5)
    run("prepare_star --even even --odd odd --pixel_size 10")
    torchrun = "-m torch.distributed.run --standalone --nproc_per_node 2".split()
    script = str(Path(sys.executable).parent / "isonet.py")
    words = f"{script} refine tomograms.star {QUICK} --batch_size 4 --output_dir two".split()
    subprocess.run([sys.executable, *torchrun, *words], check=True, timeout=200, capture_output=True)
    run(f"refine tomograms.star {QUICK} --batch_size 4 --output_dir one")
    records = [json.loads(Path(name, "job.json").read_text()) for name in ("one", "two")]
    assert [record["processes"] for record in records] == [1, 2]
    losses = np.array([record["epoch_losses"] for record in records])
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.6)  # of a few crops
    run("predict tomograms.star two/network.safetensors --device cpu")
    assert open_tomogram(Path("corrected_tomos/corrected_t.mrc")).shape == (24, 40, 40)


@pytest.mark.gpu
def test_a_gpu_predicts_as_the_cpu_does(project):
    write_halves(project, "t", shape=(40, 72, 72), noise=1.5, n=110)
    run("prepare_star --even even --odd odd --pixel_size 10")
    run("refine tomograms.star --filter_base 8 --cube_size 16 --epochs 2 --n_subvolume 400 --gpuID 0")
    run("predict tomograms.star isonet_maps/network.safetensors --device cpu --output_dir cpu")
    run("predict tomograms.star isonet_maps/network.safetensors --gpuID 0 --output_dir gpu")
    on_cpu, on_gpu = (mrcfile.read(f"{name}/corrected_t.mrc") for name in ("cpu", "gpu"))
    assert np.corrcoef(on_cpu.ravel(), on_gpu.ravel())[0, 1] > 0.999


def test_summaries_show_slices_and_say_what_was_inferred(project):
    write_halves(project, "t", shape=(24, 40, 40), n=5)
    run("prepare_star --even even --odd odd --pixel_size 10")
    run(f"refine tomograms.star {QUICK} --save_interval 1")
    trained = Path("isonet_maps/summary.html").read_text()
    predicted = Path("isonet_maps/corrected/summary.html").read_text()
    assert trained.count("data:image/png") == 3  # the loss and two previews
    assert predicted.count("data:image/png") == 1
    assert all("inferred by a network" in page for page in (trained, predicted))


# --- interruption --------------------------------------------------------------------------------------


def test_a_resumed_training_ends_as_an_uninterrupted_one(project):
    write_halves(project, "t", shape=(24, 40, 40), n=5)
    run("prepare_star --even even --odd odd --pixel_size 10")
    line = f"refine tomograms.star {TINY} --n_subvolume 160 --with_predict False --save_interval 1"
    run(f"{line} --epochs 3 --output_dir whole")
    program = [sys.executable, "-c", "from spisonet.commands.main import isonet; isonet()"]
    words = f"{line} --epochs 3 --output_dir parts".split()
    with subprocess.Popen([*program, *words], stdout=subprocess.DEVNULL, start_new_session=True) as process:
        deadline = time.monotonic() + 120
        while not list(Path("parts").glob("preview_0001.png")) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    done = json.loads(Path("parts/job.json").read_text())["status"]
    if done == "finished":
        pytest.skip("the training was faster than the killing")
    run(f"{line} --epochs 3 --output_dir parts --resume")
    whole, parts = (load_network(Path(name) / "network.safetensors")[0] for name in ("whole", "parts"))
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_five_tomograms_one_corrupt_killed_and_resumed(project, capsys):
    names = [f"t{index}" for index in range(5)]
    for index, name in enumerate(names):
        write_halves(project, name, shape=(24, 40, 40), n=5, seed=index)
    run("prepare_star --even even --odd odd --pixel_size 10")
    run(f"refine tomograms.star {QUICK} --tomo_idx 1,2 --with_predict False")
    corrupt = Path("even/t2.mrc")
    corrupt.write_bytes(corrupt.read_bytes()[:5000])
    line = "predict tomograms.star isonet_maps/network.safetensors --device cpu --output_dir out"
    program = [sys.executable, "-c", "from spisonet.commands.main import isonet; isonet()"]
    with subprocess.Popen(
        [*program, *line.split()], stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 120
        while not Path("out/corrected_t0.mrc").is_file() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    first = Path("out/corrected_t0.mrc").stat().st_mtime_ns
    message = failure(f"{line} --resume", capsys)
    assert "1 of 5" in message
    assert "t2" in message
    assert Path("out/corrected_t0.mrc").stat().st_mtime_ns == first
    noted = [row.path("rlnCorrectedTomoName") for row in TomogramTable.read(Path("tomograms.star")).rows]
    assert [path is not None and path.is_file() for path in noted] == [True, True, False, True, True]
    assert list(json.loads(Path("out/job.json").read_text())["failures"]) == ["t2"]
    assert "t2 FAILED" in Path("out/summary.html").read_text()
    assert not [path for path in Path("out").iterdir() if "partial" in path.name]


def test_resuming_with_other_options_is_refused(project, capsys):
    write_halves(project, "t", shape=(24, 40, 40), n=5)
    run("prepare_star --even even --odd odd --pixel_size 10")
    run(f"refine tomograms.star {QUICK} --with_predict False")
    assert "--mw_weight was 20" in failure(
        f"refine tomograms.star {QUICK} --with_predict False --mw_weight 5 --resume", capsys
    )
    assert "no run to resume" in failure(f"refine tomograms.star {QUICK} --output_dir new --resume", capsys)


# --- bad input -----------------------------------------------------------------------------------------


@pytest.fixture
def listed(project) -> Path:
    for name in ("a", "b"):
        write_halves(project, name, shape=(24, 40, 40), n=3)
    run("prepare_star --even even --odd odd --pixel_size 10")
    return project


def changed(**columns: str) -> None:
    table = TomogramTable.read(Path("tomograms.star"))
    for name, value in columns.items():
        table.set(table.rows[1], name, value)
    table.write()


@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        (
            {"rlnTomoReconstructedTomogramHalf1": "no.mrc", "rlnMaskName": "none/m.mrc"},
            "",
            "no.mrc, none/m.mrc",
        ),
        ({"rlnTomoReconstructedTomogramHalf2": "None"}, "", "only one of even and odd for b"),
        ({"rlnTiltMin": "70"}, "", "b: invalid tilt range 70 to 60 degrees"),
        ({"rlnTiltMin": "wide"}, "", "not a valid number"),
        ({"rlnNumberSubtomo": "0"}, "", "rlnNumberSubtomo is 0"),
        ({}, "--cube_size 32", "24 voxels thick, less than --cube_size 32"),
        ({}, "--cube_size 20", "multiple of 8"),
        ({}, "--CTF_mode wiener", "missing for a, b"),
        ({}, "--arch HSFormer", "SFormer is not available"),
        ({}, f"{SINGLE} --noise_level 0.1,0.2 --noise_start_iter 1", "2 levels"),
        ({}, "--noise_level much", "not a list of numbers"),
        ({}, "--tomo_idx 7", "no tomogram 7"),
        ({}, "--pretrained_model no.safetensors", "no.safetensors does not exist"),
        ({}, "--method isonet2", "lists no tomogram file for a, b"),
    ],
)
def test_unusable_input_is_refused_before_anything_is_written(listed, capsys, columns, options, said):
    changed(**columns)
    default = "" if "--cube_size" in options else "--cube_size 16"
    message = failure(
        f"refine tomograms.star --device cpu --filter_base 4 --epochs 1 {default} {options}", capsys
    )
    assert said in message
    assert not Path("isonet_maps").exists()


def test_thin_tomograms_are_mirrored_by_choice(listed):
    run(f"refine tomograms.star {QUICK.replace('--cube_size 16', '--cube_size 32')} --pad --n_subvolume 4")
    assert open_tomogram(Path("isonet_maps/corrected/corrected_a.mrc")).shape == (24, 40, 40)


def test_an_empty_mask_is_named(listed, capsys):
    write_mrc(Path("m.mrc"), np.zeros((24, 40, 40), np.int8))
    changed(rlnMaskName="m.mrc")
    assert "m.mrc has no voxel where" in failure(f"refine tomograms.star {QUICK}", capsys)


def test_damaged_data_stop_a_training(listed, capsys):
    data = mrcfile.read("even/b.mrc").copy()
    data[3] = np.nan
    write_mrc(Path("even/b.mrc"), data)
    assert "even/b.mrc contains NaN" in failure(f"refine tomograms.star {QUICK}", capsys)


def test_models_that_are_none(listed, capsys):
    Path("net.pt").write_bytes(b"pickle")
    assert "not a safetensors file" in failure("predict tomograms.star net.pt --device cpu", capsys)
    assert "no.pt does not exist" in failure("predict tomograms.star no.pt --device cpu", capsys)
    assert not Path("corrected_tomos").exists()


def test_what_was_deconvolved_is_not_corrected_again(project, capsys):
    """With a CTF mode, the raw tomogram is taken although a deconvolved one is there."""
    write_mrc(project / "t" / "a.mrc", seen(slab_of_rods((24, 40, 40), 5, 0), 0.3, 0))
    run("prepare_star t --pixel_size 10 --defocus 30000")
    run("deconv tomograms.star")
    raw, deconvolved = Path("t/a.mrc"), Path("deconv/a.mrc")
    row = TomogramTable.read(Path("tomograms.star")).rows[0]
    for mode, column in (("None", "rlnDeconvTomoName"), ("phase_only", None)):
        config = RefineConfig(star_file=Path("tomograms.star"))
        assert CtfCorrection(mode).input_column(row, config) == column
    assert raw.is_file()
    assert deconvolved.is_file()
    line = f"refine tomograms.star {QUICK} --CTF_mode phase_only --input_column rlnDeconvTomoName"
    assert "not by both" in failure(line, capsys)


def test_names_of_outputs_do_not_depend_on_what_is_chosen(project):
    for index in (1, 2):
        write_mrc(project / f"TS_{index}" / "rec.mrc", seen(slab_of_rods((24, 32, 32), 4, index), 0.3, index))
    rows = [
        {"rlnIndex": str(i), "rlnMicrographName": f"TS_{i}/rec.mrc", "rlnPixelSize": "10"} for i in (1, 2)
    ]
    TomogramTable.new(Path("tomograms.star"), rows).write()
    run(f"refine tomograms.star {QUICK} --with_predict False")
    for index in (1, 2):
        run(f"predict tomograms.star isonet_maps/network.safetensors --tomo_idx {index} --device cpu")
    names = [row.path("rlnCorrectedTomoName") for row in TomogramTable.read(Path("tomograms.star")).rows]
    assert [name.name for name in names] == ["corrected_TS_1_rec.mrc", "corrected_TS_2_rec.mrc"]
    assert all(name.is_file() for name in names)


def test_a_killed_prediction_leaves_nothing_behind_for_long(project, monkeypatch):
    write_halves(project, "t", shape=(24, 40, 40), n=5)
    run("prepare_star --even even --odd odd --pixel_size 10 --defocus 30000")
    run(f"refine tomograms.star {QUICK} --with_predict False --CTF_mode phase_only")
    folder = Path("corrected_tomos")
    stale = folder / "spisonet_ctf_00000" / f"00000_0_{16 * '0'}.mrc"
    stale.parent.mkdir(parents=True)
    stale.touch()
    (folder / ".corrected_t.999999999.partial.mrc").touch()
    monkeypatch.setattr("spisonet.io.atomic.RECENT_SECONDS", -1.0)
    run("predict tomograms.star isonet_maps/network.safetensors --device cpu")
    assert {path.name for path in folder.iterdir()} == {
        "corrected_t.mrc",
        "figures",
        "job.json",
        "run.log",
        "summary.html",
    }


def test_a_resumed_refine_keeps_what_was_predicted(project):
    for name in ("a", "b"):
        write_halves(project, name, shape=(24, 40, 40), n=5)
    run("prepare_star --even even --odd odd --pixel_size 10")
    run(f"refine tomograms.star {QUICK}")
    kept, lost = (Path(f"isonet_maps/corrected/corrected_{name}.mrc") for name in ("a", "b"))
    before = kept.stat().st_mtime_ns
    lost.unlink()
    run(f"refine tomograms.star {QUICK} --resume")
    assert kept.stat().st_mtime_ns == before
    assert lost.is_file()


def test_what_another_network_predicted_is_not_taken_over(project):
    """Tomograms one by one into one folder: with other options, what is there already is predicted anew."""
    for name in ("a", "b"):
        write_halves(project, name, shape=(24, 40, 40), n=5)
    run("prepare_star --even even --odd odd --pixel_size 10")
    run(f"refine tomograms.star {QUICK} --with_predict False")
    line = "predict tomograms.star isonet_maps/network.safetensors --device cpu --output_star out.star"
    run(f"{line} --tomo_idx 1")
    run(f"{line} --tomo_idx 2")
    outputs = [row.path("rlnCorrectedTomoName") for row in TomogramTable.read(Path("out.star")).rows]
    assert all(path.is_file() for path in outputs)
    run(f"{line} --tomo_idx 2 --turns 1")
    assert [path.is_file() for path in outputs] == [False, True]
    run(f"refine tomograms.star {QUICK} --turns 1 --resume")
    run(f"refine tomograms.star {QUICK} --turns 2 --resume")
    assert json.loads(Path("isonet_maps/corrected/job.json").read_text())["config"]["turns"] == 2


def test_files_of_others_are_not_deleted(project, capsys):
    """A user's own folder or files that are named like ours stay."""
    write_halves(project, "t", shape=(24, 40, 40), n=5)
    run("prepare_star --even even --odd odd --pixel_size 10 --full even --defocus 30000")
    own = write_mrc(Path("spisonet_ctf/mine.mrc"), np.zeros((4, 4, 4), np.float32))
    run(f"refine tomograms.star {QUICK} --with_predict False --output_dir . --CTF_mode phase_only")
    assert own.is_file()
    run("extract tomograms.star --cube_size 16")
    run("extract tomograms.star --cube_size 16 --seed 1")  # replaces its own
    other = Path("subtomo/001_TS_000123.mrc")
    other.touch()
    assert "does not list" in failure("extract tomograms.star --cube_size 16", capsys)
    assert other.is_file()


def test_many_tomograms_take_turns(tmp_path):
    volume = open_tomogram(write_mrc(tmp_path / "t.mrc", np.zeros((64, 200, 200), np.float32)))
    tomograms = tuple(Tomogram(f"t{i}", (volume, volume), (-60, 60), None, None, 100) for i in range(9))
    centres = tuple(subvolume_centres(tomogram, 16, np.random.default_rng(0)) for tomogram in tomograms)
    training_set = TrainingSet(tomograms, centres, 1e9, 0, CPU)
    for number in range(5):
        parts = training_set.draw_regions(number, 16)
        assert len({part.tomogram_index for part in parts}) == min(len(parts), 9)
        assert len(parts) >= 6


def test_a_denoising_network_keeps_the_signal_in_turned_copies(tmp_path):
    """It cannot fill the wedge of a copy again, so copies are not seen through one."""
    data = np.random.default_rng(0).normal(size=(24, 24, 24)).astype(np.float32)
    path = write_mrc(tmp_path / "t.mrc", data)
    tomogram = Tomogram("t", (open_tomogram(path),), (-60, 60), None, None, 1)

    class Identity(torch.nn.Module):
        def forward(self, volumes):
            return volumes

    backend = Backend(CPU, bfloat16=False)
    part = torch.from_numpy(data)[None]
    answers = [TilePredictor(Identity(), backend, tomogram, 6, fills)(part) for fills in (False, True)]
    torch.testing.assert_close(answers[0], part[0], rtol=0, atol=1e-4)
    assert answers[1].std() < 0.9 * part.std()


def test_gold_is_left_as_it_is(tmp_path):
    data = np.zeros((16, 16, 16), np.float32)
    data[8, 8, 8] = -50
    path = write_mrc(tmp_path / "t.mrc", data)
    tomogram = Tomogram("t", (open_tomogram(path),), (-60, 60), None, None, 1)
    seen_by_network: list[torch.Tensor] = []

    class Recorder(torch.nn.Module):
        def forward(self, volumes):
            seen_by_network.append(volumes)
            return volumes

    predictor = TilePredictor(Recorder(), Backend(CPU, bfloat16=False), tomogram, 0)
    torch.testing.assert_close(predictor(torch.from_numpy(data)[None]), torch.from_numpy(data))
    assert seen_by_network[0].min() == -10


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("refine tomograms.star --continue_from r.json", "--resume instead"),
        ("refine tomograms.star --noise_mode median", "choose noFilter, ramp or hamming"),
        ("extract tomograms.star --cube_size 16 --subtomo_folder even", "does not list"),
        (
            "refine tomograms.star --epochs 1 --cube_size 16 --filter_base 4 "
            "--pretrained_model isonet_maps/network.safetensors",
            "would be replaced",
        ),
    ],
)
def test_published_options_without_a_counterpart_are_explained(listed, capsys, line, said):
    if "pretrained" in line:
        run(f"refine tomograms.star {QUICK} --with_predict False")
    changed(rlnMicrographName="even/b.mrc")
    table = TomogramTable.read(Path("tomograms.star"))
    table.set(table.rows[0], "rlnMicrographName", "even/a.mrc")
    table.write()
    assert said in failure(line, capsys)
    assert all(Path(f"{kind}/{name}.mrc").is_file() for kind in ("even", "odd") for name in "ab")


# --- other commands ------------------------------------------------------------------------------------


def test_extracted_subtomograms_are_cut_from_the_tomogram(project):
    data = np.arange(32 * 40 * 48, dtype=np.float32).reshape(32, 40, 48)
    write_mrc(project / "t" / "a.mrc", data)
    run("prepare_star t --number_subtomos 5 --pixel_size 10")
    run("extract tomograms.star --cube_size 16")
    rows = TomogramTable.read(Path("subtomo.star")).rows
    assert len(rows) == 5
    for row in rows:
        cut = mrcfile.read(row.path("rlnImageName"))
        assert cut.shape == (24, 24, 24)
        z, y, x = np.unravel_index(int(cut[12, 12, 12]), data.shape)
        assert all(8 <= place <= n - 8 for place, n in zip((z, y, x), data.shape, strict=True))
        inner = data[z - 4 : z + 4, y - 4 : y + 4, x - 4 : x + 4]
        np.testing.assert_array_equal(cut[8:16, 8:16, 8:16], inner)
    shutil.copytree("subtomo", "others")
    run("prepare_subtomo_star others --output_star others.star --pixel_size 10")
    assert {row.text("rlnCubeSize") for row in TomogramTable.read(Path("others.star")).rows} == {"16"}


@pytest.mark.parametrize("apix", [15.0, 7.0])
def test_resized_tomograms_show_the_same_at_another_voxel_size(project, monkeypatch, apix):
    monkeypatch.setattr("spisonet.tomography.resizing.CHUNK_EDGE", 20)
    z, y, x = np.indices((48, 60, 64)) * 10.0

    def wave(*axes: np.ndarray) -> np.ndarray:
        return sum(np.sin(2 * np.pi * axis / 120.0 + k) for k, axis in enumerate(axes)).astype(np.float32)

    write_mrc(project / "t" / "a.mrc", wave(z, y, x))
    run("prepare_star t --pixel_size 10")
    write_mrc(project / "m.mrc", (z > 200).astype(np.int8))
    table = TomogramTable.read(Path("tomograms.star"))
    table.set(table.rows[0], "rlnMaskName", "m.mrc")
    table.write()
    run(f"resize tomograms.star --apix {apix}")
    row = TomogramTable.read(Path("tomograms_resized.star")).rows[0]
    resized = open_tomogram(row.full)
    assert resized.voxel_size_angstrom == pytest.approx(apix)
    assert row.number_of("rlnPixelSize") == apix
    expected = wave(*(np.indices(resized.shape) * apix))
    inner = (slice(6, -6),) * 3
    np.testing.assert_allclose(resized.read()[inner], expected[inner], atol=0.06)
    mask = open_tomogram(row.path("rlnMaskName")).read()
    edges = np.flatnonzero(np.diff(mask[:, 5, 5]))
    assert abs(edges[0] * apix - 200) <= 10 + apix


def test_detail_that_larger_voxels_cannot_show_does_not_come_back_elsewhere(project):
    fast = np.sin(2 * np.pi * np.arange(64) / 2.6).astype(np.float32)
    write_mrc(project / "t" / "a.mrc", np.broadcast_to(fast, (24, 24, 64)).copy())
    run("prepare_star t --pixel_size 10")
    run("resize tomograms.star --apix 20")
    row = TomogramTable.read(Path("tomograms_resized.star")).rows[0]
    assert np.abs(open_tomogram(row.full).read()[..., 4:-4]).max() < 0.05
