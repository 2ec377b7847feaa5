"""Commands that filter, mask and resample tomograms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.atomic import prepare_output_file, prepare_output_folder
from spisonet.io.imod import read_contours
from spisonet.io.tomogram_table import TomogramTable, output_names, require_files
from spisonet.io.tomograms import open_tomogram
from spisonet.tomography.deconvolution import filter_tomogram, log, read_deconvolution
from spisonet.tomography.masking import (
    BINNING,
    MaskOptions,
    _binned,
    _input,
    _percentage,
    _steepest_tilt,
    _write,
    inside_contours,
    specimen_mask,
)
from spisonet.tomography.resizing import DENSITIES, IN_VOXELS, MASK, _file, resize_tomogram

if TYPE_CHECKING:
    from spisonet.tomography.filters_config import DeconvConfig, MakeMaskConfig, ResizeConfig


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


def run_make_mask(config: MakeMaskConfig) -> None:
    """Mask the tomograms of a table, and note the masks in it.

    Raises
    ------
    SpisonetError
        If files are missing, a mask turns out empty, or something cannot be written.
    """
    table = TomogramTable.read(config.star_file, config.output_star)
    rows = table.chosen(config.tomo_idx)
    named = [_input(config, row) for row in table.rows]
    inputs = require_files(rows, [named[row.number] for row in rows])
    names = output_names(named, config.mask_folder, "_mask.mrc")
    outputs = [names[row.number] for row in rows]
    boundaries = [config.mask_boundary or row.path("rlnMaskBoundary") for row in rows]
    contours = {path: read_contours(path) for path in boundaries if path is not None}
    prepare_output_folder(config.mask_folder)
    for row, path, output, boundary in zip(rows, inputs, outputs, boundaries, strict=True):
        options = MaskOptions(
            config.patch_size,
            _percentage(config.density_percentage, row, "rlnMaskDensityPercentage"),
            _percentage(config.std_percentage, row, "rlnMaskStdPercentage"),
            config.z_crop or 0.0,
            config.gold_sigma,
            _steepest_tilt(row) if config.tilt_edges else None,
        )
        tomogram = open_tomogram(path, row.voxel_size_angstrom)
        mask = specimen_mask(_binned(tomogram), options)
        if boundary is not None:
            for z, area in enumerate(inside_contours(contours[boundary], mask.shape, BINNING)):
                mask[z] &= area
        if not mask.any():
            raise SpisonetError(
                f"The mask of {path} is empty: give larger percentages or a smaller --z_crop, "
                "or check its boundary."
            )
        _write(output, tomogram, mask)
        found = {
            "rlnMaskDensityPercentage": options.density_percentage,
            "rlnMaskStdPercentage": options.std_percentage,
            "rlnMaskName": output,
        }
        table.note(row, found)
        log.info("%s: %.0f %% of the tomogram -> %s", path, 100 * mask.mean(), output)


def run_resize(config: ResizeConfig) -> None:
    """Write all tomograms and masks of a table at another voxel size, and a table of them.

    Raises
    ------
    SpisonetError
        If files are missing or damaged, or something cannot be written.
    """
    table = TomogramTable.read(config.star_file)
    rows = table.rows
    target = config.out_folder.parent / f"{config.out_folder.name}.star"
    prepare_output_file(target, config.star_file)
    tasks = []
    for column in (*DENSITIES, MASK):
        # IsoNet2 and RELION 5 mean different things by rlnTomoName.
        listed = [(row, path) for row in rows if (path := _file(row.path(column))) is not None]
        outputs = output_names([path for _, path in listed], config.out_folder / column, ".mrc")
        tasks += [(row, column, path, output) for (row, path), output in zip(listed, outputs, strict=True)]
    if not tasks:
        raise SpisonetError(f"{config.star_file} names no tomograms.")
    missing = [str(path) for _, _, path, _ in tasks if not path.is_file()]
    if missing:
        raise SpisonetError(f"Missing: {', '.join(missing)}.")
    opened = [open_tomogram(path, row.voxel_size_angstrom) for row, _, path, _ in tasks]
    for (row, column, _, output), tomogram in zip(tasks, opened, strict=True):
        prepare_output_folder(output.parent)
        resize_tomogram(tomogram, output, config.apix, is_mask=column == MASK)
        table.set(row, column, output)
        log.info("%s: %.3f -> %.3f Å, %s", tomogram.path, tomogram.voxel_size_angstrom, config.apix, output)
    for row in rows:
        table.set(row, "rlnPixelSize", f"{config.apix:g}")
        for column in IN_VOXELS:
            if row.path(column) is not None:
                table.set(row, column, "None")
                log.warning("%s: its %s is in the old voxels and was left out.", row.shown, column)
    table.write_to(target)
    log.info("Wrote %s", target)
