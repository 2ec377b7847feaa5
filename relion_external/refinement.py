"""A refinement as RELION's own files describe it: mask, pixel size, symmetry, sampling, command, version."""

from __future__ import annotations

import itertools
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.star import StarFile

if TYPE_CHECKING:
    from relion_external.call import ReconstructCall

VERSION = re.compile(r"^#.*version\s+(\d+(?:\.\d+)*)")
COMMAND = re.compile(r"^#\s+(--.*)$")
MINRES_MAP = 5  # RELION's default
KEEP_LOWRES_OPTION = "--keep_lowres"
NO_FILE = ("None", "")
# RELION 4 and 5 (VDAM); RELION 3.1.
GRADIENT_OPTIONS = frozenset({"--grad", "--sgd"})
GRADIENT_LABELS = ("rlnDoGradientRefine", "rlnDoStochasticGradientDescent")
GRADIENT_MESSAGE = (
    "A refinement by gradients (InitialModel; --grad in RELION 4 and 5, --sgd in RELION 3.1) cannot be "
    "corrected: RELION passes the difference between images and reference. Remove --external_reconstruct "
    "from the command."
)


@dataclass(frozen=True)
class Refinement:
    """State of a refinement after the previous iteration.

    Attributes
    ----------
    version : tuple of int
        RELION version, such as ``(3, 1, 3)``.
    command : list of str
        Words of the refine command.
    mask : Path or None
        Solvent mask.
    split_halves : bool
        Whether two random halves are refined independently (gold standard).
    symmetry : str
        Point group.
    healpix_order : int or None
        Order of the orientational sampling.
    pixel_size_angstrom, particle_diameter_angstrom : float or None
        None where RELION's files lack them.
    data_dimensionality : int
        2 for images and stacks of tilt images, 3 for subtomograms that are volumes.
    initial_low_pass_angstrom : float or None
        ``--ini_high``.
    particles : Path or None
        The particles' STAR file of the previous iteration.
    initial_map : Path or None
        The map of iteration 0 that belongs to this half and class: the reference, low-pass filtered.
    reference : Path or None
        The map that was given as ``--ref``, if it still exists.
    tomograms : Path or None
        Tomogram set STAR file of subtomograms, from RELION 4 on.
    minres_map : int
        First shell with a prior; see `minres_map_of`.
    n_iterations : int or None
        Iteration after which RELION stops (``--iter``); without meaning where halves are refined.
    """

    version: tuple[int, ...]
    command: list[str]
    mask: Path | None
    split_halves: bool
    symmetry: str
    healpix_order: int | None
    pixel_size_angstrom: float | None
    particle_diameter_angstrom: float | None
    data_dimensionality: int
    initial_low_pass_angstrom: float | None
    particles: Path | None
    initial_map: Path | None
    reference: Path | None
    tomograms: Path | None
    minres_map: int
    n_iterations: int | None

    @property
    def grids(self) -> bool:
        """Whether RELION's internal reconstruction iterates the gridding weights.

        RELION 3.1 does so unless ``--skip_gridding`` is given, RELION 4 and 5 only with
        ``--dont_skip_gridding``.
        """
        if self.version and self.version[0] < 4:
            return "--skip_gridding" not in self.command
        return "--dont_skip_gridding" in self.command

    @property
    def is_of_subtomograms(self) -> bool:
        """Whether the particles are volumes, or stacks of tilt images."""
        return self.data_dimensionality == 3 or self.tomograms is not None

    @property
    def is_classification(self) -> bool:
        """Whether the particles are not split into halves (Class3D), so that there is no FSC."""
        return not self.split_halves

    def has(self, option: str) -> bool:
        """Whether the refine command contains an option."""
        return option in self.command


def read_refinement(call: ReconstructCall) -> Refinement:
    """Read the files that RELION wrote for the previous iteration of a call's refinement.

    Raises
    ------
    SpisonetError
        If there is no optimiser file of the previous iteration.
    """
    optimiser_path = _previous(call, "optimiser.star")
    if optimiser_path is None:
        raise SpisonetError(f"{call.folder} contains no optimiser file of iteration {call.iteration - 1}.")
    version, command = read_header(optimiser_path)
    optimiser = StarFile(optimiser_path)
    models = ("half1_model.star", "half2_model.star", "model.star")
    model_path = next((p for name in models if (p := _previous(call, name)) is not None), None)
    sampling_path, particles = _previous(call, "sampling.star"), _previous(call, "data.star")
    sampling = None if sampling_path is None else StarFile(sampling_path)
    pixel_size, model_dimensionality, order = call.pixel_size_angstrom, None, None
    if model_path is not None:
        model = StarFile(model_path)
        pixel_size = pixel_size or _number(model, "rlnPixelSize")
        model_dimensionality = _number(model, "rlnDataDimensionality")
    if sampling is not None:
        order = _number(sampling, "rlnHealpixOrder")
    dimensionality = int(model_dimensionality) if model_dimensionality else find_data_dimensionality(call)
    ini_high, reference = (
        option_value(command, name) or _initial_option(call, name) for name in ("--ini_high", "--ref")
    )
    return Refinement(
        version=version or ((4,) if call.pixel_size_angstrom is not None else (3, 1)),
        command=command,
        mask=_file(optimiser, "rlnSolventMaskName"),
        split_halves=bool(int(optimiser.value("rlnDoSplitRandomHalves", 0))),
        symmetry=str(sampling.value("rlnSymmetryGroup", "C1")) if sampling else "C1",
        healpix_order=None if order is None else int(order),
        pixel_size_angstrom=pixel_size,
        particle_diameter_angstrom=call.particle_diameter_angstrom
        or _number(optimiser, "rlnParticleDiameter"),
        data_dimensionality=dimensionality,
        initial_low_pass_angstrom=_positive(ini_high),
        particles=particles,
        initial_map=_initial_map(call),
        reference=None if reference is None or not Path(reference).is_file() else Path(reference),
        tomograms=_file(optimiser, "rlnTomoTomogramsFile"),
        minres_map=minres_map_of(command),
        n_iterations=None if (n := _number(optimiser, "rlnNumberOfIterations")) is None else int(n),
    )


def require_no_gradients(call: ReconstructCall) -> None:
    """Refuse refinements by gradients, whose accumulators hold images minus reference.

    RELION replaces the reference by what it is given, which would be nearly zero.

    Raises
    ------
    SpisonetError
        If the newest optimiser file of the refinement says so (code ``gradient_refinement``).
    """
    paths = list(call.folder.glob(f"{Path(call.root).name}_it*_optimiser.star"))
    newest = max(paths, key=lambda path: path.stat().st_mtime, default=None)
    if newest is None:
        return
    optimiser = StarFile(newest)
    is_set = any(bool(_number(optimiser, label)) for label in GRADIENT_LABELS)
    if is_set or not GRADIENT_OPTIONS.isdisjoint(read_header(newest)[1]):
        raise SpisonetError(GRADIENT_MESSAGE, code="gradient_refinement")


def find_data_dimensionality(call: ReconstructCall) -> int:
    """Return whether a refinement's particles are images (2) or volumes (3), from its model or data files.

    2 if neither contains the label.
    """
    for path in sorted(call.folder.glob("*_model.star")):
        if found := _number(StarFile(path), "rlnDataDimensionality"):
            return int(found)
    for path in sorted(call.folder.glob("*_data.star")):
        optics = StarFile(path).tables.get("optics")
        if optics is not None and "rlnImageDimensionality" in optics:
            return int(optics["rlnImageDimensionality"].iloc[0])
    return 2


def minres_map_of(command: list[str]) -> int:
    """Return the first shell in which RELION's internal reconstruction has a prior (``--minres_map``)."""
    given = option_value(command, "--minres_map") or ""
    return int(given) if given.isdigit() else MINRES_MAP


def read_header(path: Path) -> tuple[tuple[int, ...], list[str]]:
    """Return RELION version and refine command (words) from the comments of an optimiser file."""
    version: tuple[int, ...] = ()
    command: list[str] = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if not line.startswith("#") and line.strip():
                break
            if (found := VERSION.match(line)) and "optimiser" in line:
                version = tuple(int(part) for part in found[1].split("."))
            elif found := COMMAND.match(line):
                command = split_words(found[1])
    return version, command


def split_words(line: str) -> list[str]:
    """Split a command into words as a shell does, or at spaces if a quotation mark has no partner."""
    try:
        return shlex.split(line)
    except ValueError:  # an unpaired quotation mark
        return line.split()


def option_value(command: list[str], name: str) -> str | None:
    """Return the value of an option."""
    for word, following in itertools.pairwise(command):
        if word == name:
            return following
    return None


def _initial_option(call: ReconstructCall, name: str) -> str | None:
    """Return the value of an option in the command that started the refinement, before any continuation."""
    path = _newest_of_iteration(call, 0, "optimiser.star")
    return None if path is None else option_value(read_header(path)[1], name)


def _previous(call: ReconstructCall, suffix: str) -> Path | None:
    """Find a file of the previous iteration; that of a continued run may have another root name."""
    path = call.iteration_file(call.iteration - 1, suffix)
    return path if path.is_file() else _newest_of_iteration(call, call.iteration - 1, suffix)


def _newest_of_iteration(call: ReconstructCall, iteration: int, suffix: str) -> Path | None:
    found = list(call.folder.glob(f"*_it{iteration:03d}_{suffix}"))
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _initial_map(call: ReconstructCall) -> Path | None:
    name = f"{call.half_name}_{call.part}.mrc" if call.half else f"{call.part}.mrc"
    path = call.iteration_file(0, name)
    return path if path.is_file() else _newest_of_iteration(call, 0, name)


def _positive(text: str | None) -> float | None:
    """Read an option that RELION ignores unless it is above 0."""
    value = 0.0 if text is None else float(text)
    return value if value > 0 else None


def _file(star: StarFile, label: str) -> Path | None:
    name = str(star.value(label, "None")).strip('"')
    return None if name in NO_FILE else Path(name)


def _number(star: StarFile, label: str) -> float | None:
    value = star.value(label)
    return None if value is None else float(value)
