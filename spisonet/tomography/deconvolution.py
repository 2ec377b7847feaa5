"""``deconv``: Wiener deconvolution of tomograms by their CTF."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.fourier.ctf import Microscope, read_microscope
from spisonet.fourier.filters import RadialCurve
from spisonet.io.tomograms import written_tomogram
from spisonet.tomography.chunks import chunks, read_mirrored, slabs

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.io.tomogram_table import TomogramRow
    from spisonet.io.tomograms import TomogramFile

log = logging.getLogger("spisonet")

AMPLITUDE_CONTRAST = 0.07  # of the published filter
SNR_FLOOR = 1e-6
WHOLE_VOXELS = 2**28  # a filter and two transforms of so many are a few gigabytes
AUTOMATIC_EDGE = 384
HIGHPASS_RINGING = 2.5  # voxels, times the fraction of Nyquist at which the high-pass ends


@dataclass(frozen=True)
class Deconvolution:
    """A Wiener filter for the CTF at one defocus.

    Attributes
    ----------
    microscope : Microscope
        Whose contrast to undo.
    snr_falloff, strength : float
        The assumed signal-to-noise ratio is ``exp(-100 f falloff / voxel) 10^strength`` at ``f`` of Nyquist.
    highpass : float
        Fraction of Nyquist up to which low frequencies are attenuated.

    References
    ----------
    Tegunov & Cramer (2019) Nat. Methods 16, 1146-1152 (Warp); Liu et al. (2022) Nat. Commun. 13, 6482
    (IsoNet), whose constants these are.
    """

    microscope: Microscope
    snr_falloff: float = 1.0
    strength: float = 1.0
    highpass: float = 0.02

    @property
    def curve(self) -> RadialCurve:
        """The filter by spatial frequency."""
        contrast = self.microscope.ctf
        f = np.linspace(0, 1, len(contrast))
        high = 1 - np.cos(np.pi * np.minimum(1, f / self.highpass))
        falloff = np.exp(-100 * f * self.snr_falloff / self.microscope.voxel_size_angstrom)
        snr = falloff * 10**self.strength * high + SNR_FLOOR
        return RadialCurve(contrast / (contrast**2 + 1 / snr))

    @property
    def reach(self) -> int:
        """How far it rings, in voxels: over the wavelength at which its high-pass ends, and some more."""
        return math.ceil(HIGHPASS_RINGING / self.highpass)


def read_deconvolution(
    row: TomogramRow,
    voxel_size_angstrom: float,
    snr_falloff: float | None,
    strength: float | None,
    highpass: float,
    phase_flipped: bool,
    **chosen: float | None,
) -> Deconvolution:
    """Find a tomogram's filter: what is chosen, else what its row tells, else the published defaults.

    Raises
    ------
    SpisonetError
        If there is no defocus.
    """
    microscope = read_microscope(
        row, voxel_size_angstrom, phase_flipped, amplitude_contrast=AMPLITUDE_CONTRAST, **chosen
    )
    found = [
        row.number_of(column) if value is None else value
        for value, column in ((snr_falloff, "rlnSnrFalloff"), (strength, "rlnDeconvStrength"))
    ]
    falloff, power = (1.0 if value is None else value for value in found)
    return Deconvolution(microscope, falloff, power, highpass)


def filter_tomogram(
    tomogram: TomogramFile,
    output: Path,
    curve: RadialCurve,
    reach: int,
    label: str,
    chunk_size: int | None = None,
    overlap: float = 0.0,
    workers: int = -1,
) -> None:
    """Filter a tomogram in blocks; mean and standard deviation stay the input's.

    Parameters
    ----------
    tomogram : TomogramFile
        Input.
    output : Path
        File to write.
    curve : RadialCurve
        The filter.
    reach : int
        Voxels over which it acts.
    label : str
        For the header.
    chunk_size : int or None
        Edge of the blocks in voxels; None for the whole tomogram, or blocks of a few hundred voxels if it is
        large.
    overlap : float
        Surroundings on both sides of a chunk together, as a fraction of its edge; at least `reach`.
    workers : int
        Threads.
    """
    edge = chunk_size or (max(tomogram.shape) if tomogram.n_voxels <= WHOLE_VOXELS else AUTOMATIC_EDGE)
    whole = all(n <= edge for n in tomogram.shape)
    margin = 0 if whole else max(round(overlap * edge / 2), reach)
    before, after = _Moments(), _Moments()
    with written_tomogram(output, tomogram, label) as result:
        for chunk in chunks(tomogram.shape, edge, margin):
            part = read_mirrored(tomogram, chunk)
            filtered = curve.apply(part, workers)[chunk.inner_in_chunk]
            before.add(part[chunk.inner_in_chunk])
            after.add(filtered)
            result[chunk.inner] = filtered
        scale = before.deviation / after.deviation if after.deviation > 0 else 1.0
        for slab in slabs(tomogram.shape):
            result[slab] = (result[slab] - after.mean) * np.float32(scale) + np.float32(before.mean)


class _Moments:
    """Mean and standard deviation of what comes in parts."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, 0.0, 0.0

    def add(self, values: NDArray[np.float32]) -> None:
        self._count += values.size
        self._sum += float(values.sum(dtype=np.float64))
        self._squares += float(np.square(values, dtype=np.float64).sum())

    @property
    def mean(self) -> float:
        return self._sum / self._count

    @property
    def deviation(self) -> float:
        return math.sqrt(max(0.0, self._squares / self._count - self.mean**2))
