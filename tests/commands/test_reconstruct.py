"""The ``reconstruct`` command: outputs, independence, resumption, bad input."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from spisonet.api import reconstruction_output
from spisonet.commands.main import main
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import radius_rfft, rfft3
from spisonet.io.labels import DATA, HALVES, SAMPLING_DENSITY, label_with_tokens, read_tokens
from spisonet.io.mrc import read_volume, write_volume
from spisonet.learning import objectives
from spisonet.learning.checkpoint import save_network
from spisonet.learning.unet import PublishedUNet, UNet

QUICK = ["--limit_res", "6", "--epochs", "2", "--n_subvolume", "8", "--cube_size", "16", "--filter_base", "4"]
QUICK += ["--no-report", "--ncpus", "1"]  # such small work does not profit from threads
SCRIPT = Path(sys.executable).parent / "spisonet.py"


def reconstruct(case, out: Path, *more: str) -> Path:
    main(["reconstruct", *case.inputs, *QUICK, "--output_dir", str(out), *more])
    return out


def halves(out: Path) -> dict:
    """Return what ``job.json`` says of the independence of the corrected halves."""
    return json.loads((out / "job.json").read_text())["halves"]


def failure(words: list[str], capsys) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["reconstruct", *words])
    message = capsys.readouterr().err.strip()
    assert stopped.value.code == 1
    assert "\n" not in message
    assert message.endswith(".")
    return message


@pytest.fixture
def done(small_case, tmp_path):
    """A finished run."""
    return small_case, reconstruct(small_case, tmp_path / "out")


def test_a_run_leaves_maps_figures_weights_and_records(done):
    _, out = done
    names = {path.name for path in out.iterdir()}
    assert names == {
        "corrected_half1.mrc",
        "corrected_half1_filtered.mrc",
        "corrected_half2.mrc",
        "corrected_half2_filtered.mrc",
        "corrected_full.mrc",
        "corrected_full_filtered.mrc",
        "data_weight.mrc",
        "data_weight_full.mrc",
        "classical_half1.mrc",
        "classical_half2.mrc",
        "classical_full.mrc",
        "checkpoint.safetensors",
        "checkpoint_held_out.safetensors",
        "network.safetensors",
        *("input_filtered.mrc", "view.cxc", "view.pml"),
        *(
            f"{name}.{kind}"
            for name in ("full_map", "slices", "fourier", "fsc", "loss")
            for kind in ("png", "svg")
        ),
        "job.json",
        "run.log",
        "progress.jsonl",
    }
    record = json.loads((out / "job.json").read_text())
    assert record["status"] == "finished"
    assert record["halves"]["independent"] is False
    assert record["halves"]["shared"][:2] == ["network", "fourier_weights"]
    assert record["config"]["limit_res"] == 6.0
    assert len(record["epoch_losses"]["both halves"]) == 2
    assert read_tokens(read_volume(out / "data_weight.mrc").labels) == {DATA: {"data-weight"}}


def test_header_geometry_and_grey_scale_are_the_inputs(done):
    case, out = done
    before, after = read_volume(case.half1), read_volume(out / "corrected_half1.mrc")
    assert after.voxel_size_angstrom == pytest.approx(before.voxel_size_angstrom)
    assert after.origin_angstrom == before.origin_angstrom
    assert after.nstart == before.nstart
    assert after.labels[0] == "made by a test"
    assert read_tokens(after.labels) == {HALVES: {"coupled"}}
    assert after.data.mean() == pytest.approx(before.data.mean(), abs=0.01 * float(before.data.std()))
    assert after.data.std() == pytest.approx(before.data.std(), rel=0.2)


def test_beyond_the_limit_nothing_is_touched_and_what_was_measured_is_kept(done):
    case, out = done
    before, after = read_volume(case.half2).data, read_volume(out / "corrected_half2.mrc").data
    n = before.shape[0]
    # The grey values have an offset of 250 deviations; in single precision it would hide the rest.
    level = before.mean(dtype=np.float64)
    radius, own, new = radius_rfft((n, n, n)), rfft3(before - level), rfft3(after - level)
    beyond = radius > n * 2.0 / 6
    scale = np.abs(own[beyond]).max()
    assert np.abs(new - own)[beyond].max() < 1e-3 * scale
    weight = np.fft.ifftshift(read_volume(case.fsc3d).data)[..., : n // 2 + 1]
    kept = (weight > 0.9) & (radius < n * 2.0 / 6) & (radius > 0)
    assert np.linalg.norm((new - own)[kept]) < 0.3 * np.linalg.norm(own[kept])
    filtered = rfft3(read_volume(out / "corrected_half2_filtered.mrc").data - level)
    assert np.abs(filtered[beyond]).max() < 1e-3 * scale


def spectrum_of(path: Path) -> np.ndarray:
    """Spectrum of a map without its grey level, whose rounding would hide the rest."""
    data = read_volume(path).data.astype(np.float64)
    return np.fft.rfftn(data - data.mean())


@pytest.mark.parametrize(
    "words", [[], ["--independent"], ["--objective", "ei"], ["--method", "deconvolve"]], ids=" ".join
)
def test_the_full_map_is_made_of_both_halves(small_case, tmp_path, words):
    out = reconstruct(small_case, tmp_path / "out", *words)
    full, first = read_volume(out / "corrected_full.mrc"), read_volume(small_case.half1)
    assert (full.origin_angstrom, full.nstart) == (first.origin_angstrom, first.nstart)
    assert read_tokens(full.labels) == {HALVES: {"both"}}
    assert full.data.mean() == pytest.approx(first.data.mean(), abs=0.01 * float(first.data.std()))
    spectra = [spectrum_of(path) for path in (small_case.half1, small_case.half2)]
    average, corrected = (spectra[0] + spectra[1]) / 2, spectrum_of(out / "corrected_full.mrc")
    n = full.box
    radius = radius_rfft((n, n, n))
    limit, scale = n * 2.0 / 6, np.abs(average[radius > n * 2.0 / 6]).max()
    assert np.abs(corrected - average)[radius > limit].max() < 1e-3 * scale
    assert np.abs(spectrum_of(out / "corrected_full_filtered.mrc")[radius > limit]).max() < 1e-3 * scale
    weight = np.fft.ifftshift(read_volume(small_case.fsc3d).data)[..., : n // 2 + 1]
    kept = (weight > 0.9) & (radius < limit) & (radius > 0)
    assert np.linalg.norm((corrected - average)[kept]) < 0.3 * np.linalg.norm(average[kept])
    record = json.loads((out / "job.json").read_text())
    assert record["full_map"]["corrected"] == "corrected_full.mrc"
    assert record["full_map"]["classical"] == (None if "deconvolve" in words else "classical_full.mrc")
    assert record["full_map"]["unmeasured_fraction"] < record["unmeasured_fraction"]
    # Numbers that were measured with both halves are listed as shared, and couple nothing.
    (gain, *more), factors = record["inferred_gains"].values(), record["data_factors"].values()
    shared = set(record["halves"]["shared"])
    assert ("inferred_gain" in shared) == (not more and gain is not None)
    assert ("prediction_shares" in shared) == (not more and any(record["prediction_shares"].values()))
    assert ("data_factors" in shared) == (not more and any(set(each.values()) != {1.0} for each in factors))
    assert "deconvolve" not in words or (shared > {"fourier_weights"} and record["halves"]["independent"])


def test_four_files_without_names_are_half_maps_3d_fsc_and_mask(small_case, tmp_path, capsys, monkeypatch):
    """As the published command line gives them."""
    seen = []

    def stop(inputs, *_):
        seen.append(inputs)
        raise SpisonetError("Stopped.")

    monkeypatch.setattr(reconstruction_output, "fourier_weights_of", stop)
    files = [small_case.half1, small_case.half2, small_case.fsc3d, small_case.mask]
    assert "Stopped" in failure([*map(str, files), "--output_dir", str(tmp_path / "out")], capsys)
    half1, half2, fsc3d, mask = (read_volume(path).data for path in files)
    np.testing.assert_array_equal(seen[0].volumes[0].data, half1)
    np.testing.assert_array_equal(seen[0].volumes[1].data, half2)
    np.testing.assert_array_equal(seen[0].mask, mask)
    np.testing.assert_allclose(seen[0].weight_rfft, np.fft.ifftshift(fsc3d)[..., : fsc3d.shape[0] // 2 + 1])


def test_an_exchanged_3d_fsc_and_mask_are_named_where_they_can_be_recognised(small_case, tmp_path, capsys):
    maps = [str(small_case.half1), str(small_case.half2)]
    mask = write_like(tmp_path / "m.mrc", small_case.mask, lambda data: np.roll(data, 3, axis=2))
    out = tmp_path / "out"
    words = ["--method", "deconvolve", "--output_dir", str(out)]
    message = failure([*maps, mask, str(small_case.fsc3d), *words], capsys)
    assert "m.mrc is given as the 3D FSC but differs between opposite frequencies" in message
    labelled = tmp_path / "labelled.mrc"
    label = label_with_tokens("spisonet: conical 3D FSC", data="3d-fsc")
    write_volume(labelled, read_volume(small_case.fsc3d), label)
    message = failure([*maps, str(small_case.mask), str(labelled), *words], capsys)
    assert "labelled.mrc is given as the mask but is a Fourier volume, such as a 3D FSC" in message
    assert not out.exists()


def test_a_full_map_is_refused_as_a_half_map(done, capsys):
    case, out = done
    words = [
        str(out / "corrected_full.mrc"),
        str(case.half2),
        *QUICK,
        "--output_dir",
        str(out.parent / "again"),
    ]
    assert "corrected_full.mrc is made of both halves" in failure(words, capsys)


def test_the_full_map_is_sharpened_on_request(small_case, tmp_path, capsys):
    words = ["--method", "deconvolve", "--limit_res", "5"]
    out = reconstruct(small_case, tmp_path / "out", *words, "--sharpen")
    record = json.loads((out / "job.json").read_text())["full_map"]
    assert record["sharpened"] == "corrected_full_sharpened.mrc"
    first, estimated = record["sharpened"], record["b_factor_square_angstrom"]
    assert read_tokens(read_volume(out / first).labels) == {HALVES: {"both"}}
    by_estimate = spectrum_of(out / first)
    reconstruct(small_case, out, *words, "--sharpen", "--b_factor", "-200", "--resume")
    stronger = spectrum_of(out / first)
    n = len(stronger)
    frequency = radius_rfft((n, n, n)) / (n * 2.0)
    inside = (
        (frequency > 0.05) & (frequency < 0.15) & (np.abs(by_estimate) > 0.01 * np.abs(by_estimate).max())
    )
    found = np.log(np.abs(stronger[inside]) / np.abs(by_estimate[inside]))
    expected = (200 + estimated) * frequency[inside] ** 2 / 4
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
    reconstruct(small_case, out, *words)
    assert not (out / first).exists()
    for wrong, message in (
        (["--b_factor", "-50"], "--b_factor is the B-factor of --sharpen"),
        (["--sharpen", "--limit_res", "9"], "give --b_factor"),
    ):
        assert message in failure([*small_case.inputs, *QUICK, *words, *wrong], capsys)
    single = [str(small_case.half1), "--aniso_file", str(small_case.fsc3d), "--sharpen"]
    assert "a single map is given" in failure(single, capsys)


def test_a_missing_full_map_is_predicted_by_resuming_the_finished_run(done):
    case, out = done
    path = out / "corrected_full.mrc"
    before = read_volume(path).data
    path.unlink()
    (out / "corrected_half1.mrc").unlink()
    reconstruct(case, out, "--resume")
    np.testing.assert_array_equal(read_volume(path).data, before)


def test_a_folder_without_a_run_is_refused_before_the_3d_fsc(small_case, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reconstruction_output, "fourier_weights_of", None)  # would fail
    words = [str(small_case.half1), str(small_case.half2), "--resume", "--output_dir", str(tmp_path / "out")]
    assert "There is no run to resume" in failure(words, capsys)
    assert not (tmp_path / "out").exists()


def test_inputs_are_not_modified(small_case, tmp_path):
    before = {path: path.read_bytes() for path in small_case.folder.glob("*.mrc")}
    reconstruct(small_case, tmp_path / "out")
    assert all(path.read_bytes() == content for path, content in before.items())


def test_an_independent_half_does_not_see_the_other_half(small_case, tmp_path):
    """Nor does the weight if it is what the particles' angles sampled; a 3D FSC is of both halves."""
    blunt = reconstruct(small_case, tmp_path / "blunt", "--independent")
    assert halves(blunt) == {"independent": True, "shared": ["fourier_weights"]}
    label = label_with_tokens("spisonet: sampling", **{DATA: SAMPLING_DENSITY})
    write_volume(small_case.fsc3d, read_volume(small_case.fsc3d), label)
    first = reconstruct(small_case, tmp_path / "first", "--independent")
    volume = read_volume(small_case.half1)
    noise = np.random.default_rng(9).normal(size=volume.data.shape)
    write_volume(small_case.half1, volume.with_data(noise))
    second = reconstruct(small_case, tmp_path / "second", "--independent", "True")
    maps = [read_volume(out / "corrected_half2.mrc") for out in (first, second)]
    np.testing.assert_array_equal(maps[0].data, maps[1].data)
    assert read_tokens(maps[0].labels) == {HALVES: {"independent"}}
    assert halves(first) == {"independent": True, "shared": []}
    changed = [read_volume(out / "corrected_half1.mrc").data for out in (first, second)]
    assert not np.array_equal(*changed)


def test_the_same_seed_gives_the_same_map(small_case, tmp_path):
    maps = [
        read_volume(reconstruct(small_case, tmp_path / name, "--seed", seed) / "corrected_half1.mrc").data
        for name, seed in (("a", "1"), ("b", "1"), ("c", "2"))
    ]
    np.testing.assert_array_equal(maps[0], maps[1])
    assert not np.array_equal(maps[0], maps[2])


def test_a_killed_run_resumes_to_the_same_map(small_case, tmp_path):
    words = [*small_case.inputs, *QUICK, "--epochs", "4", "--n_subvolume", "24"]
    whole = reconstruct(small_case, tmp_path / "whole", "--epochs", "4", "--n_subvolume", "24")
    out = tmp_path / "killed"
    command = [str(SCRIPT), "reconstruct", *words, "--output_dir", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    log = out / "run.log"
    while process.poll() is None and not (log.is_file() and "epoch 1 of 4" in log.read_text()):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    assert not (out / "corrected_half1.mrc").exists()
    subprocess.run([*command, "--resume"], check=True, stdout=subprocess.DEVNULL)
    for name in ("corrected_half1.mrc", "corrected_half2.mrc"):
        np.testing.assert_array_equal(read_volume(out / name).data, read_volume(whole / name).data)


@pytest.mark.gpu
def test_a_resumed_run_on_a_gpu_ends_as_an_uninterrupted_one(small_case, tmp_path):
    """Up to the order in which a GPU adds: sums in it are not the same twice."""
    words = ["--device", "cuda", "--epochs", "4", "--n_subvolume", "60"]
    whole = reconstruct(small_case, tmp_path / "whole", *words)
    out = tmp_path / "out"
    process = subprocess.Popen(
        [str(SCRIPT), "reconstruct", *small_case.inputs, *QUICK, *words, "--output_dir", str(out)],
        stdout=subprocess.DEVNULL,
    )
    log = out / "run.log"
    while process.poll() is None and not (log.is_file() and "epoch 1 of 4" in log.read_text()):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    reconstruct(small_case, out, *words, "--resume")
    first, second = (read_volume(folder / "corrected_half1.mrc").data for folder in (whole, out))
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.99


def test_ctrl_c_leaves_a_resumable_run(small_case, tmp_path):
    out = tmp_path / "out"
    words = [*small_case.inputs, *QUICK, "--epochs", "5000", "--output_dir", str(out)]
    process = subprocess.Popen(
        [str(SCRIPT), "reconstruct", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    log = out / "run.log"
    while process.poll() is None and not (log.is_file() and "epoch 1 of" in log.read_text()):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors == "spisonet: interrupted.\n"
    assert json.loads((out / "job.json").read_text())["status"] == "interrupted"
    assert list(out.glob("checkpoint*.safetensors"))
    assert not list(out.glob("corrected*"))
    assert not list(out.glob(".*"))


def test_resuming_another_command_line_is_refused(done, capsys):
    case, out = done
    words = [*case.inputs, *QUICK, "--output_dir", str(out), "--resume", "--seed", "5"]
    assert "--seed was 0" in failure(words, capsys)
    elsewhere = [*case.inputs, *QUICK, "--output_dir", str(out.parent / "none"), "--resume"]
    assert "no run to resume" in failure(elsewhere, capsys)


def test_the_pretrained_network_predicts_without_training_and_couples_nothing(
    small_case, tmp_path, monkeypatch
):
    monkeypatch.setattr(objectives, "PREDICTION_PASSES", 0)  # to save time
    words = [str(small_case.half1), str(small_case.half2), "--mask", str(small_case.mask), "--independent"]
    words += [
        "--pretrained",
        "default",
        "--epochs",
        "0",
        "--prior",
        "none",
        "--limit_res",
        "6",
        "--cube_size",
        "16",
    ]
    out = tmp_path / "out"
    main(["reconstruct", *words, "--no-report", "--ncpus", "1", "--output_dir", str(out)])
    assert halves(out) == {"independent": True, "shared": ["fourier_weights"]}
    assert not list(out.glob("network*"))


def test_a_pretrained_network_needs_what_it_was_trained_with(small_case, tmp_path, capsys):
    words = ["--pretrained", "default", "--output_dir", str(tmp_path / "out")]
    assert "base width 16, not 4" in failure([*small_case.inputs, *QUICK, *words], capsys)
    halves_only = [str(small_case.half1), str(small_case.half2), "--limit_res", "6", "--no-report"]
    assert "two half maps and a --mask" in failure([*halves_only, *words], capsys)
    quick = [word for word in QUICK if word not in ("--filter_base", "4")]
    assert "leave one of them out" in failure([*small_case.inputs, *quick, "--independent", *words], capsys)
    assert not (tmp_path / "out").exists()


def test_prediction_only_with_pretrained_weights(done, tmp_path):
    case, out = done
    again = tmp_path / "again"
    weights = ["--pretrained_model", str(out / "network.safetensors")]
    main(["reconstruct", *case.inputs, *QUICK, "--epochs", "0", *weights, "--output_dir", str(again)])
    first, second = (read_volume(folder / "corrected_half1.mrc").data for folder in (out, again))
    np.testing.assert_allclose(first, second, atol=1e-5 * first.std())
    assert not (again / "network.safetensors").exists()


@pytest.mark.parametrize("objective", ["ei", "self-training"])
def test_objectives_and_accumulation(small_case, tmp_path, objective):
    out = reconstruct(
        small_case, tmp_path / "out", "--objective", objective, "--alpha", "1", "--beta", "0.5",
        "--acc_batches", "2", "--predict_crop_size", "50",
    )  # fmt: skip
    assert np.isfinite(read_volume(out / "corrected_half1.mrc").data).all()


def test_one_half_alone(small_case, tmp_path):
    words = [str(small_case.half1), "--aniso_file", str(small_case.fsc3d), "--mask", str(small_case.mask)]
    main(["reconstruct", *words, *QUICK[2:], "--output_dir", str(tmp_path / "out")])
    assert "this map alone" in read_volume(tmp_path / "out" / "corrected_half1.mrc").labels[-1]
    assert not list((tmp_path / "out").glob("*_full*"))
    assert json.loads((tmp_path / "out" / "job.json").read_text())["full_map"] is None


def test_without_aniso_file_mask_and_limit(small_case, tmp_path):
    out = tmp_path / "out"
    main(["reconstruct", str(small_case.half1), str(small_case.half2), *QUICK[2:], "--output_dir", str(out)])
    assert read_volume(out / "FSC3D.mrc").data.max() <= 1
    assert (out / "corrected_half2.mrc").is_file()


@pytest.mark.parametrize("n", [21, 32])
def test_odd_boxes_and_cubes_larger_than_the_box(make_small_case, tmp_path, n):
    case = make_small_case(n)
    out = tmp_path / "out"
    main(["reconstruct", *case.inputs, *QUICK, "--cube_size", "64", "--output_dir", str(out)])
    assert read_volume(out / "corrected_half1.mrc").box == n


def test_low_resolution_reference_takes_the_place_of_the_map(small_case, tmp_path):
    """Low resolutions that come from the other half map arrive, scaled, in the corrected map."""
    words = ["--reference", str(small_case.half2), "--ref_resolution", "16", "--independent"]
    out = reconstruct(small_case, tmp_path / "out", *words)
    result = read_volume(out / "corrected_half1.mrc")
    radius = radius_rfft(result.data.shape)
    low = (radius > 0) & (radius <= 3)
    after, reference = (rfft3(v.data)[low] for v in (result, read_volume(small_case.half2)))
    norm = np.linalg.norm(after) * np.linalg.norm(reference)
    assert np.real(np.vdot(after, reference)) / norm > 0.999
    assert halves(out) == {"independent": False, "shared": ["reference", "fourier_weights"]}
    assert read_tokens(result.labels) == {HALVES: {"coupled"}}


def test_shared_start_weights_are_not_called_independent(done, tmp_path):
    case, out = done
    weights = ["--pretrained_model", str(out / "network.safetensors"), "--independent"]
    again = reconstruct(case, tmp_path / "again", *weights)
    # The input halves are those of an independent run.
    assert halves(again) == {"independent": False, "shared": ["start_weights", "fourier_weights"]}
    assert read_tokens(read_volume(again / "corrected_half1.mrc").labels) == {HALVES: {"coupled"}}


def test_the_correction_ends_where_the_given_weight_ends(small_case, tmp_path):
    """Shells of which the 3D FSC says nothing stay the input's, whatever the limit."""
    weight = read_volume(small_case.fsc3d)
    n = weight.box
    axis = np.arange(n) - n // 2
    r2 = axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2
    write_volume(small_case.fsc3d, weight.with_data(np.where(r2 > 5.4**2, 0, weight.data)))
    out = reconstruct(small_case, tmp_path / "out")
    before, after = (rfft3(read_volume(p).data) for p in (small_case.half1, out / "corrected_half1.mrc"))
    radius = radius_rfft((n, n, n))
    untouched = radius >= 6
    assert np.abs(after - before)[untouched].max() < 1e-3 * np.abs(before[untouched]).max()
    assert np.abs(after - before)[(radius < 5) & (radius > 1)].max() > 1e-3 * np.abs(before[untouched]).max()


def test_dark_particles_are_corrected_without_positivity(small_case, tmp_path):
    for path in (small_case.half1, small_case.half2):
        volume = read_volume(path)
        write_volume(path, volume.with_data(-volume.data))
    out = reconstruct(small_case, tmp_path / "out")
    assert "positivity is not imposed" in (out / "run.log").read_text()


def test_a_fresh_run_removes_the_results_of_an_earlier_one(small_case, tmp_path):
    out = reconstruct(small_case, tmp_path / "out", "--independent")
    reconstruct(small_case, out)
    assert not list(out.glob("checkpoint_half*"))
    assert (out / "checkpoint.safetensors").is_file()


def test_resuming_on_other_data_is_refused(small_case, tmp_path, capsys):
    out = reconstruct(small_case, tmp_path / "out")
    volume = read_volume(small_case.half1)
    write_volume(small_case.half1, volume.with_data(volume.data * volume.data))
    words = [*small_case.inputs, *QUICK, "--output_dir", str(out), "--resume"]
    assert "other data" in failure(words, capsys)


def test_results_do_not_replace_inputs(done, capsys):
    case, out = done
    words = [*case.inputs, *QUICK, "--pretrained_model", str(out / "network.safetensors")]
    assert "would be replaced" in failure([*words, "--output_dir", str(out)], capsys)
    assert (out / "network.safetensors").is_file()


def test_halves_of_one_name_do_not_overwrite_each_other(small_case, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    second = other / "half1.mrc"
    second.write_bytes(small_case.half2.read_bytes())
    words = [str(small_case.half1), str(second), "--aniso_file", str(small_case.fsc3d)]
    main(["reconstruct", *words, *QUICK, "--output_dir", str(tmp_path / "out")])
    assert (tmp_path / "out" / "corrected_half1_half2.mrc").is_file()


def test_a_half_map_does_not_take_the_name_of_the_full_map(small_case, tmp_path):
    named = tmp_path / "full.mrc"
    named.write_bytes(small_case.half1.read_bytes())
    out = tmp_path / "out"
    words = [str(named), *small_case.inputs[1:], "--method", "deconvolve", "--limit_res", "6", "--no-report"]
    main(["reconstruct", *words, "--output_dir", str(out)])
    assert json.loads((out / "job.json").read_text())["corrected_maps"] == [
        "corrected_full_half1.mrc", "corrected_half2_half2.mrc",
    ]  # fmt: skip
    assert read_tokens(read_volume(out / "corrected_full.mrc").labels) == {HALVES: {"both"}}


def write_like(path: Path, like: Path, change) -> str:
    """Write a changed copy of a map."""
    volume = read_volume(like)
    write_volume(path, volume.with_data(change(volume.data)))
    return str(path)


def with_nan(data):
    broken = data.copy()
    broken[3, 3, 3] = np.nan
    return broken


def with_a_bright_voxel(data):
    changed = data.copy()
    changed[3, 3, 3] = data.max()
    return changed


def raw_mrc(path: Path, data: np.ndarray, voxel_size: float = 2.0) -> str:
    with warnings.catch_warnings(), mrcfile.new(path) as mrc:
        warnings.simplefilter("ignore")  # mrcfile warns of NaN
        mrc.set_data(data.astype(np.float32))
        mrc.voxel_size = voxel_size
    return str(path)


BAD_INPUT = {
    "missing file": (lambda c, t: [str(t / "no.mrc"), str(c.half2)], "does not exist"),
    "not an MRC": (lambda c, t: [str(Path(__file__)), str(c.half2)], "not a readable MRC"),
    "2D": (lambda c, t: [raw_mrc(t / "2d.mrc", np.eye(24)), str(c.half2)], "not a 3D map"),
    "non-cubic": (
        lambda c, t: [raw_mrc(t / "b.mrc", np.random.default_rng(0).normal(size=(24, 24, 20))), str(c.half2)],
        "not cubic",
    ),
    "other box": (
        lambda c, t: [str(c.half1), raw_mrc(t / "s.mrc", np.random.default_rng(0).normal(size=(20,) * 3))],
        "box of 20",
    ),
    "other voxel size": (
        lambda c, t: [str(c.half1), raw_mrc(t / "v.mrc", read_volume(c.half2).data, 3.0)],
        "voxels of 3",
    ),
    "NaN": (lambda c, t: [raw_mrc(t / "n.mrc", with_nan(read_volume(c.half1).data)), str(c.half2)], "NaN"),
    "constant": (lambda c, t: [write_like(t / "c.mrc", c.half1, np.zeros_like), str(c.half2)], "constant"),
    "same half twice": (lambda c, t: [str(c.half1), str(c.half1)], "same densities"),
    "same half scaled": (
        lambda c, t: [str(c.half1), write_like(t / "2.mrc", c.half1, lambda d: 2 * d + 1)],
        "same densities except for scale, offset or a few voxels (correlation 1.0000000)",
    ),
    "same half but for a voxel": (
        lambda c, t: [str(c.half1), write_like(t / "2.mrc", c.half1, with_a_bright_voxel)],
        "same densities except for scale, offset or a few voxels",
    ),
    "no voxel size": (
        lambda c, t: [raw_mrc(t / "z.mrc", read_volume(c.half1).data, 0.0), str(c.half2)],
        "--apix",
    ),
    "empty mask": (
        lambda c, t: [str(c.half1), str(c.half2), "--mask", write_like(t / "m.mrc", c.mask, lambda d: -d)],
        "empty",
    ),
    "beyond Nyquist": (lambda c, t: [str(c.half1), str(c.half2), "--limit_res", "3.5"], "Nyquist"),
    "3D FSC of another box": (
        lambda c, t: [
            str(c.half1), str(c.half2), "--aniso_file",
            raw_mrc(t / "f.mrc", np.random.default_rng(0).uniform(size=(20,) * 3)),
        ],
        "box of 20",
    ),
    "weight above 1": (
        lambda c, t: [
            str(c.half1), str(c.half2), "--aniso_file", write_like(t / "w.mrc", c.fsc3d, lambda d: 9 * d),
        ],
        "within 0 to 1",
    ),
    "reference beyond Nyquist": (
        lambda c, t: [str(c.half1), str(c.half2), "--reference", str(c.half2), "--ref_resolution", "2"],
        "--ref_resolution 2 Å is beyond Nyquist",
    ),
    "boolean": (lambda c, t: [str(c.half1), str(c.half2), "--independent=no"], "give True or False"),
    "small cube": (lambda c, t: [str(c.half1), str(c.half2), "--cube_size", "8"], "--cube_size"),
    "cube size": (lambda c, t: [str(c.half1), str(c.half2), "--cube_size", "30"], "multiple of 8"),
    "one half without a 3D FSC": (lambda c, t: [str(c.half1)], "--aniso_file"),
    "epochs 0": (lambda c, t: [str(c.half1), str(c.half2), "--epochs", "0"], "--pretrained"),
    "GPU": (
        lambda c, t: [str(c.half1), str(c.half2), "--gpuID", "0,1,2,93", "--acc_batches", "2"],
        "93 of --gpuID 0,1,2,93 does not exist",
    ),
    "device": (lambda c, t: [str(c.half1), str(c.half2), "--device", "abacus"], "--device abacus is unknown"),
}  # fmt: skip


@pytest.mark.parametrize("case_name", BAD_INPUT)
def test_bad_input_is_one_sentence_and_writes_nothing(case_name, small_case, tmp_path, capsys):
    words, expected = BAD_INPUT[case_name]
    out = tmp_path / "out"
    assert expected in failure([*words(small_case, tmp_path), "--output_dir", str(out)], capsys)
    assert not out.exists()


def test_bad_weights_are_refused(small_case, tmp_path, capsys):
    save_network(tmp_path / "wide.safetensors", UNet(8), {})
    (tmp_path / "pickle.pt").write_bytes(b"\x80\x04N.")
    out = ["--output_dir", str(tmp_path / "out")]
    save_network(tmp_path / "published.safetensors", PublishedUNet(4), {})
    for name, expected in (
        ("wide.safetensors", "base width 8"),
        ("pickle.pt", "not a safetensors file"),
        ("published.safetensors", "another objective than self-training"),
    ):
        words = [*small_case.inputs, *QUICK, "--pretrained_model", str(tmp_path / name), *out]
        assert expected in failure(words, capsys)
    assert not (tmp_path / "out").exists()


def test_an_unwritable_output_folder_is_named(small_case, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    words = [*small_case.inputs, *QUICK, "--output_dir", str(tmp_path / "file" / "out")]
    assert "cannot be written" in failure(words, capsys)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_named(tmp_path):
    from spisonet.io.atomic import atomic_path

    with pytest.raises(SpisonetError, match="No space left"), atomic_path(tmp_path / "x"):
        with open("/dev/full", "w", encoding="ascii") as device:
            device.write("0" * 100_000)


def test_the_log_of_a_run_contains_every_line_of_the_terminal(small_case, tmp_path, capsys):
    """From the 3D FSC, before the output folder exists, to the report, after the run has finished."""
    out = tmp_path / "out"
    maps = [str(small_case.half1), str(small_case.half2), "--mask", str(small_case.mask)]
    main(["reconstruct", *maps, *QUICK, "--cube_size", "64", "--report", "--output_dir", str(out)])
    shown = capsys.readouterr().out.splitlines()
    logged = [line.split(" ", 3)[3] for line in (out / "run.log").read_text().splitlines()]
    assert logged == shown
    for part in ("Computing the 3D FSC", "instead of 64", "Device: cpu", "epoch 2 of 2", "Report: "):
        assert any(part in line for line in shown), part


def test_a_run_is_reported_and_validated_from_another_folder_and_when_moved(
    small_case, tmp_path, monkeypatch
):
    project = tmp_path / "project"
    project.mkdir()
    for path in small_case.folder.glob("*.mrc"):
        path.rename(project / path.name)
    monkeypatch.chdir(project)
    main(["reconstruct", "half1.mrc", "half2.mrc", "--aniso_file", "FSC3D.mrc", "--mask", "mask.mrc", *QUICK])
    monkeypatch.chdir(tmp_path)
    words = ["--cones", "1", "--turns", "2", "--epochs", "1", "--ncpus", "1"]
    main(["validate", "project/isonet_maps", *words])
    assert (project / "isonet_maps" / "report.html").is_file()
    moved = tmp_path / "moved"
    project.rename(moved)
    main(["report", "moved/isonet_maps", "-o", "again.html"])
    assert (tmp_path / "again.html").is_file()
    (moved / "mask.mrc").unlink()
    with pytest.raises(SystemExit):
        main(["report", "moved/isonet_maps"])
