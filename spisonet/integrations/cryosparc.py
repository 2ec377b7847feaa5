"""Download the half maps of a cryoSPARC refinement, and upload corrected maps as an external result."""

from __future__ import annotations

import logging
import os
import shlex
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from spisonet import __version__
from spisonet.errors import SpisonetError
from spisonet.io.atomic import atomic_path, prepare_output_folder, write_json
from spisonet.io.hosts import CRYOSPARC
from spisonet.io.json_files import DAMAGED, read_json_object
from spisonet.io.mrc import read_volume
from spisonet.validation.finished_run import FinishedRun

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spisonet.integrations.config import CryosparcConfig, PullConfig, PushConfig

log = logging.getLogger("spisonet")

PULLED_FILE, CORRECTED_FOLDER = "pulled.json", "corrected"
HALVES = {"map_half_A": "half_A.mrc", "map_half_B": "half_B.mrc"}  # file by result of a volume output
MASK_RESULTS = ("mask_refine", "mask_fsc", "mask")  # the wider mask first: a tight mask raises the FSC
MASK, PARTICLES = "mask.mrc", "particles.cs"
RECORDED = {"has_mask": MASK, "has_particles": PARTICLES}  # entries of PULLED_FILE
COMPLETED = "completed"
SYMMETRY_PARAMETER = "refine_symmetry"


@dataclass(frozen=True)
class PulledJob:
    """Files of a refinement, and what is known of it.

    Attributes
    ----------
    halves : tuple of Path
        Half maps.
    mask, particles : Path or None
        Refinement mask and particles, if the job has them.
    voxel_size_angstrom : float
        Voxel size.
    symmetry : str or None
        Point group that the refinement imposed.
    """

    halves: tuple[Path, Path]
    mask: Path | None
    particles: Path | None
    voxel_size_angstrom: float
    symmetry: str | None


def run_pull(config: PullConfig) -> None:
    """Download half maps, mask and particles, and print the commands that use them.

    Raises
    ------
    SpisonetError
        If the instance refuses or drops the connection, or the job is not a completed refinement.
    """
    with named_errors(config):
        pulled = pull(connect(config), config.project, config.job, config.output_dir)
    maps = [*map(str, pulled.halves), *([] if pulled.mask is None else ["--mask", str(pulled.mask)])]
    log.info("Written: %s", config.output_dir)
    if pulled.particles is not None:
        symmetry = [] if pulled.symmetry is None else ["--sym", pulled.symmetry]
        words = ["spisonet.py", "diagnose", *maps, "--star", str(pulled.particles), *symmetry]
        log.info("%s", shlex.join(words))
    output = str(config.output_dir / CORRECTED_FOLDER)
    log.info("%s", shlex.join(["spisonet.py", "reconstruct", *maps, "--output_dir", output]))


def run_push(config: PushConfig) -> None:
    """Upload the corrected maps of a run.

    Raises
    ------
    SpisonetError
        If the run is not finished, or the instance refuses or drops the connection.
    """
    run = FinishedRun.read(config.folder)
    with named_errors(config):
        job = push(connect(config), config.project, config.workspace, run)
    log.info("Uploaded as job %s of %s.", job, config.project)


def connect(config: CryosparcConfig) -> Any:
    """Return a session of the client; the password is read from the environment, never from an option.

    Raises
    ------
    SpisonetError
        If the client is not installed or no address is given.
    """
    url = config.url or os.environ.get("CRYOSPARC_BASE_URL")
    if url is None:
        raise SpisonetError("No cryoSPARC address: give --url or set CRYOSPARC_BASE_URL.", field="url")
    tools = CRYOSPARC.require("tools")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        email = config.email or os.environ.get("CRYOSPARC_EMAIL")
        session = tools.CryoSPARC(url, email=email, password=os.environ.get("CRYOSPARC_PASSWORD"))
    for warning in found:
        log.warning("%s", " ".join(str(warning.message).split("\n\n")[0].split()))
    return session


def pull(session: Any, project: str, job_uid: str, folder: Path) -> PulledJob:
    """Download the files of a refinement into a folder.

    Parameters
    ----------
    session : cryosparc.tools.CryoSPARC
        Session.
    project, job_uid : str
        Job to read.
    folder : Path
        Output folder.

    Raises
    ------
    SpisonetError
        If the job is not completed, or has no half maps.
    """
    job = session.find_job(project, job_uid)
    if job.status != COMPLETED:
        raise SpisonetError(f"{project} {job_uid} is {job.status}, not completed; wait for it to finish.")
    types = {name: output.type for name, output in job.outputs.items()}
    rows = [job.load_output(name) for name, kind in types.items() if kind in ("volume", "mask")]
    paths = {field.removesuffix("/path"): str(row[field][0]) for row in rows if len(row)
             for field in row.fields() if field.endswith("/path")}  # fmt: skip
    if not set(HALVES) <= set(paths):
        raise SpisonetError(
            f"{project} {job_uid} has no half maps; give a homogeneous, non-uniform, local or helical "
            "refinement."
        )
    prepare_output_folder(folder)
    targets = {result: folder / file for result, file in HALVES.items()}
    mask = next((result for result in MASK_RESULTS if result in paths), None)
    if mask is not None:
        targets[mask] = folder / MASK
    for result, target in targets.items():
        with atomic_path(target) as temporary:
            session.download_file(project, paths[result], temporary)
    half = read_volume(targets["map_half_A"])
    particles = _save_particles(job, types, folder)
    symmetry = job.params.model_dump().get(SYMMETRY_PARAMETER)
    pulled = PulledJob(
        (targets["map_half_A"], targets["map_half_B"]),
        None if mask is None else targets[mask],
        particles,
        half.voxel_size_angstrom,
        None if symmetry is None else str(symmetry),
    )
    record = {"project": project, "job": job_uid, "symmetry": pulled.symmetry, "paths": paths}
    has = {"has_mask": mask is not None, "has_particles": particles is not None}
    write_json(folder / PULLED_FILE, record | has | {"voxel_size_angstrom": pulled.voxel_size_angstrom})
    return pulled


def pulled_before(folder: Path, project: str, job: str) -> PulledJob | None:
    """Return the refinement that was downloaded into a folder; None if none was, or a file is missing.

    Raises
    ------
    SpisonetError
        If the folder contains another refinement, or its record is damaged.
    """
    record = read_record(folder / PULLED_FILE)
    if not record:
        return None
    if (record.get("project"), record.get("job")) != (project, job):
        raise SpisonetError(
            f"{folder} contains {record.get('project')} {record.get('job')}; give another --output_dir for "
            f"{project} {job}.",
            field="output_dir",
        )
    try:
        mask, particles = (folder / name if record[key] else None for key, name in RECORDED.items())
        halves = (folder / HALVES["map_half_A"], folder / HALVES["map_half_B"])
        pulled = PulledJob(halves, mask, particles, record["voxel_size_angstrom"], record["symmetry"])
    except KeyError as error:
        raise SpisonetError(
            f"{folder / PULLED_FILE} is damaged: it has no entry {error}; remove it to download again.",
            code=DAMAGED,
        ) from error
    files = [*pulled.halves, *(path for path in (mask, particles) if path is not None)]
    return pulled if all(path.is_file() for path in files) else None


def read_record(path: Path) -> dict[str, Any]:
    """Return the content of a record; empty without the file."""
    return read_json_object(path) if path.is_file() else {}


def _save_particles(job: Any, types: dict[str, str], folder: Path) -> Path | None:
    name = next((name for name, kind in types.items() if kind == "particle"), None)
    if name is None:
        return None
    path = folder / PARTICLES
    with atomic_path(path) as temporary:
        job.load_output(name).save(temporary)
    return path


def push(session: Any, project: str, workspace: str, run: FinishedRun) -> str:
    """Upload the corrected maps, the mask and the figures of a run as an external job.

    Half maps are connected as such only if one network was trained on each of them. If the upload fails, the
    external job is marked as failed; other jobs are not changed.

    Parameters
    ----------
    session : cryosparc.tools.CryoSPARC
        Session.
    project, workspace : str
        Where the job is made.
    run : FinishedRun
        The run.

    Returns
    -------
    str
        The new job, such as ``J50``.
    """
    full = (run.record.get("full_map") or {}).get("corrected") or run.record["corrected_maps"][0]
    files = {"map": run.folder / full}
    halves = run.record["corrected_maps"]
    if len(halves) == 2 and not run.halves_coupled:
        files |= {result: run.folder / name for result, name in zip(HALVES, halves, strict=True)}
    text = (
        f"Anisotropy correction by spisonet {__version__} (method {run.config.method}). "
        f"{100 * run.record['unmeasured_fraction']:.0f} % of Fourier space to {run.limit_angstrom:.2f} Å is "
        "unmeasured and was inferred. The resolution refers to the uncorrected half maps."
    )
    job = session.create_external_job(project, workspace, title="spisonet: anisotropy correction", desc=text)
    slots = [{"name": result, "dtype": "map_blob", "required": True} for result in files]
    job.add_output("volume", "volume", slots=slots, title="Corrected map")
    if run.config.mask is not None:
        job.add_output("mask", "mask", slots=["mask"], title="Mask")
    with job.run():
        _save_volumes(job, "volume", files)
        if run.config.mask is not None:
            _save_volumes(job, "mask", {"mask": run.config.mask})
        job.log(text)
        for name in run.record["figures"]:
            figure = run.folder / name
            if figure.suffix == ".png" and figure.is_file():
                with figure.open("rb") as file:
                    job.log_plot(file, figure.stem.replace("_", " "), formats=["png"])
    return str(job.uid)


def _save_volumes(job: Any, output: str, files: dict[str, Path]) -> None:
    dataset = job.alloc_output(output, 1)
    for result, path in files.items():
        with path.open("rb") as file:  # the client would leave it open
            job.upload(path.name, file)
        volume = read_volume(path)
        dataset[f"{result}/path"] = f"{job.uid}/{path.name}"
        dataset[f"{result}/shape"] = [volume.data.shape]
        dataset[f"{result}/psize_A"] = volume.voxel_size_angstrom
    job.save_output(output, dataset)


@contextmanager
def named_errors(config: CryosparcConfig) -> Iterator[None]:
    """Turn what the client raises into one sentence that names the instance."""
    errors = CRYOSPARC.require("errors")
    httpx = import_module("httpx")  # which the client uses
    try:
        yield
    except errors.APIError as error:
        reason = {401: "refused the account", 403: "refused access", 404: "does not know that project or job"}
        result = reason.get(error.code, f"answered with status {error.code}")
        raise SpisonetError(f"{_address(config)} {result}.", code="server_error") from error
    except (httpx.HTTPError, ConnectionError) as error:
        raise SpisonetError(f"{_address(config)} dropped the connection: {error}.") from error
    except (RuntimeError, ValueError) as error:  # of the session, with advice in further paragraphs
        first = " ".join(str(error).split("\n\n")[0].split()).split(" Please ")[0].rstrip(".")
        raise SpisonetError(f"{_address(config)}: {first}.", code="server_error") from error


def _address(config: CryosparcConfig) -> str:
    return f"cryoSPARC at {config.url or os.environ.get('CRYOSPARC_BASE_URL')}"
