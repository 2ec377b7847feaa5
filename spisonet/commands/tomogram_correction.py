"""``correct``: deconvolve, mask, train and predict in one run."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spisonet.api.tomogram_output import TOMOGRAM_OUTPUT, remove_old_training
from spisonet.commands.tomogram_filters import run_deconv, run_make_mask
from spisonet.commands.tomogram_training import run_refine
from spisonet.errors import SpisonetError
from spisonet.fourier.ctf import find_defocus
from spisonet.io.atomic import prepare_output_folder
from spisonet.io.run_record import recorded, require_same_run
from spisonet.io.tomogram_table import DECONVOLVED, TomogramTable, results_table
from spisonet.learning.process_group import started_by_torchrun
from spisonet.tomography.as_reconstructed import require_relion5
from spisonet.tomography.filters_config import DeconvConfig, MakeMaskConfig
from spisonet.tomography.resizing import MASK
from spisonet.tomography.training_method import HALVES_METHODS, choose_method

if TYPE_CHECKING:
    from pathlib import Path

    from spisonet.io.tomogram_table import TomogramRow
    from spisonet.tomography.training_config import CorrectConfig

log = logging.getLogger("spisonet")

DECONVOLUTION_FOLDER, MASK_FOLDER = "deconv", "mask"


def run_correct(config: CorrectConfig) -> None:
    """Deconvolve and mask the tomograms of a table, train a network on them, and correct them.

    All results are entered into one table. When a run is resumed, steps are skipped for
    tomograms whose files exist.

    Raises
    ------
    SpisonetError
        If an input or option is unusable, or a step fails.
    """
    if started_by_torchrun():  # every process would deconvolve and mask
        raise SpisonetError(
            "correct cannot be started by torchrun: give the GPUs with --gpuID, or run deconv and make_mask "
            "first, and only refine by torchrun."
        )
    folder = config.output_dir or TOMOGRAM_OUTPUT
    results = config.output_star or results_table(config.star_file, None, folder) or config.star_file
    config = config.model_copy(update={"output_dir": folder, "output_star": results})
    table = TomogramTable.read(config.star_file, results)
    if table.lists_subtomograms:
        raise SpisonetError(
            f"{config.star_file} lists subtomograms; correct needs whole tomograms.", field="star_file"
        )
    if config.as_reconstructed:
        require_relion5(table)
    rows = table.chosen(config.tomo_idx)
    method = choose_method(config, rows)
    if config.resume:
        require_same_run(config, folder)
    prepare_output_folder(folder)
    # A run that ends before the training is resumed without it.
    with recorded(config, folder, remove_old=lambda: remove_old_training(folder)):
        if _deconvolves(config, rows):
            if method in HALVES_METHODS:
                log.info(
                    "Deconvolved tomograms are used for the masks only: training and prediction use even and "
                    "odd tomograms (CTF correction: --CTF_mode %s).",
                    config.CTF_mode,
                )
            if remaining := _remaining(config, rows, DECONVOLVED):
                run_deconv(_deconvolution(config, remaining, folder, results))
        if config.mask and (remaining := _remaining(config, rows, MASK)):
            run_make_mask(_masking(config, remaining, folder, results))
    run_refine(config)


def _deconvolves(config: CorrectConfig, rows: list[TomogramRow]) -> bool:
    if config.deconvolve != "auto":
        return config.deconvolve == "yes"
    if not config.use_deconv_tomo:
        return False
    without = [row.shown for row in rows if find_defocus(row) is None]
    if without:
        log.info("The tomograms are not deconvolved: %s has no defocus.", without[0])
    return not without


def _remaining(config: CorrectConfig, rows: list[TomogramRow], column: str) -> list[TomogramRow]:
    """Return the tomograms whose result in a column does not exist yet, or is older than their data."""

    def is_done(row: TomogramRow) -> bool:
        path = row.path(column)
        if path is None or not path.is_file():
            return False
        data = [source for source in (row.full, *(row.halves or ())) if source is not None]
        changed = max((source.stat().st_mtime_ns for source in data if source.is_file()), default=0)
        return path.stat().st_mtime_ns >= changed

    return [row for row in rows if not (config.resume and is_done(row))]


def _deconvolution(
    config: CorrectConfig, rows: list[TomogramRow], folder: Path, results: Path
) -> DeconvConfig:
    return DeconvConfig.from_options(
        {
            **_shared(config, rows, results),
            "deconv_folder": folder / DECONVOLUTION_FOLDER,
            "phaseflipped": config.isCTFflipped,
            "ncpu": config.ncpus,
        }
        | {name: getattr(config, name) for name in ("snrfalloff", "deconvstrength", "highpassnyquist")}
    )


def _masking(config: CorrectConfig, rows: list[TomogramRow], folder: Path, results: Path) -> MakeMaskConfig:
    return MakeMaskConfig.from_options(
        {**_shared(config, rows, results), "mask_folder": folder / MASK_FOLDER}
        | {
            name: getattr(config, name)
            for name in ("density_percentage", "std_percentage", "z_crop", "use_deconv_tomo")
        }
    )


def _shared(config: CorrectConfig, rows: list[TomogramRow], results: Path) -> dict[str, object]:
    indices = ",".join(row.index for row in rows)
    return {"star_file": config.star_file, "output_star": results, "tomo_idx": indices}
