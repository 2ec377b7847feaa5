"""Two processes of one refinement: a GPU that they share, and work that they do together.

RELION may start the halves at once, on different hosts, or one after the other; only the job folder is
common to both. Nobody waits for a partner who shows no sign of life.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from spisonet.io.atomic import atomic_path

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import torch

    from relion_external.call import ReconstructCall

log = logging.getLogger("spisonet")

BEAT_SECONDS = 2.0
PATIENCE_SECONDS = 45.0  # without a sign of life


class FileLock:
    """Hold a file alone among the programs of this host; the system frees it if the holder dies.

    Parameters
    ----------
    path : Path
        Which; it is created.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def acquire(self, wait: bool) -> bool:
        """Lock the file; without waiting, return whether that succeeded."""
        import fcntl  # noqa: PLC0415 - not on every system

        self._file = self._path.open("a")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            self._file.close()
            return False
        except OSError:  # a file system without locks
            return True
        return True

    def release(self) -> None:
        """Let others have it."""
        self._file.close()


class GpuLock:
    """Hold a GPU alone among the trainings of this user on this host.

    Parameters
    ----------
    device : torch.device
        Which.
    """

    def __init__(self, device: torch.device) -> None:
        import torch  # noqa: PLC0415 - the parent process does without

        # The number of a GPU depends on CUDA_VISIBLE_DEVICES.
        identity = getattr(torch.cuda.get_device_properties(device), "uuid", device.index or 0)
        self._lock = FileLock(Path(tempfile.gettempdir()) / f"spisonet_gpu_{identity}_{os.getuid()}.lock")

    def __enter__(self) -> Self:
        if not self._lock.acquire(wait=False):
            log.info("Waiting for the GPU, which another training is using.")
            self._lock.acquire(wait=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


class JointWork:
    """Half 1 corrects both halves, half 2 gets its result; each alone if the other does not live.

    A half shows that it is there by a file in which a number grows, so that what an earlier run left
    behind is not taken for a partner, and clocks of different hosts need not agree.

    Parameters
    ----------
    folder : Path
        The job's private folder.
    call : ReconstructCall
        Of this half.
    one_after_the_other : bool
        Whether RELION calls half 2 only when half 1 has returned.
    """

    def __init__(self, folder: Path, call: ReconstructCall, one_after_the_other: bool) -> None:
        assert call.half is not None
        stem = f"joint_it{call.iteration:03d}_{call.part}"
        self._mine = folder / f"{stem}_half{call.half}.txt"
        self._its = folder / f"{stem}_half{3 - call.half}.txt"
        self._done = folder / f"{stem}_done.txt"
        self._star, self._sequential = call.star, one_after_the_other
        self._is_first = call.half == 1
        self._beats, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Path | None:
        if self._sequential:
            log.info("The halves come one after the other, so each is corrected alone.")
            return None
        if self._is_first:
            self._done.unlink(missing_ok=True)
        self._show()
        self._thread.start()
        partner = self._partner()
        if partner is None:
            log.info("The other half does not take part: this one is corrected alone.")
        return partner

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._mine.unlink(missing_ok=True)
        if not self._is_first:
            self._done.unlink(missing_ok=True)

    def done(self) -> None:
        """Tell half 2 that its result is there."""
        self._write(self._done, str(time.time_ns()))

    def wait_for_result(self) -> bool:
        """Wait until half 1 says that it is done; False if it shows no more sign of life."""
        last, seen = "", time.monotonic()
        while time.monotonic() - seen < PATIENCE_SECONDS:
            if self._done.is_file():
                return True
            text = _read(self._its)
            if text and text != last:
                last, seen = text, time.monotonic()
            time.sleep(BEAT_SECONDS / 2)
        log.info("The other half has died: this one is corrected alone.")
        return False

    def _partner(self) -> Path | None:
        """Return the partner's call once its number has been seen to grow."""
        first, start = _read(self._its), time.monotonic()
        while time.monotonic() - start < PATIENCE_SECONDS:
            now = _read(self._its)
            if now and now != first:
                return Path(now.split("\n", 1)[1])
            time.sleep(BEAT_SECONDS / 4)
        return None

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            self._show()

    def _show(self) -> None:
        self._beats += 1
        self._write(self._mine, f"{self._beats}\n{self._star}")

    @staticmethod
    def _write(path: Path, text: str) -> None:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
