"""Half maps of simulated particles, projected and reconstructed in memory.

The images are central slices of the Fourier transform of the truth, times a CTF, with white noise. They are
summed into a Fourier volume in poses with errors and reconstructed without regularisation, with the steps of
RELION, so that the noise grows where few views are. The particles of ``benchmarks.quality`` are the same, but
RELION itself projects and reconstructs them, which takes longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.fft
import torch

from benchmarks.quality.particles import (
    AMPLITUDE_CONTRAST,
    ASTIGMATISM_ANGSTROM,
    CS_MM,
    DEFOCUS_ANGSTROM,
    SHIFT_ERROR_VOXELS,
    VOLTAGE_KV,
    draw_particle_views,
    poses_of_views,
    refined_poses,
)
from spisonet.fourier.ctf import AstigmaticCtf
from spisonet.geometry.rotations import random_rotations
from spisonet.misalignment.backprojection import BackProjector
from spisonet.misalignment.central_slices import SliceTable, slice_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.quality.particles import ParticleSet

PADDING, POINTS_AT_ONCE = 2, 250_000
CPU = torch.device("cpu")


def simulate_half_maps(
    truth: NDArray[np.float32], voxel_size_angstrom: float, particles: ParticleSet, rng: np.random.Generator
) -> list[NDArray[np.float32]]:
    """Simulate particles of a density, and reconstruct their half maps without symmetry.

    Parameters
    ----------
    truth : ndarray
        ``(n, n, n)``.
    voxel_size_angstrom : float
        Voxel size.
    particles : ParticleSet
        Number, views, noise and errors of the poses; the views are rotated at random.
    rng : numpy.random.Generator
        Random number generator.

    Returns
    -------
    list of ndarray
        Two half maps ``(n, n, n)``.
    """
    n = len(truth)
    grid = SliceTable(n, _fast_radius(n), PADDING, CPU)
    plane = _plane(grid.radius)
    views, preferred = draw_particle_views(particles, rng)
    views = views @ random_frame(rng).T
    poses = poses_of_views(views, rng)
    refined = refined_poses(poses, views, preferred, particles, rng)
    shifts = rng.normal(0, SHIFT_ERROR_VOXELS, (len(views), 2))
    # In the convention of `slice_points`: from the map to the image.
    true_rotations, rotations = (
        torch.from_numpy(p.as_matrix().astype(np.float32)).transpose(1, 2) for p in (poses, refined)
    )
    ctf = _ctf(len(views), rng)
    frequencies = plane.numpy() / (n * voxel_size_angstrom)
    table = grid.table_of(torch.from_numpy(truth))
    sums = torch.zeros(2, grid.size, dtype=torch.complex64)
    squared_ctfs = torch.zeros(2, grid.size)
    for first in range(0, len(views), step := max(2, 2 * (POINTS_AT_ONCE // len(plane) // 2))):
        batch = slice(first, first + step)
        points = slice_points(true_rotations[batch], plane)
        images = grid.values(table, points.reshape(3, -1)).reshape(points.shape[1:])
        of_ctf = torch.from_numpy(ctf.subset(np.arange(len(views))[batch]).at(frequencies))
        noise = rng.normal(0, particles.noise * n / 2**0.5, (2, *images.shape)).astype(np.float32)
        images = images * of_ctf + torch.complex(*torch.from_numpy(noise))
        phases = torch.from_numpy((2 * np.pi / n * shifts[batch]).astype(np.float32)) @ plane.T
        values = images * torch.polar(torch.ones_like(phases), phases) * of_ctf
        points, weights = slice_points(rotations[batch], plane), of_ctf**2
        for half in (0, 1):  # every other particle
            mine = slice(half, None, 2)
            table_of_half = sums[half], squared_ctfs[half]
            of_half = values[mine].reshape(-1), weights[mine].reshape(-1)
            grid.add(table_of_half, points[:, mine].reshape(3, -1), *of_half)
    tables = torch.cat([torch.view_as_real(sums), squared_ctfs[..., None]], dim=2)
    return [_half_map(grid, of_half) for of_half in tables]


def random_frame(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a random rotation ``(3, 3)`` of the views."""
    return random_rotations(1, rng)[0]


def _half_map(grid: SliceTable, table: torch.Tensor) -> NDArray[np.float32]:
    real, imaginary, weight = grid.with_friedel_mates(table).unbind(dim=1)
    accumulators = BackProjector(
        data_rfft=grid.spectrum(torch.complex(real, imaginary)).numpy(),
        weight_rfft=grid.spectrum(weight).numpy(),
        tau2=np.zeros(grid.box // 2 + 1),
        box=grid.box,
        padding=PADDING,
        r_max=grid.radius,
    )
    return accumulators.reconstruct(regularised=False, gridding=True)


def _fast_radius(n: int) -> int:
    """Return the last shell, within the 5 below Nyquist, at which the gridding has the fastest transform."""
    return min(range(n // 2 - 1, n // 2 - 6, -1), key=lambda r: scipy.fft.next_fast_len(m := 4 * r + 3) - m)


def _plane(radius: int) -> torch.Tensor:
    """One of each two Friedel mates of a slice ``(m, 2)`` ``(x, y)``, without DC."""
    x, y = np.meshgrid(np.arange(radius + 1), np.arange(-radius, radius + 1), indexing="xy")
    used = (x**2 + y**2 <= (radius + 0.5) ** 2) & ((x > 0) | (y > 0))
    return torch.from_numpy(np.stack([x[used], y[used]], axis=1).astype(np.float32))


def _ctf(n: int, rng: np.random.Generator) -> AstigmaticCtf:
    defocus = rng.uniform(*DEFOCUS_ANGSTROM, n)
    return AstigmaticCtf(
        defocus_u_angstrom=defocus + ASTIGMATISM_ANGSTROM,
        defocus_v_angstrom=defocus,
        defocus_angle_degrees=np.full(n, 30.0),
        voltage_kilovolt=np.full(n, VOLTAGE_KV),
        cs_millimetre=np.full(n, CS_MM),
        amplitude_contrast=np.full(n, AMPLITUDE_CONTRAST),
        phase_shift_degrees=np.zeros(n),
        b_factor=np.zeros(n),
        scale=np.ones(n),
    )
