"""``gui``: serve the graphical interface of a project on 127.0.0.1."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from spisonet.errors import SpisonetError
from spisonet.gui.allowed_folders import AllowedFolders
from spisonet.gui.kept_address import read_address, write_address
from spisonet.gui.processes import user_name
from spisonet.io.paths import real_path
from spisonet.io.schedulers import template_fields

if TYPE_CHECKING:
    from spisonet.gui.config import GuiConfig

HOST = "127.0.0.1"  # reached from other machines through ssh only
FIRST_PORT, N_PORTS = 8642, 50
TOKEN_BYTES = 24
SHUTDOWN_SECONDS = 2
SLURM_TEMPLATE = Path("spisonet_jobs/slurm_gpu.sh")


def run_gui(config: GuiConfig) -> None:
    """Serve the interface until interrupted; jobs continue.

    Raises
    ------
    SpisonetError
        If its libraries are not installed, a folder or the template does not exist, or the port is in use.
    """
    try:
        import uvicorn  # noqa: PLC0415

        from spisonet.gui.connections import MAX_HEADER_BYTES, LimitedProtocol  # noqa: PLC0415
        from spisonet.gui.routes import make_application  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise SpisonetError(
            f"The graphical interface needs {error.name}: pip install 'spisonet[gui]'."
        ) from error
    project = real_path(config.project)
    additional = [Path(word.strip()) for word in (config.allowed_folders or "").split(",") if word.strip()]
    for folder in (project, *additional):
        if not folder.is_dir():
            raise SpisonetError(f"{folder} is not a folder.")
    template = config.slurm_template
    if template is not None and not template.is_file():
        raise SpisonetError(f"{template} does not exist.")
    allowed_folders = AllowedFolders(project, [real_path(folder) for folder in additional])
    template = None if template is None else real_path(template)
    os.chdir(project)  # paths in tables and options are relative to it, as on the command line
    if template is None and SLURM_TEMPLATE.is_file():
        template = real_path(SLURM_TEMPLATE)
    if template is not None:
        template_fields(template)  # report an invalid template before serving
    kept = read_address(project) if config.keep_address else None
    with closing(_listen(config.port, None if kept is None else kept[1])) as listener:
        port = listener.getsockname()[1]
        # Pages send the token to whichever program has the port: on another port it is a new one.
        token = kept[0] if kept and kept[1] == port else secrets.token_urlsafe(TOKEN_BYTES)
        if config.keep_address:
            write_address(project, token, port)
        server = uvicorn.Server(
            uvicorn.Config(
                make_application(allowed_folders, token, template),
                lifespan="off",
                http=LimitedProtocol,
                h11_max_incomplete_event_size=MAX_HEADER_BYTES,
                ws="none",
                access_log=False,  # it would contain the token
                log_level="warning",
                server_header=False,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )
        )
        typer.echo(
            f"Graphical interface of {project}:\n\n    http://{HOST}:{port}/{token}/\n\n"
            "From another machine, first run: "
            f"ssh -L {port}:{HOST}:{port} {user_name()}@{socket.getfqdn()}\n"
            "Keep this address private: it allows running jobs as you. Stop with Ctrl-C; jobs continue."
        )
        if config.keep_address:
            typer.echo(
                "Warning: the address is kept. While the interface is stopped, open pages send its token to "
                f"the program that has port {port} then: on a machine shared with people that you do not "
                "trust, close them first."
            )
        with suppress(KeyboardInterrupt):  # the user ends the server
            server.run(sockets=[listener])


def _listen(port: int | None, kept_port: int | None) -> socket.socket:
    """Listen on a port: the given one, the kept one, or the first free one."""
    chosen = kept_port if port is None else port
    for number in range(FIRST_PORT, FIRST_PORT + N_PORTS) if chosen is None else [chosen]:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, number))
            listener.listen(128)
        except OSError:
            listener.close()
            continue
        return listener
    if chosen is not None and chosen == kept_port:
        raise SpisonetError(
            f"Port {chosen} of the kept address is in use: by an interface of this project that is still "
            "running, or by a program that may have received the token. A new --port makes a new token.",
            field="port",
        )
    taken = f"{FIRST_PORT} to {FIRST_PORT + N_PORTS - 1} are all" if chosen is None else f"{chosen} is"
    raise SpisonetError(f"Port {taken} in use; choose another with --port.", field="port")
