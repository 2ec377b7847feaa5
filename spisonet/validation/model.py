"""Atomic models: reading, placing in a map, and their scattering density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.io.atomic import write_text

if TYPE_CHECKING:
    from pathlib import Path

    import gemmi
    from numpy.typing import NDArray

    from spisonet.io.mrc import Volume

MIN_FRACTION_INSIDE = 0.9  # of the atoms, in the box of the map
BLUR_VOXELS = 0.6  # standard deviation of a Gaussian


@dataclass(frozen=True)
class AtomicModel:
    """Atoms of a model, without hydrogens.

    Attributes
    ----------
    path : Path
        File that it was read from.
    structure : gemmi.Structure
        The model.
    positions_xyz : ndarray
        ``(n, 3)`` in Å, in the frame of the file.
    residues : ndarray
        ``(n,)`` number of the residue that each atom belongs to, from 0.
    residue_names : list of str
        Name of each residue, such as ``A/LYS 12``.
    """

    path: Path
    structure: gemmi.Structure
    positions_xyz: NDArray[np.float64]
    residues: NDArray[np.int64]
    residue_names: list[str]

    def by_residue(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the mean over the atoms of each residue."""
        counts = np.bincount(self.residues, minlength=len(self.residue_names))
        sums = np.bincount(self.residues, values, len(self.residue_names))
        return np.asarray(sums / counts)


def read_model(path: Path) -> AtomicModel:
    """Read an atomic model (PDB, mmCIF).

    Raises
    ------
    SpisonetError
        If gemmi is not installed, or the file is missing or contains no atoms.
    """
    gemmi = _gemmi()
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist.")
    positions, residues, names = [], [], []
    try:
        structure = gemmi.read_structure(str(path))
        structure.remove_hydrogens()
        for chain in structure[0] if len(structure) else ():
            for residue in chain:
                names.append(f"{chain.name}/{residue.name} {residue.seqid}")
                for atom in residue:
                    positions.append(atom.pos.tolist())
                    residues.append(len(names) - 1)
    except (ValueError, RuntimeError, OSError, IndexError) as error:  # IndexError: an empty mmCIF file
        raise SpisonetError(f"{path} is not a readable atomic model: {str(error).rstrip('.')}.") from error
    if not positions:
        raise SpisonetError(f"{path} contains no atoms.")
    if not np.isfinite(positions).all():
        raise SpisonetError(f"{path} contains an atom without a position.")
    return AtomicModel(path, structure, np.array(positions), np.array(residues), names)


def _gemmi() -> Any:
    try:
        import gemmi  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        raise SpisonetError("Atomic models need gemmi: pip install 'spisonet[model]'.") from error
    return gemmi


def atomic_numbers(model: AtomicModel) -> NDArray[np.float64]:
    """Return the atomic number of every atom, ``(n,)``."""
    atoms = (atom for chain in model.structure[0] for residue in chain for atom in residue)
    return np.array([atom.element.atomic_number for atom in atoms], dtype=np.float64)


def map_origin(volume: Volume) -> NDArray[np.float64]:
    """Return the position ``(x, y, z)`` in Å of the first voxel of a map.

    It is the ``origin`` of its header or, where that is zero, its ``nstart``, as in ChimeraX and Coot.
    """
    origin = np.array(volume.origin_angstrom)
    return origin if origin.any() else np.array(volume.nstart) * volume.voxel_size_angstrom


def positions_in_map(model: AtomicModel, volume: Volume) -> NDArray[np.float64]:
    """Return the positions of the atoms in voxels of a map, ``(n, 3)`` ``(x, y, z)``.

    The map is placed as `map_origin` describes.

    Raises
    ------
    SpisonetError
        If more than a tenth of the atoms are outside of the map.
    """
    voxels = (model.positions_xyz - map_origin(volume)) / volume.voxel_size_angstrom
    inside = ((voxels >= 0) & (voxels <= volume.box - 1)).all(axis=1)
    if inside.mean() < MIN_FRACTION_INSIDE:
        raise SpisonetError(
            f"{100 * (1 - inside.mean()):.0f} % of the atoms of {model.path} are outside of {volume.name}; "
            "fit the model into the map first."
        )
    return np.asarray(voxels)


def model_density(model: AtomicModel, volume: Volume) -> NDArray[np.float32]:
    """Compute the scattering density of a model on the grid of a map.

    Electron scattering factors and the B factors of the model are used. A further isotropic blur, which does
    not change an FSC, prevents aliasing on the grid.

    Parameters
    ----------
    model : AtomicModel
        Model in the frame of the map.
    volume : Volume
        Map that defines the grid.

    Returns
    -------
    ndarray of float32
        ``(n, n, n)`` ``(z, y, x)``.
    """
    gemmi = _gemmi()
    voxels, edge = positions_in_map(model, volume), volume.box * volume.voxel_size_angstrom
    structure = model.structure.clone()
    structure.cell = gemmi.UnitCell(edge, edge, edge, 90, 90, 90)
    structure.spacegroup_hm = "P 1"
    atoms = (atom for chain in structure[0] for residue in chain for atom in residue)
    for atom, position in zip(atoms, voxels * volume.voxel_size_angstrom, strict=True):
        atom.pos = gemmi.Position(*position)
        atom.aniso = gemmi.SMat33f(0, 0, 0, 0, 0, 0)
    calculator = gemmi.DensityCalculatorE()
    calculator.d_min = 2 * volume.voxel_size_angstrom
    calculator.rate = 1.0
    calculator.blur = 8 * np.pi**2 * (volume.voxel_size_angstrom * BLUR_VOXELS) ** 2
    calculator.grid.set_unit_cell(structure.cell)
    calculator.grid.set_size(volume.box, volume.box, volume.box)
    calculator.add_model_density_to_grid(structure[0])
    return np.ascontiguousarray(np.array(calculator.grid, dtype=np.float32).transpose(2, 1, 0))


def write_scored_model(path: Path, model: AtomicModel, scores: NDArray[np.float64]) -> None:
    """Write a model as mmCIF with the scores ``(n_atoms,)`` as B factors, for colouring."""
    structure = model.structure.clone()
    atoms = (atom for chain in structure[0] for residue in chain for atom in residue)
    for atom, score in zip(atoms, scores, strict=True):
        atom.b_iso = float(score)
    write_text(path, structure.make_mmcif_document().as_string())
