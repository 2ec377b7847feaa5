"""Tilt series of particles with known poses, with the tables that RELION 5 writes after alignment.

    tilt_series.py PROJECT TRUTH.mrc --tomograms 2 --edge 256 --top 1.0 --spread 8 --noise 3 --seed 1

writes ``tilt_series.star`` and ``tilt_series/*.star`` (as *Align tilt series* does), ``particles.star`` with
the true poses in two half sets, ``mask.mrc``, ``truth.mrc`` and the images below ``frames/``: sums of all
frames, and of even and odd frames, whose noise is independent. The tilt axis is y, the beam is z, protein is
dark.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import pandas as pd
import starfile
from scipy.spatial.transform import Rotation

from benchmarks.solvent_mask import solvent_mask
from benchmarks.subtomograms.simulate import (
    AMPLITUDE_CONTRAST,
    ANGLES,
    CS_MM,
    VOLTAGE_KV,
    coarsened,
    contrast_transfer,
    poses,
    rotated,
)
from benchmarks.subtomograms.simulate import Case as Views
from spisonet.geometry.rotations import relion_rotation_matrices
from spisonet.io.mrc import Volume, read_volume, write_volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPTICS_GROUP = "optics1"
MICROSCOPE = {
    "rlnVoltage": VOLTAGE_KV,
    "rlnSphericalAberration": CS_MM,
    "rlnAmplitudeContrast": AMPLITUDE_CONTRAST,
}
DOSE_PER_TILT = 0.01  # electrons per Å²: RELION's dose weighting does not attenuate the images


@dataclass(frozen=True)
class Series:
    """Tilt series of a simulation.

    Attributes
    ----------
    tomograms : int
        Number of tilt series.
    edge : int
        Edge of the images in pixels.
    max_tilt, step : float
        Tilts in degrees.
    top, spread : float
        Fraction of particles whose axis is near the beam, and the standard deviation of the angle in degrees.
    noise : float
        Standard deviation of the noise of a pixel, relative to that of the images of the particles.
    seed : int
        Seed of all random numbers.
    """

    tomograms: int = 2
    edge: int = 256
    max_tilt: float = 60.0
    step: float = 4.0
    top: float = 1.0
    spread: float = 8.0
    noise: float = 3.0
    seed: int = 1


def simulate(project: Path, truth: Volume, series: Series) -> None:
    """Write the tilt series, their tables and the particles of a project folder."""
    rng = np.random.default_rng(series.seed)
    frames = project / "frames"
    frames.mkdir(parents=True, exist_ok=True)
    (project / "tilt_series").mkdir(exist_ok=True)
    density = truth.data / truth.data.std()
    deviation = float(density.sum(axis=0).std())
    tilts = np.arange(-series.max_tilt, series.max_tilt + 0.1, series.step)
    overview, particles = [], []
    for number in range(series.tomograms):
        name = f"TS_{number + 1:02d}"
        positions = _positions(series.edge, truth.box, rng)
        angles = poses(Views(n=len(positions), top=series.top, spread=series.spread), rng)
        defocus = float(rng.uniform(15000, 30000))
        rows = []
        for index, tilt in enumerate(tilts):
            projected = _image(density, positions, relion_rotation_matrices(*angles.T), tilt, series.edge)
            signal = -_with_ctf(projected, truth.voxel_size_angstrom, defocus)
            files = {}
            noise = [rng.normal(0, series.noise * deviation * 2**0.5, signal.shape) for _ in range(2)]
            images = (signal + sum(noise) / 2, signal + noise[0], signal + noise[1])
            columns = ("rlnMicrographName", "rlnMicrographNameEven", "rlnMicrographNameOdd")
            for column, ending, image in zip(columns, ("", "_EVN", "_ODD"), images, strict=True):
                path = frames / f"{name}_{index:03d}{ending}.mrc"
                with mrcfile.new(path, image.astype(np.float32), overwrite=True) as file:
                    file.voxel_size = truth.voxel_size_angstrom
                files[column] = str(path.relative_to(project))
            rows.append(
                files | _tilt_row(tilt, np.argsort(np.argsort(abs(tilts), kind="stable"))[index], defocus)
            )
        table = f"tilt_series/{name}.star"
        starfile.write({name: pd.DataFrame(rows)}, project / table, overwrite=True)
        overview.append(_series_row(name, truth.voxel_size_angstrom, table))
        centred = positions * truth.voxel_size_angstrom
        for index, (position, pose) in enumerate(zip(centred, angles, strict=True)):
            particles.append([name, f"{name}/{index + 1}", *position, *pose, 1, index % 2 + 1])
    starfile.write({"global": pd.DataFrame(overview)}, project / "tilt_series.star", overwrite=True)
    _write_particles(project / "particles.star", particles, truth)
    write_volume(project / "truth.mrc", truth.with_data(density))


def _positions(edge: int, box: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return positions ``(n, 3)`` ``(x, y, z)`` in pixels from the centre, on a grid so that none overlap."""
    n = (edge - box // 2) // box
    axis = (np.arange(n) - (n - 1) / 2) * box
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis))
    return np.stack([x, y, np.zeros(len(x))], axis=1) + rng.uniform(-3, 3, (len(x), 3))


def _image(
    density: NDArray[np.float32],
    positions: NDArray[np.float64],
    rotations: NDArray[np.float64],
    tilt: float,
    edge: int,
) -> NDArray[np.float64]:
    """Project all particles of a tomogram at one tilt; RELION rotates the tomogram around y by the tilt."""
    turned = Rotation.from_euler("y", tilt, degrees=True).as_matrix()
    image, half = np.zeros((edge, edge)), len(density) // 2
    for position, rotation in zip(positions, rotations, strict=True):
        place = turned @ position
        corner = np.floor(place[:2]).astype(int)
        shift = np.array([*(place[:2] - corner), 0.0])
        projection = rotated(density, turned @ rotation, shift).sum(axis=0)
        x, y = corner + edge // 2 - half
        image[y : y + 2 * half, x : x + 2 * half] += projection
    return image


def _with_ctf(image: NDArray[np.float64], pixel_size: float, defocus: float) -> NDArray[np.float64]:
    """Apply the CTF, positive near DC; defocus in Å."""
    n = len(image)
    frequency = np.hypot(np.fft.fftfreq(n, pixel_size)[:, None], np.fft.rfftfreq(n, pixel_size))
    ctf = contrast_transfer(frequency, defocus)
    return np.asarray(np.fft.irfft2(np.fft.rfft2(image) * ctf, image.shape))


def _tilt_row(tilt: float, order: int, defocus: float) -> dict[str, float]:
    return {
        "rlnTomoNominalStageTiltAngle": tilt,
        "rlnTomoNominalTiltAxisAngle": 90.0,
        "rlnMicrographPreExposure": order * DOSE_PER_TILT,
        "rlnDefocusU": defocus,
        "rlnDefocusV": defocus,
        "rlnDefocusAngle": 0.0,
        "rlnTomoXTilt": 0.0,
        "rlnTomoYTilt": tilt,
        "rlnTomoZRot": 0.0,
        "rlnTomoXShiftAngst": 0.0,
        "rlnTomoYShiftAngst": 0.0,
        "rlnCtfScalefactor": 1.0,
    }


def _series_row(name: str, pixel_size: float, table: str) -> dict[str, object]:
    return {
        "rlnTomoName": name,
        **MICROSCOPE,
        "rlnMicrographOriginalPixelSize": pixel_size,
        "rlnTomoHand": -1.0,
        "rlnOpticsGroupName": OPTICS_GROUP,
        "rlnTomoTiltSeriesPixelSize": pixel_size,
        "rlnTomoTiltSeriesStarFile": table,
    }


def _write_particles(path: Path, rows: list[list[object]], truth: Volume) -> None:
    columns = ["rlnTomoName", "rlnTomoParticleName", *(f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ")]
    columns += [*ANGLES, "rlnOpticsGroup", "rlnRandomSubset"]
    optics = {
        "rlnOpticsGroup": 1,
        "rlnOpticsGroupName": OPTICS_GROUP,
        **MICROSCOPE,
        "rlnTomoTiltSeriesPixelSize": truth.voxel_size_angstrom,
    }
    tables = {"optics": pd.DataFrame([optics]), "particles": pd.DataFrame(rows, columns=columns)}
    starfile.write(tables, path, overwrite=True)


def main() -> None:
    """Simulate from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--box", type=int, default=48)
    for name, value in asdict(Series()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    args = vars(parser.parse_args())
    project, truth = args.pop("project"), coarsened(read_volume(args.pop("truth")), args.pop("box"))
    simulate(project, truth, Series(**args))
    mask = solvent_mask(truth.data, truth.voxel_size_angstrom)
    write_volume(project / "mask.mrc", truth.with_data(mask))


if __name__ == "__main__":
    main()
