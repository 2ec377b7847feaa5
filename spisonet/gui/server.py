"""The application: addresses, and what answers there."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from spisonet import __version__
from spisonet.errors import SpisonetError
from spisonet.gui import refinements, slurm
from spisonet.gui.devices import list_gpus
from spisonet.gui.folders import list_folder
from spisonet.gui.forms import command_line, describe_programs, read_form
from spisonet.gui.jobs import Jobs
from spisonet.gui.requests import (
    Addition,
    Boundary,
    Cell,
    Copy,
    Download,
    DroppedFolder,
    Form,
    LogPage,
    Named,
    Plane,
    RequestModel,
    Rows,
    Slice,
    Start,
    Subject,
)
from spisonet.gui.security import SecurityMiddleware
from spisonet.gui.tables import Tables
from spisonet.gui.views import Viewer, surface_volume
from spisonet.io.config import field_faults

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from spisonet.gui.allowed_folders import AllowedFolders

    Handler = Callable[[Request], Awaitable[Response]]

STATIC = Path(__file__).parent / "static"
SIMULTANEOUS_PICTURES = 2  # others wait: each holds some planes in memory
CACHED = {"Cache-Control": "private, max-age=3600"}  # the address holds the file's time
UNCACHED = {"Cache-Control": "no-store"}
# A page may be of anybody who can write here: it runs nothing, and knows nothing of this one.
PAGE_POLICY = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'"
SHOWN_IN_PAGE = (".png", ".html")
TEXT_SUFFIXES = (".json", ".log", ".out", ".star", ".sh", ".toml", ".csv", ".txt")
Q = TypeVar("Q", bound=RequestModel)
N = TypeVar("N", bound=Named)


class FormFaultsError(SpisonetError):
    """A form has faults.

    Parameters
    ----------
    faults : dict
        Sentences by field.
    """

    def __init__(self, faults: dict[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {sentence}" for field, sentence in faults.items()))
        self.faults = faults


def make_application(
    allowed_folders: AllowedFolders, token: str, template: Path | None
) -> SecurityMiddleware:
    """Put the application together.

    Parameters
    ----------
    allowed_folders : AllowedFolders
        Where files may be; the current folder is its project.
    token : str
        The first part of every address.
    template : Path or None
        Submission script for SLURM.
    """
    routes: list[BaseRoute] = [
        *_job_routes(allowed_folders, template),
        *_table_routes(allowed_folders),
        *_picture_routes(allowed_folders),
    ]
    routes += [
        *_relion_routes(allowed_folders),
        *_file_routes(allowed_folders),
        Mount("/static", _Static(directory=STATIC)),
    ]
    handlers = dict.fromkeys((SpisonetError, OSError), _say_what_is_wrong)
    return SecurityMiddleware(Starlette(routes=routes, exception_handlers=handlers), token)


def _job_routes(allowed_folders: AllowedFolders, template: Path | None) -> list[Route]:
    jobs = Jobs(allowed_folders, template)

    def describe(_: RequestModel) -> dict[str, Any]:
        return {
            "name": allowed_folders.project.name,
            "allowed_folders": [str(root) for root in allowed_folders.all],
            "version": __version__,
            "programs": describe_programs(),
            "gpus": list_gpus(),
            "slurm": {
                "available": slurm.is_available(),
                "template": None if template is None else str(template),
                "fields": [] if template is None else slurm.template_fields(template),
            },
        }

    def preview(form: Form) -> dict[str, Any]:
        config, faults = read_form(form.program, form.command, form.values, allowed_folders)
        return {"line": config and command_line(form.program, config), "faults": faults}

    def start(form: Start) -> dict[str, Any]:
        config, faults = read_form(form.program, form.command, form.values, allowed_folders)
        if config is None:
            raise FormFaultsError(faults)
        return jobs.start(form.program, config, form.place, form.key).summary()

    return [
        _get("/api/project", RequestModel, describe),
        _get("/api/jobs", RequestModel, lambda _: jobs.summaries()),
        _get("/api/job", Named, lambda asked: jobs.find(asked.name).details()),
        _get("/api/log", LogPage, lambda asked: jobs.find(asked.name).read_log(asked.offset)),
        _post("/api/preview", Form, preview),
        _post("/api/start", Start, start),
        _post("/api/stop", Named, lambda asked: jobs.stop(asked.name)),
        _post("/api/resume", Named, lambda asked: jobs.resume(asked.name).summary()),
        _post("/api/delete", Named, lambda asked: jobs.delete(asked.name)),
    ]


def _table_routes(allowed_folders: AllowedFolders) -> list[Route]:
    tables = Tables(allowed_folders)
    return [
        _get("/api/table", Named, lambda asked: tables.show(asked.name)),
        _post(
            "/api/table/edit",
            Cell,
            lambda cell: tables.edit(cell.name, cell.row, cell.column, cell.value, cell.version),
        ),
        _post("/api/table/remove", Rows, lambda asked: tables.remove(asked.name, asked.rows, asked.version)),
        _post("/api/table/copy", Copy, lambda asked: tables.save_as(asked.name, asked.target)),
        _post(
            "/api/table/add",
            Addition,
            lambda asked: tables.add(asked.name, asked.folder, asked.files, asked.options),
        ),
        _post("/api/locate", DroppedFolder, lambda asked: tables.locate(asked.name, asked.files)),
        _get("/api/boundary", Named, lambda asked: tables.boundary(asked.name)),
        _post(
            "/api/boundary",
            Boundary,
            lambda drawn: tables.save_boundary(drawn.name, drawn.contours, drawn.volume),
        ),
    ]


def _picture_routes(allowed_folders: AllowedFolders) -> list[Route]:
    viewer = Viewer()
    limiter = anyio.CapacityLimiter(SIMULTANEOUS_PICTURES)

    def drawing(path: str, model: type[N], draw: Callable[[N, Path], bytes]) -> Route:
        async def handle(request: Request) -> Response:
            asked = await _read(request, model)
            picture = await anyio.to_thread.run_sync(
                lambda: draw(asked, allowed_folders.existing(asked.name)), limiter=limiter
            )
            return Response(picture, media_type="image/png", headers=CACHED)

        return Route(path, handle, methods=["GET"])

    async def surface(request: Request) -> Response:
        asked = await _read(request, Named)
        voxels, facts = await anyio.to_thread.run_sync(
            lambda: surface_volume(allowed_folders.existing(asked.name)), limiter=limiter
        )
        headers = {**UNCACHED, "X-Facts": json.dumps(facts)}
        return Response(voxels, media_type="application/octet-stream", headers=headers)

    return [
        _get("/api/volume", Named, lambda asked: viewer.describe(allowed_folders.existing(asked.name))),
        drawing(
            "/api/slice",
            Slice,
            lambda asked, path: viewer.slice(
                path, asked.axis, asked.index, asked.thickness, (asked.low, asked.high)
            ),
        ),
        drawing(
            "/api/power",
            Plane,
            lambda asked, path: viewer.power(path, asked.axis, asked.index, asked.thickness),
        ),
        drawing("/api/overlay", Plane, lambda asked, path: viewer.overlay(path, asked.axis, asked.index)),
        Route("/api/surface", surface, methods=["GET"]),
    ]


def _relion_routes(allowed_folders: AllowedFolders) -> list[Route]:
    return [
        _get(
            "/api/relion",
            RequestModel,
            lambda _: {
                "export": refinements.export_line(),
                "refinements": refinements.list_refinements(allowed_folders),
            },
        ),
        _get(
            "/api/refinement", Named, lambda asked: refinements.show_refinement(asked.name, allowed_folders)
        ),
        _post("/api/check", Subject, lambda asked: refinements.check(asked.subject, allowed_folders)),
    ]


def _file_routes(allowed_folders: AllowedFolders) -> list[Route]:
    async def page(_request: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers=UNCACHED)

    async def file(request: Request) -> Response:
        asked = await _read(request, Download)
        path = await anyio.to_thread.run_sync(allowed_folders.existing, asked.name)
        if path.suffix in SHOWN_IN_PAGE and not asked.keep:
            policy = {"Content-Security-Policy": PAGE_POLICY, "X-Frame-Options": "SAMEORIGIN"}
            return FileResponse(path, headers={**UNCACHED, **policy})
        if path.suffix in TEXT_SUFFIXES and not asked.keep:
            return FileResponse(path, media_type="text/plain; charset=utf-8", headers=UNCACHED)
        octets = "application/octet-stream"
        return FileResponse(path, filename=path.name, media_type=octets, headers=UNCACHED)

    return [
        Route("/", page, methods=["GET"]),
        Route("/file", file, methods=["GET"]),
        _get("/api/folder", Named, lambda asked: list_folder(asked.name, allowed_folders)),
    ]


def _get(path: str, model: type[Q], answer: Callable[[Q], Any]) -> Route:
    return Route(path, _answering(model, answer), methods=["GET"])


def _post(path: str, model: type[Q], answer: Callable[[Q], Any]) -> Route:
    return Route(path, _answering(model, answer), methods=["POST"])


def _answering(model: type[Q], answer: Callable[[Q], Any]) -> Handler:
    """Return a handler that lets a thread answer a question in JSON."""

    async def handle(request: Request) -> Response:
        asked = await _read(request, model)
        return JSONResponse(_finite(await anyio.to_thread.run_sync(answer, asked)), headers=UNCACHED)

    return handle


async def _read(request: Request, model: type[Q]) -> Q:
    try:
        if request.method == "GET":
            return model.model_validate(dict(request.query_params))
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        field, sentence = next(iter(field_faults(error).items()))
        raise SpisonetError(f"This request is not understood: {field}: {sentence}") from error


async def _say_what_is_wrong(_request: Request, error: Exception) -> Response:
    if isinstance(error, FormFaultsError):
        return JSONResponse({"error": str(error), "faults": error.faults}, 422)
    return JSONResponse({"error": str(error)}, 400 if isinstance(error, SpisonetError) else 500)


def _finite(content: Any) -> Any:
    """Put nothing where a number is none: JSON knows neither NaN nor infinity, logs of trainings do."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


class _Static(StaticFiles):
    """The interface's own files, which a browser asks for again after an update."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response
