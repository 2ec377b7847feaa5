"""Tomograms with a missing wedge and known truth: molecules and vesicles, projected and backprojected.

Molecules from atomic models are placed at random, without overlap, in a slab with two vesicles. The slab is
projected at many tilts about y. The CTF (if there is a defocus) and noise, independent in both halves, are
applied to every projection, and both halves are reconstructed by weighted backprojection. Density is dark, as
in tomograms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import gemmi
import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from spisonet.fourier.ctf import Microscope
from spisonet.io.mrc import Volume, write_volume

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MODELS = ("ribosome30s_4v4r.pdb", "betagal_8bk7.cif", "apoferritin_7a4m.cif")
VOXEL_SIZE = 10.0
MOLECULE_BOX = 40
VESICLES = 2
LEAFLET_DISTANCE, LEAFLET_WIDTH = 38.0, 9.0  # Å
OCCUPIED = 0.08  # of the densest voxel
TRIALS = 30  # attempts to place a molecule
BLUR_VOXELS = 2  # by which atoms are blurred


@dataclass(frozen=True)
class Case:
    """A scene, and the imaging of it.

    Attributes
    ----------
    seed : int
        Seed of the scene and the noise.
    shape : tuple of int
        ``(z, y, x)``.
    n_molecules : int
        Number of molecules.
    snr : float
        Signal-to-noise ratio of a projection of a half.
    defocus_micrometre : float
        0 for no CTF.
    tilt_range_degrees : tuple of float
        First and last tilt.
    tilt_step_degrees : float
        Tilt increment.
    """

    seed: int
    shape: tuple[int, int, int] = (48, 128, 128)
    n_molecules: int = 40
    snr: float = 0.5
    defocus_micrometre: float = 0.0
    tilt_range_degrees: tuple[float, float] = (-60.0, 60.0)
    tilt_step_degrees: float = 3.0

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"seed{self.seed}_defocus{self.defocus_micrometre:g}"


def simulate(case: Case, models: Path, folder: Path) -> NDArray[np.float32]:
    """Write ``even/t.mrc``, ``odd/t.mrc`` and ``full/t.mrc``; return the truth."""
    rng = np.random.default_rng(case.seed)
    truth = -scene(case, models, rng)
    write_halves(folder, *reconstruct(case, truth, rng))
    return truth / truth.std()


def write_halves(folder: Path, even: NDArray[np.float32], odd: NDArray[np.float32]) -> None:
    """Write ``even/t.mrc``, ``odd/t.mrc`` and ``full/t.mrc``, each with unit standard deviation."""
    for name, data in (("even", even), ("odd", odd), ("full", (even + odd) / 2)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        write_volume(
            folder / name / "t.mrc", Volume((data / data.std()).astype(np.float32), VOXEL_SIZE), name
        )


def _molecule(path: Path) -> NDArray[np.float32]:
    """Return the density of a model in a small cube, blurred to the voxel size, with a maximum of 1."""
    structure = gemmi.read_structure(str(path))
    structure.setup_entities()
    atoms = [(a.pos.tolist(), a.element.atomic_number) for c in structure[0] for r in c for a in r]
    places = np.array([place for place, _ in atoms])
    numbers = np.array([number for _, number in atoms], float)
    voxels = (places - places.mean(axis=0))[:, ::-1] / VOXEL_SIZE + MOLECULE_BOX / 2
    edges = [np.arange(MOLECULE_BOX + 1) - 0.5] * 3
    density, _ = np.histogramdd(voxels, edges, weights=numbers)
    density = ndimage.gaussian_filter(density, BLUR_VOXELS / 2)
    return (density / density.max()).astype(np.float32)


def scene(case: Case, models: Path, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the density of a scene, positive."""
    molecules = [_molecule(models / name) for name in MODELS]
    shape = np.array(case.shape)
    density, taken = np.zeros(case.shape, np.float32), np.zeros(case.shape, bool)
    z, y, x = np.indices(case.shape)
    for _ in range(VESICLES):
        centre = [shape[0] / 2, *rng.uniform(0.25, 0.75, 2) * shape[1:]]
        radius = rng.uniform(0.25, 0.4) * shape[0]
        distance = np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2) - radius
        leaflets = [distance * VOXEL_SIZE, distance * VOXEL_SIZE - LEAFLET_DISTANCE]
        membrane = sum(np.exp(-(leaflet**2) / (2 * LEAFLET_WIDTH**2)) for leaflet in leaflets)
        density = np.maximum(density, 0.5 * membrane.astype(np.float32))
        taken |= np.abs(distance - 2) < 6
    placed = 0
    for _ in range(case.n_molecules * TRIALS):
        molecule = molecules[rng.integers(len(molecules))]
        matrix, middle = Rotation.random(rng=rng).as_matrix(), (MOLECULE_BOX - 1) / 2
        rotated = ndimage.affine_transform(
            molecule, matrix, offset=middle - matrix @ np.full(3, middle), order=1
        )
        first = rng.integers(MOLECULE_BOX // 4, shape - MOLECULE_BOX // 4) - MOLECULE_BOX // 2
        there = tuple(slice(max(f, 0), min(f + MOLECULE_BOX, n)) for f, n in zip(first, shape, strict=True))
        here = tuple(slice(part.start - f, part.stop - f) for part, f in zip(there, first, strict=True))
        occupied = rotated[here] > OCCUPIED
        if (taken[there] & occupied).any():
            continue
        density[there] += rotated[here]
        taken[there] |= ndimage.binary_dilation(occupied)
        placed += 1
        if placed == case.n_molecules:
            break
    return density


def reconstruct(
    case: Case, truth: NDArray[np.float32], rng: np.random.Generator
) -> list[NDArray[np.float32]]:
    """Return the even and the odd tomogram of a scene, reconstructed from noisy projections."""
    nz, ny, nx = case.shape
    halves = [np.zeros(case.shape, np.float32) for _ in range(2)]
    ramp = np.fft.rfftfreq(2 * nx)
    wide = np.pad(truth, ((0, 0), (0, 0), (nx // 4, nx // 4)), mode="reflect")
    z, x = np.meshgrid(np.arange(nz) - nz / 2, np.arange(nx) - nx / 2, indexing="ij")
    deviation = 0.0
    lowest, highest = case.tilt_range_degrees
    for tilt in np.radians(np.arange(lowest, highest + 0.01, case.tilt_step_degrees)):
        length = int(nz / np.cos(tilt) + nx * abs(np.sin(tilt)) * 0.2)
        depth, across = np.meshgrid(
            np.arange(length) - (length - 1) / 2, np.arange(nx) - nx / 2, indexing="ij"
        )
        # A point of the detector at u sees, at depth d, the volume at u (cos t, sin t) + d (-sin t, cos t).
        at_z = depth * np.cos(tilt) + across * np.sin(tilt) + nz / 2
        at_x = across * np.cos(tilt) - depth * np.sin(tilt) + wide.shape[2] / 2
        projection = np.stack(
            [ndimage.map_coordinates(wide[:, row], [at_z, at_x], order=1).sum(axis=0) for row in range(ny)]
        )
        if case.defocus_micrometre:
            projection = _with_ctf(projection, case.defocus_micrometre)
        deviation = deviation or projection.std()
        at_detector = x * np.cos(tilt) + z * np.sin(tilt) + nx / 2
        for half in halves:
            noisy = projection + rng.normal(size=projection.shape) * deviation / np.sqrt(case.snr)
            filtered = np.fft.irfft(np.fft.rfft(noisy, 2 * nx, axis=1) * ramp, 2 * nx, axis=1)[:, :nx]
            for row in range(ny):
                half[:, row] += np.interp(at_detector, np.arange(nx), filtered[row])
    return halves


def _with_ctf(projection: NDArray[np.float64], defocus_micrometre: float) -> NDArray[np.float64]:
    microscope = Microscope(VOXEL_SIZE, 1e4 * defocus_micrometre, amplitude_contrast=0.07)
    ny, nx = projection.shape
    radius = np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.rfftfreq(nx))
    transfer = np.interp(radius, np.linspace(0, 0.5, len(microscope.ctf)), microscope.ctf)
    return np.fft.irfft2(np.fft.rfft2(projection) * transfer, s=projection.shape)
