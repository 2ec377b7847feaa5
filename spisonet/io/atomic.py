"""Atomic output: files are written under a temporary name and renamed when complete."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from collections.abc import Iterator

# A partial file younger than this may belong to a running process of another machine.
RECENT_SECONDS = 60.0
LONGEST_NAME_BYTES = 255  # of file systems of Linux and macOS


def output_file(path: Path) -> Path:
    """Return the file to write for an output: links are followed, so that none is replaced.

    Raises
    ------
    SpisonetError
        If the name belongs to anything but a regular file or a link to one (a folder, device, pipe or
        socket), or to a file that is read-only.
    """
    target = Path(os.path.realpath(path))
    try:
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
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` when the block succeeds.

    Parameters
    ----------
    path : Path
        The final name; see `output_file`. The temporary name has the same suffix, because some writers
        choose the format by it.

    Raises
    ------
    SpisonetError
        If the file cannot be written (no permission, no space, no such folder).
    """
    target = output_file(path)
    temporary = _partial_file(target)
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        raise SpisonetError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _partial_file(path: Path) -> Path:
    """Return the temporary name; one for which the name is too long is made of its digest."""
    ending = f".{os.getpid()}.partial{path.suffix}"
    stem = path.stem
    if len(os.fsencode(f".{stem}{ending}")) > LONGEST_NAME_BYTES:
        stem = hashlib.blake2b(os.fsencode(path.name), digest_size=12).hexdigest()
    return path.with_name(f".{stem}{ending}")


def prepare_output_folder(folder: Path) -> None:
    """Create `folder` and check that files can be written to it.

    Raises
    ------
    SpisonetError
        If the folder cannot be created or written to.
    """
    probe = folder / f".probe.{os.getpid()}"
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
        if source is not None and os.path.realpath(path) == os.path.realpath(source):
            raise SpisonetError(f"The output {path} is also an input; give another name.")
    prepare_output_folder(output_file(path).parent)


def remove_partials(folder: Path) -> None:
    """Remove partial files of processes of this machine that were killed."""
    for path in folder.glob(".*.partial.*"):
        pid = path.name.removesuffix(path.suffix).removesuffix(".partial").rpartition(".")[2]
        if not pid.isdecimal() or time.time() - path.stat().st_mtime < RECENT_SECONDS:
            continue
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            path.unlink(missing_ok=True)
        except OSError:
            continue


def append_to(path: Path) -> TextIO:
    """Open a text file, such as a log, to append to it; names that are not UTF-8 keep their bytes.

    Raises
    ------
    SpisonetError
        If the name belongs to no file that may be written; see `output_file`.
    OSError
        If the file cannot be opened.
    """
    return output_file(path).open("a", encoding="utf-8", errors="surrogateescape")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically; names that are not UTF-8 keep their bytes."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", errors="surrogateescape"))


def file_digest(path: Path) -> str:
    """Return a short hash of the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=12)).hexdigest()


def write_json(path: Path, content: object) -> None:
    """Write a JSON file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
