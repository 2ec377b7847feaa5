"""Wiener deconvolution of the CTF of tomograms (``deconv``), and filtering of tomograms in chunks."""

from __future__ import annotations

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

AMPLITUDE_CONTRAST = 0.07  # of the published filter
SNR_FLOOR = 1e-6
DEFAULT_SNR_FALLOFF, DEFAULT_STRENGTH = 1.0, 1.0
MAX_WHOLE_VOXELS = 2**28  # a filter and two transforms of this size need a few gigabytes
AUTOMATIC_CHUNK_EDGE = 384
HIGHPASS_RINGING = 2.5  # voxels; extent of the ringing times the cut-off as a fraction of Nyquist


@dataclass(frozen=True)
class Deconvolution:
    """A Wiener filter for the CTF.

    Attributes
    ----------
    microscope : Microscope
        CTF parameters.
    snr_falloff, strength : float
        The assumed signal-to-noise ratio is ``exp(-100 f falloff / voxel_size) 10^strength`` at a fraction
        ``f`` of Nyquist.
    highpass : float
        Cut-off of the high-pass filter as a fraction of Nyquist.

    References
    ----------
    Tegunov & Cramer (2019) Nat. Methods 16, 1146-1152 (Warp); Liu et al. (2022) Nat. Commun. 13, 6482
    (IsoNet), for the constants. Tomograms deconvolved by IsoNet 0.2 and IsoNet2 are reproduced to 0.1 % of
    their standard deviation if their sizes are even. At odd sizes n these programs take (n - 1) / 2 as the
    Nyquist frequency instead of n / 2, a difference of 1 to 3 % at 31 x 49 x 65 voxels.
    """

    microscope: Microscope
    snr_falloff: float = DEFAULT_SNR_FALLOFF
    strength: float = DEFAULT_STRENGTH
    highpass: float = 0.02

    @property
    def curve(self) -> RadialCurve:
        """The filter by spatial frequency."""
        ctf = self.microscope.ctf
        f = np.linspace(0, 1, len(ctf))
        highpass = 1 - np.cos(np.pi * np.minimum(1, f / self.highpass))
        falloff = np.exp(-100 * f * self.snr_falloff / self.microscope.voxel_size_angstrom)
        snr = falloff * 10**self.strength * highpass + SNR_FLOOR
        return RadialCurve(ctf / (ctf**2 + 1 / snr))

    @property
    def reach(self) -> int:
        """Extent of the ringing of the high-pass filter in voxels."""
        return math.ceil(HIGHPASS_RINGING / self.highpass)


def read_deconvolution(
    row: TomogramRow,
    voxel_size_angstrom: float,
    snr_falloff: float | None,
    strength: float | None,
    highpass: float,
    phase_flipped: bool,
    **overrides: float | None,
) -> Deconvolution:
    """Return the filter of a tomogram: parameters from the options, the table, or else the defaults.

    Parameters
    ----------
    row : TomogramRow
        Row of the table.
    voxel_size_angstrom : float
        Voxel size in Å.
    snr_falloff, strength : float or None
        See `Deconvolution`; None to take them from the table.
    highpass : float
        See `Deconvolution`.
    phase_flipped : bool
        Whether the tilt images are already phase flipped.
    **overrides
        CTF parameters that replace those of the table, see `read_microscope`.

    Raises
    ------
    SpisonetError
        If the row has no defocus.
    """
    microscope = read_microscope(
        row, voxel_size_angstrom, phase_flipped, amplitude_contrast=AMPLITUDE_CONTRAST, **overrides
    )

    def parameter(value: float | None, column: str, default: float) -> float:
        value = row.number_of(column) if value is None else value
        return default if value is None else value

    return Deconvolution(
        microscope,
        parameter(snr_falloff, "rlnSnrFalloff", DEFAULT_SNR_FALLOFF),
        parameter(strength, "rlnDeconvStrength", DEFAULT_STRENGTH),
        highpass,
    )


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
    """Filter a tomogram in chunks and write it; mean and standard deviation remain those of the input.

    Parameters
    ----------
    tomogram : TomogramFile
        Input.
    output : Path
        MRC file to write.
    curve : RadialCurve
        The filter.
    reach : int
        Extent of the impulse response in voxels.
    label : str
        Label for the header.
    chunk_size : int or None
        Edge of the chunks in voxels; None for the whole tomogram, or 384 voxels if it is large.
    overlap : float
        Overlap of adjacent chunks as a fraction of their edge, at least twice `reach`.
    workers : int
        Number of CPU threads.

    Raises
    ------
    SpisonetError
        If the input cannot be read, or the output cannot be written.
    """
    with written_tomogram(output, tomogram, label) as result:
        filter_into(result, tomogram, curve, reach, chunk_size, overlap, workers)


def filter_into(
    result: NDArray[np.float32],
    tomogram: TomogramFile,
    curve: RadialCurve,
    reach: int,
    chunk_size: int | None = None,
    overlap: float = 0.0,
    workers: int = -1,
) -> None:
    """Filter a tomogram in chunks into an array ``(z, y, x)``; see `filter_tomogram`."""
    fits = tomogram.n_voxels <= MAX_WHOLE_VOXELS
    edge = chunk_size or (max(tomogram.shape) if fits else AUTOMATIC_CHUNK_EDGE)
    whole = all(n <= edge for n in tomogram.shape)
    margin = 0 if whole else max(round(overlap * edge / 2), reach)
    before, after = _Moments(), _Moments()
    for chunk in chunks(tomogram.shape, edge, margin):
        data = read_mirrored(tomogram, chunk)
        filtered = curve.apply(data, workers)[chunk.inner_in_chunk]
        before.add(data[chunk.inner_in_chunk])
        after.add(filtered)
        result[chunk.inner] = filtered
    scale = before.deviation / after.deviation if after.deviation > 0 else 1.0
    for slab in slabs(tomogram.shape):
        result[slab] = (result[slab] - after.mean) * np.float32(scale) + np.float32(before.mean)


class _Moments:
    """Mean and standard deviation, accumulated over chunks."""

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
