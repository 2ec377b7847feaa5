"""Small anisotropic half maps on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spisonet.fourier.grids import centred_from_half, frequency_axes_rfft, irfft3, radius_rfft, rfft3
from spisonet.io.mrc import Volume, write_volume

VOXEL_SIZE = 2.0


@dataclass(frozen=True)
class SmallCase:
    """Paths of half maps of a few blobs, unmeasured near the z axis."""

    folder: Path
    half1: Path
    half2: Path
    mask: Path
    fsc3d: Path

    @property
    def inputs(self) -> list[str]:
        """Words of a command line that name all of them."""
        return [str(self.half1), str(self.half2), "--aniso_file", str(self.fsc3d), "--mask", str(self.mask)]


def make_case(folder: Path, n: int = 24, noise: float = 0.3, seed: int = 0) -> SmallCase:
    """Write a case with box `n`; grey values have an offset and a scale of their own."""
    rng = np.random.default_rng(seed)
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    r2 = z**2 + y**2 + x**2
    mask = (r2 < (0.36 * n) ** 2).astype(np.float32)
    truth = np.zeros((n, n, n), np.float32)
    for centre in rng.normal(scale=n / 10, size=(20, 3)):
        truth += np.exp(-((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2) / 3)
    truth *= mask / truth.std()
    kz, _, _ = frequency_axes_rfft((n, n, n))
    radius = radius_rfft((n, n, n))
    sampled = np.where((np.abs(kz) > 0.7 * radius) & (radius > 1), 0.05, 1.0).astype(np.float32)
    paths = {}
    for index in (1, 2):
        noisy = (truth + noise * rng.normal(size=truth.shape)).astype(np.float32)
        grey = 5.0 + 0.02 * irfft3((rfft3(noisy) * sampled).astype(np.complex64), noisy.shape)
        volume = Volume(
            grey.astype(np.float32), VOXEL_SIZE, (4.0, -8.0, 12.0), (1, 2, 3), ("made by a test",)
        )
        paths[f"half{index}"] = folder / f"half{index}.mrc"
        write_volume(paths[f"half{index}"], volume)
    like = volume
    write_volume(folder / "mask.mrc", like.with_data(mask))
    weight = np.where(sampled < 0.5, 0.05, 0.95).astype(np.float32)
    write_volume(folder / "FSC3D.mrc", like.with_data(centred_from_half(weight, n)))
    return SmallCase(folder, paths["half1"], paths["half2"], folder / "mask.mrc", folder / "FSC3D.mrc")
