"""One call of RELION's external-reconstruct contract: the STAR file that it passes, and its arrays."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np

from spisonet.errors import SpisonetError
from spisonet.io.mrc import UNREADABLE
from spisonet.io.star import StarFile
from spisonet.misalignment.backprojection import BackProjector

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = re.compile(
    r"^(?P<root>.+)_it(?P<iteration>\d{3,})(?:_half(?P<half>[12]))?_(?P<part>(?:class|body)\d{3})"
    r"_external_reconstruct\.star$"
)
MAP_FLOAT_MODE = 2


@dataclass(frozen=True)
class ReconstructCall:
    """What RELION asks to be reconstructed.

    Attributes
    ----------
    star : Path
        The file that RELION passes; all its paths are relative to the project folder, in which it calls.
    root : str
        Output root name of the refinement, such as ``Refine3D/job012/run``.
    iteration : int
        Of the refinement.
    half : int or None
        1 or 2; None for classes, and for the last iteration that joins the halves.
    part : str
        ``class001`` or ``body002``.
    data_real, data_imag, weight : Path
        Arrays that RELION wrote.
    result, result_star : Path
        Map that RELION reads next, and statistics that it would read too.
    box, last_shell : int
        Edge of the map in voxels; shell at which the sums end.
    padding, tau2_fudge : float
        See `BackProjector`.
    tau2, fsc : ndarray
        ``(box // 2 + 1,)`` prior power and gold-standard FSC (zero where RELION has none).
    pixel_size_angstrom, particle_diameter_angstrom : float or None
        Known here from RELION 4 on.
    """

    star: Path
    root: str
    iteration: int
    half: int | None
    part: str
    data_real: Path
    data_imag: Path
    weight: Path
    result: Path
    result_star: Path
    box: int
    last_shell: int
    padding: float
    tau2_fudge: float
    tau2: NDArray[np.float64]
    fsc: NDArray[np.float64]
    pixel_size_angstrom: float | None
    particle_diameter_angstrom: float | None

    @property
    def folder(self) -> Path:
        """Job folder."""
        return self.star.parent

    @property
    def half_name(self) -> str:
        """``half1``, ``half2``, or nothing."""
        return "" if self.half is None else f"half{self.half}"

    @property
    def title(self) -> str:
        """What to call it in messages."""
        return " ".join(word for word in (f"iteration {self.iteration}", self.half_name, self.part) if word)

    def named(self, iteration: int, what: str) -> Path:
        """Path of a file of another iteration of this refinement."""
        return Path(f"{self.root}_it{iteration:03d}_{what}")


def read_call(star: Path) -> ReconstructCall:
    """Read the STAR file of a call.

    Raises
    ------
    SpisonetError
        If it is not such a file, or asks for something other than a 3D map.
    """
    match = NAME.match(str(star))
    if match is None:
        raise SpisonetError(f"{star} is not named as RELION names the files of an external reconstruction.")
    content = StarFile(star)
    general = content.values.get("external_reconstruct_general", {})
    table = content.tables.get("external_reconstruct_tau2")
    labels = ("rlnSpectralIndex", "rlnReferenceTau2", "rlnGoldStandardFsc")
    if not general or table is None or not {*labels} <= {*table.columns}:
        raise SpisonetError(f"{star} is not a STAR file of RELION's external reconstruction.")
    try:
        box, current = (int(content.require(f"rln{name}ImageSize")) for name in ("Original", "Current"))
        dimensionality = int(content.require("rlnReferenceDimensionality"))
        padding, fudge = (float(content.require(f"rln{name}Factor")) for name in ("Padding", "Tau2Fudge"))
        columns = table.sort_values(labels[0])[list(labels[1:])].to_numpy(dtype=np.float64)
        sizes = {
            name: None if (value := content.value(label)) is None else float(value)
            for name, label in (
                ("pixel_size_angstrom", "rlnPixelSize"),
                ("particle_diameter_angstrom", "rlnParticleDiameter"),
            )
        }
    except (TypeError, ValueError) as error:
        raise SpisonetError(f"{star} holds something other than numbers where RELION writes them.") from error
    if dimensionality != 3:
        raise SpisonetError(f"{star} asks for a 2D reconstruction; only 3D references are supported.")
    if len(columns) < box // 2 + 1 or not np.isfinite(columns).all():
        raise SpisonetError(f"{star} lists {len(columns)} shells where a box of {box} has {box // 2 + 1}.")
    names = ("DataReal", "DataImag", "Weight", "Result", "ResultStarfile")
    real, imag, weight, result, result_star = (
        Path(str(content.require(f"rlnExtRecons{name}"))) for name in names
    )
    return ReconstructCall(
        star=star,
        root=match["root"],
        iteration=int(match["iteration"]),
        half=None if match["half"] is None else int(match["half"]),
        part=match["part"],
        data_real=real,
        data_imag=imag,
        weight=weight,
        result=result,
        result_star=result_star,
        box=box,
        last_shell=current // 2,
        padding=padding,
        tau2_fudge=fudge,
        tau2=columns[: box // 2 + 1, 0],
        fsc=columns[: box // 2 + 1, 1],
        **sizes,
    )


def read_back_projector(
    call: ReconstructCall, data_dimensionality: int = 2, prior_from_shell: int = 0
) -> BackProjector:
    """Read and check the arrays of a call.

    Parameters
    ----------
    call : ReconstructCall
        It does not tell whether the particles were images or volumes.
    data_dimensionality, prior_from_shell : int
        See `BackProjector`.

    Raises
    ------
    SpisonetError
        If an array is missing, truncated, of another size, or holds values that are not finite.
    """
    padded = round(call.padding * call.box)
    padded += padded % 2
    shape = (padded, padded, padded // 2 + 1)
    real, imag, weight = (_read_array(path, shape) for path in (call.data_real, call.data_imag, call.weight))
    if weight.min() < 0 or weight.max() <= 0:
        raise SpisonetError(f"{call.weight} holds no positive weight, or a negative one.")
    return BackProjector(
        (real + 1j * imag).astype(np.complex64),
        weight,
        call.tau2,
        call.box,
        call.padding,
        call.last_shell,
        call.tau2_fudge,
        data_dimensionality,
        prior_from_shell,
    )


def _read_array(path: Path, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Read a Fourier array, which has no voxel size and is no map."""
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist.")
    try:
        with mrcfile.open(path, permissive=False) as mrc:
            array = np.array(mrc.data, dtype=np.float32)
    except UNREADABLE as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise SpisonetError(f"{path} is not a readable MRC file: {reason}.") from error
    if array.shape != shape:
        raise SpisonetError(f"{path} has a shape of {array.shape} where {shape} is needed.")
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        raise SpisonetError(f"{path} holds {bad} NaN or infinite values.")
    return array
