"""HeldOutStatistics of maps with an atomic model: FSC by direction, and a Q-score of every atom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from spisonet.analysis.fsc3d import estimate_fsc3d, summarise_fsc3d
from spisonet.analysis.fsc_metrics import FSC_SPHERICITY, directional_resolutions
from spisonet.errors import SpisonetError
from spisonet.geometry.sphere import geodesic_sphere
from spisonet.io.atomic import atomic_path

if TYPE_CHECKING:
    from pathlib import Path

    import gemmi
    from numpy.typing import NDArray

    from spisonet.analysis.fsc3d import Fsc3d, Fsc3dMetrics
    from spisonet.io.mrc import Volume

CONE_DEGREES = 20.0
Q_SIGMA_ANGSTROM = 0.6
Q_RADII_ANGSTROM = np.arange(0.0, 2.01, 0.2)
Q_SUBDIVISIONS = 1  # the 12 corners of an icosahedron
ATOMS_AT_A_TIME = 5000
NEAREST_TOLERANCE_ANGSTROM = 1e-3
FEWEST_INSIDE = 0.9  # of the atoms
BLUR_VOXELS = 0.6  # standard deviation of a Gaussian


@dataclass(frozen=True)
class AtomicModel:
    """Atoms of a model, without hydrogens.

    Attributes
    ----------
    path : Path
        Where it was read from.
    structure : gemmi.Structure
        The model, as gemmi reads it.
    positions_xyz : ndarray
        ``(n, 3)`` in Å, in the frame of the file.
    residues : ndarray
        ``(n,)`` number of the residue that each atom belongs to, from 0.
    residue_names : list of str
        Of each residue, as in ``A/LYS 12``.
    """

    path: Path
    structure: gemmi.Structure
    positions_xyz: NDArray[np.float64]
    residues: NDArray[np.int64]
    residue_names: list[str]

    def by_residue(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Mean over the atoms of each residue."""
        counts = np.bincount(self.residues, minlength=len(self.residue_names))
        sums = np.bincount(self.residues, values, len(self.residue_names))
        return np.asarray(sums / counts)


@dataclass(frozen=True)
class ModelAgreement:
    """How a map agrees with a model.

    Attributes
    ----------
    fsc3d : Fsc3d
        FSC of map and model by direction.
    metrics : Fsc3dMetrics
        Its summary; a map and a perfect model have the FSC of a map and the truth, for which the
        resolution is at 0.5.
    directional_05_angstrom : ndarray
        ``(n_axes,)`` where the FSC along each axis falls to 0.5.
    q_scores : ndarray
        ``(n_atoms,)`` in -1..1.
    """

    fsc3d: Fsc3d
    metrics: Fsc3dMetrics
    directional_05_angstrom: NDArray[np.float64]
    q_scores: NDArray[np.float64]

    @property
    def mean_fsc(self) -> float:
        """Mean FSC over the shells up to the limit."""
        return float(self.fsc3d.global_fsc[1 : self.fsc3d.limit_shell + 1].mean())

    @property
    def numbers(self) -> dict[str, float]:
        """What sums it up."""
        return {
            "fsc_05_angstrom": self.metrics.resolution_05_angstrom,
            "mean_fsc": self.mean_fsc,
            "best_direction_05_angstrom": float(self.directional_05_angstrom.min()),
            "worst_direction_05_angstrom": float(self.directional_05_angstrom.max()),
            "mean_q_score": float(self.q_scores.mean()),
        }


def read_model(path: Path) -> AtomicModel:
    """Read an atomic model of any format that gemmi knows (PDB, mmCIF).

    Raises
    ------
    SpisonetError
        If gemmi is not installed, or the file is missing or holds no atoms.
    """
    gemmi = _gemmi()
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist.")
    try:
        structure = gemmi.read_structure(str(path))
    except (ValueError, RuntimeError, OSError) as error:
        raise SpisonetError(f"{path} is not a readable model: {str(error).rstrip('.')}.") from error
    structure.remove_hydrogens()
    positions, residues, names = [], [], []
    for chain in structure[0] if len(structure) else ():
        for residue in chain:
            names.append(f"{chain.name}/{residue.name} {residue.seqid}")
            for atom in residue:
                positions.append(atom.pos.tolist())
                residues.append(len(names) - 1)
    if not positions:
        raise SpisonetError(f"{path} holds no atoms.")
    return AtomicModel(path, structure, np.array(positions), np.array(residues), names)


def _gemmi() -> Any:
    try:
        import gemmi  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        raise SpisonetError("Models need gemmi: pip install 'spisonet[model]'.") from error
    return gemmi


def positions_in_map(model: AtomicModel, volume: Volume) -> NDArray[np.float64]:
    """Positions of the atoms in voxels ``(n, 3)`` ``(x, y, z)`` of a map.

    The map's frame is that of its ``origin`` or, where that is zero, of its ``nstart``, as ChimeraX and Coot
    take them.

    Raises
    ------
    SpisonetError
        If a tenth of the atoms or more are outside of the map.
    """
    origin = np.array(volume.origin_angstrom)
    if not origin.any():
        origin = np.array(volume.nstart) * volume.voxel_size_angstrom
    voxels = (model.positions_xyz - origin) / volume.voxel_size_angstrom
    inside = ((voxels >= 0) & (voxels <= volume.box - 1)).all(axis=1)
    if inside.mean() < FEWEST_INSIDE:
        raise SpisonetError(
            f"{100 * (1 - inside.mean()):.0f} % of the atoms of {model.path} are outside of {volume.name}: "
            "place the model in the map first."
        )
    return np.asarray(voxels)


def model_density(model: AtomicModel, volume: Volume) -> NDArray[np.float32]:
    """Compute the scattering density of a model on the grid of a map.

    Electron scattering factors and the model's own B factors, with a further blur that the grid can bear; the
    blur is isotropic and changes no FSC.

    Parameters
    ----------
    model : AtomicModel
        In the frame of the map.
    volume : Volume
        Whose grid to use.

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


def q_scores(volume: Volume, positions_xyz: NDArray[np.float64], workers: int = 1) -> NDArray[np.float64]:
    """Tell for every atom how much the map around it looks like an atom.

    The correlation of the map's values at points around the atom, up to 2 Å away and nearer to no other atom,
    with a Gaussian of 0.6 Å; radii count alike.

    Parameters
    ----------
    volume : Volume
        The map.
    positions_xyz : ndarray
        ``(n, 3)`` positions of the atoms in voxels, see `positions_in_map`.
    workers : int
        Threads.

    Returns
    -------
    ndarray
        ``(n,)`` in -1..1.

    References
    ----------
    Pintilie et al. (2020) Nat. Methods 17, 328-334. There each radius has 8 random points; here up to 12
    fixed ones, so that the same input gives the same score.
    """
    directions = geodesic_sphere(Q_SUBDIVISIONS).vertices_zyx[:, ::-1]
    offsets = (Q_RADII_ANGSTROM[:, None, None] * directions / volume.voxel_size_angstrom).reshape(-1, 3)
    radius = np.repeat(Q_RADII_ANGSTROM, len(directions))
    reference = np.exp(-((radius / Q_SIGMA_ANGSTROM) ** 2) / 2)
    tree = cKDTree(positions_xyz)
    tolerance = NEAREST_TOLERANCE_ANGSTROM / volume.voxel_size_angstrom
    scores = []
    for start in range(0, len(positions_xyz), ATOMS_AT_A_TIME):
        points = positions_xyz[start : start + ATOMS_AT_A_TIME, None] + offsets
        nearest = tree.query(points, workers=workers)[0]
        own = nearest >= radius / volume.voxel_size_angstrom - tolerance
        values = ndimage.map_coordinates(volume.data, points[..., ::-1].reshape(-1, 3).T, order=1)
        scores.append(_correlation(values.reshape(own.shape), reference, _weights(own, len(directions))))
    return np.concatenate(scores)


def _weights(own: NDArray[np.bool_], n_directions: int) -> NDArray[np.float64]:
    """Weights of the points of each atom with which every radius counts alike."""
    by_radius = own.reshape(len(own), -1, n_directions).astype(np.float64)
    counts = np.maximum(by_radius.sum(axis=2, keepdims=True), 1)
    return np.asarray((by_radius / counts).reshape(own.shape))


def _correlation(
    values: NDArray[np.floating], reference: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    total = weights.sum(axis=1, keepdims=True)
    a = values - (weights * values).sum(axis=1, keepdims=True) / total
    b = reference - (weights * reference).sum(axis=1, keepdims=True) / total
    norm = np.sqrt((weights * a**2).sum(axis=1) * (weights * b**2).sum(axis=1))
    cross = (weights * a * b).sum(axis=1)
    return np.asarray(np.divide(cross, norm, out=np.zeros_like(cross), where=norm > 0))


def compare_with_model(
    volume: Volume,
    model: AtomicModel,
    density: NDArray[np.float32],
    mask: NDArray[np.float32] | None,
    limit_angstrom: float,
    workers: int,
) -> ModelAgreement:
    """Compare a map with a model.

    Parameters
    ----------
    volume : Volume
        The map.
    model : AtomicModel
        In its frame.
    density : ndarray
        ``(n, n, n)`` of the model, see `model_density`.
    mask : ndarray or None
        ``(n, n, n)`` for the FSC.
    limit_angstrom : float
        Up to where the mean FSC is taken.
    workers : int
        Threads.
    """
    fsc3d = estimate_fsc3d(
        volume.data, density, mask, volume.voxel_size_angstrom, limit_angstrom, CONE_DEGREES, workers
    )
    return ModelAgreement(
        fsc3d,
        summarise_fsc3d(fsc3d),
        directional_resolutions(fsc3d.directional_curves, FSC_SPHERICITY, fsc3d.box_angstrom),
        q_scores(volume, positions_in_map(model, volume), workers),
    )


def write_scored_model(path: Path, model: AtomicModel, scores: NDArray[np.float64]) -> None:
    """Write a model as mmCIF with the scores of its atoms as B factors, for colouring."""
    structure = model.structure.clone()
    atoms = (atom for chain in structure[0] for residue in chain for atom in residue)
    for atom, score in zip(atoms, scores, strict=True):
        atom.b_iso = float(score)
    with atomic_path(path) as temporary:
        structure.make_mmcif_document().write_file(str(temporary))
