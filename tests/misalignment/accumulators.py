"""Accumulators of a known map, and the files that RELION passes for them."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
from scipy.ndimage import gaussian_filter

from spisonet.fourier.grids import frequency_axes_rfft, irfft3, radius_rfft, rfft3
from spisonet.misalignment.backprojection import BackProjector


def blob_map(n: int, seed: int = 0) -> np.ndarray:
    """Return a positive density ``(n, n, n)`` around the centre."""
    rng = np.random.default_rng(seed)
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    volume = np.zeros((n, n, n))
    for cz, cy, cx in rng.normal(scale=n / 9, size=(15, 3)):
        volume += np.exp(-((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2) / (n / 12) ** 2)
    return volume.astype(np.float32)


def body_map(n: int, seed: int = 0) -> np.ndarray:
    """Return a body of uniform density ``(n, n, n)``, as a molecule is at low resolution."""
    blobs = blob_map(n, seed)
    return gaussian_filter((blobs > 0.3 * blobs.max()).astype(np.float32), 0.8)


def back_projector_of_map(
    volume: np.ndarray,
    padding: int,
    r_max: int,
    weight: np.ndarray | float = 1.0,
    tau2: float = 10.0,
) -> BackProjector:
    """Return the accumulators of an exact insertion of the map's Fourier transform, times a weight."""
    n = len(volume)
    p = n * padding
    axis = np.arange(n) - n // 2
    radius = np.sqrt((axis**2)[:, None, None] + (axis**2)[None, :, None] + (axis**2)[None, None, :])
    padded = np.zeros((p, p, p))
    first = p // 2 - n // 2
    # RELION divides the interpolation's envelope out of the result.
    padded[(slice(first, first + n),) * 3] = volume * np.sinc(radius / p) ** 2
    spectrum = np.fft.rfftn(np.fft.ifftshift(padded)) * padding**3 * n / p**3
    inside = radius_rfft((p, p, p)) < r_max * padding
    weights = np.where(inside, weight, 0).astype(np.float32)
    shells = np.full(n // 2 + 1, tau2)
    return BackProjector((spectrum * weights).astype(np.complex64), weights, shells, n, padding, r_max)


def insert_samples(positions: np.ndarray, weights: np.ndarray, box: int, padding: int) -> np.ndarray:
    """Insert weights trilinearly at ``(x, y, z)`` Fourier voxels of the map, and at their Friedel mates."""
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
    """Return a weight that is low within a cone around z."""
    kz, _, _ = frequency_axes_rfft((n, n, n))
    radius = np.maximum(radius_rfft((n, n, n)), 1)
    in_cone = np.abs(kz) > np.cos(np.radians(opening_degrees)) * radius
    return np.where(in_cone & (radius > 2), weak, strong).astype(np.float32)


def without_cone(volume: np.ndarray, opening_degrees: float) -> np.ndarray:
    """Return a map without its Fourier coefficients in a cone around z."""
    n = len(volume)
    kept = uneven_weight(n, opening_degrees, strong=1.0)
    return irfft3((rfft3(volume) * kept).astype(np.complex64), volume.shape)


def write_call(
    folder: Path,
    stem: str,
    back_projector: BackProjector,
    fsc: np.ndarray | None = None,
    with_sizes: bool = False,
    paths_below: str = "",
) -> Path:
    """Write the files of an external reconstruction, as RELION 3.1 or RELION 4 and 5 do."""
    arrays = {
        "DataReal": back_projector.data_rfft.real.astype(np.float32),
        "DataImag": back_projector.data_rfft.imag.astype(np.float32),
        "Weight": back_projector.weight_rfft,
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
        f"_rlnTau2FudgeFactor {back_projector.tau2_fudge:f}",
        f"_rlnPaddingFactor {float(back_projector.padding):f}",
        "_rlnReferenceDimensionality 3",
        f"_rlnOriginalImageSize {back_projector.box}",
        f"_rlnCurrentImageSize {2 * back_projector.r_max}",
    ]
    if with_sizes:
        lines += ["_rlnPixelSize 4.0", "_rlnParticleDiameter 80.0"]
    lines += ["", "", "data_external_reconstruct_tau2", "", "loop_"]
    lines += ["_rlnSpectralIndex #1", "_rlnReferenceTau2 #2", "_rlnGoldStandardFsc #3"]
    curve = np.ones(back_projector.box // 2 + 1) if fsc is None else fsc
    lines += [f"{q:12d} {back_projector.tau2[q]:e} {curve[q]:f}" for q in range(back_projector.box // 2 + 1)]
    star = folder / f"{stem}_external_reconstruct.star"
    star.write_text("\n".join([*lines, "", ""]), encoding="utf-8")
    return star
