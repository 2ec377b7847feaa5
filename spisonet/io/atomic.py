"""Outputs appear whole or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager
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
        temporary.unlink(missing_ok=True)


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
        probe.unlink()
    except OSError as error:
        raise SpisonetError(
            f"The output folder {folder} cannot be written: {error.strerror or error}."
        ) from error
