"""``deconv``: Wiener deconvolution of tomograms by their CTF."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.fourier.grids import irfft3, rfft3
from spisonet.io.atomic import prepare_output_folder
from spisonet.io.tomograms import TomogramFile, open_tomogram, written_tomogram
from spisonet.tomography.blocks import blocks, read_mirrored, slabs
from spisonet.tomography.table import TomogramTable, output_names, require_files

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.tomography.config import DeconvConfig
    from spisonet.tomography.table import TomogramRow

log = logging.getLogger("spisonet")

AMPLITUDE_CONTRAST = 0.07  # of the published filter
SNR_FLOOR = 1e-6
CURVE_POINTS = 2048
WHOLE_VOXELS = 2**28  # a filter and two transforms of so many are a few gigabytes
AUTOMATIC_EDGE = 384
HIGHPASS_RINGING = 2.5  # voxels, times the fraction of Nyquist at which the high-pass ends
DEFAULT_VOLTAGE, DEFAULT_CS = 300.0, 2.7


@dataclass(frozen=True)
class Deconvolution:
    """A Wiener filter for the CTF at one defocus.

    Attributes
    ----------
    voxel_size_angstrom : float
        Voxel size.
    defocus_angstrom : float
        Underfocus.
    voltage_kilovolt, cs_millimetre : float
        Of the microscope.
    snr_falloff, strength : float
        The assumed signal-to-noise ratio is ``exp(-100 f falloff / voxel) 10^strength`` at ``f`` of Nyquist.
    highpass : float
        Fraction of Nyquist up to which low frequencies are attenuated.
    phase_flipped : bool
        Whether the tilt images' phases were flipped.

    References
    ----------
    Tegunov & Cramer (2019) Nat. Methods 16, 1146-1152 (Warp); Liu et al. (2022) Nat. Commun. 13, 6482
    (IsoNet), whose constants these are.
    """

    voxel_size_angstrom: float
    defocus_angstrom: float
    voltage_kilovolt: float = DEFAULT_VOLTAGE
    cs_millimetre: float = DEFAULT_CS
    snr_falloff: float = 1.0
    strength: float = 1.0
    highpass: float = 0.02
    phase_flipped: bool = False

    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return frequencies, as fractions of Nyquist from 0 to 1, and the filter there."""
        f = np.linspace(0, 1, CURVE_POINTS)
        k = f / (2 * self.voxel_size_angstrom)
        contrast = contrast_transfer(k, self.defocus_angstrom, self.voltage_kilovolt, self.cs_millimetre)
        if self.phase_flipped:
            contrast = np.abs(contrast)
        high = 1 - np.cos(np.pi * np.minimum(1, f / self.highpass))
        falloff = np.exp(-100 * f * self.snr_falloff / self.voxel_size_angstrom)
        snr = falloff * 10**self.strength * high + SNR_FLOOR
        return f, contrast / (contrast**2 + 1 / snr)

    def apply(self, volume: NDArray[np.float32], workers: int) -> NDArray[np.float32]:
        """Filter a volume ``(z, y, x)``."""
        z, y = (np.fft.fftfreq(n) * 2 for n in volume.shape[:2])
        x = np.fft.rfftfreq(volume.shape[2]) * 2
        spectrum = rfft3(volume, workers)
        f, values = self.curve()
        plane = y[:, None] ** 2 + x[None] ** 2
        for index, height in enumerate(z):  # plane by plane: a volume of frequencies would double the memory
            distance = np.minimum(1, np.sqrt(plane + height**2))
            spectrum[index] *= np.interp(distance, f, values).astype(np.float32)
        return irfft3(spectrum, volume.shape, workers)


def contrast_transfer(
    k: NDArray[np.float64], defocus_angstrom: float, voltage_kilovolt: float, cs_millimetre: float
) -> NDArray[np.float64]:
    """Phase-contrast transfer of a weak object with 7 % amplitude contrast, positive at low frequency.

    Parameters
    ----------
    k : ndarray
        Spatial frequencies in 1/Å.
    defocus_angstrom : float
        Underfocus.
    voltage_kilovolt, cs_millimetre : float
        Of the microscope.
    """
    volt, cs = 1e3 * voltage_kilovolt, 1e7 * cs_millimetre
    wavelength = 12.2643247 / math.sqrt(volt * (1 + 0.978466e-6 * volt))
    phase = np.pi * (wavelength * defocus_angstrom * k**2 - 0.5 * wavelength**3 * cs * k**4)
    in_phase = math.sqrt(1 - AMPLITUDE_CONTRAST**2) * np.sin(phase)
    return np.asarray(in_phase + AMPLITUDE_CONTRAST * np.cos(phase))


def run_deconv(config: DeconvConfig) -> None:
    """Deconvolve the tomograms of a table, and note the results in it.

    Raises
    ------
    SpisonetError
        If files are missing, a voxel size or defocus is not known, or something cannot be written.
    """
    table = TomogramTable.read(config.star_file)
    rows = table.chosen(config.tomo_idx)
    column = config.input_column
    inputs = require_files(rows, [row.full if column is None else row.path(column) for row in rows])
    outputs = output_names(inputs, config.deconv_folder, ".mrc")
    tasks = []
    for row, path, output in zip(rows, inputs, outputs, strict=True):
        tomogram = open_tomogram(path, row.voxel_size_angstrom)
        tasks.append((row, tomogram, output, _deconvolution(config, row, tomogram)))
    prepare_output_folder(config.deconv_folder)
    for row, tomogram, output, deconvolution in tasks:
        deconvolve(tomogram, output, deconvolution, config.chunk_size, config.overlap_rate, config.ncpu)
        table.set(row, "rlnSnrFalloff", deconvolution.snr_falloff)
        table.set(row, "rlnDeconvStrength", deconvolution.strength)
        table.set(row, "rlnDeconvTomoName", output)
        table.write()  # after each, so that nothing is lost if one fails
        log.info(
            "%s: defocus %.2f µm, falloff %g, strength %g -> %s",
            tomogram.path,
            deconvolution.defocus_angstrom / 1e4,
            deconvolution.snr_falloff,
            deconvolution.strength,
            output,
        )


def _deconvolution(config: DeconvConfig, row: TomogramRow, tomogram: TomogramFile) -> Deconvolution:
    defocus = row.number_of("rlnDefocus")
    if defocus is None or defocus <= 0:
        raise SpisonetError(f"{row.shown} has no rlnDefocus above 0: give it in {config.star_file}, in Å.")

    def chosen(value: float | None, column: str, default: float) -> float:
        if value is not None:
            return value
        found = row.number_of(column)
        return default if found is None else found

    return Deconvolution(
        tomogram.voxel_size_angstrom,
        defocus,
        chosen(config.voltage, "rlnVoltage", DEFAULT_VOLTAGE),
        chosen(config.cs, "rlnSphericalAberration", DEFAULT_CS),
        chosen(config.snrfalloff, "rlnSnrFalloff", 1.0),
        chosen(config.deconvstrength, "rlnDeconvStrength", 1.0),
        config.highpassnyquist,
        config.phaseflipped,
    )


def deconvolve(
    tomogram: TomogramFile,
    output: Path,
    deconvolution: Deconvolution,
    chunk_size: int | None,
    overlap: float,
    workers: int,
) -> None:
    """Deconvolve a tomogram; mean and standard deviation stay the input's.

    Parameters
    ----------
    tomogram : TomogramFile
        Input.
    output : Path
        File to write.
    deconvolution : Deconvolution
        The filter.
    chunk_size : int or None
        Edge of the blocks in voxels; None for the whole tomogram, or blocks of a few hundred voxels if it is
        large.
    overlap : float
        Surroundings on both sides of a block together, as a fraction of its edge; more where the filter
        reaches farther.
    workers : int
        Threads.
    """
    edge = chunk_size or (max(tomogram.shape) if tomogram.n_voxels <= WHOLE_VOXELS else AUTOMATIC_EDGE)
    whole = all(n <= edge for n in tomogram.shape)
    # The filter rings over the wavelength at which its high-pass ends, and some more.
    reach = math.ceil(HIGHPASS_RINGING / deconvolution.highpass)
    margin = 0 if whole else max(round(overlap * edge / 2), reach)
    before, after = _Moments(), _Moments()
    label = f"spisonet deconv: defocus {deconvolution.defocus_angstrom:g} A"
    with written_tomogram(output, tomogram, label) as result:
        for block in blocks(tomogram.shape, edge, margin):
            part = read_mirrored(tomogram, block)
            filtered = deconvolution.apply(part, workers)[block.own]
            before.add(part[block.own])
            after.add(filtered)
            result[block.inner] = filtered
        scale = before.deviation / max(after.deviation, 1e-30)
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
