"""Subtomograms with known poses and truth for RELION 3.1: volumes, each with its CTF volume.

A subtomogram is ``w (c R X + noise)`` in Fourier space, with ``R X`` the rotated density, ``c`` the CTF, and
``w`` 1 inside the tilt range and 0 outside; the tilt axis is y, the beam is z. Its CTF volume is ``c w``.

    simulate.py OUT TRUTH.mrc MASK.mrc --box 32 --n 200 --top 0.9 --spread 10 --noise 4 --jitter 6 --sym C3

writes truth.mrc, mask.mrc, ref.mrc (low-pass filtered), truth.star (true poses), particles.star (initial
poses), the subtomograms and case.json.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.fft
import starfile
from scipy import ndimage
from scipy.spatial.transform import Rotation

from spisonet.fourier.grids import frequency_axes_rfft, irfft3, radius_rfft, rfft3
from spisonet.geometry.rotations import relion_rotation_matrices
from spisonet.io.mrc import Volume, read_volume, write_volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

VOLTAGE_KV, CS_MM, AMPLITUDE_CONTRAST = 300.0, 2.7, 0.1
WAVELENGTH_ANGSTROM = 0.0197
ANGLES = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
WEDGE_EDGE_VOXELS = 0.5
REFERENCE_ANGSTROM = 40.0


@dataclass(frozen=True)
class Case:
    """Views, tilts and noise of a simulation.

    Attributes
    ----------
    n : int
        Number of subtomograms.
    top : float
        Fraction with a normally distributed angle to the beam; the others are evenly distributed.
    spread : float
        Standard deviation of that angle, in degrees.
    max_tilt : float
        Tilt range to either side, in degrees.
    noise : float
        Standard deviation of the noise of a voxel, relative to that of the density.
    jitter : float
        Root mean square angle between the initial and the true poses, in degrees.
    offset : float
        Standard deviation of the shifts along each axis, in voxels.
    axis : str
        ``z`` or ``x``: direction of top views in the map. For ``x`` the density is rotated accordingly; local
        searches of RELION cannot hold poses at the pole of its angles, where top views along z are.
    filled_wedge : bool
        Whether the missing wedge of the subtomograms is filled with noise, so that the noise has the same
        power in all directions, as RELION's noise model assumes.
    sym : str
        Point group with its axis along z.
    seed : int
        Seed of all random numbers.
    """

    n: int = 200
    top: float = 0.9
    spread: float = 10.0
    max_tilt: float = 60.0
    noise: float = 4.0
    jitter: float = 6.0
    offset: float = 0.7
    axis: str = "z"
    filled_wedge: bool = False
    sym: str = "C1"
    seed: int = 1


def contrast_transfer(frequency_per_angstrom: NDArray[np.floating], defocus: float) -> NDArray[np.float32]:
    """Return the CTF at frequencies in 1/Å, positive near DC as RELION requires; defocus in Å."""
    square = frequency_per_angstrom**2
    phase = (
        np.pi * WAVELENGTH_ANGSTROM * square * (defocus - 0.5 * WAVELENGTH_ANGSTROM**2 * square * CS_MM * 1e7)
    )
    return np.asarray(np.sin(phase + np.arcsin(AMPLITUDE_CONTRAST)), dtype=np.float32)


def tilt_range(box: int, max_tilt: float) -> NDArray[np.float32]:
    """Return 1 inside the tilt range and 0 outside in Fourier space, ``(n, n, n // 2 + 1)``."""
    kz, _, kx = frequency_axes_rfft((box,) * 3)
    angle = np.radians(max_tilt)
    # Distance from the faces of the wedge in voxels, positive in the measured region.
    distance = np.abs(kx) * np.sin(angle) - np.abs(kz) * np.cos(angle)
    inside = np.clip(0.5 + distance / (2 * WEDGE_EDGE_VOXELS), 0, 1)
    return np.asarray(np.broadcast_to(inside, (box, box, box // 2 + 1)), dtype=np.float32)


def rotated(
    density: NDArray[np.float32], matrix: NDArray[np.float64], shift: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the density after ``x -> matrix x + shift``, ``(x, y, z)`` in voxels from voxel ``n // 2``."""
    centre = np.full(3, len(density) // 2)
    back = matrix.T[::-1, ::-1]
    offset = centre - back @ (centre + shift[::-1])
    return np.asarray(ndimage.affine_transform(density, back, offset=offset, order=3), dtype=np.float32)


def simulate(folder: Path, truth: Volume, mask: Volume, case: Case) -> None:
    """Write the subtomograms of a case, with the files that RELION 3.1 and ``score.py`` need."""
    rng = np.random.default_rng(case.seed)
    n, box, voxel_size = case.n, truth.box, truth.voxel_size_angstrom
    density = truth.data / truth.data.std()
    if case.axis == "x":
        # x', y', z' = z, y, -x
        density = np.ascontiguousarray(density.transpose(2, 1, 0)[_reversed(box)])
        mask = mask.with_data(mask.data.transpose(2, 1, 0)[_reversed(box)])
    angles = poses(case, rng)
    shifts = rng.normal(0, case.offset, (n, 3))
    defoci = rng.uniform(20000, 40000, n)
    measured = tilt_range(box, case.max_tilt)
    (folder / "subtomograms").mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (matrix, shift, defocus) in enumerate(
        zip(relion_rotation_matrices(*angles.T), shifts, defoci, strict=True)
    ):
        ctf = contrast_transfer(radius_rfft((box,) * 3) / (box * voxel_size), defocus) * measured
        # RELION shifts an image by its origin to centre it.
        signal = rfft3(rotated(density, matrix, -shift)) * ctf
        noise = rfft3((case.noise * rng.normal(size=density.shape)).astype(np.float32))
        spectrum = signal + (noise if case.filled_wedge else noise * measured)
        image = irfft3(spectrum.astype(np.complex64), density.shape)
        names = [f"subtomograms/{number + 1:05d}{kind}.mrc" for kind in ("", "_ctf")]
        # RELION expects bright particles, normalised as by its extraction.
        write_volume(folder / names[0], truth.with_data((image - image.mean()) / image.std()))
        full = scipy.fft.fftshift(_whole_spectrum(ctf))
        write_volume(folder / names[1], truth.with_data(full))
        tomogram = f"tomogram{number // 20 + 1}"
        rows.append([*names, *angles[number], *(shift * voxel_size), 1, tomogram, number % 2 + 1])
    columns = ["rlnImageName", "rlnCtfImage", *ANGLES, *(f"rlnOrigin{axis}Angst" for axis in "XYZ")]
    columns += ["rlnOpticsGroup", "rlnMicrographName", "rlnRandomSubset"]
    particles = pd.DataFrame(rows, columns=columns)
    optics = {
        "rlnOpticsGroupName": "opticsGroup1",
        "rlnOpticsGroup": 1,
        "rlnVoltage": VOLTAGE_KV,
        "rlnSphericalAberration": CS_MM,
        "rlnAmplitudeContrast": AMPLITUDE_CONTRAST,
        "rlnImagePixelSize": voxel_size,
        "rlnImageSize": box,
        "rlnImageDimensionality": 3,
    }
    tables = {"optics": pd.DataFrame([optics]), "particles": particles}
    starfile.write(tables, folder / "truth.star", overwrite=True)
    about = Rotation.from_rotvec(rng.normal(0, case.jitter / 3**0.5, (n, 3)), degrees=True)
    start = Rotation.from_euler("ZYZ", angles, degrees=True) * about
    particles[ANGLES] = start.as_euler("ZYZ", degrees=True)
    particles[[f"rlnOrigin{axis}Angst" for axis in "XYZ"]] = 0.0
    starfile.write(tables, folder / "particles.star", overwrite=True)
    write_volume(folder / "truth.mrc", truth.with_data(density))
    write_volume(folder / "mask.mrc", mask)
    low_pass = np.exp(-((radius_rfft((box,) * 3) * REFERENCE_ANGSTROM / (box * voxel_size)) ** 4) * np.log(2))
    reference = irfft3((rfft3(density) * low_pass).astype(np.complex64), density.shape)
    write_volume(folder / "ref.mrc", truth.with_data(reference))
    case_values = asdict(case) | {"box": box, "apix": voxel_size}
    (folder / "case.json").write_text(json.dumps(case_values, indent=2), encoding="utf-8")


def _reversed(box: int) -> NDArray[np.intp]:
    """Return the indices that reverse an axis about voxel ``n // 2``."""
    return np.asarray(2 * (box // 2) - np.arange(box) - box * (np.arange(box) == 0), dtype=np.intp)


def poses(case: Case, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw Euler angles ``(n, 3)`` in degrees."""
    top = round(case.top * case.n)
    tilt = np.degrees(np.arccos(rng.uniform(-1, 1, case.n)))
    rot, psi = rng.uniform(-180, 180, (2, case.n))
    if case.axis == "x":
        tilt[:top] = rng.normal(90, case.spread, top)
        rot[:top] = rng.normal(0, case.spread, top)
    else:
        tilt[:top] = np.abs(rng.normal(0, case.spread, top))
    return np.stack([rot, tilt, psi], axis=1)[rng.permutation(case.n)]


def _whole_spectrum(half: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the whole spectrum of a real, even function from its half."""
    n = len(half)
    index = -np.arange(n) % n
    mirrored = half[np.ix_(index, index)]
    return np.asarray(np.concatenate([half, mirrored[:, :, n // 2 - 1 : 0 : -1]], axis=2))


def coarsened(volume: Volume, box: int) -> Volume:
    """Return a volume of the same extent with fewer voxels, by cropping its spectrum."""
    n = volume.box
    spectrum = scipy.fft.fftshift(scipy.fft.fftn(volume.data.astype(np.float32)))
    first = n // 2 - box // 2
    cropped = scipy.fft.ifftshift(spectrum[(slice(first, first + box),) * 3])
    data = np.real(scipy.fft.ifftn(cropped)).astype(np.float32) * (box / n) ** 3
    return Volume(data, volume.voxel_size_angstrom * n / box)


def main() -> None:
    """Simulate from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("mask", type=Path)
    parser.add_argument("--box", type=int, default=32)
    for name, value in asdict(Case()).items():
        if isinstance(value, bool):
            parser.add_argument(f"--{name}", action="store_true")
        else:
            parser.add_argument(f"--{name}", type=type(value), default=value)
    args = vars(parser.parse_args())
    out, box = args.pop("out"), args.pop("box")
    truth, mask = (coarsened(read_volume(args.pop(name)), box) for name in ("truth", "mask"))
    simulate(out, truth, mask.with_data(mask.data.clip(0, 1)), Case(**args))


if __name__ == "__main__":
    main()
