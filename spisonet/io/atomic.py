"""Outputs appear whole or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` when the block succeeds.

    Parameters
    ----------
    path : Path
        The final name. Its suffix is kept by the temporary name, since some writers choose a
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
    """Create `folder` and prove that it can be written to.

    Raises
    ------
    SpisonetError
        If the folder cannot be created or written.
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
    """Check that an output file can be written and would not replace an input.

    Parameters
    ----------
    path : Path
        The file to be written later; its folder is created.
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
