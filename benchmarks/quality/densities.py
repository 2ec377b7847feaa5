"""True densities of benchmark particles, from atomic models or from maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import gemmi
import numpy as np

from spisonet.errors import SpisonetError
from spisonet.fourier.windows import soft_sphere
from spisonet.io.mrc import Volume, read_volume

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

ATOMIC_B = 20.0
SPHERE_RADIUS, SPHERE_EDGE_VOXELS = 0.47, 3.0  # fraction of the box; noise around a real map is removed


@dataclass(frozen=True)
class Helix:
    """Helical symmetry about z through the origin of an atomic model.

    Attributes
    ----------
    rise_angstrom, twist_degrees : float
        From one subunit to the next.
    n_subunits : int
        Length of the filament.
    """

    rise_angstrom: float
    twist_degrees: float
    n_subunits: int


def model_density(
    path: Path,
    box: int,
    voxel_size: float,
    finest_angstrom: float,
    centre: Literal["extent", "mass"] = "mass",
    helix: Helix | None = None,
    change: Callable[[gemmi.Model], None] | None = None,
    b_factor: float = ATOMIC_B,
) -> NDArray[np.float32]:
    """Return the electron scattering density of the first assembly of a model.

    All atoms have the same B factor. Waters, hydrogens and alternative conformations are removed.

    Parameters
    ----------
    path : Path
        PDB or mmCIF file.
    box : int
        Edge of the box in voxels.
    voxel_size : float
        Voxel size in Å.
    finest_angstrom : float
        Resolution of the Gaussian blur that prevents aliasing, in Å.
    centre : str
        What lies in the middle of the box: ``extent``, the middle of the bounding box, or ``mass``, the mean
        atomic position, through which symmetry axes pass.
    helix : Helix, optional
        Symmetry by which a filament is built from the model.
    change : callable, optional
        Changes the assembly, such as its orientation.
    b_factor : float
        B factor of all atoms in Å².

    Returns
    -------
    ndarray of float32
        ``(box, box, box)`` ``(z, y, x)``.

    Raises
    ------
    SpisonetError
        If the file does not exist.
    """
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist; give the folder of the models with --models.")
    structure = gemmi.read_structure(str(path))
    structure.setup_entities()
    if structure.assemblies:
        structure.transform_to_assembly(structure.assemblies[0].name, gemmi.HowToNameCopiedChain.AddNumber)
    structure.remove_alternative_conformations()
    structure.remove_waters()
    structure.remove_hydrogens()
    if helix is not None:
        _build_filament(structure[0], helix)
    if change is not None:
        change(structure[0])
    edge = box * voxel_size
    atoms = [atom for chain in structure[0] for residue in chain for atom in residue]
    positions = np.array([atom.pos.tolist() for atom in atoms])
    middle = (positions.max(axis=0) + positions.min(axis=0)) / 2
    shift = edge / 2 - (middle if centre == "extent" else positions.mean(axis=0))
    for atom, position in zip(atoms, positions + shift, strict=True):
        atom.pos = gemmi.Position(*position)
        atom.b_iso = b_factor
        atom.aniso = gemmi.SMat33f(0, 0, 0, 0, 0, 0)
    structure.cell = gemmi.UnitCell(edge, edge, edge, 90, 90, 90)
    structure.spacegroup_hm = "P 1"
    calculator = gemmi.DensityCalculatorE()
    calculator.d_min = 2 * voxel_size
    calculator.rate = 1.0
    calculator.blur = 8 * np.pi**2 * (finest_angstrom / 4) ** 2
    calculator.grid.set_unit_cell(structure.cell)
    calculator.grid.set_size(box, box, box)
    calculator.add_model_density_to_grid(structure[0])
    return np.ascontiguousarray(np.array(calculator.grid, dtype=np.float32).transpose(2, 1, 0))


def _build_filament(model: gemmi.Model, helix: Helix) -> None:
    subunit = [chain.clone() for chain in model]
    for number in range(1, helix.n_subunits):
        turn = np.radians(number * helix.twist_degrees)
        cosine, sine, rise = np.cos(turn), np.sin(turn), number * helix.rise_angstrom
        for chain in subunit:
            copy = chain.clone()
            for residue in copy:
                for atom in residue:
                    x, y, z = atom.pos.tolist()
                    atom.pos = gemmi.Position(cosine * x - sine * y, sine * x + cosine * y, z + rise)
            model.add_chain(copy)


def map_density(path: Path) -> Volume:
    """Return the density of a real map, with zero solvent and without noise outside of the inscribed sphere.

    Raises
    ------
    SpisonetError
        If the file does not exist or is not a cubic map with an even box.
    """
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist; give the folder of the maps with --maps.")
    volume = read_volume(path)
    n = volume.box
    if n % 2:
        raise SpisonetError(f"{path} has an odd box of {n} voxels; pad it to an even one.")
    sphere = soft_sphere(n, SPHERE_RADIUS * n - SPHERE_EDGE_VOXELS, SPHERE_EDGE_VOXELS)
    return Volume((volume.data - np.median(volume.data)) * sphere, volume.voxel_size_angstrom, name=str(path))
