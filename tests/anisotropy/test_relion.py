"""The commands on half maps and particles that RELION itself made, and RELION on our maps."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from spisonet.commands.main import main
from spisonet.io.mrc import Volume, read_volume, write_volume

BOX, VOXEL_SIZE, N_PARTICLES = 32, 4.0, 120
OPTICS = (
    "OpticsGroupName OpticsGroup Voltage SphericalAberration AmplitudeContrast "
    "ImagePixelSize ImageSize ImageDimensionality"
)
PARTICLES = "AngleRot AngleTilt AnglePsi OriginXAngst OriginYAngst OpticsGroup RandomSubset"


def relion(folder: Path, *words: str) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def star_loop(name: str, labels: str, rows: list[str]) -> str:
    columns = "".join(f"_rln{label} #{index}\n" for index, label in enumerate(labels.split(), start=1))
    return f"\n# version 30001\n\ndata_{name}\n\nloop_\n{columns}" + "\n".join(rows) + "\n\n"


@pytest.fixture
def relion_case(tmp_path: Path) -> Path:
    """Half maps, mask and particles of an asymmetric phantom seen mostly from the top."""
    rng = np.random.default_rng(0)
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    phantom = np.zeros((BOX,) * 3)
    for centre in rng.normal(scale=3, size=(15, 3)):
        phantom += np.exp(-((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2) / 3)
    volume = Volume(phantom.astype(np.float32), VOXEL_SIZE)
    write_volume(tmp_path / "phantom.mrc", volume)
    write_volume(tmp_path / "mask.mrc", volume.with_data((z**2 + y**2 + x**2 < 12**2).astype(np.float32)))
    tilts = np.abs(rng.normal(0, 20, N_PARTICLES))
    rows = [
        f"{rng.uniform(-180, 180):.3f} {tilt:.3f} {rng.uniform(-180, 180):.3f} 0 0 1 {1 + index % 2}"
        for index, tilt in enumerate(tilts)
    ]
    optics = star_loop("optics", OPTICS, [f"opticsGroup1 1 300.0 2.7 0.1 {VOXEL_SIZE} {BOX} 2"])
    (tmp_path / "angles.star").write_text(optics + star_loop("particles", PARTICLES, rows))
    relion(
        tmp_path, "relion_project", "--i", "phantom.mrc", "--ang", "angles.star", "--o", "particles",
        "--angpix", str(VOXEL_SIZE), "--add_noise", "--white_noise", "1",
    )  # fmt: skip
    for subset in ("1", "2"):
        relion(
            tmp_path,
            "relion_reconstruct",
            "--i",
            "particles.star",
            "--subset",
            subset,
            "--o",
            f"half{subset}.mrc",
        )
    return tmp_path


@pytest.mark.relion
def test_relion_half_maps_go_through_all_commands(relion_case, monkeypatch):
    monkeypatch.chdir(relion_case)
    main(["fsc3d", "half1.mrc", "half2.mrc", "mask.mrc"])
    main(["fsd3d", "particles.star", str(BOX), "--low_res", "60", "--high_res", "8"])
    training = ["--epochs", "1", "--n_subvolume", "8", "--cube_size", "16", "--filter_base", "4"]
    for weight in ("FSC3D.mrc", "FSD3D.mrc"):
        inputs = ["half1.mrc", "half2.mrc", "--aniso_file", weight, "--mask", "mask.mrc"]
        main(["reconstruct", *inputs, *training, "--limit_res", "12", "--output_dir", f"from_{weight}"])
    sampled, fsc = read_volume(Path("FSD3D.mrc")).data, read_volume(Path("FSC3D.mrc")).data
    assert read_volume(Path("FSD3D.mrc")).voxel_size_angstrom == pytest.approx(VOXEL_SIZE)
    # Top views fill the plane normal to z, and there the half maps agree best.
    shell = 6
    middle = BOX // 2
    for volume in (sampled, fsc):
        assert volume[middle, middle, middle + shell] > volume[middle + shell, middle, middle]
    stats = relion(
        relion_case, "relion_image_handler", "--i", "from_FSC3D.mrc/corrected_half1.mrc", "--stats"
    )
    assert f"{BOX} x {BOX} x {BOX}" in stats
