"""A tomogram as it is trained on and predicted: its files, tilt range, mask and grey scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.tomography.chunks import Chunk, read_mirrored

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.fourier.filters import RadialCurve
    from spisonet.io.tomograms import TomogramFile

CLIP = 10.0  # standard deviations; gold beads would dominate the loss


@dataclass(frozen=True)
class Tomogram:
    """A tomogram to train on or to predict.

    Attributes
    ----------
    name : str
        Name in messages.
    volumes : tuple of TomogramFile
        Even and odd tomograms, or a single one.
    tilt_range_degrees : tuple of float
        Minimum and maximum tilt in degrees.
    mask : TomogramFile or None
        Subvolumes are centred where it is above 0.
    coordinates : Path or None
        File of subvolume centres, used instead of the mask; see `read_coordinates`.
    n_subvolumes : int
        Number of training subvolumes in an epoch.
    ctf_amplitude : RadialCurve or None
        Amplitude of the CTF, if the network restores the amplitudes.
    mean, deviation : float
        Grey scale: voxels are read as ``(value - mean) / deviation``.
    noise_amplitude : RadialCurve or None
        Amplitude of the noise in one half tomogram on this grey scale, relative to white noise of unit
        variance; known only with even and odd tomograms.
    digest : str
        Hash of the central region and of the geometry.
    tilt_range_is_assumed : bool
        Whether the tilt range is the default, since no tilt file was found.
    """

    name: str
    volumes: tuple[TomogramFile, ...]
    tilt_range_degrees: tuple[float, float]
    mask: TomogramFile | None
    coordinates: Path | None
    n_subvolumes: int
    ctf_amplitude: RadialCurve | None = None
    mean: float = 0.0
    deviation: float = 1.0
    noise_amplitude: RadialCurve | None = None
    digest: str = ""
    tilt_range_is_assumed: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(z, y, x)``."""
        return self.volumes[0].shape

    @property
    def voxel_size_angstrom(self) -> float:
        """Voxel size in Å."""
        return self.volumes[0].voxel_size_angstrom

    def read(self, half: int, chunk: Chunk) -> NDArray[np.float32]:
        """Read a chunk of one of the volumes on the grey scale, mirrored beyond the borders."""
        values = read_mirrored(self.volumes[half], chunk)
        return (values - np.float32(self.mean)) / np.float32(self.deviation)

    def read_halves(self, chunk: Chunk) -> NDArray[np.float32]:
        """Read a chunk of all volumes, ``(n_halves, z, y, x)``; see `read`."""
        return np.stack([self.read(half, chunk) for half in range(len(self.volumes))])
