"""A call of RELION's external reconstruction: the STAR file that RELION passes, and its arrays."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np

from spisonet.errors import SpisonetError
from spisonet.io.mrc_file import UNREADABLE
from spisonet.io.numbers import NumberRange
from spisonet.io.star import StarFile
from spisonet.misalignment.backprojection import BackProjector

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = re.compile(
    r"^(?P<root>.+)_it(?P<iteration>\d{3,})(?:_half(?P<half>[12]))?_(?P<part>(?:class|body)\d{3})"
    r"_external_reconstruct\.star$"
)
MAP_FLOAT_MODE = 2
LARGEST_BOX, LARGEST_PADDING = 10_000, 8
POSSIBLE_SIZE = NumberRange(0, 100_000, above_low=True)  # Å


@dataclass(frozen=True)
class ReconstructCall:
    """Contents of the STAR file of an external reconstruction.

    Attributes
    ----------
    star : Path
        The STAR file; its paths are relative to the project folder, the current folder of the call.
    root : str
        Output root name of the refinement, such as ``Refine3D/job012/run``.
    iteration : int
        Iteration of the refinement.
    half : int or None
        1 or 2; None for classes, and for the last iteration, which joins the halves.
    part : str
        ``class001`` or ``body002``.
    data_real, data_imag, weight : Path
        Accumulators, written by RELION.
    result, result_star : Path
        Map that RELION reads next, and the optional statistics file.
    box, r_max : int
        Edge of the map in voxels; radius in Fourier voxels from which on the accumulators are zero.
    padding, tau2_fudge : float
        See `BackProjector`.
    tau2, fsc : ndarray
        ``(box // 2 + 1,)`` prior signal power and gold-standard FSC (all zero in a classification).
    pixel_size_angstrom, particle_diameter_angstrom : float or None
        Present from RELION 4 on.
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
    r_max: int
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
    def part_number(self) -> int:
        """Number of the class or body, from 1."""
        return int(self.part[-3:])

    @property
    def half_name(self) -> str:
        """``half1``, ``half2`` or an empty string."""
        return "" if self.half is None else f"half{self.half}"

    @property
    def title(self) -> str:
        """Name of the call in messages, such as ``iteration 3 half1 class001``."""
        return " ".join(word for word in (f"iteration {self.iteration}", self.half_name, self.part) if word)

    def iteration_file(self, iteration: int, suffix: str) -> Path:
        """Return the path of a file of another iteration of this refinement."""
        return Path(f"{self.root}_it{iteration:03d}_{suffix}")


def read_call(star: Path) -> ReconstructCall:
    """Read the STAR file of a call.

    Raises
    ------
    SpisonetError
        If it is not such a file, or is not about a 3D map.
    """
    match = NAME.match(str(star))
    if match is None:
        raise SpisonetError(
            f"{star} does not have the name of a STAR file of RELION's external reconstruction "
            "(..._itNNN_half1_class001_external_reconstruct.star)."
        )
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
    except (TypeError, ValueError, OverflowError) as error:
        raise SpisonetError(f"{star} contains an invalid value among its numbers.") from error
    if not (1 < box <= LARGEST_BOX and 0 <= current <= LARGEST_BOX and 1 <= padding <= LARGEST_PADDING):
        raise SpisonetError(
            f"{star} describes an impossible reconstruction: box {box}, current size {current}, padding "
            f"{padding:g}."
        )
    given = np.array([size for size in sizes.values() if size is not None])
    if not 0 < fudge < math.inf or not POSSIBLE_SIZE.contains(given).all():
        raise SpisonetError(f"{star} contains a number among its sizes and factors that is not possible.")
    if dimensionality != 3:
        raise SpisonetError(f"{star} is about a 2D reference; only 3D references are supported.")
    if len(columns) < box // 2 + 1 or not np.isfinite(columns).all():
        raise SpisonetError(
            f"{star} lists {len(columns)} shells; a box of {box} voxels needs {box // 2 + 1} finite rows."
        )
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
        r_max=current // 2,
        padding=padding,
        tau2_fudge=fudge,
        tau2=columns[: box // 2 + 1, 0],
        fsc=columns[: box // 2 + 1, 1],
        **sizes,
    )


def read_back_projector(
    call: ReconstructCall, data_dimensionality: int = 2, minres_map: int = 0
) -> BackProjector:
    """Read and check the arrays of a call.

    Parameters
    ----------
    call : ReconstructCall
        Call whose arrays are read.
    data_dimensionality, minres_map : int
        See `BackProjector`.

    Raises
    ------
    SpisonetError
        If an array is missing, truncated, of another size, or contains values that are not finite.
    """
    padded = round(call.padding * call.box)
    padded += padded % 2
    shape = (padded, padded, padded // 2 + 1)
    real, imag, weight = (_read_array(path, shape) for path in (call.data_real, call.data_imag, call.weight))
    if weight.min() < 0 or weight.max() <= 0:
        raise SpisonetError(f"{call.weight} must contain weights above 0 and none below.")
    return BackProjector(
        (real + 1j * imag).astype(np.complex64),
        weight,
        call.tau2,
        call.box,
        call.padding,
        call.r_max,
        call.tau2_fudge,
        data_dimensionality,
        minres_map,
    )


def _read_array(path: Path, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Read a Fourier array; its header has no voxel size."""
    if not path.is_file():
        raise SpisonetError(f"{path} does not exist.")
    try:
        with mrcfile.open(path, permissive=False) as mrc:
            array = np.array(mrc.data, dtype=np.float32)
    except UNREADABLE as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise SpisonetError(f"{path} is not a readable MRC file: {reason}.") from error
    if array.shape != shape:
        raise SpisonetError(f"{path} has the shape {array.shape}; {shape} is expected.")
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        raise SpisonetError(f"{path} contains {bad} NaN or infinite values.")
    return array
