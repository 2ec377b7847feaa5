"""A small RELION 4 project of subtomograms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import starfile
from scipy.spatial.transform import Rotation

from spisonet.io.particles import read_particle_orientations


def rotation(axis, degrees):
    return Rotation.from_euler(axis, degrees, degrees=True).as_matrix()


def write_subtomogram_project(folder):
    """Write a RELION 4 project of two tomograms and a few particles; return folder and view directions."""
    rng = np.random.default_rng(3)
    n = 12
    tilts = {"001": np.arange(-48, 49, 8), "TS_2": np.arange(-30, 61, 10)}
    blocks = {"global": pd.DataFrame({"rlnTomoName": list(tilts), "rlnTomoTiltSeriesPixelSize": [2.0, 2.0]})}
    matrices = {}
    for name, angles in tilts.items():
        matrices[name] = [rotation("z", 85) @ rotation("y", angle) @ rotation("x", 3) for angle in angles]
        rows = {
            f"rlnTomoProj{axis}": [f"[{','.join(f'{v:.9f}' for v in m[i])},0]" for m in matrices[name]]
            for i, axis in enumerate("XYZ")
        }
        blocks[name] = pd.DataFrame(rows)
    starfile.write(blocks, folder / "tomograms.star")
    angles = rng.uniform(-180, 180, (n, 3))
    names = rng.choice(list(tilts), n)
    visible = [rng.integers(0, 2, len(tilts[name])) for name in names]
    particles = pd.DataFrame(
        {
            "rlnTomoName": names,
            "rlnAngleRot": angles[:, 0],
            "rlnAngleTilt": np.abs(angles[:, 1]),
            "rlnAnglePsi": angles[:, 2],
            "rlnTomoVisibleFrames": [f"[{','.join(map(str, v))}]" for v in visible],
            "rlnOpticsGroup": 1,
        }
    )
    optics = pd.DataFrame({"rlnOpticsGroup": [1], "rlnImagePixelSize": [4.0], "rlnImageSize": [32]})
    starfile.write({"optics": optics, "particles": particles}, folder / "particles.star")
    (folder / "set.star").write_text(
        "data_\n\n_rlnTomoParticlesFile particles.star\n_rlnTomoTomogramsFile tomograms.star\n"
    )
    views = []
    for number, name in enumerate(names):
        turned = read_particle_orientations(folder / "particles.star").rotations[number]
        seen = [m for m, v in zip(matrices[name], visible[number], strict=True) if v]
        views += [turned.T @ m.T @ [0, 0, 1] for m in seen]
    return folder, np.array(views)
