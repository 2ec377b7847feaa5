"""A small atomic model."""

from __future__ import annotations

import gemmi
import numpy as np

from spisonet.io.mrc import Volume

BOX, VOXEL_SIZE = 40, 1.5


def write_helix(path, shift=(0.0, 0.0, 0.0), n_residues=24):
    """Write an alanine helix along z about the centre of the box, displaced by a shift in Å."""
    structure, model, chain = gemmi.Structure(), gemmi.Model(1), gemmi.Chain("A")
    centre = BOX * VOXEL_SIZE / 2
    for number in range(n_residues):
        residue = gemmi.Residue()
        residue.name, residue.seqid = "ALA", gemmi.SeqId(str(number + 1))
        for name, element, radius, turn, rise in (
            ("N", "N", 1.55, 0, 0.0),
            ("CA", "C", 2.28, 28, 0.9),
            ("C", "C", 1.68, 56, 2.0),
            ("O", "O", 2.0, 60, 3.2),
            ("CB", "C", 3.3, 10, 1.3),
        ):
            angle = np.radians(100 * number + turn)
            atom = gemmi.Atom()
            atom.name, atom.element, atom.b_iso = name, gemmi.Element(element), 20.0
            z = centre + 1.5 * (number - n_residues / 2) + rise
            x, y = centre + radius * np.cos(angle), centre + radius * np.sin(angle)
            atom.pos = gemmi.Position(x + shift[0], y + shift[1], z + shift[2])
            residue.add_atom(atom)
        chain.add_residue(residue)
    model.add_chain(chain)
    structure.add_model(model)
    structure.make_mmcif_document().write_file(str(path))
    return path


def empty(box=BOX, voxel_size=VOXEL_SIZE, **header):
    return Volume(np.zeros((box,) * 3, np.float32), voxel_size, **header)
