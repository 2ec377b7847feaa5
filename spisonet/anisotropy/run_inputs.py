"""What a ``reconstruct`` run works on, read and checked before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spisonet.analysis.half_maps import HalfMaps, checked_limit_resolution, read_half_maps
from spisonet.anisotropy.fourier_weights import reference_share
from spisonet.anisotropy.preparation import include_reference, read_weight
from spisonet.errors import SpisonetError
from spisonet.io.mrc import Volume, read_volume, require_same_grid
from spisonet.learning.checkpoint import load_network
from spisonet.learning.training_config import NETWORKS, fitting_cube_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spisonet.anisotropy.config import ReconstructConfig
    from spisonet.learning.memory import Memory
    from spisonet.learning.unet import Network

FSC3D_FILE = "FSC3D.mrc"
CLASSICAL_PREFIX, KEPT_STEM = "classical_", "measured"
RESULT_PATTERNS = (
    *("corrected_*.mrc", f"{CLASSICAL_PREFIX}*.mrc", f"{KEPT_STEM}*.mrc"),
    *("network*.safetensors", "checkpoint*.safetensors"),
)


@dataclass(frozen=True)
class RunInputs:
    """What a run works on, read and checked.

    Attributes
    ----------
    maps : HalfMaps
        Half maps (with the reference's low resolutions, if one is given) and mask.
    weight_rfft : ndarray or None
        ``(n, n, n // 2 + 1)`` Fourier weight from the user's file.
    limit_resolution_angstrom : float or None
        The user's resolution limit.
    cube_size : int
        Edge of the training cubes in voxels, fitting the box.
    pretrained : Network or None
        Network to start from.
    memory : Memory
        The device to work on, and what of its memory may be used.
    reference_shell : float
        Shell up to which the reference took the place of the maps; 0 without one.
    """

    maps: HalfMaps
    weight_rfft: NDArray[np.float32] | None
    limit_resolution_angstrom: float | None
    cube_size: int
    pretrained: Network | None
    memory: Memory
    reference_shell: float

    @property
    def volumes(self) -> list[Volume]:
        """The one or two maps to correct."""
        return [v for v in (self.maps.half1, self.maps.half2) if v is not None]

    @property
    def mask(self) -> NDArray[np.float32] | None:
        """Mask densities, if there is a mask."""
        return None if self.maps.mask is None else self.maps.mask.data


def read_run_inputs(config: ReconstructConfig, memory: Memory) -> RunInputs:
    """Read and check everything that a run needs; nothing is written.

    Raises
    ------
    SpisonetError
        If an input or option is unusable.
    """
    if config.method == "learn" and config.epochs == 0 and config.pretrained_model is None:
        raise SpisonetError("--epochs 0 only predicts, so it needs --pretrained_model.")
    if config.i2 is None and config.aniso_file is None:
        raise SpisonetError("One map alone does not tell its anisotropy: give half map 2 or --aniso_file.")
    _require_new_outputs(config)
    maps = read_half_maps(config.i1, config.i2, config.mask, config.apix)
    voxel_size = maps.half1.voxel_size_angstrom
    limit = checked_limit_resolution(config.limit_res, voxel_size)
    cube_size = fitting_cube_size(config.cube_size, maps.half1.box)
    weight = None if config.aniso_file is None else read_weight(config.aniso_file, maps.half1)
    pretrained = None
    if config.pretrained_model is not None:
        pretrained, _ = load_network(config.pretrained_model, config.filter_base)
        if not isinstance(pretrained, NETWORKS[config.objective]):
            raise SpisonetError(
                f"{config.pretrained_model} is a network of another objective than {config.objective}: "
                "give the --objective that it was trained with."
            )
    maps, reference_shell = with_reference(config, maps)
    return RunInputs(maps, weight, limit, cube_size, pretrained, memory, reference_shell)


def with_reference(config: ReconstructConfig, maps: HalfMaps) -> tuple[HalfMaps, float]:
    """Put the low resolutions of a reference in the place of the maps', if one is given.

    Returns
    -------
    HalfMaps
        What is corrected.
    float
        Shell up to which it is the reference; 0 without one.

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
        low = reference_share(maps.half1.box, reference_shell)
        half1, *others = (
            volume.with_data(include_reference(volume.data, reference.data, low))
            for volume in (maps.half1, maps.half2)
            if volume is not None
        )
        maps = replace(maps, half1=half1, half2=others[0] if others else None)
    return maps, reference_shell


def _require_new_outputs(config: ReconstructConfig) -> None:
    """Refuse an output folder in which a result would replace an input."""
    inputs = (config.i1, config.i2, config.aniso_file, config.mask, config.reference, config.pretrained_model)
    for path in inputs:
        if path is None or path.resolve().parent != config.output_dir.resolve():
            continue
        replaced = any(path.match(pattern) for pattern in RESULT_PATTERNS)
        if replaced or (path.name == FSC3D_FILE and config.aniso_file is None):
            raise SpisonetError(f"{path} would be replaced by a result: give another --output_dir.")
