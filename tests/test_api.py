"""The Python interface: the same numbers as the commands, nothing written unless asked."""

from __future__ import annotations

import ast
import inspect
import json
import logging
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch

import spisonet
from spisonet.api.parameters import PARAMETERS
from spisonet.commands.main import isonet, main
from spisonet.io.events import report_progress
from spisonet.io.mrc import read_volume
from tests.tomography.simulation import slab_of_rods, with_missing_wedge, write_mrc

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
    assert set(spisonet.__all__) <= set(dir(spisonet))
    for name in spisonet.__all__:
        assert getattr(spisonet, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'correct'"):
        spisonet.correct  # noqa: B018


def test_type_checkers_see_the_same_names():
    stub = ast.parse(Path(spisonet.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    declared = {alias.asname: f"{node.module}.{alias.name}" for node in imports for alias in node.names}
    functions = {name: getattr(spisonet, name) for name in spisonet.__all__}
    assert declared == {name: f"{f.__module__}.{f.__qualname__}" for name, f in functions.items()}


def test_importing_the_package_is_light():
    code = "import spisonet, sys; print(sorted({'numpy', 'torch', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("method", ["learn", "deconvolve"])
def test_the_corrected_maps_are_those_of_the_command(small_case, tmp_path, method, in_empty_folder):
    result = spisonet.reconstruct(
        small_case.half1, str(small_case.half2), mask=small_case.mask, fsc3d=small_case.fsc3d,
        limit_resolution_angstrom=6, threads=1, method=method, **OPTIONS,
    )  # fmt: skip
    out = tmp_path / "out"
    words = [*small_case.inputs, "--limit_res", "6", "--ncpus", "1", "--method", method, *WORDS]
    main(["reconstruct", *words, "--no-report", "--output_dir", str(out)])
    for index, volume in enumerate(result.half_maps, start=1):
        written = read_volume(out / f"corrected_half{index}.mrc")
        np.testing.assert_array_equal(volume.data, written.data)
        assert volume.origin_angstrom == written.origin_angstrom
        assert written.labels[-1] == result.result.label
    np.testing.assert_array_equal(result.full_map.data, read_volume(out / "corrected_full.mrc").data)
    record = json.loads((out / "job.json").read_text())
    assert record["halves"] == result.result.halves.as_record()
    assert record["epoch_losses"] == result.epoch_losses
    assert record["unmeasured_fraction"] == pytest.approx(result.unmeasured_fraction, abs=1e-4)
    assert record["corrected_by_shell"] == result.result.corrected_by_shell
    assert record["inferred_gains"] == result.result.inferred_gains
    assert record["data_factors"] == result.result.data_factors
    (gains,) = result.result.inferred_gains.values()
    assert gains is not None
    assert 0 <= min(gains) <= max(gains) <= 2


def test_arrays_give_the_same_as_files(small_case, in_empty_folder):
    names = ("half1", "half2", "mask", "fsc3d")
    volumes = {name: read_volume(getattr(small_case, name)) for name in names}
    arrays = {name: volume.data for name, volume in volumes.items()}
    options = {"limit_resolution_angstrom": 6, "method": "deconvolve", "threads": 1}
    voxel_size = volumes["half1"].voxel_size_angstrom
    from_arrays = spisonet.reconstruct(**arrays, voxel_size_angstrom=voxel_size, **options)
    from_volumes = spisonet.reconstruct(**volumes, **options)
    np.testing.assert_array_equal(from_arrays.half_maps[0].data, from_volumes.half_maps[0].data)
    with pytest.raises(spisonet.SpisonetError, match="half1 is an array") as raised:
        spisonet.fsc3d(arrays["half1"], arrays["half2"])
    assert raised.value.field == "voxel_size_angstrom"


def test_the_3d_fsc_is_that_of_the_command(small_case, tmp_path, in_empty_folder):
    found = spisonet.fsc3d(
        small_case.half1, small_case.half2, small_case.mask, limit_resolution_angstrom=6, threads=1
    )
    target = tmp_path / "FSC.mrc"
    maps = [str(small_case.half1), str(small_case.half2), str(small_case.mask)]
    main(["fsc3d", *maps, "--limit_res", "6", "--ncpus", "1", "-o", str(target)])
    np.testing.assert_array_equal(found.volume().data, read_volume(target).data)
    assert json.loads(target.with_suffix(".json").read_text())["cfar"] == found.cfar


def test_the_sampling_density_is_that_of_the_command(tmp_path, in_empty_folder):
    particles = Path(__file__).parents[1] / "examples" / "subtomograms" / "particles.star"
    sampling = spisonet.fourier_sampling(
        particles, 24, symmetry="C3", tilt_range_degrees=(-60, 60), voxel_size_angstrom=8.0,
        low_resolution_angstrom=60, high_resolution_angstrom=16,
    )  # fmt: skip
    target = tmp_path / "FSD.mrc"
    words = ["--sym", "C3", "--tilt_min", "-60", "--tilt_max", "60", "--apix", "8"]
    words += ["--low_res", "60", "--high_res", "16", "-o", str(target)]
    main(["fsd3d", str(particles), "24", *words])
    np.testing.assert_array_equal(sampling.density.data, read_volume(target).data)


def test_the_diagnosis_is_that_of_the_command(small_case, tmp_path, in_empty_folder, capsys):
    found = spisonet.diagnose(small_case.half1, small_case.half2, small_case.mask, threads=1)
    maps = [str(small_case.half1), str(small_case.half2), str(small_case.mask)]
    main(["diagnose", *maps, "--ncpus", "1", "--output_dir", str(tmp_path / "out")])
    record = json.loads((tmp_path / "out" / "diagnosis.json").read_text())
    assert record["strategy"] == found.strategy
    assert record["cfar"] == pytest.approx(found.cfar, abs=1e-3)
    lines = capsys.readouterr().out.splitlines()
    recommendation = found.recommendation
    shown = [recommendation.headline, *recommendation.reasons]
    assert lines[-1 - len(shown) - len(recommendation.commands) : -1][: len(shown)] == shown


def test_wrong_options_are_named(small_case, in_empty_folder):
    maps = small_case.half1, small_case.half2
    for options, field in (
        ({"epochs": -1}, "epochs"),
        ({"epoch": 1}, "epoch"),
        ({"limit_resolution_angstrom": 1.0}, "limit_resolution_angstrom"),
    ):
        with pytest.raises(spisonet.SpisonetError) as raised:
            spisonet.reconstruct(*maps, **options)
        assert raised.value.field == field
    with pytest.raises(spisonet.SpisonetError, match="single map"):
        spisonet.reconstruct(small_case.half1)


@pytest.mark.parametrize(
    ("function", "arguments", "field"),
    [
        ("validate", {"run": "out", "rotations": 1}, "rotations"),
        ("validate", {"run": "out", "cone_angle_degrees": 500.0}, "cone_angle_degrees"),
        ("validate", {"run": "out", "threads": -1}, "threads"),
        ("reconstruct", {"memory_limit_gigabytes": -1.0}, "memory_limit_gigabytes"),
        ("reconstruct", {"method": "prior", "prior": "none"}, "method"),
        ("predict_tomograms", {"tomograms": "t.star", "network": "n", "threads": -1}, "threads"),
        ("refine_tomograms", {"tomograms": "t.star", "epochs": -1}, "epochs"),
        ("prepare_tomograms", {"folder": ".", "tilt_range_degrees": (95, 100)}, "tilt_range_degrees"),
        ("prepare_tomograms", {}, "folder"),
        ("make_mask", {"density_percentage": 200.0}, "density_percentage"),
    ],
)
def test_errors_name_parameters_not_options(small_case, in_empty_folder, function, arguments, field):
    maps = {"half1": small_case.half1, "half2": small_case.half2, "limit_resolution_angstrom": 6.0}
    given = {"reconstruct": maps, "make_mask": {"tomogram": small_case.half1}}.get(function, {})
    with pytest.raises(spisonet.SpisonetError) as raised:
        getattr(spisonet, function)(**given, **arguments)
    assert "--" not in str(raised.value)
    assert raised.value.field == field
    assert field in str(raised.value)


def test_the_parameters_of_options_exist():
    functions = [getattr(spisonet, name) for name in spisonet.__all__ if name.islower()]
    names = {name for function in functions for name in inspect.signature(function).parameters}
    assert {name for found in PARAMETERS.values() for name in found} <= names


def test_a_map_without_a_voxel_size_refers_to_the_argument(tmp_path):
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(np.random.default_rng(0).random((8, 8, 8)).astype(np.float32))
    with pytest.raises(spisonet.SpisonetError, match="in its header; give voxel_size_angstrom"):
        spisonet.read_map(tmp_path / "a.mrc")


@pytest.mark.parametrize("option", ["limit_res", "pretrained_model", "sharpen", "aniso_file", "gpuID"])
def test_an_option_without_effect_is_refused(small_case, in_empty_folder, option):
    with pytest.raises(spisonet.SpisonetError, match=f"{option}") as raised:
        spisonet.reconstruct(small_case.half1, small_case.half2, **{option: "1"})
    assert raised.value.field == option


def test_an_interrupted_computation_leaves_nothing_behind(small_case, in_empty_folder):
    logger, threads, seen = logging.getLogger("spisonet"), torch.get_num_threads(), []
    before = logger.level, list(logger.handlers), list(logging.getLogger().handlers)

    def interrupt(event):
        seen.append(event)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spisonet.reconstruct(
            small_case.half1, small_case.half2, small_case.mask, progress=interrupt, threads=threads + 1,
            prior="none", **OPTIONS,
        )  # fmt: skip
    n_seen = len(seen)
    report_progress("training", "", 1, 1, "epochs")
    assert len(seen) == n_seen
    assert torch.get_num_threads() == threads
    assert (logger.level, logger.handlers, logging.getLogger().handlers) == before


def test_arrays_are_written_into_the_output_folder_only(small_case, tmp_path, in_empty_folder):
    half1, half2, mask = (read_volume(getattr(small_case, name)).data for name in ("half1", "half2", "mask"))
    out = tmp_path / "out"
    run = spisonet.reconstruct(
        half1, half2, mask, voxel_size_angstrom=4.0, method="deconvolve", output_dir=out, report=False
    )
    assert {path.name for path in out.iterdir()} >= {"half1.mrc", "half2.mrc", "mask.mrc", "job.json"}
    np.testing.assert_array_equal(read_volume(out / "corrected_full.mrc").data, run.full_map.data)
    with pytest.raises(spisonet.SpisonetError, match="without training"):
        spisonet.validate(run)
    with pytest.raises(spisonet.SpisonetError, match="give it an output_dir"):
        spisonet.validate(spisonet.reconstruct(small_case.half1, small_case.half2, method="deconvolve"))


def test_results_are_drawn(small_case, in_empty_folder):
    maps = small_case.half1, small_case.half2, small_case.mask
    results = [spisonet.read_map(maps[0]), spisonet.fourier_shell_correlation(*maps)]
    results += [spisonet.fsc3d(*maps, limit_resolution_angstrom=10)]
    results += [spisonet.reconstruct(*maps, method="deconvolve")]
    for result in results:
        assert result.plot().axes


def test_directions_may_be_an_array(in_empty_folder):
    rng = np.random.default_rng(0)
    around_z = rng.normal(size=(200, 3)) * (1, 1, 0)
    options = {"voxel_size_angstrom": 4.0, "low_resolution_angstrom": 40, "high_resolution_angstrom": 8}
    sampling = spisonet.fourier_sampling(around_z, 24, **options)
    centre = sampling.density.data.shape[0] // 2
    along_z, along_x = (
        sampling.density.data[centre + 8, centre, centre],
        sampling.density.data[centre, centre, centre + 8],
    )
    assert sampling.n_used == 200
    assert along_z > 2 * along_x  # views about an axis sample this axis best
    for wrong in (np.zeros((5, 3)), np.ones((5, 2))):
        with pytest.raises(spisonet.SpisonetError, match="view directions"):
            spisonet.fourier_sampling(wrong, 24, **options)


def test_a_filter_and_a_mask_are_those_of_the_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tomograms").mkdir()
    write_mrc(
        tmp_path / "tomograms" / "TS_1.mrc", with_missing_wedge(slab_of_rods((20, 32, 32), 8, 0), 0.5, 0)
    )
    prepared = spisonet.prepare_tomograms("tomograms", tilt_range_degrees=(-60, 60), defocus_angstrom=30000)
    assert not (tmp_path / "tomograms.star").exists()
    assert prepared.tomograms[0].shape == (20, 32, 32)
    isonet(["prepare_star", "tomograms", "--defocus", "30000", "--tilt_min", "-60", "--tilt_max", "60"])
    isonet(["deconv", "tomograms.star"])
    isonet(["make_mask", "tomograms.star", "--density_percentage", "60"])
    deconvolved = spisonet.deconvolve_ctf("tomograms/TS_1.mrc", 30000)
    with mrcfile.open("deconv/TS_1.mrc") as written:
        np.testing.assert_allclose(deconvolved.tomogram.data, written.data, atol=1e-5)
    found = spisonet.make_mask("deconv/TS_1.mrc", density_percentage=60)
    with mrcfile.open("mask/TS_1_mask.mrc") as written:
        np.testing.assert_array_equal(found.mask.data, written.data)
