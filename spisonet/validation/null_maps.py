"""Null half maps: noise only, random phases beyond a resolution, or a domain deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt

from spisonet.analysis.half_maps import read_mask
from spisonet.analysis.leakage import local_power
from spisonet.fourier.grids import irfft3, rfft3
from spisonet.fourier.phase_randomisation import randomise_phases
from spisonet.fourier.windows import cosine_edge
from spisonet.validation.model import positions_in_map, read_model

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.io.mrc import Volume

    Halves = tuple[NDArray[np.float32], NDArray[np.float32]]

MODEL_SUFFIXES = {".pdb", ".ent", ".cif", ".mmcif"}
ATOM_RADIUS_ANGSTROM = 3.0  # also the width of the soft edge


def read_domain(path: Path, like: Volume, apix: float | None) -> NDArray[np.float32]:
    """Read the soft mask of a domain ``(n, n, n)``, or make one around the atoms of a model.

    Raises
    ------
    SpisonetError
        If the file cannot be read, or does not fit the map.
    """
    if not MODEL_SUFFIXES & set(path.suffixes):
        return read_mask(path, like, apix).data
    atoms = positions_in_map(read_model(path), like)
    n, voxel_size = like.box, like.voxel_size_angstrom
    voxels = np.rint(atoms[:, ::-1]).astype(int)  # (z, y, x)
    outside = np.ones((n, n, n), dtype=bool)
    outside[tuple(voxels[((voxels >= 0) & (voxels < n)).all(axis=1)].T)] = False
    distance = distance_transform_edt(outside) * voxel_size
    soft = cosine_edge(distance, ATOM_RADIUS_ANGSTROM, ATOM_RADIUS_ANGSTROM)
    return np.asarray(soft, dtype=np.float32)


def noise_halves(halves: Halves, seed: int) -> Halves:
    """Return two maps of independent noise with the noise power spectrum of half maps.

    Parameters
    ----------
    halves : tuple of ndarray
        Half maps ``(n, n, n)``; half the power of their difference is the noise power of each.
    seed : int
        Seed of the noise.
    """
    rng = np.random.default_rng(seed)
    n = len(halves[0])
    amplitude = np.sqrt(local_power([rfft3(halves[0] - halves[1])], n) / 2) / n**1.5
    noise = [
        irfft3(
            (rfft3(rng.normal(size=(n, n, n)).astype(np.float32)) * amplitude).astype(np.complex64), (n,) * 3
        )
        for _ in halves
    ]
    return noise[0], noise[1]


def randomised_halves(halves: Halves, shell: int, seed: int) -> Halves:
    """Randomise the phases of each half map independently from a shell on."""
    rng = np.random.default_rng(seed)
    first, second = (randomise_phases(half, shell, rng) for half in halves)
    return first, second


def without_domain(
    halves: Halves, corrected: NDArray[np.float32], domain: NDArray[np.float32]
) -> tuple[Halves, NDArray[np.float32]]:
    """Subtract the density of a domain from half maps, as far as they contain it.

    Parameters
    ----------
    halves : tuple of ndarray
        Half maps ``(n, n, n)``.
    corrected : ndarray
        ``(n, n, n)`` mean of the corrected half maps, solvent at zero. The mean is used so that the noise of
        one half is not subtracted from the other.
    domain : ndarray
        ``(n, n, n)`` soft mask of the domain, in 0..1.

    Returns
    -------
    halves : tuple of ndarray
        Half maps without the domain.
    deleted : ndarray
        ``(n, n, n)`` density of the domain.
    """
    n = len(corrected)
    deleted = (corrected * domain).astype(np.float32)
    spectra = [rfft3(half - np.float32(half.mean())) for half in halves]
    # The power that both halves share: (|y1 + y2|² - |y1 - y2|²) / 4.
    first, second = spectra
    common = (local_power([first + second], n) - local_power([first - second], n)) / 4
    whole = local_power([rfft3(corrected)], n)
    # Amplitude of the half maps relative to the corrected map; zero where nothing was measured.
    transfer = np.sqrt(np.clip(np.divide(common, whole, out=np.zeros_like(whole), where=whole > 0), 0, 1))
    measured = irfft3((rfft3(deleted) * transfer).astype(np.complex64), deleted.shape)
    return (halves[0] - measured, halves[1] - measured), deleted
