"""Tomograms of a copick project as MRC files, and corrected tomograms as a new type of the project."""

from __future__ import annotations

import logging
import shlex
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet import __version__
from spisonet.errors import SpisonetError
from spisonet.io.atomic import prepare_output_folder
from spisonet.io.hosts import COPICK
from spisonet.io.series_names import series_names
from spisonet.io.tomogram_table import TomogramRow, TomogramTable, require_files
from spisonet.io.tomograms import NewHeader, TomogramFile, open_tomogram, written_tomogram
from spisonet.tomography.chunks import slabs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.integrations.config import CopickPullConfig, CopickPushConfig

log = logging.getLogger("spisonet")

FULL_SIZE = "0"  # zarr array of the largest scale
RELATIVE_TOLERANCE = 1e-3  # of the voxel size of a file and that of the project
FOLDERS = {"tomo_type": "full", "even_type": "even", "odd_type": "odd"}  # by option


@dataclass(frozen=True)
class StoredTomogram(TomogramFile):
    """A tomogram of a project, read by regions; `path` names it in messages.

    Attributes
    ----------
    array : zarr.Array
        Its densities ``(z, y, x)``.
    """

    array: Any

    @property
    def header(self) -> NewHeader:
        """The geometry of a new file."""
        return NewHeader()

    def read(self, *region: slice) -> NDArray[np.float32]:
        """Read a region; see `TomogramFile.read`."""
        values = np.asarray(self.array[region], dtype=np.float32)
        if not np.isfinite(values).all():
            raise SpisonetError(f"{self.path} contains NaN or infinite values.")
        return values


def run_pull(config: CopickPullConfig) -> None:
    """Write the tomograms of a project as MRC files, and print the command that lists them.

    Raises
    ------
    SpisonetError
        If the project cannot be read, or a run lacks a tomogram of the types.
    """
    root = open_project(config.project)
    types = {name: getattr(config, name) for name in FOLDERS if getattr(config, name) is not None}
    runs = _chosen_runs(root, config.runs, config.project)
    found = {
        (run.name, option): _stored(config.project, run, kind, config.voxel_size)
        for run in runs
        for option, kind in types.items()
    }
    for (run, option), tomogram in found.items():
        target = config.output_dir / FOLDERS[option] / f"{run}.mrc"
        z, y, x = tomogram.shape
        size = f"{x} x {y} x {z} voxels of {tomogram.voxel_size_angstrom:g} Å"
        log.info("%s, type %s: %s -> %s", run, types[option], size, target)
        if not config.dry_run:
            prepare_output_folder(target.parent)
            _write(tomogram, target)
    if config.dry_run:
        log.info("No tomogram was written (--dry_run).")
        return
    folder, table = str(config.output_dir), str(config.output_dir / "tomograms.star")
    log.info("%s", shlex.join(["isonet.py", "prepare_star", folder, "--output_star", table]))


def run_push(config: CopickPushConfig) -> None:
    """Add the corrected tomograms of a table to a project as a new tomogram type.

    Nothing is written unless every tomogram has a run and a voxel spacing in the project.

    Raises
    ------
    SpisonetError
        If the table lists no corrected tomograms, the project lacks a run or a voxel spacing, or already has
        tomograms of this type there.
    """
    root = open_project(config.project)
    rows = TomogramTable.read(config.star_file).rows
    corrected = require_files(rows, [row.path(config.column) for row in rows])
    targets = [
        (path, _spacing(config, root, row, open_tomogram(path, row.voxel_size_angstrom)))
        for path, row in zip(corrected, rows, strict=True)
    ]
    for path, spacing in targets:
        _add(spacing, config.tomo_type, open_tomogram(path).read())
        log.info("%s -> run %s, type %s", path, spacing.run.name, config.tomo_type)


def open_project(path: Path) -> Any:
    """Open a project by its configuration.

    Raises
    ------
    SpisonetError
        If copick is not installed, or the file is not the configuration of a project that can be read.
    """
    copick = COPICK.require()
    if not path.is_file():
        raise SpisonetError(
            f"{path} does not exist; give the JSON file of the project.", code="file_not_found"
        )
    with _without_warnings():
        try:
            root = copick.from_file(str(path))
            _ = root.runs
        except Exception as error:  # of JSON, the models of copick, its file systems and its portal
            reason = str(error).splitlines()[0].rstrip(".:") if str(error) else type(error).__name__
            raise SpisonetError(f"{path} is not a copick project that can be read: {reason}.") from error
    return root


def _chosen_runs(root: Any, names: str | None, project: Path) -> list[Any]:
    runs = {run.name: run for run in root.runs}
    if not runs:
        raise SpisonetError(f"{project} has no runs.")
    wanted = sorted(runs) if names is None else [name.strip() for name in names.split(",")]
    missing = [name for name in wanted if name not in runs]
    if missing:
        known = _shown(sorted(runs))
        raise SpisonetError(f"{project} has no run {', '.join(missing)}; it has {known}.", field="runs")
    return [runs[name] for name in wanted]


def _stored(project: Path, run: Any, kind: str, voxel_size_angstrom: float | None) -> StoredTomogram:
    """Return the tomogram of a type; several voxel spacings need the option."""
    available = {
        spacing.voxel_size: tomogram
        for spacing in run.voxel_spacings
        for tomogram in spacing.tomograms
        if tomogram.tomo_type == kind
    }
    if voxel_size_angstrom is not None:
        available = {size: t for size, t in available.items() if _is_equal(size, voxel_size_angstrom)}
    if len(available) > 1:
        raise SpisonetError(
            f"{project}, run {run.name}, has type {kind} at {_shown(sorted(available))} Å; choose one with "
            "--voxel_size.",
            field="voxel_size",
        )
    if not available:
        types = sorted({t.tomo_type for spacing in run.voxel_spacings for t in spacing.tomograms})
        at = "" if voxel_size_angstrom is None else f" at {voxel_size_angstrom:g} Å"
        known = f"its types are {_shown(types)}" if types else "it has no tomograms"
        raise SpisonetError(f"{project}, run {run.name}, has no tomogram of type {kind}{at}; {known}.")
    ((size, tomogram),) = available.items()
    zarr = import_module("zarr")  # a requirement of copick
    name = project.with_name(f"{project.name}, run {run.name}, type {kind}")
    try:
        array = zarr.open_group(tomogram.zarr(), mode="r")[FULL_SIZE]
    except Exception as error:  # of zarr and of the file system
        raise SpisonetError(f"{name} cannot be read: {type(error).__name__}.") from error
    if array.ndim != 3 or min(array.shape) < 2:
        raise SpisonetError(f"{name} has the shape {array.shape}, which is not a tomogram.")
    z, y, x = array.shape
    return StoredTomogram(name, (z, y, x), float(size), array)


def _write(tomogram: StoredTomogram, target: Path) -> None:
    with written_tomogram(target, tomogram, f"spisonet {__version__}: from copick") as written:
        for slab in slabs(tomogram.shape):
            written[slab] = tomogram.read(slab)


def _spacing(config: CopickPushConfig, root: Any, row: TomogramRow, tomogram: TomogramFile) -> Any:
    """Return the voxel spacing of a project for a corrected tomogram."""
    runs = {run.name: run for run in root.runs}
    files = [path for path in (row.full, *(row.halves or ()), tomogram.path) if path is not None]
    names = list(dict.fromkeys(name for path in files for name in series_names(path)))
    run = next((runs[name] for name in names if name in runs), None)
    if run is None:
        raise SpisonetError(f"{config.project} has no run named after {row.shown} ({_shown(names)}).")
    size = tomogram.voxel_size_angstrom
    spacing = next((s for s in run.voxel_spacings if _is_equal(s.voxel_size, size)), None)
    if spacing is None:
        known = _shown([s.voxel_size for s in run.voxel_spacings])
        raise SpisonetError(
            f"{config.project}, run {run.name}, has no voxel spacing of {size:g} Å ({known}), but "
            f"{tomogram.path} has; resample it with isonet.py resize."
        )
    if spacing.get_tomograms(config.tomo_type):
        raise SpisonetError(
            f"{config.project}, run {run.name}, already has a tomogram of type {config.tomo_type} at "
            f"{size:g} Å; give another --tomo_type.",
            field="tomo_type",
        )
    return spacing


def _add(spacing: Any, kind: str, data: NDArray[np.float32]) -> None:
    """Add a tomogram; if it cannot be written, nothing of it is left in the project."""
    with _without_warnings():
        added = spacing.new_tomogram(kind)
        try:
            added.from_numpy(data)
        except BaseException:
            added.delete()
            raise


def _is_equal(size: float, other: float) -> bool:
    return abs(size - other) <= RELATIVE_TOLERANCE * other


def _shown(values: list[Any]) -> str:
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep warnings of copick's packages, which are for programmers, out of the log."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
