"""Locks among processes, of this host and of others that share the file system; a dead owner holds none."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


SECONDS_TO_LOCK, POLL_SECONDS = 1.0, 0.05


def lock_open_file(descriptor: int) -> bool:
    """Lock an open file as long as it stays open; return False if another process keeps it locked.

    Where the file system has no locks, nothing is locked.
    """
    import fcntl  # noqa: PLC0415 - not on every system

    deadline = time.monotonic() + SECONDS_TO_LOCK
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)  # `is_locked` holds the lock for a moment
        except OSError:
            return True
        else:
            return True


def is_locked(path: Path, seconds: float = 0.0) -> bool:
    """Tell whether a process has locked a file by `lock_open_file`, and keeps it locked for some seconds."""
    import fcntl  # noqa: PLC0415 - not on every system

    deadline = time.monotonic() + seconds
    try:
        if path.is_file():  # opening a pipe would wait
            with path.open("rb") as file:
                while True:
                    try:
                        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    except BlockingIOError:
                        if time.monotonic() >= deadline:
                            return True
                        time.sleep(POLL_SECONDS)
                    else:
                        return False
    except OSError:
        return False
    return False


class FileLock:
    """Exclusive lock among processes; released by the system if its owner dies.

    Where the file system has no locks, or the lock file cannot be made, nothing is locked.

    Parameters
    ----------
    path : Path
        Lock file; created if missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self, wait: bool) -> bool:
        """Lock the file; without `wait`, return False if another process has locked it."""
        import fcntl  # noqa: PLC0415 - not on every system

        # Not through a link: the folder may be shared with others.
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        self._descriptor = os.open(self._path, flags, 0o666)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            self.release()
            return False
        except OSError:  # a file system without locks
            return True
        return True

    def release(self) -> None:
        """Release the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def owns_name(self) -> bool:
        """Whether the locked file is still the one of that name; another process may have removed it."""
        try:
            assert self._descriptor is not None
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self._path))
        except OSError:
            return False


def private_folder() -> Path:
    """Return a folder for locks of this user on this machine that no other user can write to.

    Raises
    ------
    PermissionError
        If another user owns the folder.
    """
    folder = Path(tempfile.gettempdir()) / f"spisonet-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(f"{folder} belongs to another user, or others can write to it")
    return folder


@contextmanager
def lock_for_update(path: Path) -> Iterator[None]:
    """Let nobody else change a file from the moment that it is read until the new one is written.

    Every reader that writes the file back takes this lock. The lock file, hidden beside the file, is removed.
    """
    lock_path = path.with_name(f".{path.stem[:50]}.lock")
    lock = FileLock(lock_path)
    try:
        lock.acquire(wait=True)
        while not lock.owns_name():
            lock.release()
            lock.acquire(wait=True)
    except OSError:  # the folder cannot be written, which the write itself will say
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):
            lock_path.unlink()
        lock.release()
