"""What is done about the CTF of tomograms before and while a network learns from them."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from spisonet.errors import SpisonetError
from spisonet.fourier.ctf import attenuation, find_defocus, phase_flip, read_microscope
from spisonet.io.atomic import prepare_output_folder
from spisonet.io.tomograms import open_tomogram
from spisonet.tomography.deconvolution import filter_tomogram, read_deconvolution
from spisonet.tomography.tomogram import DECONVOLVED, input_column

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.fourier.filters import RadialCurve
    from spisonet.io.tomogram_table import TomogramRow
    from spisonet.tomography.shared_config import TomogramNetworkConfig
    from spisonet.tomography.tomogram import Tomogram

OWN_NAME = re.compile(r"\d{5,}_\d_[0-9a-f]{16}\.mrc|\..*\.partial\.mrc")
FLIP_REACH = 64  # voxels over which the flipping of phases rings


@dataclass(frozen=True)
class CtfCorrection:
    """What is done about the CTF; see the options of ``refine`` of the same names.

    Attributes
    ----------
    mode : str
        ``None``, ``phase_only``, ``wiener`` or ``network``.
    phase_flipped : bool
        Whether the tilt images' phases were flipped already.
    keep_low : bool
        Whether frequencies below the first maximum count as not attenuated.
    b_factor : float
        In Å².
    snr_falloff, strength : float or None
        Of the deconvolution; None for the table's.
    highpass : float
        Of the deconvolution.
    """

    mode: Literal["None", "phase_only", "wiener", "network"] = "None"
    phase_flipped: bool = False
    keep_low: bool = True
    b_factor: float = 0.0
    snr_falloff: float | None = None
    strength: float | None = None
    highpass: float = 0.02

    def column_of(self, row: TomogramRow, config: TomogramNetworkConfig) -> str | None:
        """Column of the file that is used where no halves are; None for the one the table is about.

        Deconvolved tomograms are preferred, but not to be corrected a second time.

        Raises
        ------
        SpisonetError
            If the deconvolved ones are asked for, and would be corrected again.
        """
        if config.input_column is None:
            return input_column(row, None, config.use_deconv_tomo and self.mode == "None")
        if config.input_column == DECONVOLVED and self.mode != "None":
            raise SpisonetError(
                f"{DECONVOLVED} holds deconvolved tomograms: correct the CTF by deconv or by --CTF_mode "
                f"{self.mode}, not by both."
            )
        return config.input_column

    def check(self, rows: list[TomogramRow]) -> None:
        """Check that every tomogram has what the mode needs.

        Raises
        ------
        SpisonetError
            Naming all that have no defocus.
        """
        if self.mode == "None":
            return
        without = [row.shown for row in rows if find_defocus(row) is None]
        if without:
            raise SpisonetError(
                f"--CTF_mode {self.mode} needs rlnDefocus above 0 in the table; it is missing for "
                f"{', '.join(without)}."
            )

    def prepare(self, tomogram: Tomogram, row: TomogramRow, folder: Path) -> Tomogram:
        """Filter a tomogram's volumes into a folder, where the mode demands it.

        Files that are there already are those of an interrupted run, and kept.

        Raises
        ------
        SpisonetError
            If there is no defocus, or a file cannot be read or written.
        """
        if self.mode == "None":
            return tomogram
        voxel_size = tomogram.volumes[0].voxel_size_angstrom
        curve: RadialCurve | None
        if self.mode == "wiener":
            deconvolution = read_deconvolution(
                row, voxel_size, self.snr_falloff, self.strength, self.highpass, self.phase_flipped
            )
            curve, reach, transfer = deconvolution.curve, deconvolution.reach, None
        else:
            microscope = read_microscope(row, voxel_size, self.phase_flipped)
            curve, reach = phase_flip(microscope), FLIP_REACH
            transfer = (
                attenuation(microscope, self.keep_low, self.b_factor) if self.mode == "network" else None
            )
        if curve is None:
            return replace(tomogram, transfer=transfer)
        prepare_output_folder(folder)
        volumes = []
        for number, volume in enumerate(tomogram.volumes):
            facts = volume.path.stat()
            told = (str(volume.path), facts.st_size, facts.st_mtime_ns, curve.values.tobytes())
            digest = hashlib.blake2b(repr(told).encode(), digest_size=8).hexdigest()
            path = folder / f"{row.number:05d}_{number}_{digest}.mrc"  # see OWN_NAME
            if not path.is_file():
                filter_tomogram(volume, path, curve, reach, f"spisonet: {self.mode}")
            volumes.append(open_tomogram(path, voxel_size))
        return replace(tomogram, volumes=tuple(volumes), transfer=transfer)


def remove_filtered(folder: Path) -> None:
    """Remove the volumes that `CtfCorrection.prepare` wrote, and their folder if nothing else is in it."""
    for path in folder.glob("*.mrc"):
        if OWN_NAME.fullmatch(path.name):
            path.unlink()
    with suppress(OSError):
        folder.rmdir()
