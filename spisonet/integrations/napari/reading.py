"""Layers of maps, tomograms and finished runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet.errors import known_error
from spisonet.io.mrc_file import open_mrc
from spisonet.io.run_record import JOB_FILE
from spisonet.io.tomograms import TomogramFile, open_tomogram
from spisonet.report.inferred import INFERRED_FILE
from spisonet.report.viewer_scripts import BEFORE_FILE
from spisonet.validation.finished_run import FinishedRun

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger("spisonet")

Layer = tuple[Any, dict[str, Any], str]
Reader = Callable[[str | list[str]], list[Layer]]

SUFFIXES = (".mrc", ".map", ".rec", ".mrc.gz", ".mrc.bz2")
UNIT = "angstrom"
CONTRAST_QUANTILES = (0.005, 0.9995)
SAMPLED_VALUES = 1_000_000  # of a large tomogram, for its contrast
BEFORE, AFTER, INFERRED = "before", "after", "inferred fraction"
# Multiplied by the density below it, so that the solvent stays dark.
INFERRED_OPTIONS = {"colormap": "bwr", "contrast_limits": (0.0, 1.0), "blending": "multiplicative"}
EXAMPLE = Path(__file__).parents[3] / "examples" / "hemagglutinin"


def get_reader(path: str | list[str]) -> Reader | None:
    """Return the function that reads a path; None if it is neither a volume nor the folder of a run.

    Parameters
    ----------
    path : str or list of str
        A file, a folder, or several files.
    """
    paths = [Path(name) for name in ([path] if isinstance(path, str) else path)]
    if len(paths) == 1 and paths[0].is_dir():
        return read_run if (paths[0] / JOB_FILE).is_file() else None
    is_volume = [name.name.lower().endswith(SUFFIXES) for name in paths]
    return read_volumes if paths and all(is_volume) else None


def read_volumes(path: str | list[str]) -> list[Layer]:
    """Return an image layer for each volume, with voxel size, unit and position.

    Raises
    ------
    OSError
        With one sentence, if a file cannot be read; napari shows it.
    """
    paths = [path] if isinstance(path, str) else path
    return _readable(lambda: [volume_layer(Path(name), Path(name).name) for name in paths])


def read_run(path: str | list[str]) -> list[Layer]:
    """Return the layers of a finished run: maps before and after with one contrast, and what is inferred.

    Raises
    ------
    OSError
        With one sentence, if the folder is not a finished run.
    """
    folder = Path(path if isinstance(path, str) else path[0])
    return _readable(lambda: run_layers(folder))


def run_layers(folder: Path) -> list[Layer]:
    """Return the layers of a finished reconstruct run; only before and after are visible.

    Raises
    ------
    SpisonetError
        If the folder is not a finished run.
    """
    run = FinishedRun.read(folder)
    config, record = run.config, run.record
    halves = [path for path in (config.i1, config.i2) if path is not None]
    full = (record.get("full_map") or {}).get("corrected")
    corrected = record["corrected_maps"][0] if full is None else full
    before = folder / BEFORE_FILE
    files: list[tuple[Path, str, dict[str, Any]]] = [
        *((path, f"half map {number}", {"visible": False}) for number, path in enumerate(halves, start=1)),
        (before if before.is_file() else halves[0], BEFORE, {}),
        (run.filtered_path(corrected), AFTER, {}),
    ]
    layers = [volume_layer(path, name, **options) for path, name, options in files]
    contrast = next(options["contrast_limits"] for _, options, _ in layers if options["name"] == BEFORE)
    for _, options, _ in layers:
        options["contrast_limits"] = contrast
    overlays: list[tuple[Path | None, str, dict[str, Any]]] = [
        (folder / INFERRED_FILE, INFERRED, INFERRED_OPTIONS),
        (config.mask, "mask", {"colormap": "cyan", "contrast_limits": (0.0, 1.0), "opacity": 0.4}),
        (run.data_weight_path, "data weight (Fourier space)", {"colormap": "viridis"}),
    ]
    for overlay, name, options in overlays:
        if overlay is not None and overlay.is_file():
            layers.append(volume_layer(overlay, name, visible=False, **options))
    for _, options, _ in layers:
        options["metadata"]["spisonet_run"] = str(folder)
    return layers


def volume_layer(path: Path, name: str, **options: Any) -> Layer:
    """Return an image layer of a volume; a tomogram is mapped into memory.

    Parameters
    ----------
    path : Path
        MRC file.
    name : str
        Name of the layer.
    **options
        Further options of the layer, which replace those found here.
    """
    file = open_tomogram(path, remedy="set the voxel size in the header of the file")
    voxel_size = file.voxel_size_angstrom
    data = _voxels(file)
    found = {
        "name": name,
        "scale": (voxel_size,) * 3,
        "units": (UNIT,) * 3,
        "translate": tuple(reversed(file.corner_angstrom)),
        "contrast_limits": contrast_limits(data),
        "colormap": "gray",
        "metadata": {"path": str(path), "voxel_size_angstrom": voxel_size},
    }
    return data, found | options, "image"


def _voxels(file: TomogramFile) -> NDArray[Any]:
    """Return the voxels ``(z, y, x)``: mapped into memory, or read if the file is compressed."""
    header = open_mrc(file.path)
    if header.compression is not None:
        return file.read()
    return np.memmap(file.path, header.dtype, "r", header.data_offset, header.shape)


def contrast_limits(data: NDArray[Any]) -> tuple[float, float]:
    """Return the grey values of black and white: quantiles of the densities, sampled in large volumes."""
    step = max(1, round((data.size / SAMPLED_VALUES) ** (1 / data.ndim)))
    sample = np.asarray(data[(slice(None, None, step),) * data.ndim], dtype=np.float32)
    low, high = (float(value) for value in np.quantile(sample, CONTRAST_QUANTILES))
    return (low, high) if high > low else (low, low + 1.0)


def sample_maps() -> list[Layer]:
    """Return half maps and mask of the demonstration in ``examples``; empty if it is not installed."""
    files = {"half map 1": "half1.mrc", "half map 2": "half2.mrc", "mask": "mask.mrc"}
    if not EXAMPLE.is_dir():
        log.warning("The sample data are in the source of spisonet: examples/hemagglutinin is not installed.")
        return []
    return [volume_layer(EXAMPLE / file, name, visible=name != "mask") for name, file in files.items()]


def _readable(read: Callable[[], Sequence[Layer]]) -> list[Layer]:
    try:
        return list(read())
    except Exception as error:
        known = known_error(error)
        if known is None:
            raise
        raise OSError(str(known)) from error
