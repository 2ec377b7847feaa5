"""Particle sets of a density that is a sum of Gaussians, whose projections are known exactly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import starfile
from scipy.spatial.transform import Rotation

from spisonet.fourier.ctf import AstigmaticCtf
from spisonet.geometry.rotations import relion_euler_angles, relion_rotation_matrices
from spisonet.io.particles import SUBTOMOGRAM_ANGLES

BOX, PIXEL = 32, 5.0
WIDTH = 1.6  # standard deviation of a Gaussian in pixels


@dataclass(frozen=True)
class SimulatedSet:
    """A particle set on disk, and its truth."""

    star: Path
    centres: np.ndarray
    rotations: np.ndarray
    mask: np.ndarray

    def density(self, box: int = BOX) -> np.ndarray:
        """Return the density ``(z, y, x)``."""
        axis = np.arange(box) - box // 2
        z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
        square = [(x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 for a, b, c in self.centres]
        return np.exp(-np.array(square) / (2 * WIDTH**2)).sum(axis=0).astype(np.float32)


def gaussian_centres(symmetry_order: int = 1, n: int = 12, seed: int = 3) -> np.ndarray:
    """Return centres ``(n, 3)`` ``(x, y, z)`` in pixels, symmetric about z."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n // symmetry_order, 3))
    centres *= (BOX * 0.2 * rng.uniform(0.3, 1, (len(centres), 1))) / np.linalg.norm(centres, axis=1)[:, None]
    angles = 2 * np.pi * np.arange(symmetry_order) / symmetry_order
    turned = [
        np.stack(
            [
                centres[:, 0] * np.cos(a) - centres[:, 1] * np.sin(a),
                centres[:, 0] * np.sin(a) + centres[:, 1] * np.cos(a),
                centres[:, 2],
            ],
            axis=1,
        )
        for a in angles
    ]
    return np.concatenate(turned)


def projections(centres: np.ndarray, rotations: np.ndarray, origins_pixel: np.ndarray) -> np.ndarray:
    """Return exact Fourier transforms ``(n, BOX, BOX // 2 + 1)`` of projections."""
    ky, kx = np.fft.fftfreq(BOX)[:, None], np.fft.rfftfreq(BOX)[None, :]
    placed = np.einsum("nij,pj->npi", rotations[:, :2], centres) - origins_pixel[:, None]
    envelope = WIDTH**3 * (2 * np.pi) ** 1.5 * np.exp(-2 * (np.pi * WIDTH) ** 2 * (kx**2 + ky**2))
    phase = placed[..., 0, None, None] * kx + placed[..., 1, None, None] * ky
    return envelope * np.exp(-2j * np.pi * phase).sum(axis=1)


def simulate_particles(
    folder: Path,
    n: int = 300,
    noise: float = 1.0,
    top: float = 0.85,
    spread_degrees: float = 10.0,
    symmetry_order: int = 1,
    seed: int = 1,
    drop: tuple[str, ...] = (),
) -> SimulatedSet:
    """Write ``particles.mrcs`` and ``run_data.star`` with true poses of mostly top views.

    Parameters
    ----------
    noise : float
        Standard deviation of white noise, relative to that of the images.
    drop : tuple of str
        Columns that are left out of the STAR file.
    """
    rng = np.random.default_rng(seed)
    n_top = int(top * n)
    tilt = np.concatenate(
        [np.abs(rng.normal(0, spread_degrees, n_top)), np.degrees(np.arccos(rng.uniform(-1, 1, n - n_top)))]
    )
    tilt = tilt[rng.permutation(n)]
    rot, psi = rng.uniform(-180, 180, (2, n))
    rotations = relion_rotation_matrices(rot, tilt, psi)
    origins = rng.normal(0, 1, (n, 2))
    defocus = rng.uniform(8000, 20000, n)
    ctf = AstigmaticCtf(
        defocus + 200, defocus, np.full(n, 30.0), *(np.full(n, v) for v in (300.0, 2.7, 0.1, 0.0, 0.0, 1.0))
    )
    centres = gaussian_centres(symmetry_order)
    ky, kx = np.meshgrid(np.fft.fftfreq(BOX), np.fft.rfftfreq(BOX), indexing="ij")
    frequencies = np.stack([kx.ravel(), ky.ravel()], axis=1) / PIXEL
    spectra = projections(centres, rotations, origins) * ctf.at(frequencies).reshape(n, BOX, -1)
    images = np.fft.fftshift(np.fft.irfft2(spectra, s=(BOX, BOX)), axes=(1, 2))
    images += rng.normal(0, noise * images.std(), images.shape)
    with mrcfile.new(folder / "particles.mrcs", overwrite=True) as stack:
        stack.set_data(images.astype(np.float32))
        stack.set_image_stack()
        stack.voxel_size = PIXEL
    optics = pd.DataFrame(
        {
            "rlnOpticsGroup": [1],
            "rlnOpticsGroupName": ["opticsGroup1"],
            "rlnVoltage": [300.0],
            "rlnSphericalAberration": [2.7],
            "rlnAmplitudeContrast": [0.1],
            "rlnImagePixelSize": [PIXEL],
            "rlnImageSize": [BOX],
            "rlnImageDimensionality": [2],
        }
    )
    particles = pd.DataFrame(
        {
            "rlnImageName": [f"{i + 1:06d}@particles.mrcs" for i in range(n)],
            "rlnMicrographName": [f"mic{i // 50:03d}.mrc" for i in range(n)],
            "rlnAngleRot": rot,
            "rlnAngleTilt": tilt,
            "rlnAnglePsi": psi,
            "rlnOriginXAngst": origins[:, 0] * PIXEL,
            "rlnOriginYAngst": origins[:, 1] * PIXEL,
            "rlnDefocusU": ctf.defocus_u_angstrom,
            "rlnDefocusV": ctf.defocus_v_angstrom,
            "rlnDefocusAngle": ctf.defocus_angle_degrees,
            "rlnOpticsGroup": 1,
            "rlnRandomSubset": rng.permutation(np.arange(n) % 2) + 1,
        }
    )
    star = folder / "run_data.star"
    tables = {"optics": optics, "particles": particles.drop(columns=list(drop))}
    starfile.write(tables, star, overwrite=True)
    return SimulatedSet(star, centres, rotations, _spherical_mask())


def simulate_tilt_stacks(
    folder: Path,
    n: int = 60,
    noise: float = 1.0,
    seed: int = 4,
    all_tilts: bool = False,
    relion5: bool = False,
) -> SimulatedSet:
    """Write 2D stacks of tilt images, multiplied by the CTF, with ``particles.star`` and ``tomograms.star``.

    The rotations of the result are those of the particles. The tilts of the second tomogram that are not
    visible are in its stacks only with `all_tilts`, as Warp writes them. With `relion5` the tilts are angles
    in files of their own, and the poses are relative to boxes that are rotated in the tomogram.
    """
    rng = np.random.default_rng(seed)
    centres = gaussian_centres()
    tilts = {"TS_1": np.arange(-60, 61, 20), "TS_2": np.arange(-45, 46, 15)}
    visible = {"TS_1": np.ones(7, dtype=bool), "TS_2": np.array([1, 1, 0, 1, 1, 1, 0], dtype=bool)}
    matrices = {
        name: Rotation.from_euler("yz", np.c_[a, 0 * a + 85], degrees=True).as_matrix()
        for name, a in tilts.items()
    }
    defocus = {name: rng.uniform(10000, 20000, 7) for name in tilts}
    blocks = {
        "global": pd.DataFrame(
            {
                "rlnTomoName": list(tilts),
                "rlnVoltage": 300.0,
                "rlnSphericalAberration": 2.7,
                "rlnAmplitudeContrast": 0.1,
            }
        )
    }
    for name, matrix in matrices.items():
        rows = {
            f"rlnTomoProj{axis}": [f"[{','.join(f'{v:.9f}' for v in m[i])},0]" for m in matrix]
            for i, axis in enumerate("XYZ")
        }
        values = {"rlnDefocusU": defocus[name], "rlnDefocusV": defocus[name] - 200, "rlnDefocusAngle": 30.0}
        if relion5:
            series = {"rlnTomoXTilt": 0.0, "rlnTomoYTilt": tilts[name], "rlnTomoZRot": 85.0}
            starfile.write({name: pd.DataFrame(series | values)}, folder / f"{name}.star", overwrite=True)
        else:
            blocks[name] = pd.DataFrame(rows | values)
    if relion5:
        blocks["global"]["rlnTomoTiltSeriesStarFile"] = [f"{name}.star" for name in tilts]
    starfile.write(blocks, folder / "tomograms.star", overwrite=True)
    names = rng.permutation([list(tilts)[i % 2] for i in range(n)])
    angles = np.stack([rng.normal(0, 15, n), rng.normal(90, 15, n), rng.uniform(-180, 180, n)], axis=1)
    rotations = relion_rotation_matrices(*angles.T)
    origins = rng.normal(0, 1, (n, 3))
    ky, kx = np.meshgrid(np.fft.fftfreq(BOX), np.fft.rfftfreq(BOX), indexing="ij")
    frequencies = np.stack([kx.ravel(), ky.ravel()], axis=1) / PIXEL
    for number, name in enumerate(names):
        shown = np.full(7, True) if all_tilts else visible[name]
        poses, shifts = matrices[name][shown] @ rotations[number], matrices[name][shown] @ origins[number]
        u, m = defocus[name][shown], int(shown.sum())
        ctf = AstigmaticCtf(u, u - 200, *(np.full(m, v) for v in (30.0, 300.0, 2.7, 0.1, 0.0, 0.0, 1.0)))
        ctfs = ctf.at(frequencies).reshape(m, BOX, -1)
        signal = projections(centres, poses, shifts[:, :2]) * ctfs
        images = np.fft.irfft2(signal, s=(BOX, BOX))
        images = images + rng.normal(0, noise * images.std(), images.shape)
        images = np.fft.irfft2(np.fft.rfft2(images) * ctfs, s=(BOX, BOX))
        with mrcfile.new(folder / f"stack{number}.mrcs", overwrite=True) as stack:
            stack.set_data(np.fft.fftshift(images, axes=(1, 2)).astype(np.float32))
            stack.set_image_stack()
            stack.voxel_size = PIXEL
    optics = pd.DataFrame(
        {
            "rlnOpticsGroup": [1],
            "rlnImagePixelSize": [PIXEL],
            "rlnImageSize": [BOX],
            "rlnImageDimensionality": [2],
            "rlnCtfDataAreCtfPremultiplied": [1],
        }
    )
    particles = pd.DataFrame(
        {
            "rlnTomoName": names,
            "rlnImageName": [f"stack{i}.mrcs" for i in range(n)],
            "rlnOpticsGroup": 1,
            "rlnRandomSubset": rng.permutation(np.arange(n) % 2) + 1,
            "rlnTomoVisibleFrames": [f"[{','.join(str(int(v)) for v in visible[name])}]" for name in names],
        }
    )
    if relion5:
        boxes = Rotation.random(n, random_state=seed)
        particles[list(SUBTOMOGRAM_ANGLES)] = relion_euler_angles(boxes.as_matrix())
        angles = relion_euler_angles(boxes.inv().as_matrix() @ rotations)
        origins = boxes.inv().apply(origins)
    particles[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]] = angles
    particles[[f"rlnOrigin{axis}Angst" for axis in "XYZ"]] = origins * PIXEL
    star = folder / "particles.star"
    starfile.write({"optics": optics, "particles": particles}, star, overwrite=True)
    return SimulatedSet(star, centres, rotations, _spherical_mask())


def _spherical_mask() -> np.ndarray:
    axis = np.arange(BOX) - BOX // 2
    radius = np.sqrt(sum(np.meshgrid(axis**2, axis**2, axis**2, indexing="ij")))
    return np.clip((BOX * 0.38 - radius) / 3, 0, 1).astype(np.float32)
