"""The inputs of a correction, read and checked before anything is written."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from spisonet.analysis.half_maps import (
    HalfMaps,
    checked_limit_resolution,
    is_sampling_density,
    read_half_maps,
)
from spisonet.anisotropy.fourier_weights import reference_weight
from spisonet.anisotropy.preparation import fourier_weight_of_cube, include_reference
from spisonet.errors import SpisonetError
from spisonet.io.mrc import Volume, read_volume, require_same_grid
from spisonet.io.paths import real_path
from spisonet.learning.pretrained import (
    StartNetwork,
    network_file,
    read_start_network,
)
from spisonet.learning.start_config import DEFAULT_PRETRAINED, NOT_PRETRAINED
from spisonet.learning.training_config import fitting_cube_size
from spisonet.learning.unet import WhitenedUNet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spisonet.anisotropy.config import ReconstructConfig
    from spisonet.learning.unet import Network

FSC3D_FILE = "FSC3D.mrc"
CORRECTED_PREFIX, CLASSICAL_PREFIX, DATA_WEIGHT_STEM = "corrected_", "classical_", "data_weight"
FULL_MAP, FILTERED_SUFFIX, SHARPENED_SUFFIX = "full", "_filtered", "_sharpened"
# Spaces separate the values of a STAR file; the others end a name in the scripts for ChimeraX and PyMOL.
SEPARATORS = re.compile(r"""[\s"',;#\\]+""")
FULL_MAP_NAMES = (FULL_MAP, FULL_MAP + FILTERED_SUFFIX, FULL_MAP + SHARPENED_SUFFIX)
UNMEASURED_DEFINITION = "mean of 1 - data weight"
RESULT_PATTERNS = (
    *(f"{CORRECTED_PREFIX}*.mrc", f"{CLASSICAL_PREFIX}*.mrc", f"{DATA_WEIGHT_STEM}*.mrc"),
    *("network*.safetensors", "checkpoint*.safetensors"),
)


MAP_SUFFIX = re.compile(r"\.(mrc|map|em).*")


@dataclass(frozen=True)
class RunInputs:
    """Half maps and what belongs to them, read and checked.

    Attributes
    ----------
    maps : HalfMaps
        Half maps (with the low resolutions of the reference, if one is given) and mask.
    weight_rfft : ndarray or None
        ``(n, n, n // 2 + 1)`` Fourier weight in 0..1 that the user gives: a 3D FSC or a sampling density.
    weight_is_of_both_halves : bool
        False for a sampling density, which is computed from particle orientations; True for a 3D FSC, also
        for one that is still to be computed.
    limit_resolution_angstrom : float or None
        Resolution limit that the user gives.
    start : StartNetwork or None
        Network whose weights training starts from.
    reference_shell : float
        Last shell that the reference replaces; 0 without a reference.
    """

    maps: HalfMaps
    weight_rfft: NDArray[np.float32] | None = None
    weight_is_of_both_halves: bool = True
    limit_resolution_angstrom: float | None = None
    start: StartNetwork | None = None
    reference_shell: float = 0.0

    @property
    def start_network(self) -> Network | None:
        """Network whose weights training starts from."""
        return None if self.start is None else self.start.network

    @property
    def start_may_be_of_these_maps(self) -> bool:
        """Whether the network that training starts from may have been trained on the half maps."""
        return self.start is not None and not self.start.of_other_structures

    @property
    def volumes(self) -> list[Volume]:
        """The one or two maps to correct."""
        return [v for v in (self.maps.half1, self.maps.half2) if v is not None]

    @property
    def mask(self) -> NDArray[np.float32] | None:
        """Values ``(n, n, n)`` of the mask; None without a mask."""
        return None if self.maps.mask is None else self.maps.mask.data


def read_run_inputs(config: ReconstructConfig) -> RunInputs:
    """Read and check the inputs of a run; nothing is written.

    Raises
    ------
    SpisonetError
        If an input or option is unusable.
    """
    config.check_options()
    _require_new_outputs(config)
    maps = read_half_maps(config.i1, config.i2, config.mask, config.apix)
    cube = None
    if config.aniso_file is not None:
        # Published programs write no voxel size into these files.
        cube = read_volume(config.aniso_file, maps.half1.voxel_size_angstrom)
    return run_inputs(config, maps, cube)


def run_inputs(config: ReconstructConfig, maps: HalfMaps, weight_cube: Volume | None) -> RunInputs:
    """Check the options of a run for maps that have been read, and read the networks and the reference.

    Parameters
    ----------
    config : ReconstructConfig
        Options; the files of maps, mask and weight are not read, only whether they are given matters.
    maps : HalfMaps
        Half maps and mask.
    weight_cube : Volume or None
        3D FSC or sampling density, DC at ``n // 2``.

    Raises
    ------
    SpisonetError
        If an option is unusable.
    """
    if config.method == "learn" and config.epochs == 0 and config.pretrained == NOT_PRETRAINED:
        raise SpisonetError(
            "--epochs 0 predicts without training and needs --pretrained.",
            code="invalid_option",
            field="pretrained",
        )
    limit = checked_limit_resolution(config.limit_res, maps.half1.voxel_size_angstrom)
    fitting_cube_size(config.cube_size, maps.half1.box)
    start = read_start_network(network_file(config.pretrained), config.objective, config.filter_base)
    if start is not None and isinstance(start.network, WhitenedUNet):
        _require_view_weight(config)
    maps, reference_shell = with_reference(config, maps)
    return RunInputs(
        maps=maps,
        weight_rfft=None if weight_cube is None else fourier_weight_of_cube(weight_cube, maps.half1),
        weight_is_of_both_halves=weight_cube is None or not is_sampling_density(weight_cube),
        limit_resolution_angstrom=limit,
        start=start,
        reference_shell=reference_shell,
    )


def _require_view_weight(config: ReconstructConfig) -> None:
    """Require what maps are whitened by: a support, and a view weight, which is fitted to two half maps."""
    if config.mask is None or config.i2 is None:
        raise SpisonetError(
            f"--pretrained {config.pretrained} needs two half maps and a --mask.",
            code="invalid_option",
            field="pretrained",
        )
    if config.independent and config.aniso_file is not None:
        raise SpisonetError(
            f"--pretrained {config.pretrained} needs the view weight, which is not fitted with --independent "
            "and --aniso_file: leave one of them out.",
            code="invalid_option",
            field="pretrained",
        )


def with_reference(config: ReconstructConfig, maps: HalfMaps) -> tuple[HalfMaps, float]:
    """Replace the low resolutions of the maps by those of a reference, if one is given.

    Returns
    -------
    HalfMaps
        The maps to correct.
    float
        Last shell that the reference replaces; 0 without one.

    Raises
    ------
    SpisonetError
        If the reference is unusable.
    """
    voxel_size, reference_shell = maps.half1.voxel_size_angstrom, 0.0
    if config.reference is not None:
        reference = read_volume(config.reference, config.apix)
        require_same_grid(maps.half1, reference)
        finest = checked_limit_resolution(config.ref_resolution, voxel_size, "--ref_resolution")
        reference_shell = maps.half1.box * voxel_size / finest
        low = reference_weight(maps.half1.box, reference_shell)
        half1, *others = (
            volume.with_data(include_reference(volume.data, reference.data, low))
            for volume in (maps.half1, maps.half2)
            if volume is not None
        )
        maps = replace(maps, half1=half1, half2=others[0] if others else None)
    return maps, reference_shell


def output_names(volumes: list[Volume]) -> list[str]:
    """Return distinct names of the corrected half maps: those of the inputs without folder and suffix.

    The names of the full map's files are not used.
    """
    names = [MAP_SUFFIX.sub("", volume.name.rsplit("/", 1)[-1]) for volume in volumes]
    names = [SEPARATORS.sub("_", name.strip()) for name in names]
    if len(set(names)) < len(names) or not set(names).isdisjoint(FULL_MAP_NAMES):
        return [f"{name}_half{index}" for index, name in enumerate(names, start=1)]
    return names


def _require_new_outputs(config: ReconstructConfig) -> None:
    """Refuse an output folder in which a result would replace an input."""
    pretrained = (
        None if config.pretrained in (NOT_PRETRAINED, DEFAULT_PRETRAINED) else Path(config.pretrained)
    )
    for path in (config.i1, config.i2, config.aniso_file, config.mask, config.reference, pretrained):
        if path is None or real_path(path).parent != real_path(config.output_dir):
            continue
        replaced = any(path.match(pattern) for pattern in RESULT_PATTERNS)
        if replaced or (path.name == FSC3D_FILE and config.aniso_file is None):
            raise SpisonetError(
                f"{path} would be replaced by a result: give another --output_dir.",
                code="invalid_option",
                field="output_dir",
            )
