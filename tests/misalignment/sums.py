"""Back-projected sums of a known map, and the files that RELION passes for them."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np

from spisonet.fourier.grids import frequency_axes_rfft, radius_rfft
from spisonet.misalignment.backprojection import BackProjector


def blob_map(n: int, seed: int = 0) -> np.ndarray:
    """Positive density ``(n, n, n)`` about the centre."""
    rng = np.random.default_rng(seed)
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    volume = np.zeros((n, n, n))
    for cz, cy, cx in rng.normal(scale=n / 9, size=(15, 3)):
        volume += np.exp(-((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2) / (n / 12) ** 2)
    return volume.astype(np.float32)


def sums_of_map(
    volume: np.ndarray,
    padding: int,
    last_shell: int,
    weight: np.ndarray | float = 1.0,
    tau2: float = 10.0,
) -> BackProjector:
    """Sums that an exact insertion of the map's own transform would give, times a weight."""
    n = len(volume)
    p = n * padding
    axis = np.arange(n) - n // 2
    radius = np.sqrt((axis**2)[:, None, None] + (axis**2)[None, :, None] + (axis**2)[None, None, :])
    padded = np.zeros((p, p, p))
    first = p // 2 - n // 2
    # RELION divides the interpolation's envelope out of the result.
    padded[(slice(first, first + n),) * 3] = volume * np.sinc(radius / p) ** 2
    spectrum = np.fft.rfftn(np.fft.ifftshift(padded)) * padding**3 * n / p**3
    inside = radius_rfft((p, p, p)) < last_shell * padding
    weights = np.where(inside, weight, 0).astype(np.float32)
    shells = np.full(n // 2 + 1, tau2)
    return BackProjector((spectrum * weights).astype(np.complex64), weights, shells, n, padding, last_shell)


def insert_samples(positions: np.ndarray, weights: np.ndarray, box: int, padding: int) -> np.ndarray:
    """Trilinear insertion of weights at ``(x, y, z)`` Fourier voxels of the map, and at their mates."""
    p = box * padding
    cube = np.zeros((p, p, p))
    both = np.concatenate([positions, -positions]) * padding
    for corner in np.ndindex(2, 2, 2):
        low = np.floor(both).astype(int)
        part = both - low
        share = np.prod(np.where(corner, part, 1 - part), axis=1)
        x, y, z = ((low + corner) % p).T
        np.add.at(cube, (z, y, x), share * np.concatenate([weights, weights]))
    return cube[..., : p // 2 + 1].astype(np.float32)


def uneven_weight(n: int, opening_degrees: float, strong: float = 100.0, weak: float = 0.0) -> np.ndarray:
    """Weight that is low within a cone about z."""
    kz, _, _ = frequency_axes_rfft((n, n, n))
    radius = np.maximum(radius_rfft((n, n, n)), 1)
    in_cone = np.abs(kz) > np.cos(np.radians(opening_degrees)) * radius
    return np.where(in_cone & (radius > 2), weak, strong).astype(np.float32)


def write_call(
    folder: Path,
    stem: str,
    sums: BackProjector,
    fsc: np.ndarray | None = None,
    with_sizes: bool = False,
    paths_below: str = "",
) -> Path:
    """Write what RELION passes for an external reconstruction, in the form of 3.1 or of 4.0 and 5.0."""
    arrays = {
        "DataReal": sums.data_rfft.real.astype(np.float32),
        "DataImag": sums.data_rfft.imag.astype(np.float32),
        "Weight": sums.weight_rfft,
    }
    names = {"DataReal": "data_real", "DataImag": "data_imag", "Weight": "weight"}
    lines = ["", "# version 30001" if not with_sizes else "# version 50001", ""]
    lines += ["data_external_reconstruct_general", ""]
    for key, array in arrays.items():
        name = f"{stem}_external_reconstruct_{names[key]}.mrc"
        with mrcfile.new(folder / name, overwrite=True) as mrc:
            mrc.set_data(array)
        lines.append(f"_rlnExtRecons{key} {paths_below}{name}")
    lines += [
        f"_rlnExtReconsResult {paths_below}{stem}_external_reconstruct.mrc",
        f"_rlnExtReconsResultStarfile {paths_below}{stem}_external_reconstruct_out.star",
        f"_rlnTau2FudgeFactor {sums.tau2_fudge:f}",
        f"_rlnPaddingFactor {float(sums.padding):f}",
        "_rlnReferenceDimensionality 3",
        f"_rlnOriginalImageSize {sums.box}",
        f"_rlnCurrentImageSize {2 * sums.last_shell}",
    ]
    if with_sizes:
        lines += ["_rlnPixelSize 4.0", "_rlnParticleDiameter 80.0"]
    lines += ["", "", "data_external_reconstruct_tau2", "", "loop_"]
    lines += ["_rlnSpectralIndex #1", "_rlnReferenceTau2 #2", "_rlnGoldStandardFsc #3"]
    curve = np.ones(sums.box // 2 + 1) if fsc is None else fsc
    lines += [f"{q:12d} {sums.tau2[q]:e} {curve[q]:f}" for q in range(sums.box // 2 + 1)]
    star = folder / f"{stem}_external_reconstruct.star"
    star.write_text("\n".join([*lines, "", ""]), encoding="utf-8")
    return star
