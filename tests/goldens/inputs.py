"""Inputs that other programs were run on, made with numpy alone so that they do not change with spisonet.

``python -m tests.goldens.inputs FOLDER`` writes them as files for those programs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import mrcfile
import numpy as np
from scipy import ndimage

BOX, VOXEL_SIZE = 40, 3.0  # of the half maps
TOMOGRAM_VOXEL_SIZE = 10.0
VIEWS = ("even", "side", "top", "two", "few", "few_top")
HALF_MAPS = ("even", "oblate", "cone")
TOMOGRAMS = {"even": (32, 48, 64), "odd": (31, 49, 65)}
N_RESIDUES, MODEL_BOX = 10, 60
# Radius in Å, turn in degrees and rise in Å of N, CA, C, O, CB.
HELIX_ATOMS = ((1.55, 0, 0.0), (2.28, 28, 0.9), (1.68, 56, 2.0), (2.0, 60, 3.2), (3.3, 10, 1.3))


def views(name: str) -> np.ndarray:
    """Unit view directions ``(n, 3)`` ``(x, y, z)``."""
    rng = np.random.default_rng(7)
    n = 5000
    even = rng.normal(size=(n, 3))
    even /= np.linalg.norm(even, axis=1, keepdims=True)
    turn, spread = rng.uniform(0, 2 * np.pi, n), rng.uniform(size=n)

    def about_z(tilt: np.ndarray) -> np.ndarray:
        return np.stack([np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt)], axis=1)

    top = about_z(np.radians(30) * np.sqrt(spread))
    cases = {
        "even": even,
        "side": about_z(np.full(n, np.pi / 2)),
        "top": top,
        "two": np.concatenate([top[: n // 2], np.roll(top[n // 2 :], 1, axis=1)]),
        "few": even[:300],
        "few_top": top[:300],
    }
    return cases[name]


def half_maps(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Two half maps of blobs, with a signal-to-noise ratio that depends on the direction."""
    rng = np.random.default_rng(5)
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    density = sum(
        np.exp(-((z - c[0]) ** 2 + (y - c[1]) ** 2 + (x - c[2]) ** 2) / 2.5)
        for c in rng.normal(size=(60, 3)) * 4
    )
    frequency = np.fft.fftfreq(BOX) * BOX
    kz, ky, kx = np.meshgrid(frequency, frequency, frequency, indexing="ij")
    radius = np.sqrt(kz**2 + ky**2 + kx**2)
    cosine = np.abs(kz) / np.maximum(radius, 1)
    sampling = {
        "even": np.ones_like(cosine),
        "oblate": 1 - 0.95 * cosine**2,
        "cone": 1 / (1 + np.exp(60 * (cosine - 0.8))),  # no signal within 37 degrees of z
    }[name]
    ssnr = np.maximum(300 ** (1 - (radius / 14) ** 2) * sampling, 1e-3)
    signal = np.fft.fftn(density)
    shell = np.rint(radius).astype(int)
    power = np.bincount(shell.ravel(), (np.abs(signal) ** 2).ravel()) / np.bincount(shell.ravel())
    spread = np.sqrt(power[shell] / ssnr)

    def half() -> np.ndarray:
        noise = np.fft.fftn(rng.normal(size=density.shape)) / BOX**1.5
        filtered = (signal + noise * spread) * ssnr / (ssnr + 0.1)
        return np.fft.ifftn(filtered).real.astype(np.float32)

    return half(), half()


def tomogram(name: str) -> np.ndarray:
    """Dark blobs of two sizes in noise."""
    rng = np.random.default_rng(3)
    noise = rng.normal(size=TOMOGRAMS[name])
    blobs = sum(ndimage.gaussian_filter(rng.normal(size=noise.shape), s) * s**1.5 for s in (2.0, 5.0))
    return (noise - 3 * np.maximum(blobs, 0) + 20).astype(np.float32)


def helix() -> np.ndarray:
    """Atoms ``(50, 3)`` ``(x, y, z)`` in Å of an alanine helix along z: N, CA, C, O, CB of each residue."""
    centre = MODEL_BOX / 2
    atoms = []
    for number in range(N_RESIDUES):
        for radius, turn, rise in HELIX_ATOMS:
            angle = np.radians(100 * number + turn)
            height = centre + 1.5 * (number - N_RESIDUES / 2) + rise
            atoms.append([centre + radius * np.cos(angle), centre + radius * np.sin(angle), height])
    return np.round(atoms, 3)


def helix_map() -> np.ndarray:
    """Map ``(z, y, x)`` of the helix at 1 Å per voxel, blurred along the helix, with noise."""
    z, y, x = np.indices((MODEL_BOX,) * 3)
    density = 0.05 * np.random.default_rng(11).normal(size=(MODEL_BOX,) * 3)
    for number, atom in enumerate(helix()):
        sigma = 0.6 + 0.8 * (number // 5) / (N_RESIDUES - 1)
        density += np.exp(-((x - atom[0]) ** 2 + (y - atom[1]) ** 2 + (z - atom[2]) ** 2) / (2 * sigma**2))
    return density.astype(np.float32)


def fingerprint(array: np.ndarray) -> list[float]:
    """Numbers that tell whether an input is still the one that the other program had."""
    values = np.asarray(array, dtype=np.float64).ravel()
    return [float(values.mean()), float(values.std()), *values[:: max(1, values.size // 4)][:4].tolist()]


def _write_map(path: Path, data: np.ndarray, voxel_size: float) -> None:
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(data)
        mrc.voxel_size = voxel_size


def write_inputs(folder: Path) -> None:
    """Write all inputs: angles (psi, tilt, rot), maps, tomograms and a model."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in VIEWS:
        x, y, z = views(name).T
        angles = [np.zeros_like(z), np.degrees(np.arccos(z)), np.degrees(np.arctan2(y, x))]
        np.savetxt(folder / f"{name}.par", np.stack(angles, axis=1), fmt="%.6f")
    for name in HALF_MAPS:
        halves = half_maps(name)
        for number, half in enumerate(halves, 1):
            _write_map(folder / f"{name}_half{number}.mrc", half, VOXEL_SIZE)
        _write_map(folder / f"{name}_full.mrc", (halves[0] + halves[1]) / 2, VOXEL_SIZE)
    for name in TOMOGRAMS:
        _write_map(folder / f"{name}_tomogram.mrc", tomogram(name), TOMOGRAM_VOXEL_SIZE)
    _write_map(folder / "helix.mrc", helix_map(), 1.0)
    lines = []
    for number, (x, y, z) in enumerate(helix()):
        atom = ("N", "CA", "C", "O", "CB")[number % 5]
        lines.append(
            f"ATOM  {number + 1:5d}  {atom:<3s} ALA A{number // 5 + 1:4d}    {x:8.3f}{y:8.3f}{z:8.3f}"
            f"  1.00 20.00           {atom[0]}"
        )
    (folder / "helix.pdb").write_text("\n".join([*lines, "END", ""]))


if __name__ == "__main__":
    write_inputs(Path(sys.argv[1]))
