"""fsc3d from the command line: its files, numbers and messages."""

import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from spisonet.analysis.config import Fsc3dConfig
from spisonet.analysis.fsc3d import estimate_fsc3d
from spisonet.commands.fsc3d import run_fsc3d
from spisonet.commands.main import main
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import centred_from_half
from spisonet.io.mrc import Volume, write_volume
from tests.analysis.test_fsc3d import BOX, VOXEL_SIZE, anisotropic_power, make_halves


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Half maps, a soft mask, and copies that do not fit."""
    axis = np.arange(BOX) - BOX // 2
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    mask = np.clip((13 - radius) / 4, 0, 1).astype(np.float32)
    half1, half2 = make_halves(anisotropic_power())
    volumes = {
        "half1": Volume(half1, VOXEL_SIZE, origin_angstrom=(1.0, 2.0, 3.0)),
        "half2": Volume(half2, VOXEL_SIZE),
        "mask": Volume(mask, VOXEL_SIZE),
        "empty": Volume(np.where(mask > 0.5, 0, -1).astype(np.float32), VOXEL_SIZE),
        "box": Volume(half2[1:, 1:, 1:], VOXEL_SIZE),
        "scale": Volume(half2, 2 * VOXEL_SIZE),
    }
    paths = {name: tmp_path / f"{name}.mrc" for name in volumes}
    for name, volume in volumes.items():
        write_volume(paths[name], volume)
    paths["slab"] = tmp_path / "slab.mrc"
    with mrcfile.new(paths["slab"]) as mrc:
        mrc.set_data(half2[:10])
        mrc.voxel_size = VOXEL_SIZE
    paths["image"] = tmp_path / "image.mrc"
    with mrcfile.new(paths["image"]) as mrc:
        mrc.set_data(half2[0])
        mrc.voxel_size = VOXEL_SIZE
    paths["text"] = tmp_path / "text.mrc"
    paths["text"].write_text("not a map")
    paths["missing"] = tmp_path / "missing.mrc"
    return paths


def test_command_writes_volume_numbers_and_figure(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out" / "fsc.mrc"
    maps = [str(files[name]) for name in ("half1", "half2", "mask")]
    options = ["--limit_res", "4", "--cone_sampling_angle", "20", "--no-phase_randomise"]
    main(["fsc3d", *maps, *options, "-o", str(output)])
    assert {path.name for path in output.parent.iterdir()} == {
        "fsc.mrc",
        "fsc_thresholded.mrc",
        "fsc.json",
        "fsc.png",
        "fsc.svg",
    }
    with mrcfile.open(output) as mrc:
        cube = mrc.data.copy()
        assert float(mrc.voxel_size.x) == pytest.approx(VOXEL_SIZE)
    assert cube.dtype == np.float32
    assert cube.min() >= 0
    assert cube.max() <= 1
    assert cube[BOX // 2, BOX // 2, BOX // 2] == 1
    halves = [mrcfile.read(files[name]) * mrcfile.read(files["mask"]) for name in ("half1", "half2")]
    expected = estimate_fsc3d(halves[0], halves[1], None, VOXEL_SIZE, 4.0, 20.0, 1, phase_seed=None)
    np.testing.assert_allclose(cube, centred_from_half(np.clip(expected.fsc_rfft, 0, 1), BOX), atol=1e-5)
    binary = mrcfile.read(output.with_name("fsc_thresholded.mrc"))
    np.testing.assert_array_equal(binary, (cube >= 0.143).astype(np.float32))
    record = json.loads(output.with_suffix(".json").read_text())
    assert record["config"]["limit_res"] == 4
    assert record["global_fsc_uncorrected"] is None
    assert record["randomised_from_resolution_angstrom"] is None
    assert record["limit_shell"] == 12
    assert record["voxel_size_angstrom"] == pytest.approx(VOXEL_SIZE)
    assert 0 < record["cfar"] < 1
    assert 0 < record["sphericity"] <= 1
    assert record["directional_resolution_0143_best_angstrom"] is None  # not reached to the limit
    assert record["directional_resolution_0143_worst_angstrom"] > 4
    assert record["finest_resolution_angstrom"] == pytest.approx(4)
    assert record["directional_cone_half_angle_degrees"] == 20
    directions = record["directions"]["resolution_0143_angstrom"]
    assert None in directions
    assert max(value for value in directions if value is not None) > 4
    assert len(record["global_curve"]["fsc"]) == len(record["directional_curves"]["mean"]) == 12 + 1
    assert sum(record["directional_resolution_histogram"]["counts"]) == 181
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "Resolution at FSC 0.143: not reached to the limit of 4.00 Å." in printed
    assert "cFAR" in printed


def test_keep_highres_and_ncpus(files: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "kept.mrc"
    run_fsc3d(
        Fsc3dConfig(
            h=files["half1"], h2=files["half2"], o=output, limit_res=6.0, keep_highres=True, ncpus=1, apix=2.0
        )
    )
    with mrcfile.open(output) as mrc:
        assert float(mrc.voxel_size.x) == pytest.approx(2.0)
        cube = mrc.data.copy()
    axis = np.arange(BOX) - BOX // 2
    shell = np.rint(np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2))
    np.testing.assert_array_equal(cube[shell > 10], 1)
    assert cube[shell <= 10].min() < 1


def test_a_mask_is_corrected_for_by_default(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = {name: tmp_path / f"{name}.mrc" for name in ("default", "again", "given", "without")}
    options = {"given": ["--phase_randomise"], "without": ["--no-phase_randomise"]}
    maps = [str(files[name]) for name in ("half1", "half2", "mask")]
    for name, output in outputs.items():
        main(["fsc3d", *maps, "-o", str(output), *options.get(name, [])])
        if name == "default":
            printed = capsys.readouterr().out
    cubes = {name: mrcfile.read(output) for name, output in outputs.items()}
    records = {name: json.loads(output.with_suffix(".json").read_text()) for name, output in outputs.items()}
    np.testing.assert_array_equal(cubes["default"], cubes["again"])
    np.testing.assert_array_equal(cubes["default"], cubes["given"])
    assert np.abs(cubes["default"] - cubes["without"]).max() > 0.05
    corrected, uncorrected = records["default"], records["without"]
    assert corrected["randomised_from_resolution_angstrom"] > 0
    assert corrected["global_fsc_uncorrected"] == uncorrected["global_curve"]["fsc"]
    assert corrected["global_curve"]["fsc"] != uncorrected["global_curve"]["fsc"]
    assert corrected["directional_curves"]["mean_uncorrected"] == uncorrected["directional_curves"]["mean"]
    assert uncorrected["directional_curves"]["mean_uncorrected"] is None
    before, after = corrected["resolution_0143_uncorrected_angstrom"], corrected["resolution_0143_angstrom"]
    assert before is uncorrected["resolution_0143_angstrom"] is None
    assert f"Resolution at FSC 0.143: {after:.2f} Å." in printed
    assert "Not corrected for the mask: at FSC 0.143: not reached (Nyquist 3.00 Å)." in printed


def test_without_a_mask_nothing_is_corrected(files: dict[str, Path], tmp_path: Path) -> None:
    cubes = []
    for randomise in (True, False):
        output = tmp_path / f"{randomise}.mrc"
        run_fsc3d(Fsc3dConfig(h=files["half1"], h2=files["half2"], o=output, phase_randomise=randomise))
        cubes.append(mrcfile.read(output))
        assert json.loads(output.with_suffix(".json").read_text())["global_fsc_uncorrected"] is None
    np.testing.assert_array_equal(*cubes)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"h": "missing"}, "does not exist"),
        ({"h2": "text"}, "not a readable MRC"),
        ({"h2": "image"}, "not a 3D map"),
        ({"h2": "slab"}, "not cubic"),
        ({"h2": "box"}, "box of 31"),
        ({"h2": "scale"}, "voxels of 3 Å"),
        ({"h2": "half1"}, "same densities"),
        ({"mask": "empty"}, "empty"),
        ({"mask": "box"}, "box of 31"),
        ({"mask": "scale"}, "voxels of 3 Å"),
        ({"limit_res": 2.0}, "beyond Nyquist"),
        ({"limit_res": 100.0}, "fewer than 3"),
        ({"o": "half1"}, "is also an input"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(
    files: dict[str, Path], tmp_path: Path, changed: dict[str, object], sentence: str
) -> None:
    options: dict[str, object] = {"h": "half1", "h2": "half2", "o": tmp_path / "out.mrc"} | changed
    options = {name: files.get(str(value), value) for name, value in options.items()}
    before = sorted(tmp_path.iterdir())
    contents = files["half1"].read_bytes()
    with pytest.raises(SpisonetError, match=sentence) as raised:
        run_fsc3d(Fsc3dConfig(**options))
    assert "\n" not in str(raised.value)
    assert sorted(tmp_path.iterdir()) == before
    assert files["half1"].read_bytes() == contents


def test_unwritable_output_is_refused_early(files: dict[str, Path], tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(SpisonetError, match="cannot be written"):
        run_fsc3d(Fsc3dConfig(h=files["half1"], h2=files["half2"], o=blocked / "out.mrc"))


def test_command_line_prints_one_sentence(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["fsc3d", str(files["half1"]), str(files["half1"])])
    assert stopped.value.code == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "same densities" in message
