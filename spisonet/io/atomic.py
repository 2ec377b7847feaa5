"""The one way in which results are written: under a temporary name, to the disk, then renamed.

A reader finds the old file or the whole new one, also after a kill, a full disk or a power cut at any moment.
Logs and progress are appended to instead; see `spisonet.io.logs` and `spisonet.io.events`.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import re
import socket
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from spisonet.errors import SpisonetError
from spisonet.io.paths import real_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Partial files of other hosts are removed at this age, because their processes cannot be looked up.
OTHER_HOST_SECONDS = 7 * 86_400.0
PARTIAL = re.compile(r"\..*\.(?P<host>[A-Za-z0-9-]+)\.(?P<pid>\d+)\.\d+\.partial(\..*)?", re.DOTALL)
MAX_NAME_BYTES = 255
FOLDER_NOT_SYNCHRONISED = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF)

_numbers = itertools.count()


def output_file(path: Path) -> Path:
    """Return the file to write for an output: links are followed, so that none is replaced.

    Raises
    ------
    SpisonetError
        If the name belongs to anything but a regular file or a link to one (a folder, device, pipe or
        socket), or to a file that is read-only.
    """
    try:
        target = real_path(path)
        mode = target.stat().st_mode
    except FileNotFoundError:
        return target
    except OSError as error:
        raise SpisonetError(f"{path} cannot be written: {error.strerror}.") from error
    if stat.S_ISDIR(mode):
        raise SpisonetError(f"The output {path} is a folder; give a file name.")
    if not stat.S_ISREG(mode):
        raise SpisonetError(f"The output {path} is not a regular file; give a new name.")
    if not os.access(target, os.W_OK):
        raise SpisonetError(f"{path} cannot be written: it is read-only.")
    return target


@contextmanager
def atomic_path(path: Path, *, durable: bool = True, replace: bool = True) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` when the block succeeds.

    Parameters
    ----------
    path : Path
        The final name; see `output_file`. The temporary name has the same suffix, because some writers
        choose the format by it.
    durable : bool
        Wait until the content and then the new name are on the disk, so that a power cut leaves the old
        file or the new one, and a file written later is never there without this one. Without it, files of
        no value after a power cut are written faster.
    replace : bool
        Replace an existing file; if False, an existing file is left, also one that appears meanwhile.

    Raises
    ------
    SpisonetError
        If the file cannot be written (no permission, no space, no such folder).
    FileExistsError
        If the file exists and `replace` is False.
    """
    target = output_file(path)
    temporary = _temporary_name(target)
    try:
        yield temporary
        if durable:
            _synchronise(temporary)
        if replace:
            os.replace(temporary, target)
        else:
            os.link(temporary, target)
        if durable:
            _synchronise_folder(target.parent)
    except OSError as error:
        if isinstance(error, FileExistsError) and not replace:
            raise
        raise SpisonetError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _temporary_name(path: Path) -> Path:
    """Return a name that no other process, thread or host uses, and that tells whose it is."""
    end = f".{_host()}.{os.getpid()}.{next(_numbers)}.partial{path.suffix}"
    room = MAX_NAME_BYTES - len(os.fsencode(end)) - 1
    return path.with_name(f".{os.fsdecode(os.fsencode(path.stem)[: max(room, 0)])}{end}")


def _host() -> str:
    return re.sub("[^A-Za-z0-9-]", "-", socket.gethostname())[:32] or "-"


def _synchronise(path: Path) -> None:
    """Wait until a file is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _synchronise_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the file system can do so."""
    try:
        _synchronise(folder)
    except OSError as error:
        if error.errno not in FOLDER_NOT_SYNCHRONISED:
            raise


def prepare_output_folder(folder: Path) -> None:
    """Create `folder`, check that files can be written to it, and remove partial files of killed processes.

    Raises
    ------
    SpisonetError
        If the folder cannot be created or written to.
    """
    probe = _temporary_name(folder / "probe")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"0" * 4096)
    except OSError as error:
        raise SpisonetError(
            f"The output folder {folder} cannot be written: {error.strerror or error}."
        ) from error
    finally:
        with suppress(OSError):
            probe.unlink()
    remove_partials(folder)


def prepare_output_file(path: Path, *inputs: Path | None) -> None:
    """Check that an output file can be written and does not replace an input.

    Parameters
    ----------
    path : Path
        The file to be written; its folder is created.
    *inputs : Path or None
        Files that the command reads.

    Raises
    ------
    SpisonetError
        If `path` is one of the inputs or nothing that an output may replace (see `output_file`), or if its
        folder cannot be written.
    """
    for source in inputs:
        if source is not None and real_path(path) == real_path(source):
            raise SpisonetError(f"The output {path} is also an input; give another name.")
    prepare_output_folder(output_file(path).parent)


def remove_partials(folder: Path) -> None:
    """Remove partial files of processes that were killed, and very old ones of other hosts."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = PARTIAL.fullmatch(entry.name)
            if match is None:
                continue
            with suppress(OSError):
                if match["host"] == _host():
                    is_left = not _runs(int(match["pid"]))
                else:
                    is_left = time.time() - entry.stat(follow_symlinks=False).st_mtime > OTHER_HOST_SECONDS
                if is_left:
                    os.unlink(entry.path)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass
    return True


def file_digest(path: Path) -> str:
    """Return a short hash of the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=12)).hexdigest()


def write_bytes(
    path: Path, content: bytes, *, durable: bool = True, replace: bool = True, mode: int | None = None
) -> None:
    """Write a file with the given content, and permissions if `mode` is given; see `atomic_path`."""
    with atomic_path(path, durable=durable, replace=replace) as temporary:
        temporary.write_bytes(content)
        if mode is not None:
            temporary.chmod(mode)


def write_text(path: Path, text: str, *, durable: bool = True, mode: int | None = None) -> None:
    """Write a text file in UTF-8; see `write_bytes`."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"), durable=durable, mode=mode)


def write_json(path: Path, content: object, *, replace: bool = True) -> None:
    """Write a JSON file; see `atomic_path`."""
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode("ascii"), replace=replace)


def open_for_appending(path: Path) -> TextIO:
    """Open a log or a list of events, to append lines; a line that a killed process left incomplete is ended.

    Raises
    ------
    SpisonetError
        If the file cannot be opened, or is no regular file; see `output_file`.
    """
    path = output_file(path)
    try:
        with path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
        return path.open("a", encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise SpisonetError(f"{path} cannot be written: {error.strerror or error}.") from error


def rename_marker(reserved: Path, path: Path) -> None:
    """Give an empty file the name that is its message, or create it if that fails.

    Raises
    ------
    OSError
        If it cannot be created.
    """
    try:
        os.replace(reserved, path)
    except OSError:
        path.touch()
    _synchronise_folder(path.parent)
