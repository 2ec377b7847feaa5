"""``deconv``, ``make_mask`` and ``resize``: deconvolve, mask and resample tomograms."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.fourier.grids import centred_from_half
from spisonet.fourier.wedges import measured_rfft
from spisonet.io.atomic import prepare_output_file, prepare_output_folder
from spisonet.io.imod import read_contours_on
from spisonet.io.mrc import Volume, write_volume
from spisonet.io.processors import limited_threads
from spisonet.io.tilt_angles import DEFAULT_TILT_RANGE, read_tilt_range
from spisonet.io.tomogram_table import DECONVOLVED, TomogramTable, output_names, results_table
from spisonet.io.tomograms import open_tomogram
from spisonet.tomography.boundary import inside_contours
from spisonet.tomography.deconvolution import filter_tomogram, read_deconvolution
from spisonet.tomography.filter_inputs import open_filter_inputs, tomogram_sources
from spisonet.tomography.masking import (
    BINNING,
    DENSITY_COLUMN,
    VARIANCE_COLUMN,
    bin_tomogram,
    mask_options,
    masking_sources,
    specimen_mask,
    write_mask,
)
from spisonet.tomography.resizing import (
    DENSITIES,
    MASK,
    VOXEL_COORDINATES,
    listed_tomogram,
    resize_tomogram,
)

if TYPE_CHECKING:
    from spisonet.tomography.filters_config import DeconvConfig, MakeMaskConfig, PsfConfig, ResizeConfig

log = logging.getLogger("spisonet")


def run_deconv(config: DeconvConfig) -> None:
    """Deconvolve the tomograms of a table, and enter the results into the table.

    Raises
    ------
    SpisonetError
        If a file, a voxel size or a defocus is missing, or an output cannot be written.
    """
    table = TomogramTable.read(
        config.star_file, results_table(config.star_file, config.output_star, config.deconv_folder)
    )
    rows = table.chosen(config.tomo_idx)
    sources = [tomogram_sources(row, config.input_column) for row in table.rows]
    tasks = []
    for item in open_filter_inputs(rows, sources, config.deconv_folder, ".mrc"):
        row, tomogram = item.row, item.tomogram
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
        tasks.append((row, tomogram, item.output, deconvolution))
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
            limited_threads(config.ncpu),
        )
        values = {
            "rlnSnrFalloff": deconvolution.snr_falloff,
            "rlnDeconvStrength": deconvolution.strength,
            DECONVOLVED: output,
        }
        table.note(row, values)  # after each tomogram, in case a later one fails
        log.info(
            "%s: defocus %.2f µm, SNR falloff %g, strength %g -> %s",
            tomogram.path,
            defocus / 1e4,
            deconvolution.snr_falloff,
            deconvolution.strength,
            output,
        )
    table.flush()


def run_make_mask(config: MakeMaskConfig) -> None:
    """Mask the specimen in the tomograms of a table, and enter the masks into the table.

    Raises
    ------
    SpisonetError
        If a file is missing, a mask is empty, or an output cannot be written.
    """
    table = TomogramTable.read(
        config.star_file, results_table(config.star_file, config.output_star, config.mask_folder)
    )
    rows = table.chosen(config.tomo_idx)
    sources = [masking_sources(config, row) for row in table.rows]
    inputs = open_filter_inputs(rows, sources, config.mask_folder, "_mask.mrc")
    boundaries = [config.mask_boundary or row.path("rlnMaskBoundary") for row in rows]
    contours = [
        None if path is None else read_contours_on(path, item.tomogram.shape, str(item.tomogram.path))
        for item, path in zip(inputs, boundaries, strict=True)
    ]
    prepare_output_folder(config.mask_folder)
    for item, boundary in zip(inputs, contours, strict=True):
        row, tomogram, options = item.row, item.tomogram, mask_options(config, item.row)
        mask = specimen_mask(bin_tomogram(tomogram), options)
        if boundary is not None:
            for z, area in enumerate(inside_contours(boundary, mask.shape, BINNING)):
                mask[z] &= area
        if not mask.any():
            raise SpisonetError(
                f"The mask of {tomogram.path} is empty: give larger percentages or a smaller --z_crop, "
                "or check the boundary."
            )
        write_mask(item.output, tomogram, mask)
        values = {
            DENSITY_COLUMN: options.density_percentage,
            VARIANCE_COLUMN: options.std_percentage,
            MASK: item.output,
        }
        table.note(row, values)
        percent = 100 * mask.mean()
        log.info("%s: the mask covers %.0f %% of the tomogram -> %s", tomogram.path, percent, item.output)
    table.flush()


def run_psf(config: PsfConfig) -> None:
    """Write which Fourier coefficients a tilt series measures.

    Raises
    ------
    SpisonetError
        If the tilt file is invalid, or the output cannot be written.
    """
    tilts = DEFAULT_TILT_RANGE if config.tilt_file is None else read_tilt_range(config.tilt_file)
    prepare_output_file(config.output, config.tilt_file)
    measured = measured_rfft((config.size,) * 3, tilts).astype(np.float32)
    volume = Volume(centred_from_half(measured, config.size), config.apix, name=str(config.output))
    write_volume(config.output, volume, f"measured by tilts {tilts[0]:g} to {tilts[1]:g} degrees")
    log.info("Wrote %s: tilts %g to %g degrees.", config.output, *tilts)


def run_resize(config: ResizeConfig) -> None:
    """Resample all tomograms and masks of a table to another voxel size, and list them in a new table.

    Raises
    ------
    SpisonetError
        If a file is missing or damaged, or an output cannot be written.
    """
    table = TomogramTable.read(config.star_file)
    rows = table.chosen(None)
    output_star = config.out_folder.parent / f"{config.out_folder.name}.star"
    prepare_output_file(output_star, config.star_file)
    tasks = []
    for column in (*DENSITIES, MASK):
        listed = [(row, path) for row in rows if (path := listed_tomogram(row, column)) is not None]
        outputs = output_names([path for _, path in listed], config.out_folder / column, ".mrc")
        tasks += [(row, column, path, output) for (row, path), output in zip(listed, outputs, strict=True)]
    if not tasks:
        raise SpisonetError(f"{config.star_file} lists no tomogram files.")
    missing = [str(path) for _, _, path, _ in tasks if not path.is_file()]
    if missing:
        raise SpisonetError(f"Missing files: {', '.join(missing)}.")
    inputs = [open_tomogram(path, row.voxel_size_angstrom) for row, _, path, _ in tasks]
    for (row, column, _, output), tomogram in zip(tasks, inputs, strict=True):
        prepare_output_folder(output.parent)
        resize_tomogram(tomogram, output, config.apix, is_mask=column == MASK)
        table.set(row, column, output)
        log.info("%s: %.3f -> %.3f Å, %s", tomogram.path, tomogram.voxel_size_angstrom, config.apix, output)
    for row in rows:
        table.set(row, "rlnPixelSize", f"{config.apix:g}")
        for column in VOXEL_COORDINATES:
            if row.path(column) is not None:
                table.set(row, column, "None")
                log.warning(
                    "%s: %s is omitted, since its coordinates are in voxels of the old size.",
                    row.shown,
                    column,
                )
    table.write_to(output_star)
    log.info("Wrote %s", output_star)
