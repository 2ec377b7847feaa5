"""Metadata of a map from the job folder that it is in: half maps, mask, resolution, symmetry, particles."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from relion_external.job_form import FORM_FILE, read_form
from relion_external.jobs.folder import ExitFile
from spisonet.errors import SpisonetError
from spisonet.io.json_files import read_json_object, validated
from spisonet.io.mrc import read_box
from spisonet.io.particles import numbers
from spisonet.io.run_record import JOB_FILE, read_job_record, require_results
from spisonet.io.star import StarFile

if TYPE_CHECKING:
    from collections.abc import Iterable

POSTPROCESS_FILE = "postprocess.star"
# Names of the two half maps in several programs; RELION's first.
HALF_NAMES = (
    *(("half1", "half2"), ("half_1", "half_2"), ("half-1", "half-2"), ("half_map_1", "half_map_2")),
    *(
        ("half_A", "half_B"),
        ("half_map_A", "half_map_B"),
        ("halfA", "halfB"),
        ("odd", "even"),
        ("even", "odd"),
    ),
)
HALF1_NAME = "{prefix}_half1_class001_unfil.mrc"
FINAL_HALF1 = re.compile(r"^(?P<prefix>run(_ct\d+)?)_half1_class001_unfil\.mrc$")
# Also maps of an iteration and of single classes.
REFINED_MAP = re.compile(r"^(?P<prefix>run(_ct\d+)?(_it\d+)?)_(half[12]_)?class\d+(_unfil)?\.mrc$")
# Reconstruct particle of RELION 4 and 5 (subtomogram averages).
RECONSTRUCTED_HALF1, RECONSTRUCTED_MAPS = "half1.mrc", ("half1.mrc", "merged.mrc")
NO_FILE = ("", "None")


class Fsc3dOptions(BaseModel):
    """Options of a 3D FSC that other jobs take over."""

    h: str
    h2: str
    mask: str | None
    apix: Annotated[float, Field(gt=0)] | None


class Fsc3dRecord(BaseModel):
    """Types of the fields of ``FSC3D.json`` that other jobs take over."""

    model_config = ConfigDict(extra="allow", strict=True)

    config: Fsc3dOptions
    limit_resolution_angstrom: Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class MapMetadata:
    """Metadata of the map that a job was given; None where unknown.

    Attributes
    ----------
    half1, half2 : Path or None
        Half maps.
    mask : Path or None
        Solvent mask of the job that wrote the map.
    fsc3d : Path or None
        3D FSC of the half maps.
    resolution_angstrom : float or None
        Resolution at FSC 0.143 of the masked half maps, or the limit that an earlier job used.
    unmasked_resolution_angstrom : float or None
        Resolution at FSC 0.143 of the refinement.
    pixel_size_angstrom : float or None
        Voxel size.
    symmetry : str or None
        Point group.
    particles : Path or None
        Particle STAR file, or an optimisation set.
    tomograms : Path or None
        Tomogram set STAR file of subtomograms; an optimisation set lists its own.
    lacks_tilts : bool
        Whether the particles are subtomograms, and the file with their tilts is unknown.
    """

    half1: Path | None = None
    half2: Path | None = None
    mask: Path | None = None
    fsc3d: Path | None = None
    resolution_angstrom: float | None = None
    unmasked_resolution_angstrom: float | None = None
    pixel_size_angstrom: float | None = None
    symmetry: str | None = None
    particles: Path | None = None
    tomograms: Path | None = None
    lacks_tilts: bool = False

    def require_halves(self, given: Path) -> tuple[Path, Path]:
        """Return both half maps.

        Raises
        ------
        SpisonetError
            If one is unknown.
        """
        if self.half1 is None:
            raise SpisonetError(
                f"No half maps were found for {given}; give half map 1, or a map of a finished "
                "Refine3D, PostProcess or Reconstruct particle job."
            )
        if self.half2 is None:
            raise SpisonetError(
                f"Half map 2 was not found beside {self.half1}; give it as the parameter half2."
            )
        return self.half1, self.half2


def find_map_metadata(given: Path) -> MapMetadata:
    """Find the metadata of a map in its job folder.

    Parameters
    ----------
    given : Path
        A half map, or a map or the folder of a Refine3D, PostProcess, Reconstruct particle or spisonet job.

    Raises
    ------
    SpisonetError
        If a refinement is not finished, or a job's file cannot be read.
    """
    folder = given if given.is_dir() else given.parent
    fsc3d_record = given.with_suffix(".json") if given.is_file() else folder / "FSC3D.json"
    if (folder / POSTPROCESS_FILE).is_file() and (given.is_dir() or given.name.startswith("postprocess")):
        return _from_postprocess(folder)
    if fsc3d_record.is_file() and read_json_object(fsc3d_record).get("command") == "fsc3d":
        return _from_fsc3d(fsc3d_record)
    if (folder / JOB_FILE).is_file() and (given.is_dir() or given.name.startswith("corrected_")):
        return _from_correction(folder)
    if (folder / RECONSTRUCTED_HALF1).is_file() and (given.is_dir() or given.name in RECONSTRUCTED_MAPS):
        return _from_reconstruction(folder)
    if given.is_dir() or REFINED_MAP.match(given.name):
        return _from_refinement(folder, None if given.is_dir() else given)
    half2 = second_half(given)
    return MapMetadata(half1=given if half2 else None, half2=half2)


def last_refined_half1(project: Path) -> Path | None:
    """Return half map 1 of the last finished refinement of a project, relative to the project."""
    half1 = _newest_final_half1(project.glob("Refine3D/job*/*"))
    return None if half1 is None else half1.relative_to(project)


def last_reconstructed_tomograms(project: Path) -> Path | None:
    """Return the table of the last finished Reconstruct tomograms job, relative to the project."""
    tables = (
        path
        for path in project.glob("Tomograms/job*/tomograms.star")
        if path.with_name(ExitFile.SUCCESS.value).is_file()
    )
    last = max(tables, key=lambda path: path.stat().st_mtime, default=None)
    return None if last is None else last.relative_to(project)


def _newest_final_half1(paths: Iterable[Path]) -> Path | None:
    """Return the newest half map 1 of a finished refinement; those of single iterations are left out."""
    finished = (path for path in paths if FINAL_HALF1.match(path.name))
    return max(finished, key=lambda path: path.stat().st_mtime, default=None)


def second_half(half1: Path) -> Path | None:
    """Find half map 2 beside half map 1 by the names that programs give to half maps."""
    for first, second in HALF_NAMES:
        start, separator, end = half1.name.rpartition(first)
        half2 = half1.with_name(f"{start}{second}{end}")
        if separator and half2.is_file():
            return half2
    return None


def _from_refinement(folder: Path, given: Path | None) -> MapMetadata:
    """Read a refinement or classification: that of a given map, or the last of several continuations."""
    if given is not None and "half2" in given.name:
        raise SpisonetError(f"{given} is half map 2; give half map 1, and half map 2 is found beside it.")
    given = given or _newest_final_half1(folder.iterdir())
    if given is None:
        raise SpisonetError(
            f"{folder} contains no unfiltered half maps ({HALF1_NAME.format(prefix='run')}); "
            "give the folder of a finished refinement or Reconstruct particle job, or a half map."
        )
    match = REFINED_MAP.match(given.name)
    assert match is not None
    prefix = match["prefix"]
    half1 = given if "half1" in given.name else folder / HALF1_NAME.format(prefix=prefix)
    stars = [
        StarFile(path) if (path := folder / f"{prefix}_{name}.star").is_file() else None
        for name in ("model", "half1_model", "optimiser", "sampling")
    ]
    model, optimiser, sampling = stars[0] or stars[1], stars[2], stars[3]
    particles = folder / f"{prefix}_data.star"
    tomograms = _path(optimiser.value("rlnTomoTomogramsFile")) if optimiser else None
    are_volumes = model is not None and _number(model.value("rlnDataDimensionality")) == 3
    return MapMetadata(
        half1=half1 if half1.is_file() else None,
        half2=second_half(half1),
        mask=_path(optimiser.value("rlnSolventMaskName")) if optimiser else None,
        unmasked_resolution_angstrom=_number(model.value("rlnCurrentResolution")) if model else None,
        pixel_size_angstrom=_number(model.value("rlnPixelSize")) if model else None,
        symmetry=sampling.value("rlnSymmetryGroup") if sampling else None,
        particles=particles if particles.is_file() else None,
        tomograms=tomograms,
        lacks_tilts=are_volumes and tomograms is None,
    )


def _from_reconstruction(folder: Path) -> MapMetadata:
    """Read a job that reconstructed subtomogram averages from the particles of an optimisation set."""
    half1, form = folder / RECONSTRUCTED_HALF1, folder / FORM_FILE
    options = read_form(form)[1] if form.is_file() else {}
    optimisation_set, tomograms = _path(options.get("in_optimisation")), _path(options.get("in_tomograms"))
    return MapMetadata(
        half1=half1,
        half2=second_half(half1),
        symmetry=options.get("sym_name"),
        particles=optimisation_set or _path(options.get("in_particles")),
        tomograms=None if optimisation_set else tomograms,
        lacks_tilts=optimisation_set is None and tomograms is None,
    )


def _from_postprocess(folder: Path) -> MapMetadata:
    star = StarFile(folder / POSTPROCESS_FILE)
    half1 = _path(star.value("rlnUnfilteredMapHalf1"))
    return MapMetadata(
        half1=half1,
        half2=_path(star.value("rlnUnfilteredMapHalf2")),
        mask=_path(star.value("rlnMaskName")),
        resolution_angstrom=_number(star.value("rlnFinalResolution")),
        pixel_size_angstrom=_calibrated_pixel_size(star, half1),
    )


def _calibrated_pixel_size(star: StarFile, half1: Path | None) -> float | None:
    """Return the pixel size of the resolutions of a PostProcess job, which the user may have calibrated."""
    curve = star.tables.get("fsc")
    if curve is None or half1 is None or not {"rlnSpectralIndex", "rlnAngstromResolution"} <= set(curve):
        return None
    path = star.path
    first = numbers(path, curve, "rlnAngstromResolution")[numbers(path, curve, "rlnSpectralIndex") == 1]
    return _number(first[0] / read_box(half1)) if len(first) else None


def _from_fsc3d(record: Path) -> MapMetadata:
    result = validated(Fsc3dRecord, read_json_object(record), record)
    config = result["config"]
    return MapMetadata(
        half1=_path(config["h"]),
        half2=_path(config["h2"]),
        mask=_path(config["mask"]),
        fsc3d=record.with_suffix(".mrc"),
        resolution_angstrom=round(result["limit_resolution_angstrom"], 3),
        pixel_size_angstrom=config["apix"],
    )


def _from_correction(folder: Path) -> MapMetadata:
    """Read a job that corrected half maps; the corrected maps are its half maps."""
    record = read_job_record(folder)
    maps = [folder / name for name in record.get("corrected_maps", [])]
    if not maps:
        raise SpisonetError(f"{folder} contains no finished correction.")
    require_results(record, folder, "limit_resolution_angstrom")
    config = record["config"]
    return MapMetadata(
        half1=maps[0],
        half2=maps[1] if len(maps) > 1 else None,
        mask=_path(config.get("mask")),
        resolution_angstrom=record["limit_resolution_angstrom"],
        pixel_size_angstrom=config.get("apix"),
    )


def _path(name: object) -> Path | None:
    """Return the path in a record, whether the file still exists or not."""
    text = str(name or "").strip('"')
    return None if text in NO_FILE else Path(text)


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if 0 < number < float("inf") else None
