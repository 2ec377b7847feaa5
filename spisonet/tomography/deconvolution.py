"""``deconv``: Wiener deconvolution of tomograms by their CTF."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.fourier.filters import RadialCurve
from spisonet.io.atomic import prepare_output_folder
from spisonet.io.tomogram_table import TomogramTable, output_names, require_files
from spisonet.io.tomograms import open_tomogram, written_tomogram
from spisonet.tomography.blocks import blocks, read_mirrored, slabs
from spisonet.tomography.contrast import Microscope, read_microscope

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.io.tomogram_table import TomogramRow
    from spisonet.io.tomograms import TomogramFile
    from spisonet.tomography.config import DeconvConfig

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
        contrast = self.microscope.transfer
        f = np.linspace(0, 1, len(contrast))
        high = 1 - np.cos(np.pi * np.minimum(1, f / self.highpass))
        falloff = np.exp(-100 * f * self.snr_falloff / self.microscope.voxel_size_angstrom)
        snr = falloff * 10**self.strength * high + SNR_FLOOR
        return RadialCurve(contrast / (contrast**2 + 1 / snr))

    @property
    def reach(self) -> int:
        """How far it rings, in voxels: over the wavelength at which its high-pass ends, and some more."""
        return math.ceil(HIGHPASS_RINGING / self.highpass)


def run_deconv(config: DeconvConfig) -> None:
    """Deconvolve the tomograms of a table, and note the results in it.

    Raises
    ------
    SpisonetError
        If files are missing, a voxel size or defocus is not known, or something cannot be written.
    """
    table = TomogramTable.read(config.star_file, config.output_star)
    rows = table.chosen(config.tomo_idx)
    column = config.input_column
    named = [row.full if column is None else row.path(column) for row in table.rows]
    inputs = require_files(rows, [named[row.number] for row in rows])
    names = output_names(named, config.deconv_folder, ".mrc")
    outputs = [names[row.number] for row in rows]
    tasks = []
    for row, path, output in zip(rows, inputs, outputs, strict=True):
        tomogram = open_tomogram(path, row.voxel_size_angstrom)
        deconvolution = read_deconvolution(
            row,
            tomogram.voxel_size_angstrom,
            config.snrfalloff,
            config.deconvstrength,
            config.highpassnyquist,
            config.phaseflipped,
            voltage_kilovolt=config.voltage,
            cs_millimetre=config.cs,
        )
        tasks.append((row, tomogram, output, deconvolution))
    prepare_output_folder(config.deconv_folder)
    for row, tomogram, output, deconvolution in tasks:
        defocus = deconvolution.microscope.defocus_angstrom
        filter_tomogram(
            tomogram,
            output,
            deconvolution.curve,
            deconvolution.reach,
            f"spisonet deconv: defocus {defocus:g} A",
            config.chunk_size,
            config.overlap_rate,
            config.ncpu,
        )
        # After each, so that nothing is lost if one fails.
        found = {
            "rlnSnrFalloff": deconvolution.snr_falloff,
            "rlnDeconvStrength": deconvolution.strength,
            "rlnDeconvTomoName": output,
        }
        table.note(row, found)
        log.info(
            "%s: defocus %.2f µm, falloff %g, strength %g -> %s",
            tomogram.path,
            defocus / 1e4,
            deconvolution.snr_falloff,
            deconvolution.strength,
            output,
        )


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
        Surroundings on both sides of a block together, as a fraction of its edge; at least `reach`.
    workers : int
        Threads.
    """
    edge = chunk_size or (max(tomogram.shape) if tomogram.n_voxels <= WHOLE_VOXELS else AUTOMATIC_EDGE)
    whole = all(n <= edge for n in tomogram.shape)
    margin = 0 if whole else max(round(overlap * edge / 2), reach)
    before, after = _Moments(), _Moments()
    with written_tomogram(output, tomogram, label) as result:
        for block in blocks(tomogram.shape, edge, margin):
            part = read_mirrored(tomogram, block)
            filtered = curve.apply(part, workers)[block.own]
            before.add(part[block.own])
            after.add(filtered)
            result[block.inner] = filtered
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
