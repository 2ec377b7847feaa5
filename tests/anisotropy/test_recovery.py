"""Against the truth: unmeasured directions are recovered in part, and noise gains no signal."""

from __future__ import annotations

import numpy as np
import pytest

from spisonet.commands.main import main
from spisonet.fourier.grids import frequency_axes_rfft, radius_rfft, rfft3
from spisonet.fourier.shells import fourier_shell_correlation
from spisonet.io.mrc import read_volume, write_volume

LIMIT_ANGSTROM = 6.5


def correlation(spectrum1, spectrum2, chosen) -> float:
    """Mean over shells of the correlation within the chosen voxels."""
    shells = np.rint(radius_rfft((len(spectrum1),) * 3))
    values = []
    for shell in range(6, 26):
        k = chosen & (shells == shell)
        first, second = spectrum1[k], spectrum2[k]
        values.append(np.real(np.vdot(first, second)) / (np.linalg.norm(first) * np.linalg.norm(second)))
    return float(np.mean(values))


def test_top_views_of_hemagglutinin_regain_the_unmeasured_directions(example, tmp_path):
    """By the network more than by projection on data, mask and positivity alone."""
    for folder, words in (
        ("projected", ["--method", "deconvolve"]),
        ("learned", ["--epochs", "1", "--n_subvolume", "500"]),
    ):
        main([
            "reconstruct", str(example / "half1.mrc"), str(example / "half2.mrc"), "--mask",
            str(example / "mask.mrc"), "--limit_res", str(LIMIT_ANGSTROM), "--filter_base", "8",
            "--cube_size", "32", *words, "--no-report", "--output_dir", str(tmp_path / folder),
        ])  # fmt: skip
    mask = read_volume(example / "mask.mrc").data

    def spectrum(path):
        data = read_volume(path).data
        return rfft3((data - data.mean()) * mask)

    truth, before, projected_map, after = (
        spectrum(path)
        for path in (
            example / "truth.mrc",
            example / "half1.mrc",
            tmp_path / "projected" / "corrected_half1.mrc",
            tmp_path / "learned" / "corrected_half1.mrc",
        )
    )
    kz, _, _ = frequency_axes_rfft((64, 64, 64))
    radius = radius_rfft((64, 64, 64))
    unmeasured = np.abs(kz) > 0.5 * radius
    measured = np.abs(kz) < 0.1 * radius
    scores = [correlation(spectrum, truth, unmeasured) for spectrum in (before, projected_map, after)]
    assert scores[1] > scores[0] + 0.05
    assert scores[2] > scores[1] + 0.03
    assert correlation(after, truth, measured) > correlation(before, truth, measured) - 0.003
    other, full = (spectrum(tmp_path / "learned" / f"corrected_{name}.mrc") for name in ("half2", "full"))
    for region in (unmeasured, measured):
        of_halves = [correlation(half, truth, region) for half in (after, other)]
        assert correlation(full, truth, region) > max(of_halves)


def test_halves_of_pure_noise_gain_no_common_structure(example, tmp_path):
    like = read_volume(example / "half1.mrc")
    for index in (1, 2):
        noise = np.random.default_rng(index).normal(size=like.data.shape)
        write_volume(tmp_path / f"noise{index}.mrc", like.with_data(noise))
    mask_path = example / "mask.mrc"
    main([
        "reconstruct", str(tmp_path / "noise1.mrc"), str(tmp_path / "noise2.mrc"), "--mask", str(mask_path),
        "--limit_res", str(LIMIT_ANGSTROM), "--filter_base", "4", "--cube_size", "16", "--epochs", "1",
        "--n_subvolume", "200", "--no-report", "--output_dir", str(tmp_path / "out"),
    ])  # fmt: skip
    mask = read_volume(mask_path).data

    def fsc(*paths):
        first, second = (rfft3(read_volume(path).data * mask) for path in paths)
        return fourier_shell_correlation(first, second, 64)[3:26]

    before = fsc(tmp_path / "noise1.mrc", tmp_path / "noise2.mrc")
    after = fsc(*(tmp_path / "out" / f"corrected_noise{index}.mrc" for index in (1, 2)))
    assert np.abs(after).mean() < np.abs(before).mean() + 0.02
    assert after.max() < max(before.max(), 0.143) + 0.05


@pytest.mark.gpu
def test_a_gpu_restores_what_the_cpu_restores(example, tmp_path):
    """Correlation of what the two devices infer in unmeasured directions, without the report's maps."""
    for device in ("cpu", "cuda"):
        main([
            "reconstruct", str(example / "half1.mrc"), str(example / "half2.mrc"), "--mask",
            str(example / "mask.mrc"), "--limit_res", str(LIMIT_ANGSTROM), "--filter_base", "16",
            "--cube_size", "32", "--epochs", "2", "--n_subvolume", "300", "--no-report",
            "--device", device, "--output_dir", str(tmp_path / device),
        ])  # fmt: skip
    mask = read_volume(example / "mask.mrc").data
    kz, _, _ = frequency_axes_rfft((64, 64, 64))
    unmeasured = np.abs(kz) > 0.5 * radius_rfft((64, 64, 64))

    def spectrum(path):
        data = read_volume(path).data
        return rfft3((data - data.mean()) * mask)

    truth = spectrum(example / "truth.mrc")
    on_cpu, on_gpu = (spectrum(tmp_path / name / "corrected_half1.mrc") for name in ("cpu", "cuda"))
    assert correlation(on_gpu, on_cpu, unmeasured) > 0.9
    assert correlation(on_gpu, truth, unmeasured) > correlation(on_cpu, truth, unmeasured) - 0.03
