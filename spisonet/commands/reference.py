"""Command that makes an initial reference from an atomic model: reference."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from spisonet.analysis.half_maps import checked_limit_resolution
from spisonet.errors import SpisonetError
from spisonet.io.atomic import prepare_output_file
from spisonet.io.mrc import read_volume, write_volume
from spisonet.validation.model import read_model
from spisonet.validation.rigid_fit import fit_model, reference_map

if TYPE_CHECKING:
    from spisonet.validation.config import ReferenceConfig

log = logging.getLogger(__name__)

# Correlations of fits of models of other molecules, and of the right ones; see benchmarks/RESULTS.md.
REFUSED_CORRELATION, DOUBTFUL_CORRELATION = 0.3, 0.45
MIRROR_MARGIN = 0.01
SYMMETRIC_AGREEMENT = 0.5  # with rotated copies; a part of an assembly has less


def run_reference(config: ReferenceConfig) -> None:
    """Run ``reference``: fit a model into a map and write it low-pass filtered, on the grid of the map.

    Raises
    ------
    SpisonetError
        If the model or the map cannot be read, the resolution is finer than Nyquist, the model does not fit,
        or the output cannot be written.
    """
    volume = read_volume(config.like, config.apix)
    resolution = checked_limit_resolution(config.resolution, volume.voxel_size_angstrom, "--resolution")
    model = read_model(config.model)
    prepare_output_file(config.o, config.model, config.like)
    log.info("Fitting %s into %s.", config.model, config.like)
    fit = fit_model(model, volume, resolution, config.sym)
    found = f"correlation {fit.correlation:.2f} to {fit.resolution_angstrom:.0f} Å"
    if fit.symmetry_agreement < SYMMETRIC_AGREEMENT:
        raise SpisonetError(
            f"{config.model}, fitted into {config.like}, does not have the symmetry {config.sym.upper()}: "
            f"correlation {fit.symmetry_agreement:.2f} with its rotated copies; give the complete "
            "assembly or another --sym.",
            field="sym",
        )
    if fit.correlation < REFUSED_CORRELATION:
        raise SpisonetError(
            f"{config.model} does not fit into {config.like}: {found}, where {REFUSED_CORRELATION:g} is "
            "required; check that the model is of this particle.",
            field="model",
        )
    log.info("Fitted: %s; mirror image of the model %.2f.", found, fit.mirror_correlation)
    if fit.correlation < DOUBTFUL_CORRELATION:
        log.warning("The fit is poor; compare %s with the map before it is used.", config.o)
    if fit.mirror_correlation > fit.correlation + MIRROR_MARGIN:
        log.warning(
            "The mirror image fits better than the model, so the map may have the wrong hand; flip the map, "
            "or refine from a reference of the right hand."
        )
    label = f"spisonet: {config.model.name} fitted and filtered at {resolution:g} A"
    write_volume(config.o, volume.with_data(reference_map(fit, volume, resolution)), label=label)
    log.info("Written: %s", config.o)
    log.info(
        "Poses are aligned to this model at first. With --ini_high %g, features finer than %g Å come from "
        "the data only; coarser features, and the poses that follow from them, are biased towards the model. "
        "Confirm features that matter by a refinement from another reference.",
        resolution,
        resolution,
    )
