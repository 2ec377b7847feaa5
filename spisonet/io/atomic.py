"""Atomic output: files are written under a temporary name and renamed when complete."""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A partial file younger than this may belong to a running process of another machine.
RECENT_SECONDS = 60.0


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` when the block succeeds.

    Parameters
    ----------
    path : Path
        The final name. The temporary name has the same suffix, because some writers choose the
        format by it.

    Raises
    ------
    SpisonetError
        If the file cannot be written (no permission, no space, no such folder).
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise SpisonetError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


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
        If `path` is one of the inputs or a folder, or if its folder cannot be written.
    """
    for source in inputs:
        if source is not None and path.resolve() == source.resolve():
            raise SpisonetError(f"The output {path} is also an input; give another name.")
    if path.is_dir():
        raise SpisonetError(f"The output {path} is a folder; give a file name.")
    prepare_output_folder(path.parent)


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


def file_digest(path: Path) -> str:
    """Return a short hash of the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=12)).hexdigest()


def write_json(path: Path, content: object) -> None:
    """Write a JSON file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
