"""Addresses of the interface and the functions behind them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from spisonet import __version__
from spisonet.errors import SpisonetError
from spisonet.gui import refinements
from spisonet.gui.boundaries import propose_boundary, read_boundary, write_boundary
from spisonet.gui.companions import find_companions
from spisonet.gui.devices import list_gpus
from spisonet.gui.dropped_folders import locate_folder
from spisonet.gui.estimates import estimate_training
from spisonet.gui.file_names import escape_bytes
from spisonet.gui.folders import list_folder
from spisonet.gui.forms import command_line, forms_by_profile, list_forms, validate_form
from spisonet.gui.job_details import describe_job, read_log, summarise_job
from spisonet.gui.jobs import JOBS_FOLDER, Jobs
from spisonet.gui.json_api import (
    NOT_CACHED,
    FormError,
    error_response,
    get_route,
    parse_request,
    post_route,
)
from spisonet.gui.lineage import find_lineage
from spisonet.gui.processes import host_name
from spisonet.gui.requests import (
    BoundaryRequest,
    CellEdit,
    DrawnBoundary,
    DroppedFolder,
    EntryRemoval,
    FileRequest,
    InterfaceSettings,
    JobNotes,
    LogRequest,
    NamedRequest,
    PlaneRequest,
    PreviewRequest,
    RefinementCheck,
    RequestModel,
    RowRemoval,
    SliceRequest,
    StartRequest,
    TableCopy,
    TomogramAddition,
    VolumeRequest,
    VoxelRequest,
)
from spisonet.gui.security import SecurityMiddleware
from spisonet.gui.settings import change_settings, read_settings
from spisonet.gui.submission import select_devices
from spisonet.gui.tables import TomogramTables
from spisonet.gui.thumbnails import draw_thumbnail
from spisonet.gui.volumes import VolumePictures, read_surface, read_voxel
from spisonet.io import schedulers

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from spisonet.gui.allowed_folders import AllowedFolders
    from spisonet.gui.trash import Trash
    from spisonet.io.config import CommandConfig

STATIC = Path(__file__).parent / "static"
SIMULTANEOUS_PICTURES = 2  # each holds some planes in memory; further requests wait
CACHED = {"Cache-Control": "private, max-age=3600"}  # the address contains the time of the file
# A report may come from anybody who can write to the project: it runs no scripts and cannot reach this page.
REPORT_POLICY = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'"
)
SHOWN_IN_PAGE = (".png", ".html")
TEXT_SUFFIXES = (".json", ".jsonl", ".log", ".out", ".star", ".sh", ".toml", ".csv", ".txt")
V = TypeVar("V", bound=VolumeRequest)


def make_application(
    allowed_folders: AllowedFolders, token: str, template: Path | None
) -> SecurityMiddleware:
    """Assemble the application.

    Parameters
    ----------
    allowed_folders : AllowedFolders
        Where files may be; the current folder is its project folder.
    token : str
        First part of every path.
    template : Path or None
        Submission script for SLURM.
    """
    jobs = Jobs(allowed_folders, template)
    routes = [
        *_job_routes(jobs, allowed_folders, template),
        *_table_routes(allowed_folders, jobs.trash),
        *_picture_routes(allowed_folders),
        *_relion_routes(allowed_folders),
        *_file_routes(allowed_folders),
        Mount("/static", _StaticFiles(directory=STATIC)),
    ]
    handlers = dict.fromkeys((SpisonetError, OSError), error_response)
    return SecurityMiddleware(Starlette(routes=routes, exception_handlers=handlers), token)


def _job_routes(jobs: Jobs, allowed_folders: AllowedFolders, template: Path | None) -> list[Route]:
    folder = allowed_folders.project / JOBS_FOLDER

    def project(_: RequestModel) -> dict[str, Any]:
        return {
            "name": allowed_folders.project.name,
            "allowed_folders": [str(folder) for folder in allowed_folders.all],
            "version": __version__,
            "programs": list_forms(),
            "gpus": list_gpus(),
            "settings": read_settings(folder),
            "slurm": {
                "available": schedulers.SLURM.is_available,
                "template": None if template is None else str(template),
                "fields": [] if template is None else schedulers.template_fields(template),
            },
        }

    def preview(form: PreviewRequest) -> dict[str, Any]:
        config, errors = validate_form(form.program, form.command, form.values, allowed_folders)
        if config is None:
            return {"line": None, "field_errors": errors, "estimate": None, "profiles": {}}
        earlier = [job for job in jobs.all() if job.process.get("host") == host_name()]

        def estimate(configuration: CommandConfig) -> dict[str, Any] | None:
            on_slurm = form.target.slurm is not None
            return None if on_slurm else estimate_training(configuration, len(form.target.gpus), earlier)

        profiles = {}
        for name, values in forms_by_profile(form.program, form.command, form.values).items():
            of_profile, _ = validate_form(form.program, form.command, values, allowed_folders)
            profiles[name] = of_profile and estimate(of_profile)
        line = command_line(form.program, select_devices(config, form.target))
        return {"line": line, "field_errors": {}, "estimate": estimate(config), "profiles": profiles}

    def start(form: StartRequest) -> dict[str, Any]:
        config, errors = validate_form(form.program, form.command, form.values, allowed_folders)
        if config is None:
            raise FormError(errors)
        return summarise_job(jobs.start(form.program, config, form.target, form.key))

    return [
        get_route("/api/project", RequestModel, project),
        get_route("/api/jobs", RequestModel, lambda _: jobs.summaries()),
        get_route("/api/job", NamedRequest, lambda request: describe_job(jobs.find(request.name))),
        get_route(
            "/api/lineage",
            NamedRequest,
            lambda request: find_lineage(jobs.find(request.name), jobs.all()),
        ),
        get_route("/api/log", LogRequest, lambda request: read_log(jobs.find(request.name), request.offset)),
        post_route("/api/preview", PreviewRequest, preview),
        post_route("/api/start", StartRequest, start),
        post_route("/api/stop", NamedRequest, lambda request: jobs.stop(request.name)),
        post_route("/api/resume", NamedRequest, lambda request: summarise_job(jobs.resume(request.name))),
        post_route("/api/mark_failed", NamedRequest, lambda request: jobs.mark_failed(request.name)),
        post_route(
            "/api/notes",
            JobNotes,
            lambda notes: jobs.annotate(notes.name, notes.title, notes.text, notes.version),
        ),
        get_route("/api/trash", RequestModel, lambda _: jobs.trash.entries()),
        post_route("/api/trash/restore", NamedRequest, lambda request: jobs.trash.restore(request.name)),
        post_route("/api/trash/empty", RequestModel, lambda _: jobs.trash.empty()),
        get_route(
            "/api/companions", NamedRequest, lambda request: find_companions(request.name, allowed_folders)
        ),
        post_route(
            "/api/settings",
            InterfaceSettings,
            lambda changes: change_settings(folder, changes, allowed_folders),
        ),
        post_route("/api/delete", NamedRequest, lambda request: jobs.delete(request.name)),
    ]


def _table_routes(allowed_folders: AllowedFolders, trash: Trash) -> list[Route]:
    tables = TomogramTables(allowed_folders, trash)
    return [
        get_route("/api/table", NamedRequest, lambda request: tables.read(request.name)),
        post_route(
            "/api/table/edit",
            CellEdit,
            lambda cell: tables.edit(cell.name, cell.row, cell.column, cell.value, cell.version),
        ),
        post_route(
            "/api/table/remove",
            RowRemoval,
            lambda request: tables.remove(request.name, request.rows, request.version),
        ),
        post_route(
            "/api/table/clear",
            EntryRemoval,
            lambda entry: tables.clear(entry.name, entry.row, entry.kind, entry.version),
        ),
        post_route(
            "/api/table/copy", TableCopy, lambda request: tables.save_as(request.name, request.target)
        ),
        post_route(
            "/api/table/add",
            TomogramAddition,
            lambda request: tables.add(request.name, request.folder, request.files, request.options),
        ),
        post_route(
            "/api/locate",
            DroppedFolder,
            lambda dropped: locate_folder(dropped.name, dropped.files, allowed_folders),
        ),
        get_route(
            "/api/boundary/proposal",
            NamedRequest,
            lambda request: propose_boundary(request.name, allowed_folders),
        ),
        get_route(
            "/api/boundary",
            DrawnBoundary,
            lambda request: read_boundary(request.name, request.volume, allowed_folders),
        ),
        post_route(
            "/api/boundary",
            BoundaryRequest,
            lambda drawn: write_boundary(
                drawn.name, drawn.contours, drawn.volume, allowed_folders, drawn.replaced
            ),
        ),
    ]


def _picture_routes(allowed_folders: AllowedFolders) -> list[Route]:
    pictures = VolumePictures()
    limiter = anyio.CapacityLimiter(SIMULTANEOUS_PICTURES)

    def files(request: VolumeRequest) -> list[Path]:
        names = [request.name, *([request.averaged_with] if request.averaged_with else [])]
        return [allowed_folders.resolve_file(name) for name in names]

    def picture_route(path: str, model: type[V], draw: Callable[[V, list[Path]], bytes]) -> Route:
        async def handle(request: Request) -> Response:
            plane = await parse_request(request, model)
            picture = await anyio.to_thread.run_sync(lambda: draw(plane, files(plane)), limiter=limiter)
            return Response(picture, media_type="image/png", headers=CACHED)

        return Route(path, handle, methods=["GET"])

    async def thumbnail(request: Request) -> Response:
        named = await parse_request(request, FileRequest)
        picture = await anyio.to_thread.run_sync(
            lambda: draw_thumbnail(allowed_folders.resolve_file(named.name)), limiter=limiter
        )
        return Response(picture, media_type="image/png", headers=CACHED)

    async def surface(request: Request) -> Response:
        volume = await parse_request(request, VolumeRequest)
        voxels, scale = await anyio.to_thread.run_sync(lambda: read_surface(files(volume)), limiter=limiter)
        headers = {**NOT_CACHED, "X-Surface": json.dumps(scale)}
        return Response(voxels, media_type="application/octet-stream", headers=headers)

    return [
        get_route("/api/volume", VolumeRequest, lambda request: pictures.properties(files(request))),
        get_route(
            "/api/voxel",
            VoxelRequest,
            lambda voxel: {"density": read_voxel(files(voxel), voxel.z, voxel.y, voxel.x)},
        ),
        picture_route(
            "/api/slice",
            SliceRequest,
            lambda plane, paths: pictures.slice(
                paths, plane.axis, plane.index, plane.thickness, (plane.low, plane.high)
            ),
        ),
        picture_route(
            "/api/power",
            PlaneRequest,
            lambda plane, paths: pictures.power_spectrum(paths, plane.axis, plane.index, plane.thickness),
        ),
        picture_route(
            "/api/overlay",
            PlaneRequest,
            lambda plane, paths: pictures.mask_overlay(paths[0], plane.axis, plane.index),
        ),
        Route("/api/thumbnail", thumbnail, methods=["GET"]),
        Route("/api/surface", surface, methods=["GET"]),
    ]


def _relion_routes(allowed_folders: AllowedFolders) -> list[Route]:
    return [
        get_route(
            "/api/relion",
            RequestModel,
            lambda _: {
                "export": refinements.export_line(),
                "refinements": refinements.list_refinements(allowed_folders),
            },
        ),
        get_route(
            "/api/refinement",
            NamedRequest,
            lambda request: refinements.read_refinement(request.name, allowed_folders),
        ),
        post_route(
            "/api/check",
            RefinementCheck,
            lambda request: refinements.check_refinement(request.refinement, allowed_folders),
        ),
    ]


def _file_routes(allowed_folders: AllowedFolders) -> list[Route]:
    async def page(_request: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers=NOT_CACHED)

    async def file(request: Request) -> Response:
        requested = await parse_request(request, FileRequest)
        path = await anyio.to_thread.run_sync(allowed_folders.resolve_file, requested.name)
        if path.suffix in SHOWN_IN_PAGE and not requested.download:
            policy = {"Content-Security-Policy": REPORT_POLICY, "X-Frame-Options": "SAMEORIGIN"}
            return FileResponse(path, headers={**NOT_CACHED, **policy})
        if path.suffix in TEXT_SUFFIXES and not requested.download:
            return FileResponse(path, media_type="text/plain; charset=utf-8", headers=NOT_CACHED)
        octets = "application/octet-stream"
        return FileResponse(path, filename=escape_bytes(path.name), media_type=octets, headers=NOT_CACHED)

    return [
        Route("/", page, methods=["GET"]),
        Route("/file", file, methods=["GET"]),
        get_route("/api/folder", NamedRequest, lambda request: list_folder(request.name, allowed_folders)),
    ]


class _StaticFiles(StaticFiles):
    """Files of the web page; the browser checks for a newer version each time."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response
