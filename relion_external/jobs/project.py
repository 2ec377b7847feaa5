"""What RELION's and this project's own job folders know of a map: halves, mask, resolution and the rest."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spisonet.errors import SpisonetError
from spisonet.io.mrc import read_box
from spisonet.io.run_record import JOB_FILE, read_job_record
from spisonet.io.star import StarFile

if TYPE_CHECKING:
    from collections.abc import Iterable

POSTPROCESS_FILE = "postprocess.star"
# How programs tell the halves apart in the names of their maps; RELION's way first.
HALVES = (
    *(("half1", "half2"), ("half_1", "half_2"), ("half-1", "half-2"), ("half_map_1", "half_map_2")),
    *(
        ("half_A", "half_B"),
        ("half_map_A", "half_map_B"),
        ("halfA", "halfB"),
        ("odd", "even"),
        ("even", "odd"),
    ),
)
HALF1 = "{prefix}_half1_class001_unfil.mrc"
FINISHED = re.compile(r"^(?P<prefix>run(_ct\d+)?)_half1_class001_unfil\.mrc$")
# Also maps of an iteration, and of one of several classes.
REFINED = re.compile(r"^(?P<prefix>run(_ct\d+)?(_it\d+)?)_(half[12]_)?class\d+(_unfil)?\.mrc$")
NOTHING = ("", "None")


@dataclass(frozen=True)
class Source:
    """What is known of the map that a job was given.

    Attributes
    ----------
    half1, half2 : Path or None
        Its half maps.
    mask : Path or None
        Solvent mask of the job that made it.
    fsc3d : Path or None
        3D FSC of the half maps.
    resolution_angstrom : float or None
        Where the FSC of the masked half maps falls to 0.143, or the limit that an earlier job used.
    unmasked_resolution_angstrom : float or None
        The same of the refinement, which as a rule is less fine.
    pixel_size_angstrom : float or None
        Voxel size.
    symmetry : str or None
        Point group.
    particles : Path or None
        Particles' STAR file.
    tomograms : Path or None
        List of the tomograms that subtomograms are from.
    is_of_volumes : bool
        The particles are volumes.
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
    is_of_volumes: bool = False

    def require_halves(self, given: Path) -> tuple[Path, Path]:
        """Return both half maps.

        Raises
        ------
        SpisonetError
            If one was not found.
        """
        if self.half1 is None:
            raise SpisonetError(
                f"{given} is no half map, and no half maps are known to belong to it: give half map 1, or "
                "the folder of a finished Refine3D or PostProcess job."
            )
        if self.half2 is None:
            raise SpisonetError(
                f"Half map 2 was not found beside {self.half1}: give it as the parameter half2."
            )
        return self.half1, self.half2


def find_source(given: Path) -> Source:
    """Look at a map, or a job's folder, and at what lies beside it.

    Parameters
    ----------
    given : Path
        A half map; or a map or the folder of a Refine3D, PostProcess or spisonet job.

    Raises
    ------
    SpisonetError
        If a refinement is not finished, or a job's file cannot be read.
    """
    folder = given if given.is_dir() else given.parent
    fsc3d_record = given.with_suffix(".json") if given.is_file() else folder / "FSC3D.json"
    if (folder / POSTPROCESS_FILE).is_file() and (given.is_dir() or given.name.startswith("postprocess")):
        return _of_postprocess(folder)
    if fsc3d_record.is_file() and _json(fsc3d_record).get("command") == "fsc3d":
        return _of_fsc3d(fsc3d_record)
    if (folder / JOB_FILE).is_file() and (given.is_dir() or given.name.startswith("corrected_")):
        return _of_correction(folder)
    if given.is_dir():
        return _of_refinement(folder, None)
    if REFINED.match(given.name):
        return _of_refinement(folder, given)
    half2 = second_half(given)
    return Source(half1=given if half2 else None, half2=half2)


def finished_halves(project: Path) -> Path | None:
    """Return half map 1 of the last refinement of a project that has finished, relative to the project."""
    found = _last_finished(project.glob("Refine3D/job*/*"))
    return None if found is None else found.relative_to(project)


def _last_finished(paths: Iterable[Path]) -> Path | None:
    """Return the newest half map 1 that a refinement has left at its end, not in one of its iterations."""
    finished = (path for path in paths if FINISHED.match(path.name))
    return max(finished, key=lambda path: path.stat().st_mtime, default=None)


def second_half(half1: Path) -> Path | None:
    """Find the other half map beside one, by the names that programs give to halves."""
    for first, second in HALVES:
        start, found, end = half1.name.rpartition(first)
        other = half1.with_name(f"{start}{second}{end}")
        if found and other.is_file():
            return other
    return None


def _of_refinement(folder: Path, given: Path | None) -> Source:
    """Read a refinement or classification; of several continuations the last, or that of a map."""
    if given is not None and "half2" in given.name:
        raise SpisonetError(f"{given} is half map 2: give half map 1, and half map 2 is found beside it.")
    given = given or _last_finished(folder.iterdir())
    if given is None:
        raise SpisonetError(
            f"{folder} holds no unfiltered half maps ({HALF1.format(prefix='run')}): "
            "give the folder of a refinement that has finished, or a half map."
        )
    named = REFINED.match(given.name)
    assert named is not None
    prefix = named["prefix"]
    half1 = given if "half1" in given.name else folder / HALF1.format(prefix=prefix)
    stars = [
        StarFile(path) if (path := folder / f"{prefix}_{what}.star").is_file() else None
        for what in ("model", "half1_model", "optimiser", "sampling")
    ]
    model, optimiser, sampling = stars[0] or stars[1], stars[2], stars[3]
    particles = folder / f"{prefix}_data.star"
    return Source(
        half1=half1 if half1.is_file() else None,
        half2=second_half(half1),
        mask=_named(optimiser.value("rlnSolventMaskName")) if optimiser else None,
        unmasked_resolution_angstrom=_number(model.value("rlnCurrentResolution")) if model else None,
        pixel_size_angstrom=_number(model.value("rlnPixelSize")) if model else None,
        symmetry=sampling.value("rlnSymmetryGroup") if sampling else None,
        particles=particles if particles.is_file() else None,
        tomograms=_named(optimiser.value("rlnTomoTomogramsFile")) if optimiser else None,
        is_of_volumes=model is not None and _number(model.value("rlnDataDimensionality")) == 3,
    )


def _of_postprocess(folder: Path) -> Source:
    star = StarFile(folder / POSTPROCESS_FILE)
    half1 = _named(star.value("rlnUnfilteredMapHalf1"))
    return Source(
        half1=half1,
        half2=_named(star.value("rlnUnfilteredMapHalf2")),
        mask=_named(star.value("rlnMaskName")),
        resolution_angstrom=_number(star.value("rlnFinalResolution")),
        pixel_size_angstrom=_calibrated_pixel_size(star, half1),
    )


def _calibrated_pixel_size(star: StarFile, half1: Path | None) -> float | None:
    """Find the pixel size that the resolutions of a PostProcess job refer to; users may have corrected it."""
    curve = star.tables.get("fsc")
    if curve is None or half1 is None or not {"rlnSpectralIndex", "rlnAngstromResolution"} <= set(curve):
        return None
    shell = curve["rlnSpectralIndex"].astype(int)
    first = curve[shell == 1]
    return None if first.empty else float(first["rlnAngstromResolution"].iloc[0]) / read_box(half1)


def _of_fsc3d(record: Path) -> Source:
    found = _json(record)
    config = found["config"]
    return Source(
        half1=_named(config["h"]),
        half2=_named(config["h2"]),
        mask=_named(config["mask"]),
        fsc3d=record.with_suffix(".mrc"),
        resolution_angstrom=round(found["limit_resolution_angstrom"], 3),
        pixel_size_angstrom=config["apix"],
    )


def _of_correction(folder: Path) -> Source:
    """Read a job that corrected half maps; its maps are the halves then."""
    found = read_job_record(folder)
    maps = [folder / name for name in found.get("corrected_maps", [])]
    if not maps:
        raise SpisonetError(f"{folder} holds no finished correction.")
    config = found["config"]
    return Source(
        half1=maps[0],
        half2=maps[1] if len(maps) > 1 else None,
        mask=_named(config.get("mask")),
        resolution_angstrom=found["limit_resolution_angstrom"],
        pixel_size_angstrom=config.get("apix"),
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpisonetError(f"{path} cannot be read: {error}.") from error
    return content if isinstance(content, dict) else {}


def _named(name: object) -> Path | None:
    """Return a file that a record names, whether it is still there or not."""
    text = str(name or "").strip('"')
    return None if text in NOTHING else Path(text)


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if 0 < number < float("inf") else None
