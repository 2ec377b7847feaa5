"""The Python interface: the same numbers as the commands, nothing written unless asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest

import spisonet
from spisonet import api
from spisonet.commands.main import main
from spisonet.io.mrc import read_volume

OPTIONS = {"epochs": 1, "n_subvolume": 4, "cube_size": 16, "filter_base": 4, "seed": 3}
WORDS = [word for name, value in OPTIONS.items() for word in (f"--{name}", str(value))]


@pytest.fixture
def in_empty_folder(tmp_path, monkeypatch):
    """A working folder in which nothing may appear."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder
    assert list(folder.iterdir()) == []


def test_every_name_is_an_attribute_of_the_package():
    assert set(api.__all__) <= set(dir(spisonet))
    for name in api.__all__:
        assert getattr(spisonet, name) is getattr(api, name)
    with pytest.raises(AttributeError, match="no attribute 'correct'"):
        spisonet.correct  # noqa: B018


def test_importing_the_package_is_light():
    code = "import spisonet, sys; print(sorted({'numpy', 'torch', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("method", ["learn", "deconvolve"])
def test_the_corrected_maps_are_those_of_the_command(small_case, tmp_path, method, in_empty_folder):
    result = spisonet.correct_anisotropy(
        small_case.half1, str(small_case.half2), mask=small_case.mask, fsc3d=small_case.fsc3d,
        limit_resolution_angstrom=6, threads=1, method=method, **OPTIONS,
    )  # fmt: skip
    out = tmp_path / "out"
    words = [*small_case.inputs, "--limit_res", "6", "--ncpus", "1", "--method", method, *WORDS]
    main(["reconstruct", *words, "--no-report", "--output_dir", str(out)])
    for index, volume in enumerate(result.volumes, start=1):
        written = read_volume(out / f"corrected_half{index}.mrc")
        np.testing.assert_array_equal(volume.data, written.data)
        assert volume.origin_angstrom == written.origin_angstrom
        assert written.labels[-1] == result.label
    np.testing.assert_array_equal(result.full.volume.data, read_volume(out / "corrected_full.mrc").data)
    record = json.loads((out / "job.json").read_text())
    assert record["halves"] == result.halves.as_record()
    assert record["epoch_losses"] == result.epoch_losses
    assert record["unmeasured_fraction"] == pytest.approx(result.unmeasured_fraction, abs=1e-4)
    assert record["corrected_by_shell"] == result.corrected_by_shell
    assert record["inferred_gains"] == result.inferred_gains
    (gains,) = result.inferred_gains.values()
    assert gains is not None
    assert 0 <= min(gains) <= max(gains) <= 2


def test_arrays_give_the_same_as_files(small_case, in_empty_folder):
    names = ("half1", "half2", "mask", "fsc3d")
    volumes = {name: read_volume(getattr(small_case, name)) for name in names}
    arrays = {name: volume.data for name, volume in volumes.items()}
    options = {"limit_resolution_angstrom": 6, "method": "deconvolve", "threads": 1}
    voxel_size = volumes["half1"].voxel_size_angstrom
    from_arrays = spisonet.correct_anisotropy(**arrays, voxel_size_angstrom=voxel_size, **options)
    from_volumes = spisonet.correct_anisotropy(**volumes, **options)
    np.testing.assert_array_equal(from_arrays.volumes[0].data, from_volumes.volumes[0].data)
    with pytest.raises(spisonet.SpisonetError, match="half1 is an array") as raised:
        spisonet.estimate_fsc3d(arrays["half1"], arrays["half2"])
    assert raised.value.field == "voxel_size_angstrom"


def test_the_3d_fsc_is_that_of_the_command(small_case, tmp_path, in_empty_folder):
    fsc3d = spisonet.estimate_fsc3d(
        small_case.half1, small_case.half2, small_case.mask, limit_resolution_angstrom=6, threads=1
    )
    target = tmp_path / "FSC.mrc"
    maps = [str(small_case.half1), str(small_case.half2), str(small_case.mask)]
    main(["fsc3d", *maps, "--limit_res", "6", "--ncpus", "1", "-o", str(target)])
    np.testing.assert_array_equal(fsc3d.weight_cube(), read_volume(target).data)
    assert json.loads(target.with_suffix(".json").read_text())["cfar"] == spisonet.summarise_fsc3d(fsc3d).cfar


def test_the_sampling_density_is_that_of_the_command(tmp_path, in_empty_folder):
    particles = Path(__file__).parents[1] / "examples" / "subtomograms" / "particles.star"
    views = spisonet.read_particle_views(particles, symmetry="C3", tilt_range_degrees=(-60, 60))
    density = spisonet.fourier_sampling(
        views, 24, voxel_size_angstrom=8.0, low_resolution_angstrom=60, high_resolution_angstrom=16
    )
    target = tmp_path / "FSD.mrc"
    words = ["--sym", "C3", "--tilt_min", "-60", "--tilt_max", "60", "--apix", "8"]
    words += ["--low_res", "60", "--high_res", "16", "-o", str(target)]
    main(["fsd3d", str(particles), "24", *words])
    np.testing.assert_array_equal(density.data, read_volume(target).data)


def test_a_diagnosis_needs_no_files(small_case, in_empty_folder):
    diagnosis = spisonet.diagnose(small_case.half1, small_case.half2, small_case.mask, threads=1)
    assert isinstance(diagnosis, spisonet.Diagnosis)


def test_wrong_options_are_named(small_case, in_empty_folder):
    maps = small_case.half1, small_case.half2
    for options, field in (
        ({"epochs": -1}, "epochs"),
        ({"epoch": 1}, "epoch"),
        ({"limit_resolution_angstrom": 1.0}, "limit_resolution_angstrom"),
    ):
        with pytest.raises(spisonet.SpisonetError) as raised:
            spisonet.correct_anisotropy(*maps, **options)
        assert raised.value.field == field
    with pytest.raises(spisonet.SpisonetError, match="single map"):
        spisonet.correct_anisotropy(small_case.half1)


def test_a_map_without_a_voxel_size_refers_to_the_argument(tmp_path):
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(np.random.default_rng(0).random((8, 8, 8)).astype(np.float32))
    with pytest.raises(spisonet.SpisonetError, match="in its header; give voxel_size_angstrom"):
        spisonet.read_map(tmp_path / "a.mrc")


@pytest.mark.parametrize("option", ["limit_res", "pretrained_model", "aniso_file", "gpuID"])
def test_an_option_without_effect_is_refused(small_case, in_empty_folder, option):
    with pytest.raises(spisonet.SpisonetError, match=f"no option {option}") as raised:
        spisonet.correct_anisotropy(small_case.half1, small_case.half2, **{option: "1"})
    assert raised.value.field == option


def test_without_epochs_the_method_has_to_be_named(small_case, in_empty_folder):
    with pytest.raises(spisonet.SpisonetError, match='method="deconvolve"'):
        spisonet.correct_anisotropy(small_case.half1, small_case.half2, epochs=0)
