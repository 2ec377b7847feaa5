"""A compact atomic model without symmetry, in any position, and noisy maps of it without a cone."""

from __future__ import annotations

import gemmi
import numpy as np

from spisonet.fourier.grids import irfft3, rfft3
from spisonet.io.mrc import Volume
from spisonet.validation.model import model_density, read_model
from tests.misalignment.accumulators import without_cone

BOX, VOXEL_SIZE = 32, 5.0
CENTRE = np.full(3, BOX * VOXEL_SIZE / 2)
# Centres and radii (Å) of the balls that it consists of.
BALLS = (((0, 0, 0), 20), ((26, 4, -6), 15), ((-8, 28, 6), 13), ((10, -12, 27), 11), ((30, 22, 2), 9))


def positions(n_atoms: int = 600) -> np.ndarray:
    """Return atoms ``(n, 3)`` about their mean, in Å."""
    candidates = np.random.default_rng(0).uniform(-60, 60, (40 * n_atoms, 3))
    inside = [np.linalg.norm(candidates - centre, axis=1) < radius for centre, radius in BALLS]
    chosen = candidates[np.any(inside, axis=0)][:n_atoms]
    return chosen - chosen.mean(axis=0)


def write_model(path, xyz):
    """Write carbon atoms at ``(n, 3)`` positions in Å as a model."""
    structure, model, chain = gemmi.Structure(), gemmi.Model(1), gemmi.Chain("A")
    for number, position in enumerate(xyz, start=1):
        residue, atom = gemmi.Residue(), gemmi.Atom()
        residue.name, residue.seqid = "ALA", gemmi.SeqId(str(number))
        atom.name, atom.element, atom.b_iso = "CA", gemmi.Element("C"), 20.0
        atom.pos = gemmi.Position(*position)
        residue.add_atom(atom)
        chain.add_residue(residue)
    model.add_chain(chain)
    structure.add_model(model)
    structure.make_mmcif_document().write_file(str(path))
    return path


def anisotropic_map(path, seed: int = 0, noise: float = 0.7, opening: float = 35.0) -> Volume:
    """Return a map of a model file in the frame of the map: without a cone around z, and noisy."""
    empty = Volume(np.zeros((BOX,) * 3, np.float32), VOXEL_SIZE)
    density = without_cone(model_density(read_model(path), empty), opening)
    white = np.random.default_rng(seed).normal(size=density.shape).astype(np.float32)
    smooth = irfft3(rfft3(white).astype(np.complex64), density.shape)
    return Volume(density + noise * density.std() * smooth, VOXEL_SIZE, name="map.mrc")
