"""Options of the commands that External jobs take from RELION's inputs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from relion_external.jobs.map_metadata import MapMetadata, find_map_metadata
from spisonet.errors import SpisonetError
from spisonet.fourier.map_filters_config import WhiteningConfig
from spisonet.io.mrc import read_box

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relion_external.jobs.arguments import JobCall

HALF1_DESCRIPTION = "a map of a finished Refine3D, PostProcess or Reconstruct particle job, or half map 1"
RESCUE_DESCRIPTION = "a map of a finished Refine3D job"
TOMOGRAMS_FILE = "tomograms.star"


def _half_maps(given: Path, metadata: MapMetadata, half2: str | None) -> tuple[Path, Path]:
    if half2 is not None:
        return metadata.half1 or given, Path(half2)
    return metadata.require_halves(given)


def _mask(call: JobCall, user_options: Mapping[str, Any], metadata: MapMetadata) -> Path | None:
    """Return the user's mask or, without one, the mask of the job that wrote the map."""
    _require_one_mask(call, user_options)
    if "in_mask" in call.inputs or "mask" in user_options:
        return call.inputs.get("in_mask")
    if metadata.mask is not None and not metadata.mask.is_file():
        raise SpisonetError(
            f"{metadata.mask}, the mask of the job that wrote the map, does not exist; give Input mask "
            "(--in_mask) or set the parameter mask to none."
        )
    return metadata.mask


def _require_one_mask(call: JobCall, user_options: Mapping[str, Any]) -> None:
    if "in_mask" in call.inputs and user_options.get("mask") is not None:
        raise SpisonetError("The mask is given twice, as --in_mask and as --mask; give it once.")


def _input_map(call: JobCall, description: str) -> Path:
    given = call.require_input("in_3dref", description)
    if given.is_dir():
        raise SpisonetError(f"{given} is a folder; give one of the maps in it.")
    return given


def _resolution(given: Path, metadata: MapMetadata, user_options: Mapping[str, Any]) -> float | None:
    resolution = metadata.resolution_angstrom or metadata.unmasked_resolution_angstrom
    if resolution is None and "high_res" not in user_options:
        raise SpisonetError(
            f"The resolution of {given} is unknown; give it as the parameter high_res.", field="high_res"
        )
    return resolution


def fsc3d_options(call: JobCall, user_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return half maps, mask and voxel size for ``fsc3d``."""
    given = call.require_input("in_3dref", HALF1_DESCRIPTION)
    metadata = find_map_metadata(given)
    half1, half2 = _half_maps(given, metadata, user_options.get("h2"))
    return {
        "h": half1,
        "h2": half2,
        "mask": _mask(call, user_options, metadata),
        "apix": metadata.pixel_size_angstrom,
        "o": call.folder / "FSC3D.mrc",
    }


def diagnose_options(call: JobCall, user_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return half maps, mask and particles for ``diagnose``."""
    options = fsc3d_options(call, user_options)
    del options["o"]
    metadata = find_map_metadata(call.require_input("in_3dref", HALF1_DESCRIPTION))
    particles = call.inputs.get("in_parts", metadata.particles)
    if "in_parts" not in call.inputs and metadata.lacks_tilts:
        particles = None  # without their tilts, the sampling of Fourier space is unknown
    symmetry = None if particles is None else metadata.symmetry
    tomograms = None if particles is None else metadata.tomograms
    return options | {"star": particles, "sym": symmetry, "tomograms": tomograms, "output_dir": call.folder}


def anisotropy_options(call: JobCall, user_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return half maps, mask, 3D FSC and resolution for ``reconstruct``; one map alone with its 3D FSC."""
    given = call.require_input("in_3dref", HALF1_DESCRIPTION)
    metadata = find_map_metadata(given)
    half1, half2 = given, user_options.get("i2")
    if given.is_dir() or metadata.half1 is not None or not {"aniso_file", "i2"} & set(user_options):
        half1, half2 = _half_maps(given, metadata, half2)
    return {
        "i1": half1,
        "i2": half2,
        "mask": _mask(call, user_options, metadata),
        "apix": metadata.pixel_size_angstrom,
        "aniso_file": metadata.fsc3d,
        "limit_res": metadata.resolution_angstrom,
        "output_dir": call.folder,
    }


def whitening_options(call: JobCall, user_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return map, mask and resolution for ``whitening``."""
    given = _input_map(call, "map to whiten")
    metadata = find_map_metadata(given)
    return {
        "h1": given,
        "mask": _mask(call, user_options, metadata),
        "apix": metadata.pixel_size_angstrom,
        "high_res": _resolution(given, metadata, user_options),
        "o": call.folder / "whitened.mrc",
    }


def angular_whiten_options(call: JobCall, user_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return map and resolution range for ``angular_whiten``."""
    given = _input_map(call, "map to whiten")
    metadata = find_map_metadata(given)
    return {
        "in_name": given,
        "out_name": call.folder / "angular_whitened.mrc",
        "low_res": WhiteningConfig.model_fields["low_res"].default,
        "high_res": _resolution(given, metadata, user_options),
        "apix": metadata.pixel_size_angstrom,
    }


def combine_map_options(call: JobCall, user_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the map with the high resolutions, and the mask, for ``combine_map``."""
    return {
        "high_map": _input_map(call, "map with the high resolutions"),
        "out_map": call.folder / "combined.mrc",
        "mask_file": call.inputs.get("in_mask"),
    }


def fsd3d_options(call: JobCall, user_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return particles, box, symmetry and tomograms for ``fsd3d``."""
    given = call.inputs.get("in_3dref")
    metadata = MapMetadata() if given is None else find_map_metadata(given)
    like = given if given is not None and given.is_file() else metadata.half1
    particles = call.inputs.get("in_parts", metadata.particles)
    if particles is None:
        raise SpisonetError("The job needs Input particles (--in_parts) or a Refine3D job as --in_3dref.")
    return {
        "star_file": particles,
        "tomograms": None if "tilt_min" in user_options else metadata.tomograms,
        "map_dim": None if like is None else read_box(like),
        "sym": metadata.symmetry,
        "apix": metadata.pixel_size_angstrom,
        "o": call.folder / "FSD3D.mrc",
    }


def rescue_options(call: JobCall, user_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the folder of the refinement and a mask, if one is given, for ``relion rescue``."""
    given = call.require_input("in_3dref", RESCUE_DESCRIPTION)
    _require_one_mask(call, user_options)
    job = given if given.is_dir() else given.parent
    return {"job": job, "mask": call.inputs.get("in_mask"), "o": call.folder}


def report_options(call: JobCall, user_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the folder of a correction for ``report``."""
    given = call.require_input("in_3dref", "a corrected map")
    return {"folder": given if given.is_dir() else given.parent, "o": call.folder / "report.html"}


def tomograms_options(
    outputs: Mapping[str, str], call: JobCall, user_options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the input table, the table in the job folder, and the output folders."""
    if "in_mics" in call.inputs and "star_file" in user_options:
        raise SpisonetError("The tomograms are given twice, as --in_mics and as --tomograms; give them once.")
    if "in_mics" not in call.inputs and "star_file" not in user_options:
        raise SpisonetError(
            "The job needs a STAR file of tomograms as Input micrographs (--in_mics) or as the parameter "
            "tomograms."
        )
    files = {"star_file": call.inputs.get("in_mics"), "output_star": call.folder / TOMOGRAMS_FILE}
    return files | {option: call.folder / name for option, name in outputs.items()}
