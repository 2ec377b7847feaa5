"""What the web page shows of a job: a line of the job list, the job page, and its log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from spisonet.errors import SpisonetError
from spisonet.gui.forms import command_line, config_model, form_values, input_files
from spisonet.gui.job import UNRESPONSIVE
from spisonet.io.events import PROGRESS_FILE, TAIL_BYTES, read_progress
from spisonet.io.json_files import read_json_object
from spisonet.io.paths import real_path
from spisonet.io.run_record import QUEUED

if TYPE_CHECKING:
    from spisonet.gui.job import Job
    from spisonet.io.events import ProgressEvent

REPORT_FILE = "report.json"
RESULT_DEPTH = 3  # of subfolders whose files are listed
KIND_OF_SUFFIX = {
    **dict.fromkeys((".mrc", ".rec", ".map", ".st"), "volume"),
    **dict.fromkeys((".json", ".jsonl", ".log", ".out", ".txt", ".sh", ".toml", ".csv"), "text"),
    ".png": "image",
    ".html": "page",
    ".star": "table",
}
SUMMARY_BYTES = 2**13  # of the end of the progress file that a line of the job list needs
LOG_PAGE_BYTES = 2**17


def summarise_job(job: Job) -> dict[str, Any]:
    """Return a line of the job list."""
    events = _events(job, SUMMARY_BYTES) if job.is_active else []
    return {
        "name": job.name,
        "program": job.program,
        "command": job.command,
        "state": job.state,
        "submitted": job.launch.get("submitted"),
        "written": job.record.get("written"),
        "seconds": None if job.seconds is None else round(job.seconds),
        "last_sign_of_life": job.last_sign_of_life if job.state == UNRESPONSIVE else None,
        "waiting_for": _waiting_for(job) if job.state == QUEUED else None,
        "progress": _progress(events[-1]) if events else None,
        "inputs": input_files(job.program, job.command, job.record.get("config", {})),
        "title": str(job.notes.get("title", "")),
        "thumbnail": None if job.is_active else _thumbnail(job),
        "host": job.process.get("host"),
        "slurm": job.slurm_number,
        "started_here": bool(job.launch),
        "resumable": job.is_resumable,
    }


def _waiting_for(job: Job) -> dict[str, str] | None:
    """Return the device that a queued job waits for, and the job that uses it."""
    waiting_for = job.process.get("waiting_for")
    if not isinstance(waiting_for, dict):
        return None
    device, folder = (str(waiting_for.get(entry, "")) for entry in ("device", "folder"))
    project = job.folder.parents[len(Path(job.name).parts) - 1]
    path = Path(folder)
    return {"device": device, "job": str(path.relative_to(project) if path.is_relative_to(project) else path)}


def describe_job(job: Job) -> dict[str, Any]:
    """Return the content of the job page."""
    config = job.record.get("config", {})
    values: dict[str, Any] = {}
    line = job.launch.get("line")
    try:
        model = config_model(job.program, job.command)
        values = form_values(model, config, job.name)
        line = line or command_line(job.program, model.model_validate(config))
    except (SpisonetError, ValueError):  # written by another version
        pass
    losses = job.record.get("epoch_losses")
    return {
        **summarise_job(job),
        "line": line,
        "notes": str(job.notes.get("text", "")),
        "notes_version": job.notes_version,
        "verdict": _verdict(job),
        "comparison": _comparison(job),
        "config": config,
        "values": values,
        "target": job.launch.get("target"),
        "version": job.record.get("version"),
        "error": _error(job.record),
        "stages": _stages(_events(job, TAIL_BYTES)),
        "losses": losses if isinstance(losses, list) else None,
        "results": list_results(job.folder, job.name, _main_result(job.record)),
    }


def _thumbnail(job: Job) -> dict[str, str] | None:
    """Return ``name`` and ``version`` of the volume that stands for a job: its main result, or the first."""
    main = _main_result(job.record)
    files = (
        [job.folder / main]
        if main
        else [*sorted(job.folder.glob("*.mrc")), *sorted(job.folder.glob("*/*.mrc"))]
    )
    for path in files:
        if path.is_file() and not path.is_symlink():
            return {
                "name": f"{job.name}/{path.relative_to(job.folder)}",
                "version": str(path.stat().st_mtime_ns),
            }
    return None


def _verdict(job: Job) -> dict[str, str] | None:
    """Return ``judgement``, ``sentence`` and ``code`` of the verdict of the report in a job folder."""
    try:
        report = read_json_object(job.folder / REPORT_FILE)
    except (SpisonetError, OSError):
        return None
    sentence, code = report.get("verdict"), report.get("verdict_code")
    if not isinstance(sentence, str):
        return None
    judgement = str(report.get("judgement", "Verdict"))  # reports of earlier versions have none
    return {"judgement": judgement, "sentence": sentence, "code": str(code)}


def _comparison(job: Job) -> dict[str, str | None] | None:
    """Return what the viewer compares: the mean of ``name`` and ``half2`` with the corrected ``second``."""
    full_map = job.record.get("full_map")
    if not isinstance(full_map, dict) or not isinstance(full_map.get("corrected"), str):
        return None
    config = job.record.get("config", {})
    if not config.get("i1"):
        return None
    half2 = str(config["i2"]) if config.get("i2") else None
    return {"name": str(config["i1"]), "half2": half2, "second": f"{job.name}/{full_map['corrected']}"}


def _events(job: Job, max_bytes: int) -> list[ProgressEvent]:
    """Return the progress of a job, oldest first.

    A later part of a run, such as the prediction after a training, reports into a subfolder.
    A command that continues a finished run, such as ``validate``, reports into the folder of that run, which
    is an input of the job.
    """
    events = read_progress(job.folder, max_bytes)
    if events:
        begin = events[0].time  # what subfolders contain of earlier runs is left out
        for path in job.folder.glob(f"*/{PROGRESS_FILE}"):
            events += [event for event in read_progress(path.parent, max_bytes) if event.time >= begin]
        events.sort(key=lambda event: event.time)
    if events or not job.launch:
        return events
    project = job.folder.parents[len(Path(job.name).parts) - 1]
    for name in input_files(job.program, job.command, job.record.get("config", {})):
        try:
            folder = real_path(project / name)
        except OSError:  # a loop of links
            continue
        if folder.is_relative_to(project):
            started = job.launch["submitted"]
            events += [event for event in read_progress(folder, max_bytes) if event.time >= started]
    return events


def _error(record: dict[str, Any]) -> dict[str, str | None] | None:
    """Return message, code and field of the error that ended a run, if its record contains one."""
    error = record.get("error")
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        return None
    field, code = error.get("field"), error.get("code")
    return {
        "message": error["message"],
        "code": code if isinstance(code, str) else None,
        "field": field if isinstance(field, str) else None,
    }


def _progress(event: ProgressEvent) -> dict[str, Any]:
    return {
        "stage": event.stage,
        "title": event.title,
        "done": event.done,
        "total": event.total,
        "unit": event.unit,
        "seconds_left": event.seconds_left,
        "part": event.part,
    }


def _stages(events: list[ProgressEvent]) -> list[dict[str, Any]]:
    """Return the progress of each stage in the order of their beginning, with all losses.

    A resumed run repeats steps: the losses of the later attempt replace those of the earlier one.
    """
    stages: dict[tuple[str, str], dict[str, Any]] = {}
    for event in events:
        known = stages.get((event.stage, event.title), {"losses": [], "loss_reductions": []})
        first_repeated = event.done if event.part is None else event.done + 1
        curves = {}
        for name, value in (("losses", event.loss), ("loss_reductions", event.loss_reduction)):
            points = known[name]
            while points and points[-1][0] >= first_repeated:
                points.pop()
            if value is not None:
                points.append((event.done, value))
            curves[name] = points
        stages[event.stage, event.title] = {**_progress(event), **curves}
    return list(stages.values())


def read_log(job: Job, offset: int) -> dict[str, Any]:
    """Return a page of the log that starts at a byte offset; with offset -1, the last page."""
    path = job.log
    if not path.is_file():
        return {"text": "", "next": 0, "more": False}
    size = path.stat().st_size
    begin = max(0, size - LOG_PAGE_BYTES) if offset < 0 or offset > size else offset
    with path.open("rb") as file:
        file.seek(begin)
        part = file.read(LOG_PAGE_BYTES)
    return {
        "text": part.decode("utf-8", "replace"),
        "next": begin + len(part),
        "more": begin + len(part) < size,
    }


def _main_result(record: dict[str, Any]) -> str | None:
    """Return the name of the map to build into, if a run wrote one."""
    full_map = record.get("full_map")
    name = full_map.get("corrected") if isinstance(full_map, dict) else None
    return name if isinstance(name, str) else None


def list_results(folder: Path, name: str, first: str | None = None) -> list[dict[str, Any]]:
    """List the files in a job folder with their kind, size and time of modification.

    The main result, if it is named in `first`, heads the list; it is marked ``main``.
    """
    found = []
    for path in sorted(folder.rglob("*"), key=lambda path: (str(path.relative_to(folder)) != first, path)):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.is_file() and len(relative.parts) <= RESULT_DEPTH and not hidden:
            found.append(
                {
                    "name": f"{name}/{relative}",
                    "kind": KIND_OF_SUFFIX.get(path.suffix, "other"),
                    "main": str(relative) == first,
                    "bytes": path.stat().st_size,
                    "modified": path.stat().st_mtime,
                }
            )
    return found
