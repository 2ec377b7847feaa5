"""CTF correction of tomograms before training and prediction, or by the network."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from spisonet.errors import SpisonetError
from spisonet.fourier.ctf import ctf_amplitude, find_defocus, phase_flip, read_microscope
from spisonet.io.atomic import prepare_output_folder
from spisonet.io.tomogram_table import DECONVOLVED
from spisonet.io.tomograms import open_tomogram
from spisonet.tomography.deconvolution import filter_tomogram, read_deconvolution
from spisonet.tomography.inputs import input_column

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.fourier.filters import RadialCurve
    from spisonet.io.tomogram_table import TomogramRow
    from spisonet.io.tomograms import TomogramFile
    from spisonet.tomography.shared_config import TomogramNetworkConfig
    from spisonet.tomography.tomogram import Tomogram
    from spisonet.tomography.training_config import CtfMode, TomogramTrainingConfig

FILTERED_NAME = re.compile(r"\d{5,}_\d_[0-9a-f]{16}\.mrc|\..*\.partial\.mrc")
PHASE_FLIP_MARGIN = 64  # voxels; extent of the ringing of phase flipping


@dataclass(frozen=True)
class CtfCorrection:
    """Method of CTF correction and its parameters; see the options of ``refine``.

    Attributes
    ----------
    mode : str
        ``None``, ``phase_only``, ``wiener`` or ``network``; see ``--CTF_mode``.
    phase_flipped : bool
        Whether the tilt images are already phase flipped.
    keep_low : bool
        Whether amplitudes below the first maximum of the CTF are left unchanged by the network.
    b_factor : float
        B factor that the network corrects, in Å².
    snr_falloff, strength : float or None
        Parameters of the deconvolution; None to take them from the table.
    highpass : float
        Cut-off of the high-pass filter of the deconvolution, as a fraction of Nyquist.
    """

    mode: CtfMode = "None"
    phase_flipped: bool = False
    keep_low: bool = True
    b_factor: float = 0.0
    snr_falloff: float | None = None
    strength: float | None = None
    highpass: float = 0.02

    @classmethod
    def from_config(cls, config: TomogramTrainingConfig) -> CtfCorrection:
        """Return the CTF correction that the options of a training describe."""
        return cls(
            config.CTF_mode,
            config.isCTFflipped or not config.do_phaseflip_input,
            config.clip_first_peak_mode == 1,
            config.bfactor,
            config.snrfalloff,
            config.deconvstrength,
            config.highpassnyquist,
        )

    def input_column(self, row: TomogramRow, config: TomogramNetworkConfig) -> str | None:
        """Return the column of the single input tomogram; None for the full tomogram.

        Deconvolved tomograms are preferred, unless the CTF would be corrected twice.

        Raises
        ------
        SpisonetError
            If deconvolved tomograms are requested together with another CTF correction.
        """
        if config.input_column is None:
            return input_column(row, None, config.use_deconv_tomo and self.mode == "None")
        if config.input_column == DECONVOLVED and self.mode != "None":
            raise SpisonetError(
                f"{DECONVOLVED} lists deconvolved tomograms: correct the CTF either by deconv or by "
                f"--CTF_mode {self.mode}, not by both.",
                field="input_column",
            )
        return config.input_column

    def require_defocus(self, rows: list[TomogramRow]) -> None:
        """Check that the defocus of every tomogram is known, if the mode requires it.

        Raises
        ------
        SpisonetError
            Naming all tomograms without defocus.
        """
        if self.mode == "None":
            return
        without = [row.shown for row in rows if find_defocus(row) is None]
        if without:
            raise SpisonetError(
                f"--CTF_mode {self.mode} requires rlnDefocus above 0 in the table; it is missing for "
                f"{', '.join(without)}.",
                field="CTF_mode",
            )

    def apply(self, tomogram: Tomogram, row: TomogramRow, folder: Path) -> Tomogram:
        """Return a tomogram with filtered volumes in a folder, if the mode requires a filter.

        Volumes that an interrupted run has filtered with the same filter are used again.

        Parameters
        ----------
        tomogram : Tomogram
            Input.
        row : TomogramRow
            Its row in the table, with the defocus.
        folder : Path
            Folder for the filtered volumes; see `remove_filtered`.

        Raises
        ------
        SpisonetError
            If the defocus is missing, or a file cannot be read or written.
        """
        if self.mode == "None":
            return tomogram
        voxel_size = tomogram.voxel_size_angstrom
        curve: RadialCurve | None
        match self.mode:
            case "wiener":
                deconvolution = read_deconvolution(
                    row, voxel_size, self.snr_falloff, self.strength, self.highpass, self.phase_flipped
                )
                curve, margin, amplitude = deconvolution.curve, deconvolution.reach, None
            case "phase_only" | "network":
                microscope = read_microscope(row, voxel_size, self.phase_flipped)
                curve, margin, amplitude = phase_flip(microscope), PHASE_FLIP_MARGIN, None
                if self.mode == "network":
                    amplitude = ctf_amplitude(microscope, self.keep_low, self.b_factor)
            case _:
                assert_never(self.mode)
        if curve is None:
            return replace(tomogram, ctf_amplitude=amplitude)
        prepare_output_folder(folder)
        volumes = []
        for half, volume in enumerate(tomogram.volumes):
            path = folder / f"{row.number:05d}_{half}_{_filter_digest(volume, curve)}.mrc"  # FILTERED_NAME
            if not path.is_file():
                filter_tomogram(volume, path, curve, margin, f"spisonet: {self.mode}")
            volumes.append(open_tomogram(path, voxel_size))
        return replace(tomogram, volumes=tuple(volumes), ctf_amplitude=amplitude)


def _filter_digest(volume: TomogramFile, curve: RadialCurve) -> str:
    """Hash of an input file and a filter."""
    status = volume.path.stat()
    content = (str(volume.path), status.st_size, status.st_mtime_ns, curve.values.tobytes())
    return hashlib.blake2b(repr(content).encode(), digest_size=8).hexdigest()


def remove_filtered(folder: Path) -> None:
    """Remove the volumes that `CtfCorrection.apply` has written, and their folder if it is then empty."""
    for path in folder.glob("*.mrc"):
        if FILTERED_NAME.fullmatch(path.name):
            path.unlink()
    with suppress(OSError):
        folder.rmdir()
