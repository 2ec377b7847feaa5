"""Token and port of a project's interface, kept for the next start with ``--keep_address``."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

from spisonet.errors import SpisonetError
from spisonet.io.atomic import write_json
from spisonet.io.json_files import read_json_object

TOKEN = re.compile(r"[\w-]{32,64}", re.ASCII)


def read_address(project: Path) -> tuple[str, int] | None:
    """Return token and port that `write_address` kept for a project; None if there are none."""
    path = _file_of(project)
    try:
        status = path.lstat()
        private = stat.S_ISREG(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
        record = read_json_object(path)
    except (OSError, SpisonetError):
        return None
    token, port = record.get("token"), record.get("port")
    if private and isinstance(token, str) and TOKEN.fullmatch(token) and isinstance(port, int):
        return token, port
    return None


def write_address(project: Path, token: str, port: int) -> None:
    """Keep token and port in a file that only this user can read."""
    path = _file_of(project)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    previous = os.umask(0o077)
    try:
        write_json(path, {"project": str(project), "token": token, "port": port})
    finally:
        os.umask(previous)
    path.chmod(0o600)


def _file_of(project: Path) -> Path:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    digest = hashlib.sha256(os.fsencode(project)).hexdigest()[:24]
    return state / "spisonet" / "addresses" / f"{digest}.json"
