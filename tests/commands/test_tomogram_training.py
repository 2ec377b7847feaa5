"""``refine``, ``denoise`` and ``predict``: published command lines, resumption, invalid input."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch

from spisonet.api import tomogram_output
from spisonet.commands import tomogram_correction
from spisonet.errors import SpisonetError
from spisonet.fourier.ctf import find_defocus
from spisonet.io.events import read_progress
from spisonet.io.tomogram_table import HALVES, TomogramTable
from spisonet.io.tomograms import open_tomogram
from spisonet.learning.checkpoint import load_network, save_network
from spisonet.learning.pretrained import TOMOGRAM_NETWORK_FILE
from spisonet.learning.unet import DenoisedUNet, UNet
from spisonet.tomography.inputs import read_tomograms
from spisonet.tomography.subvolume_centres import subvolume_centres
from tests.tomography.isonet import CPU_ONLY, QUICK, TINY, failure, run
from tests.tomography.simulation import (
    slab_of_rods,
    with_missing_wedge,
    write_halves,
    write_mrc,
)

SINGLE_TOMOGRAM = "--method isonet2 --input_column rlnTomoReconstructedTomogramHalf1"


def test_the_tutorial_of_isonet_0_2_runs(project):
    """As its tutorial writes it, with small numbers."""
    for index in (1, 2):
        truth = slab_of_rods((40, 64, 64), 30, index)
        write_mrc(project / "tomoset" / f"TS{index}.rec", with_missing_wedge(truth, 0.5, index))
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
        "--preprocessing_ncpus 1 --device cpu --select_subtomo_number 6 --remove_intermediate False"
    )
    assert json.loads(Path("results/job.json").read_text())["subvolumes_per_epoch"] == 6 * 6
    assert Path("results/checkpoint.safetensors").is_file()
    _, record = load_network(Path("results/network.safetensors"))
    assert record["method"] == "isonet2"
    assert record["cube_size"] == 16
    run(f"predict tomo.star ./results/model_iter2.h5 --cube_size 48 --crop_size 64 --batch_size 8 {CPU_ONLY}")
    for row in TomogramTable.read(Path("tomo.star")).rows:
        corrected = row.path("rlnCorrectedTomoName")
        assert open_tomogram(corrected).shape == (40, 64, 64)
        assert corrected.parent == Path("corrected_tomos")


def test_the_tutorial_of_isonet2_runs(project):
    for index in (1, 2):
        write_halves(project, f"TS_{index}", shape=(24, 40, 40), seed=index, n=10, tilts=(-51, 60))
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
        f"--mixed_precision True --with_predict False --remove_intermediate {CPU_ONLY}"
    )
    assert not Path("isonet_maps/corrected").exists()
    assert not [path for path in Path("isonet_maps").iterdir() if "checkpoint" in path.name]
    (newest,) = Path("isonet_maps").glob("*.pt")
    assert newest.name == "network_isonet2-n2n_unet-small_16_full.pt"
    run(
        f"predict tomograms.star {newest} --padding_factor 1.5 --output_prefix a --save_slices False "
        f"--tomo_idx 2 {CPU_ONLY}"
    )
    assert not any(Path("corrected_tomos/figures").iterdir())
    first, second = TomogramTable.read(Path("tomograms.star")).rows
    assert first.path("rlnCorrectedTomoName") is None
    assert second.path("rlnCorrectedTomoName") == Path("corrected_tomos/a_corrected_TS_2.mrc")
    run(f"denoise tomograms.star {QUICK} --output_dir denoise")
    first, _ = TomogramTable.read(Path("tomograms.star")).rows
    assert open_tomogram(first.path("rlnDenoisedTomoName")).shape == (24, 40, 40)


def test_columns_of_relion_5_are_kept_and_the_result_is_added(project):
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
    write_halves(project, "TS_01", shape=(24, 40, 40), n=5, tilts=(-48, 63))
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


def test_tomograms_of_several_tilt_ranges_and_voxel_sizes_train_together(project, caplog):
    write_halves(project, "a", shape=(24, 40, 40), n=5, seed=1, tilts=(-40, 60))
    write_halves(project, "b", shape=(32, 48, 40), n=5, seed=2, tilts=(-66, 60))
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


def test_two_processes_train_as_one(project):
    """The processes that torchrun starts share every batch; the tomograms are predicted afterwards."""
    write_halves(project, "t", shape=(24, 40, 40), n=5)
    run("prepare_star --even even --odd odd --pixel_size 10")
    line = f"refine tomograms.star {TINY} --n_subvolume 16 --epochs 4 --denoise_epochs 2 --batch_size 4"
    torchrun = "-m torch.distributed.run --standalone --nproc_per_node 2".split()
    script = str(Path(sys.executable).parent / "isonet.py")
    words = f"{script} {line} --output_dir two".split()
    subprocess.run([sys.executable, *torchrun, *words], check=True, timeout=200, capture_output=True)
    run(f"{line} --output_dir one")
    records = [json.loads(Path(name, "job.json").read_text()) for name in ("one", "two")]
    assert [record["processes"] for record in records] == [1, 2]
    assert [len(record["epoch_losses"]) for record in records] == [2, 2]
    for name in ("one", "two"):
        run(f"predict tomograms.star {name}/network.safetensors {CPU_ONLY} --output_dir {name}_predicted")
    one, two = (mrcfile.read(f"{name}_predicted/corrected_t.mrc") for name in ("one", "two"))
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.995


@pytest.mark.gpu
def test_a_gpu_predicts_as_the_cpu_does(project):
    write_halves(project, "t", shape=(40, 72, 72), noise=1.5, n=110)
    run("prepare_star --even even --odd odd --pixel_size 10")
    run("refine tomograms.star --filter_base 8 --cube_size 16 --epochs 2 --n_subvolume 400 --gpuID 0")
    run(f"predict tomograms.star isonet_maps/network.safetensors {CPU_ONLY} --output_dir cpu")
    run("predict tomograms.star isonet_maps/network.safetensors --gpuID 0 --output_dir gpu")
    on_cpu, on_gpu = (mrcfile.read(f"{name}/corrected_t.mrc") for name in ("cpu", "gpu"))
    assert np.corrcoef(on_cpu.ravel(), on_gpu.ravel())[0, 1] > 0.999


def test_summaries_show_slices_and_what_is_inferred(trained):
    run(f"predict tomograms.star isonet_maps/network.safetensors {CPU_ONLY}")
    training, prediction = (
        Path(folder, "summary.html").read_text() for folder in ("isonet_maps", "corrected_tomos")
    )
    assert training.count("data:image/png") == 3  # the loss and two previews
    assert prediction.count("data:image/png") == 2
    for page in (training, prediction):
        assert "inferred by a network" in page
        assert page.count("<td>-60 to 60° (assumed, no tilt file found)</td>") == 2


def test_a_resumed_training_ends_as_an_uninterrupted_one(project):
    write_halves(project, "t", shape=(24, 40, 40), n=5)
    run("prepare_star --even even --odd odd --pixel_size 10")
    options = "--n_subvolume 160 --batch_size 4 --with_predict False --save_interval 1"
    line = f"refine tomograms.star {TINY} {options}"
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


def test_even_and_odd_are_denoised_before_the_wedge_is_filled(listed):
    line = f"refine tomograms.star {TINY} --n_subvolume 16 --epochs 4"
    run(f"{line} --save_interval 1")
    network, _ = load_network(Path("isonet_maps/network.safetensors"))
    assert isinstance(network, DenoisedUNet)
    record = json.loads(Path("isonet_maps/job.json").read_text())
    assert (record["epochs"], len(record["denoiser_losses"]), len(record["epoch_losses"])) == (4, 1, 3)
    assert len(record["previews"]) == 3
    corrected = TomogramTable.read(Path("tomograms.star")).rows[0].path("rlnCorrectedTomoName")
    assert np.isfinite(mrcfile.read(corrected)).all()
    run(f"{line} --denoise_epochs 0 --output_dir one --with_predict False")
    assert type(load_network(Path("one/network.safetensors"))[0]) is UNet
    run(f"{line} {SINGLE_TOMOGRAM} --output_dir single --with_predict False")
    assert type(load_network(Path("single/network.safetensors"))[0]) is UNet


def test_a_training_stopped_between_its_two_networks_is_resumed(listed, monkeypatch, capsys):
    line = f"refine tomograms.star {TINY} --n_subvolume 16 --epochs 4 --denoise_epochs 2 --with_predict False"
    run(f"{line} --output_dir whole")
    trained, train = [], tomogram_output.train

    def only_the_first(job, *arguments):
        if trained:
            raise SpisonetError("stopped")
        trained.append(job.title)
        return train(job, *arguments)

    monkeypatch.setattr(tomogram_output, "train", only_the_first)
    assert "stopped" in failure(f"{line} --output_dir parts", capsys)
    monkeypatch.setattr(tomogram_output, "train", train)
    run(f"{line} --output_dir parts --resume")
    whole, parts = (load_network(Path(name) / "network.safetensors")[0] for name in ("whole", "parts"))
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    run(f"{line} --output_dir whole --remove_intermediate True")
    assert not list(Path("whole").glob("checkpoint*"))


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ("--epochs 4 --denoise_epochs 4", "leaves none of 4 epochs"),
        ("--epochs auto --denoise_epochs 2", "excludes --epochs auto"),
        ("--epochs 4 --denoise_epochs 2 --pretrained default", "--pretrained default is a single network"),
    ],
)
def test_invalid_numbers_of_denoising_epochs(listed, capsys, options, part):
    line = f"refine tomograms.star --cube_size 16 {CPU_ONLY} {options}"
    assert part in failure(line, capsys)
    assert not Path("isonet_maps").exists()


def test_a_training_starts_from_the_two_networks_of_another_run(listed, capsys):
    line = f"tomograms.star {TINY} --n_subvolume 8 --with_predict False --preview False"
    run(f"refine {line} --epochs 4")
    start = "--pretrained isonet_maps/network.safetensors"

    def weights(folder: str) -> list[dict[str, torch.Tensor]]:
        network, _ = load_network(Path(folder, "network.safetensors"))
        assert isinstance(network, DenoisedUNet)
        return [part.state_dict() for part in (network.denoiser, network.completer)]

    def changed(folder: str) -> list[bool]:
        pairs = zip(weights("isonet_maps"), weights(folder), strict=True)
        return [any(not torch.equal(old[name], new[name]) for name in old) for old, new in pairs]

    run(f"refine {line} {start} --epochs 0 --output_dir none")
    run(f"refine {line} {start} --epochs 1 --output_dir completer")  # 30 % of an epoch are none
    run(f"refine {line} {start} --epochs 4 --output_dir both")
    assert [changed(folder) for folder in ("none", "completer", "both")] == [[0, 0], [0, 1], [1, 1]]
    run(f"denoise {line} {start} --epochs 0 --output_dir denoiser")
    denoiser = load_network(Path("denoiser/network.safetensors"))[0].state_dict()
    assert all(torch.equal(denoiser[name], value) for name, value in weights("isonet_maps")[0].items())
    message = failure(f"refine {line} {start} {SINGLE_TOMOGRAM} --epochs 1 --output_dir single", capsys)
    assert "cannot start a training on single tomograms" in message
    assert not Path("single").exists()


def test_a_training_that_corrects_the_ctf_denoises_first(listed):
    run("prepare_star --even even --odd odd --pixel_size 10 --defocus 30000")
    run(f"refine tomograms.star {TINY} --n_subvolume 4 --preview False --epochs 4 --CTF_mode network")
    assert isinstance(load_network(Path("isonet_maps/network.safetensors"))[0], DenoisedUNet)
    record = json.loads(Path("isonet_maps/job.json").read_text())
    assert (len(record["denoiser_losses"]), len(record["epoch_losses"])) == (1, 3)
    corrected = TomogramTable.read(Path("tomograms.star")).rows[0].path("rlnCorrectedTomoName")
    assert np.isfinite(mrcfile.read(corrected)).all()


def test_five_tomograms_one_corrupt_killed_and_resumed(trained, capsys):
    for seed, name in enumerate("cde", start=2):
        write_halves(trained, name, shape=(24, 40, 40), n=5, seed=seed)
    run("prepare_star --even even --odd odd --pixel_size 10 --defocus 30000")
    corrupt = Path("even/c.mrc")
    corrupt.write_bytes(corrupt.read_bytes()[:5000])
    line = f"predict tomograms.star isonet_maps/network.safetensors {CPU_ONLY} --output_dir out"
    program = [sys.executable, "-c", "from spisonet.commands.main import isonet; isonet()"]
    with subprocess.Popen(
        [*program, *line.split()], stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 120
        while not Path("out/corrected_a.mrc").is_file() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    first = Path("out/corrected_a.mrc").stat().st_mtime_ns
    message = failure(f"{line} --resume", capsys)
    assert "1 of 5" in message
    assert "even/c.mrc" in message
    assert Path("out/corrected_a.mrc").stat().st_mtime_ns == first
    noted = [row.path("rlnCorrectedTomoName") for row in TomogramTable.read(Path("tomograms.star")).rows]
    assert [path is not None and path.is_file() for path in noted] == [True, True, False, True, True]
    record = json.loads(Path("out/job.json").read_text())
    assert (record["status"], list(record["failures"])) == ("failed", ["c"])
    assert "1 of 5" in record["error"]["message"]
    assert "c FAILED" in Path("out/summary.html").read_text()
    assert not [path for path in Path("out").iterdir() if "partial" in path.name]
    events = [event for event in read_progress(Path("out")) if event.stage == "tomograms"]
    assert (events[-1].done, events[-1].total, events[-1].unit) == (5, 5, "tomograms")


def test_resuming_with_other_options_is_refused(trained, capsys):
    line = f"refine tomograms.star {QUICK} --CTF_mode phase_only --with_predict False --save_interval 1"
    assert "--mw_weight was 20" in failure(f"{line} --mw_weight 5 --resume", capsys)
    assert "no run to resume" in failure(f"{line} --output_dir new --resume", capsys)


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
    ("columns", "options", "part"),
    [
        (
            {"rlnTomoReconstructedTomogramHalf1": "no.mrc", "rlnMaskName": "none/m.mrc"},
            "",
            "no.mrc, none/m.mrc",
        ),
        ({"rlnTomoReconstructedTomogramHalf2": "None"}, "", "only one of even and odd for b"),
        ({"rlnTiltMin": "70"}, "", "b: invalid tilt range 70 to 60 degrees"),
        ({"rlnTiltMin": "wide"}, "", "rlnTiltMin is 'wide'"),
        ({"rlnNumberSubtomo": "0"}, "", "rlnNumberSubtomo is '0'"),
        ({}, "--cube_size 32", "24 voxels thick, less than --cube_size 32"),
        ({}, "--cube_size 20", "multiple of 8"),
        ({}, "--CTF_mode wiener", "missing for a, b"),
        ({}, f"{SINGLE_TOMOGRAM} --noise_level 0.1,0.2 --noise_start_iter 1", "2 levels"),
        ({}, "--noise_level much", "not a list of numbers"),
        ({}, "--tomo_idx 7", "no tomogram 7"),
        ({}, "--pretrained_model no.safetensors", "no.safetensors does not exist"),
        ({}, "--pretrained none --epochs 0", "needs --pretrained"),
        ({}, "--pretrained default", "base width 16, not 4"),
        ({}, "--method isonet2", "lists no tomogram file for a, b"),
    ],
)
def test_invalid_input_is_refused_before_anything_is_written(listed, capsys, columns, options, part):
    changed(**columns)
    default = "" if "--cube_size" in options else "--cube_size 16"
    message = failure(
        f"refine tomograms.star {CPU_ONLY} --filter_base 4 --epochs 1 {default} {options}", capsys
    )
    assert part in message
    assert not Path("isonet_maps").exists()


def test_a_wrong_wedge_is_refused_before_anything_is_written(listed, capsys):
    changed(rlnTiltMin="-40", rlnTiltMax="70")
    assert "There is no run to resume" in failure(f"refine tomograms.star {QUICK} --resume", capsys)
    message = failure(f"refine tomograms.star {QUICK}", capsys)
    assert "b: The power spectrum shows tilts of" in message
    assert "set rlnTiltMin and rlnTiltMax to" in message
    assert "--trust_table True" in message
    assert not Path("isonet_maps").exists()
    assert "b: The power spectrum shows" in failure("check tomograms.star", capsys)
    run("check tomograms.star --tomo_idx 1")


def test_a_wrong_wedge_stops_the_prediction_unless_the_table_is_trusted(trained, capsys):
    changed(rlnTiltMin="-40", rlnTiltMax="70")
    line = f"predict tomograms.star isonet_maps/network.safetensors {CPU_ONLY}"
    assert "1 of 2 tomograms failed: b: The power spectrum shows" in failure(line, capsys)
    assert [path.name for path in Path("corrected_tomos/figures").iterdir()] == ["corrected_a.png"]
    run(f"{line} --trust_table True --save_slices False")
    assert not any(Path("corrected_tomos/figures").iterdir())
    wedges = json.loads(Path("corrected_tomos/job.json").read_text())["wedges"]
    assert [wedges[name]["result"] for name in "ab"] == ["agrees", "range"]
    assert wedges["a"]["fit"]["axis"] == "y"
    page = Path("corrected_tomos/summary.html").read_text()
    assert all(wedge["verdict"] in page for wedge in wedges.values())


def test_thin_tomograms_are_mirrored_on_request(listed):
    run(f"refine tomograms.star {QUICK.replace('--cube_size 16', '--cube_size 32')} --pad --n_subvolume 4")
    assert open_tomogram(Path("isonet_maps/corrected/corrected_a.mrc")).shape == (24, 40, 40)


def test_an_empty_mask_is_named(listed, capsys):
    write_mrc(Path("m.mrc"), np.zeros((24, 40, 40), np.int8))
    changed(rlnMaskName="m.mrc")
    assert "m.mrc has no voxel above 0 where" in failure(f"refine tomograms.star {QUICK}", capsys)


def write_bytes(path: Path, data: np.ndarray, lowest: float, highest: float) -> None:
    """Write unsigned bytes (mode 0) as other programs do, with the range of the header that tells it."""
    with mrcfile.open(write_mrc(path, data.astype(np.uint8).view(np.int8)), "r+") as mrc:
        mrc.header.dmin, mrc.header.dmax = lowest, highest


def test_a_mask_of_bytes_0_and_255_selects_the_subvolumes(listed, monkeypatch, caplog):
    mask = np.zeros((24, 40, 40))
    mask[8:16, 10:14, 20:30] = 255
    write_bytes(Path("m.mrc"), mask, 0, 255)
    for row in (table := TomogramTable.read(Path("tomograms.star"))).rows:
        table.set(row, "rlnMaskName", "m.mrc")
    table.write()
    chosen = []

    def record(*arguments):
        chosen.append(subvolume_centres(*arguments))
        return chosen[-1]

    monkeypatch.setattr("spisonet.tomography.refine.subvolume_centres", record)
    run(f"refine tomograms.star {TINY} --epochs 1 --n_subvolume 4 --preview False --with_predict False")
    assert len(chosen) == 2
    for centres in chosen:
        x, y, z = centres.T
        assert mask[z, y, x].all()
        assert len(centres) == 8 * 4 * 10
    assert "m.mrc contains bytes that are read as unsigned" in caplog.text


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (np.zeros_like, "odd/b.mrc is constant (every voxel is 0)"),
        (lambda half: half, "even/b.mrc and odd/b.mrc have the same densities; give two independent halves"),
        (lambda half: 2 * half + 1, "even/b.mrc and odd/b.mrc have the same densities except for scale"),
    ],
)
def test_a_black_half_and_equal_halves_are_refused_before_anything_is_written(listed, capsys, change, part):
    write_mrc(Path("odd/b.mrc"), change(mrcfile.read("even/b.mrc")))
    before = sorted(listed.rglob("*"))
    assert part in failure(f"refine tomograms.star {QUICK}", capsys)
    assert part in failure(f"denoise tomograms.star {QUICK}", capsys)
    assert sorted(listed.rglob("*")) == before


def test_damaged_data_stop_a_training(listed, capsys):
    data = mrcfile.read("even/b.mrc").copy()
    data[3] = np.nan
    write_mrc(Path("even/b.mrc"), data)
    assert "even/b.mrc contains NaN" in failure(f"refine tomograms.star {QUICK}", capsys)


def test_files_that_are_not_networks_are_refused(listed, capsys):
    Path("net.pt").write_bytes(b"pickle")
    assert "not a safetensors file" in failure(f"predict tomograms.star net.pt {CPU_ONLY}", capsys)
    assert "no.pt does not exist" in failure(f"predict tomograms.star no.pt {CPU_ONLY}", capsys)
    save_network(Path("map.safetensors"), UNet(4), {"objective": "self-training"})
    message = failure(f"predict tomograms.star map.safetensors {CPU_ONLY}", capsys)
    assert "map.safetensors was not trained on tomograms" in message
    assert not Path("corrected_tomos").exists()


def test_the_padding_factor_sets_the_overlap_of_the_tiles(trained):
    write_halves(trained, "a", shape=(16, 16, 136), n=5)  # one tile thick

    def predicted(options: str) -> tuple[int, np.ndarray]:
        line = f"predict tomograms.star isonet_maps/network.safetensors --tomo_idx 1 {CPU_ONLY} {options}"
        run(f"{line} --output_dir out --save_slices False --half_turns False --trust_table True")
        tiles = [event.total for event in read_progress(Path("out")) if event.stage == "prediction"]
        return tiles[-1], mrcfile.read("out/corrected_a.mrc")

    (usual, one), (more, other), (by_stride, same) = (
        predicted(options)
        for options in (
            "--crop_size 64",
            "--crop_size 64 --padding_factor 4",
            "--cube_size 16 --padding_factor 4",
        )
    )
    # Tiles of 64 voxels have a stride of 32 or 16 voxels.
    assert (usual, more, by_stride) == (5, 9, 9)
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(other, same)


def test_names_of_outputs_do_not_depend_on_the_chosen_tomograms(trained):
    rows = []
    for index, name in enumerate("ab", start=1):
        Path(f"TS_{index}").mkdir()
        for half in ("even", "odd"):
            Path(f"{half}/{name}.mrc").rename(f"TS_{index}/{half}.mrc")
        halves = dict(zip(HALVES, (f"TS_{index}/even.mrc", f"TS_{index}/odd.mrc"), strict=True))
        rows.append({"rlnIndex": str(index), "rlnTomoName": f"TS_{index}", "rlnDefocus": "30000"} | halves)
    TomogramTable.new(Path("tomograms.star"), rows).write()
    for index in (1, 2):
        run(f"predict tomograms.star isonet_maps/network.safetensors --tomo_idx {index} {CPU_ONLY}")
    names = [row.path("rlnCorrectedTomoName") for row in TomogramTable.read(Path("tomograms.star")).rows]
    assert [name.name for name in names] == ["corrected_TS_1.mrc", "corrected_TS_2.mrc"]
    assert all(name.is_file() for name in names)


def test_remains_of_a_killed_prediction_are_removed(trained):
    folder = Path("corrected_tomos")
    stale = folder / "spisonet_ctf_00000" / f"00000_0_{16 * '0'}.mrc"
    stale.parent.mkdir(parents=True)
    stale.touch()
    host = re.sub("[^A-Za-z0-9-]", "-", socket.gethostname())[:32]
    (folder / f".corrected_a.{host}.999999999.0.partial.mrc").touch()
    run(f"predict tomograms.star isonet_maps/network.safetensors --tomo_idx 1 {CPU_ONLY}")
    remaining = {path.name for path in folder.iterdir()} - {"job.json", "run.log", "progress.jsonl"}
    assert remaining == {"corrected_a.mrc", "figures", "summary.html"}


def test_a_resumed_refine_keeps_predicted_tomograms(trained):
    line = f"refine tomograms.star {QUICK} --CTF_mode phase_only --save_interval 1 --resume"
    run(line)
    kept, lost = (Path(f"isonet_maps/corrected/corrected_{name}.mrc") for name in ("a", "b"))
    before = kept.stat().st_mtime_ns
    lost.unlink()
    run(line)
    assert kept.stat().st_mtime_ns == before
    assert lost.is_file()
    run(f"{line} --turns 1")
    assert kept.stat().st_mtime_ns > before
    assert json.loads(Path("isonet_maps/corrected/job.json").read_text())["config"]["turns"] == 1


def test_a_prediction_that_fails_after_the_training_is_recorded_and_logged(trained, capsys, monkeypatch):
    def fail(*_: object) -> None:
        raise SpisonetError("No disk.")

    line = f"refine tomograms.star {QUICK} --CTF_mode phase_only --save_interval 1"
    with monkeypatch.context() as patch:
        patch.setattr("spisonet.tomography.prediction_tasks._predict_with_fitting_tiles", fail)
        message = failure(line, capsys)
    record = json.loads(Path("isonet_maps/job.json").read_text())
    assert (record["status"], record["network"]) == ("failed", "network.safetensors")
    assert record["error"]["message"] in message
    for folder in ("isonet_maps", "isonet_maps/corrected"):
        text = Path(folder, "run.log").read_text()
        assert text.count("Corrected 0 of 2") == text.count("stopped: 2 of 2 tomograms") == 1
    run(f"{line} --resume")
    record = json.loads(Path("isonet_maps/job.json").read_text())
    assert (record["status"], "error" in record) == ("finished", False)


def test_predictions_with_other_options_are_replaced(trained):
    """Tomograms are predicted one by one into the same folder."""
    line = f"predict tomograms.star isonet_maps/network.safetensors {CPU_ONLY} --output_star out.star"
    run(f"{line} --tomo_idx 1")
    run(f"{line} --tomo_idx 2")
    outputs = [row.path("rlnCorrectedTomoName") for row in TomogramTable.read(Path("out.star")).rows]
    assert all(path.is_file() for path in outputs)
    run(f"{line} --tomo_idx 2 --turns 1")
    assert [path.is_file() for path in outputs] == [False, True]


def test_predictions_of_another_network_are_replaced(trained):
    line = f"predict tomograms.star isonet_maps/network.safetensors {CPU_ONLY}"
    run(line)
    network, record = load_network(Path("isonet_maps/network.safetensors"))
    with torch.no_grad():
        next(network.parameters()).add_(0.01)
    del record["architecture"], record["filter_base"]
    save_network(Path("isonet_maps/network.safetensors"), network, record)
    run(f"{line} --tomo_idx 2")
    folder = Path("corrected_tomos")
    assert [(folder / f"corrected_{name}.mrc").is_file() for name in "ab"] == [False, True]


def test_parts_of_a_table_are_corrected_apart_and_merged(trained, capsys):
    line = f"predict tomograms.star isonet_maps/network.safetensors {CPU_ONLY} --save_slices False"
    before = Path("tomograms.star").read_bytes()
    run(f"{line} --shard 2/2")
    assert Path("tomograms.star").read_bytes() == before
    message = failure(f"{line} --shard merge/2", capsys)
    assert "1 of 2 tomograms failed: a: its part has not started; submit part 1 of 2 again" in message
    corrected = [row.path("rlnCorrectedTomoName") for row in TomogramTable.read(Path("tomograms.star")).rows]
    folder = Path("corrected_tomos")
    assert corrected == [None, folder / "corrected_b.mrc"]
    finished = (folder / "corrected_b.mrc").stat().st_mtime_ns
    run(f"{line} --shard 1/2")
    run(f"{line} --shard 2/2")  # again, and nothing is left to do
    assert (folder / "corrected_b.mrc").stat().st_mtime_ns == finished
    run(f"{line} --shard merge/2")
    corrected = [row.path("rlnCorrectedTomoName") for row in TomogramTable.read(Path("tomograms.star")).rows]
    assert corrected == [folder / "corrected_a.mrc", folder / "corrected_b.mrc"]
    record = json.loads((folder / "job.json").read_text())
    assert (record["status"], list(record["corrected"]), record["devices"]) == (
        "finished",
        ["a", "b"],
        ["cpu"],
    )
    assert (folder / "summary.html").is_file()
    assert set(record["wedges"]) == {"a", "b"}
    run(f"{line} --output_dir whole --output_star whole.star")
    for name in "ab":
        parts, whole = (mrcfile.read(place / f"corrected_{name}.mrc") for place in (folder, Path("whole")))
        np.testing.assert_array_equal(parts, whole)


def test_parts_that_vanished_failed_or_were_killed_are_named(trained, capsys):
    line = f"predict tomograms.star isonet_maps/network.safetensors {CPU_ONLY} --save_slices False"
    for number in (1, 2):
        run(f"{line} --shard {number}/2")
    record = Path("corrected_tomos/shards/1_of_2/job.json")
    kept = record.read_text()
    record.unlink()
    assert "a: its part has not started" in failure(f"{line} --shard merge/2", capsys)
    record.write_text(kept.replace('"status": "finished"', '"status": "running"'))
    Path("corrected_tomos/corrected_a.mrc").unlink()
    assert "is recorded as running, and may have been killed" in failure(f"{line} --shard merge/2", capsys)
    assert "other options; submit part 1,2" in failure(f"{line} --turns 1 --shard merge/2", capsys)
    corrupt = Path("even/a.mrc")
    corrupt.write_bytes(corrupt.read_bytes()[:5000])
    assert "even/a.mrc" in failure(f"{line} --shard 1/2", capsys)
    assert "even/a.mrc" in failure(f"{line} --shard merge/2", capsys)


@pytest.mark.parametrize("part", ["3/2", "0/2", "1", "merge", "merge/0", "-1/2"])
def test_invalid_parts(trained, capsys, part):
    message = failure(f"predict tomograms.star isonet_maps/network.safetensors --shard {part}", capsys)
    assert f"--shard: {part.replace('merge', '1')} is not a part such as 3/20" in message


def test_other_files_in_the_output_folder_are_not_deleted(project):
    """Not even in a folder of the name that spisonet uses for CTF-corrected tomograms."""
    write_halves(project, "t", shape=(24, 40, 40), n=5)
    run("prepare_star --even even --odd odd --pixel_size 10 --full even --defocus 30000")
    own = write_mrc(Path("spisonet_ctf/mine.mrc"), np.zeros((4, 4, 4), np.float32))
    run(f"refine tomograms.star {QUICK} --with_predict False --output_dir . --CTF_mode phase_only")
    assert own.is_file()


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("refine tomograms.star --continue_from r.json", "--resume instead"),
        ("refine tomograms.star --select_subtomo_number 4", "give --n_subvolume"),
        ("predict tomograms.star n.pt --output_prefix a/b", "a/b contains a folder"),
        (
            "json2star tomograms.json",
            "json2star is not a command of this program: use the STAR file from which",
        ),
        (
            "postprocessing a.mrc b.mrc",
            "use spisonet.py fsc3d HALF1 HALF2 --mask MASK for the FSC of two half",
        ),
        ("simulate_noise_F out", "use isonet.py refine --noise_mode ramp, which makes the noise itself"),
        ("star2json tomograms.star", "star2json is not a command of this program: use the STAR file itself"),
        ("FSC a.mrc b.mrc m.mrc", "use spisonet.py fsc3d HALF1 HALF2 --mask MASK"),
        ("powerlaw_filtering a.mrc", "use spisonet.py whitening"),
    ],
)
def test_published_options_without_a_counterpart_are_explained(listed, capsys, line, part):
    assert part in failure(line, capsys)
    assert all(Path(f"{kind}/{name}.mrc").is_file() for kind in ("even", "odd") for name in "ab")


def test_a_pretrained_network_is_not_replaced_by_its_result(trained, capsys):
    line = f"refine tomograms.star {QUICK} --pretrained_model isonet_maps/network.safetensors"
    before = Path("isonet_maps/network.safetensors").read_bytes()
    assert "would be replaced by the result" in failure(line, capsys)
    assert Path("isonet_maps/network.safetensors").read_bytes() == before


def test_the_network_of_other_structures_predicts_without_training_and_is_named(listed):
    options = "--pretrained default --epochs 0 --tomo_idx 1 --preview False --output_dir only"
    run(f"refine tomograms.star {CPU_ONLY} --cube_size 16 {options}")
    network, record = load_network(Path("only/network.safetensors"))
    shipped, _ = load_network(TOMOGRAM_NETWORK_FILE)
    assert network.filter_base == 16
    assert record["saw_other_structures"] is True
    for weights, expected in zip(network.parameters(), shipped.float().parameters(), strict=True):
        torch.testing.assert_close(weights, expected)
    found, other = (network.encoders[0][1].running_var for network in (network, shipped))
    assert not torch.allclose(found, other)  # of these tomograms
    for page in ("only/summary.html", "only/corrected/summary.html"):
        assert "trained on simulated tomograms of other structures" in Path(page).read_text()
    job = json.loads(Path("only/job.json").read_text())
    assert (job["start"], job["epoch_losses"]) == ("default", [])
    assert open_tomogram(Path("only/corrected/corrected_a.mrc")).shape == (24, 40, 40)


def test_denoising_does_not_start_from_a_network_that_fills_wedges(listed, capsys):
    assert "fills missing wedges" in failure(f"denoise tomograms.star {QUICK} --pretrained default", capsys)


def test_correct_does_all_steps_and_resumes_after_training(project, capsys):
    """A resumed run repeats neither deconvolution nor mask; the table of tomograms lists everything."""
    write_mrc(project / "t.mrc", with_missing_wedge(slab_of_rods((24, 32, 32), 8, 1), 0.5, 1))
    run("prepare_star --full . --pixel_size 10 --defocus 30000 --number_subtomos 4")
    line = f"correct tomograms.star --cube_size 16 --filter_base 4 --epochs 1 --z_crop 0.1 {CPU_ONLY}"
    run(line)
    (row,) = TomogramTable.read(Path("tomograms.star")).rows
    made = [row.path(f"rln{name}") for name in ("DeconvTomoName", "MaskName", "CorrectedTomoName")]
    assert all(path.is_relative_to("isonet_maps") for path in made)
    before = [path.stat().st_mtime_ns for path in made]
    made[-1].unlink()
    run(f"{line} --resume")
    after = [path.stat().st_mtime_ns for path in made]
    assert after[:-1] == before[:-1]
    assert after[-1] > before[-1]
    sentence = failure("correct tomograms.star --as_reconstructed", capsys)
    assert sentence.startswith("spisonet: --as_reconstructed is for a tomograms.star of RELION 5")


def test_a_correction_that_ends_before_its_training_is_resumed(project, capsys, monkeypatch, caplog):
    write_halves(project, "TS_1", shape=(24, 32, 32), n=4, seed=1)
    Path("tomograms.star").write_text(
        "data_\n\nloop_\n_rlnTomoName #1\n_rlnPixelSize #2\n_rlnDefocus #3\n"
        "_rlnTomoReconstructedTomogramHalf1 #4\n_rlnTomoReconstructedTomogramHalf2 #5\n"
        "even/TS_1.mrc 10 30000 even/TS_1.mrc odd/TS_1.mrc\n"
    )
    trained = []
    monkeypatch.setattr(tomogram_correction, "run_refine", trained.append)
    Path("isonet_maps").mkdir()
    old = Path("isonet_maps/checkpoint.safetensors")
    old.touch()
    line = f"correct tomograms.star {TINY}"
    with monkeypatch.context() as failing:
        failing.setattr(tomogram_correction, "run_make_mask", fail)
        assert "No mask today" in failure(line, capsys)
    assert not old.exists()  # of another run
    assert json.loads(Path("isonet_maps/job.json").read_text())["status"] == "failed"
    assert "--CTF_mode" in caplog.text  # for the halves
    deconvolved = Path("isonet_maps/deconv/TS_1.mrc")
    written = deconvolved.stat().st_mtime_ns
    assert "--z_crop was None" in failure(f"{line} --z_crop 0.1 --resume", capsys)
    run(f"{line} --resume")
    assert deconvolved.stat().st_mtime_ns == written
    mask = Path("isonet_maps/mask/TS_1_mask.mrc")
    masked = mask.stat().st_mtime_ns
    assert len(trained) == 1
    os.utime("even/TS_1.mrc")  # the data are newer than what was made of them
    run(f"{line} --resume")
    assert deconvolved.stat().st_mtime_ns > written
    assert mask.stat().st_mtime_ns > masked


def fail(config):
    raise SpisonetError("No mask today.")


def test_correct_under_torchrun_is_refused_before_anything_is_written(project, capsys, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "give the GPUs with --gpuID" in failure("correct tomograms.star", capsys)
    assert not list(project.iterdir())


def test_correct_does_not_deconvolve_what_it_would_not_use(project, monkeypatch):
    write_halves(project, "TS_1", shape=(24, 32, 32), n=4, seed=1)
    Path("tomograms.star").write_text(
        "data_\n\nloop_\n_rlnTomoName #1\n_rlnPixelSize #2\n_rlnDefocus #3\neven/TS_1.mrc 10 30000\n"
    )
    monkeypatch.setattr(tomogram_correction, "run_refine", lambda config: None)
    run(f"correct tomograms.star {TINY} --use_deconv_tomo False")
    (row,) = TomogramTable.read(Path("tomograms.star")).rows
    assert row.path("rlnDeconvTomoName") is None
    assert row.path("rlnMaskName").is_file()
