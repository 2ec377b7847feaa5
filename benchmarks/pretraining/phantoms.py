"""Crowded phantoms for training on tomograms: known structures, membranes, tubes and gold beads in a slab.

A phantom repeats itself in x and y, so that projections at all tilts see density beyond the edges of the
tomogram.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import gemmi
import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from benchmarks.quality.densities import model_density

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

LIBRARY_VOXEL_ANGSTROM, LARGEST_LIBRARY_BOX = 5.0, 80
FEWEST_RESIDUES = 80  # of a chain
PROTEIN_DENSITY = 0.12  # inside proteins, as `model_density` gives it at this voxel size
OCCUPIED = 0.1  # of the maximum of a molecule
SURFACE_LAYER = 0.25  # of the thickness, for molecules at the surfaces of the ice
MAX_TRIALS = 900
MEMBRANE_CONTRAST = 0.25, 0.8  # relative to proteins
CLOSED_FRACTION = (
    0.8  # of the membranes, which lie in the slab as a whole; the others may be cut by its surfaces
)
MEMBRANE_MARGIN_ANGSTROM = 60.0  # from the middle of closed membranes to the surfaces
SMALLEST_VESICLE = 0.4  # of the drawn size, to which it may be reduced
GOLD_RADIUS_ANGSTROM, GOLD_CONTRAST = (25.0, 60.0), (4.0, 12.0)


@dataclass(frozen=True)
class Molecule:
    """Density of a structure or of a part of it.

    Attributes
    ----------
    name : str
        Name of the coordinate file without its suffixes.
    density : ndarray
        ``(n, n, n)`` at `LIBRARY_VOXEL_ANGSTROM`.
    """

    name: str
    density: NDArray[np.float32]


@dataclass(frozen=True)
class Phantom:
    """A phantom of random molecules.

    Attributes
    ----------
    density : ndarray
        ``(z, y, x)``, positive, zero solvent; it repeats itself in y and x.
    voxel_size_angstrom : float
        Voxel size in Å.
    inside : ndarray of bool
        ``(z, y, x)``, the slab that contains the molecules.
    """

    density: NDArray[np.float32]
    voxel_size_angstrom: float
    inside: NDArray[np.bool_]


def read_molecules(files: list[Path]) -> list[Molecule]:
    """Return the densities of the first assemblies of coordinate files, and of single chains of them."""
    molecules = []
    for path in files:
        name = path.name.split(".")[0]
        chains = _chains(path)
        molecules.append(_molecule(path, name, np.concatenate(list(chains.values())), None))
        if len(chains) > 1:
            largest = max(chains, key=lambda chain: len(chains[chain]))
            molecules.append(_molecule(path, name, chains[largest], largest))
    return molecules


def draw_phantom(molecules: list[Molecule], rng: np.random.Generator) -> Phantom:
    """Draw a phantom: voxel size of 5 to 20 Å, thickness, crowding, membranes, filaments and gold beads."""
    shape = int(rng.choice([48, 56, 64])), 96, 112
    voxel = float(5 * 4 ** rng.random())
    phantom = _Builder(shape, voxel, rng)
    for _ in range(rng.choice([0, 1, 2, 3], p=[0.3, 0.3, 0.2, 0.2])):
        phantom.add_membrane(closed=rng.random() < CLOSED_FRACTION)
    chosen = [molecules[i] for i in rng.choice(len(molecules), int(rng.integers(2, 8)), replace=False)]
    if rng.random() < 0.3:
        phantom.add_filaments(molecules[rng.integers(len(molecules))], int(rng.integers(1, 5)))
    phantom.add_molecules(chosen, float(rng.uniform(0.02, 0.2)), at_surfaces=rng.random() < 0.2)
    if rng.random() < 0.25:
        phantom.add_gold(int(rng.integers(1, 8)))
    return Phantom(phantom.density, voxel, phantom.inside)


class _Builder:
    """A phantom to which density is added."""

    def __init__(self, shape: tuple[int, int, int], voxel: float, rng: np.random.Generator) -> None:
        self.density = np.zeros(shape, np.float32)
        self._voxel, self._rng = voxel, rng
        self._taken = np.zeros(shape, bool)
        self._thickness = float(rng.uniform(0.55, 1.0)) * shape[0]
        z = np.arange(shape[0]) - (shape[0] - 1) / 2
        self.inside = np.broadcast_to((np.abs(z) <= self._thickness / 2)[:, None, None], shape).copy()

    def add_molecules(self, molecules: list[Molecule], fraction: float, at_surfaces: bool) -> None:
        """Add random molecules without overlap until they fill a fraction of the slab."""
        blurred = [self._blurred(molecule) for molecule in molecules]
        wanted, filled = fraction * self.inside.sum(), 0
        for _ in range(MAX_TRIALS):
            density = self._rotated(blurred[self._rng.integers(len(blurred))], self._random_rotation())
            filled += self._place(density, self._position(at_surfaces))
            if filled >= wanted:
                break

    def add_filaments(self, molecule: Molecule, n_filaments: int) -> None:
        """Add filaments: copies of a molecule along a bent line, each rotated by the same twist."""
        density = self._blurred(molecule)
        rise = (
            0.5 * (density > OCCUPIED * density.max()).sum() ** (1 / 3) * LIBRARY_VOXEL_ANGSTROM / self._voxel
        )
        twist = Rotation.from_rotvec([0, 0, self._rng.uniform(0.3, 2.8)])
        for _ in range(n_filaments):
            axis = Rotation.from_euler(
                "zy", [self._rng.uniform(0, 360), self._rng.normal(90, 12)], degrees=True
            )
            place, spin = self._position(False)[::-1], Rotation.random(rng=self._rng)
            for _ in range(int(self._rng.integers(8, 40))):
                axis = Rotation.from_rotvec(self._rng.normal(0, 0.02, 3)) * axis
                spin = twist * spin
                self._place((self._rotated(density, (axis * spin).as_matrix())), place[::-1], overlap=True)
                place = place + rise * axis.apply([0.0, 0.0, 1.0])
                if not 0.15 * self.density.shape[0] < place[2] < 0.85 * self.density.shape[0]:
                    break

    def add_membrane(self, closed: bool) -> None:
        """Add a wavy double layer: an ellipsoid or a tube, closed inside the slab or cut by its surfaces."""
        rng, shape = self._rng, np.array(self.density.shape)
        centre = rng.uniform([0.3, 0, 0], [0.7, 1, 1]) * shape
        z, y, x = np.indices(self.density.shape)
        points = np.stack(
            [z - centre[0], _wrapped(y - centre[1], shape[1]), _wrapped(x - centre[2], shape[2])]
        )
        axes = _as_zyx(self._random_rotation())
        points = np.tensordot(axes, points, 1)
        radii = rng.uniform(0.12, 0.5) * shape[0] * np.exp(rng.normal(0, 0.25, 3))
        if rng.random() < 0.3:
            radii[0] = 0.4 * min(shape[1:])  # nearly a tube
        if closed:
            half_height = np.linalg.norm(radii * axes[:, 0])
            room = self._thickness / 2 - abs(centre[0] - (shape[0] - 1) / 2)
            room -= MEMBRANE_MARGIN_ANGSTROM / self._voxel
            if room < SMALLEST_VESICLE * half_height:
                return
            radii *= min(1.0, room / half_height)
        scaled = np.sqrt(sum((p / r) ** 2 for p, r in zip(points, radii, strict=True)))
        slope = np.sqrt(sum((p / r**2) ** 2 for p, r in zip(points, radii, strict=True)))
        distance = (scaled - 1) * scaled / np.maximum(slope, 1e-3) * self._voxel
        distance += rng.uniform(0, 20) * _smooth_field(self.density.shape, rng)
        gap, width = rng.uniform(28, 46), np.hypot(rng.uniform(5, 10), 0.4 * self._voxel)
        leaflets = [np.exp(-((distance + side * gap / 2) ** 2) / (2 * width**2)) for side in (-1, 1)]
        layer = (leaflets[0] + rng.uniform(0.7, 1.3) * leaflets[1]).astype(np.float32) * self.inside
        self.density += np.float32(rng.uniform(*MEMBRANE_CONTRAST)) * layer
        self._taken |= np.abs(distance) < gap / 2 + width

    def add_gold(self, n_beads: int) -> None:
        """Add gold beads, at random or at the surfaces."""
        for _ in range(n_beads):
            radius = self._rng.uniform(*GOLD_RADIUS_ANGSTROM) / self._voxel
            half = int(np.ceil(radius + 3))
            axis = np.arange(-half, half + 1)
            distance = np.sqrt(sum(a**2 for a in np.meshgrid(axis, axis, axis)))
            bead = 1 / (1 + np.exp(2 * (distance - radius)))
            contrast = self._rng.uniform(*GOLD_CONTRAST)
            self._place((contrast * bead).astype(np.float32), self._position(True))

    def _blurred(self, molecule: Molecule) -> NDArray[np.float32]:
        width = 0.45 * self._voxel / LIBRARY_VOXEL_ANGSTROM
        density = ndimage.gaussian_filter(molecule.density, width) * np.float32(self._rng.uniform(0.8, 1.25))
        return np.asarray(density, np.float32)

    def _rotated(self, density: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
        scale = self._voxel / LIBRARY_VOXEL_ANGSTROM
        n = int(np.ceil(len(density) / scale)) // 2 * 2 + 2
        turn = scale * _as_zyx(matrix)
        offset = (len(density) - 1) / 2 - turn @ np.full(3, (n - 1) / 2)
        return np.asarray(ndimage.affine_transform(density, turn, offset, (n, n, n), order=1), np.float32)

    def _random_rotation(self) -> NDArray[np.float64]:
        return np.asarray(Rotation.random(rng=self._rng).as_matrix())

    def _position(self, at_surfaces: bool) -> NDArray[np.float64]:
        nz, ny, nx = self.density.shape
        depth = self._rng.uniform(-0.5, 0.5)
        if at_surfaces:
            depth = np.sign(depth) * (0.5 - SURFACE_LAYER * self._rng.random())
        return np.array(
            [nz / 2 + depth * self._thickness, self._rng.uniform(0, ny), self._rng.uniform(0, nx)]
        )

    def _place(
        self, density: NDArray[np.float32], centre_zyx: NDArray[np.float64], overlap: bool = False
    ) -> int:
        """Add a density if nothing else is there and it fits into the slab; return its occupied voxels."""
        occupied = density > OCCUPIED * density.max()
        planes = np.flatnonzero(occupied.any(axis=(1, 2)))
        density, occupied = (v[planes[0] : planes[-1] + 1] for v in (density, occupied))
        first = np.round(centre_zyx - np.array(density.shape) / 2).astype(int)
        slab = np.flatnonzero(self.inside[:, 0, 0])
        if first[0] < slab[0] or first[0] + len(density) - 1 > slab[-1]:
            if len(density) > len(slab) or overlap:
                return 0
            first[0] = np.clip(first[0], slab[0], slab[-1] + 1 - len(density))
        sections = [f + np.arange(n) for f, n in zip(first, density.shape, strict=True)]
        sections[1:] = [s % n for s, n in zip(sections[1:], self.density.shape[1:], strict=True)]
        if any(len(s) > n for s, n in zip(sections, self.density.shape, strict=True)):
            return 0
        where = np.ix_(*sections)
        if not overlap and (self._taken[where] & occupied).any():
            return 0
        self.density[where] += density
        self._taken[where] |= occupied
        return int(occupied.sum())


def _wrapped(difference: NDArray[np.float64], period: int) -> NDArray[np.float64]:
    return (difference + period / 2) % period - period / 2


def _as_zyx(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """From a rotation of (x, y, z) to one of (z, y, x)."""
    return matrix[::-1, ::-1]


def _smooth_field(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    nodes = rng.normal(size=(3, 5, 5))
    factors = [n / m for n, m in zip(shape, nodes.shape, strict=True)]
    return np.asarray(ndimage.zoom(nodes, factors, order=3, mode="grid-wrap"))


def _chains(path: Path) -> dict[str, NDArray[np.float64]]:
    """Atomic positions of the long chains of the first assembly."""
    structure = gemmi.read_structure(str(path))
    structure.setup_entities()
    if structure.assemblies:
        structure.transform_to_assembly(structure.assemblies[0].name, gemmi.HowToNameCopiedChain.AddNumber)
    return {
        chain.name: np.array([atom.pos.tolist() for residue in chain for atom in residue])
        for chain in structure[0]
        if len(chain) >= FEWEST_RESIDUES
    }


def _molecule(path: Path, name: str, positions: NDArray[np.float64], chain: str | None) -> Molecule:
    radius = np.linalg.norm(positions - positions.mean(axis=0), axis=1).max() + 3 * LIBRARY_VOXEL_ANGSTROM
    box = min(2 * int(np.ceil(radius / LIBRARY_VOXEL_ANGSTROM)), LARGEST_LIBRARY_BOX)

    def keep_chain(assembly: gemmi.Model) -> None:
        for other in {c.name for c in assembly} - {chain}:
            assembly.remove_chain(other)

    change: Callable[[gemmi.Model], None] | None = None if chain is None else keep_chain
    finest = 2 * LIBRARY_VOXEL_ANGSTROM
    density = model_density(path, box, LIBRARY_VOXEL_ANGSTROM, finest, change=change)
    return Molecule(name, np.maximum(density, 0) / np.float32(PROTEIN_DENSITY))
