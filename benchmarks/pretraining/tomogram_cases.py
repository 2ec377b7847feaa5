"""Training cases of tomograms: even and odd tomograms of random phantoms, and their truth."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.pretraining.examples import matched_truth
from benchmarks.pretraining.phantoms import draw_phantom, read_molecules
from benchmarks.pretraining.tilt_series import draw_tilt_series, simulate_halves
from spisonet.fourier.wedges import measured_rfft
from spisonet.io.mrc import Volume, write_volume
from spisonet.io.tomograms import open_tomogram
from spisonet.tomography.chunks import central_chunk
from spisonet.tomography.normalisation import normalise
from spisonet.tomography.tomogram import CLIP, Tomogram

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOMOGRAM_EXAMPLE = "tomogram.npz"
SHELLS = 48


def make_tomogram_cases(files: list[Path], folder: Path, n_cases: int) -> None:
    """Simulate tomograms of random phantoms, each in a folder with its number; those that exist are kept.

    Parameters
    ----------
    files : list of Path
        Coordinate files.
    folder : Path
        Folder of the cases.
    n_cases : int
        Number of tomograms.
    """
    missing = [n for n in range(n_cases) if not (folder / f"tomogram_{n}" / TOMOGRAM_EXAMPLE).exists()]
    molecules = read_molecules(files) if missing else []
    for number in missing:
        rng = np.random.default_rng(number)
        phantom = draw_phantom(molecules, rng)
        series = draw_tilt_series(rng)
        halves = simulate_halves(phantom, series, rng)
        target = folder / f"tomogram_{number}"
        target.mkdir(parents=True, exist_ok=True)
        truth, inside = -phantom.density, phantom.inside
        write_tomogram_example(
            target, halves, truth, inside, phantom.voxel_size_angstrom, series.tilt_range_degrees
        )


def write_tomogram_example(
    folder: Path,
    halves: tuple[NDArray[np.float32], NDArray[np.float32]],
    truth: NDArray[np.float32],
    inside: NDArray[np.bool_],
    voxel_size_angstrom: float,
    tilt_range_degrees: tuple[float, float],
) -> None:
    """Write inputs and target of the network that starts the training on tomograms.

    The inputs have the grey scale of ``isonet.py refine``. The target is the truth with the shell amplitudes
    of the data in measured directions, CTF included: the network restores directions and removes noise.
    """
    with tempfile.TemporaryDirectory() as temporary:
        paths = [Path(temporary) / f"{name}.mrc" for name in ("even", "odd")]
        for path, half in zip(paths, halves, strict=True):
            write_volume(path, Volume(half, voxel_size_angstrom), path.stem)
        volumes = tuple(open_tomogram(path) for path in paths)
        tomogram = normalise(Tomogram(folder.name, volumes, tilt_range_degrees, None, None, 1))
        data = tomogram.read_halves(central_chunk(tomogram.shape, tomogram.shape))
    clipped = torch.from_numpy(data).clamp(-CLIP, CLIP)
    measured = torch.from_numpy(measured_rfft(truth.shape, tilt_range_degrees).astype(np.float32))
    target = matched_truth(torch.from_numpy(truth), clipped.mean(dim=0), measured, SHELLS, signed=True)
    np.savez(
        folder / TOMOGRAM_EXAMPLE,
        inputs=clipped[:, None].half().numpy(),
        target=target.half().numpy(),
        support=inside,
        tilt_range_degrees=tilt_range_degrees,
    )
