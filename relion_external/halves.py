"""Coordination of the two processes that correct the halves: a shared GPU and joint correction.

RELION may start the halves at once, on different hosts, or one after the other; they share only the job
folder. A process stops waiting when the heartbeat of the other half stops.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from spisonet.io.atomic import write_text
from spisonet.io.locks import FileLock, private_folder

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import torch

    from relion_external.call import ReconstructCall

log = logging.getLogger("spisonet")

HEARTBEAT_SECONDS = 2.0
HEARTBEAT_TIMEOUT_SECONDS = 45.0


class GpuLock:
    """Context in which this process is the only training of this user on a GPU of this host.

    Parameters
    ----------
    device : torch.device
        The GPU.
    """

    def __init__(self, device: torch.device) -> None:
        import torch  # noqa: PLC0415 - the parent process does not need it

        # The index of a GPU depends on CUDA_VISIBLE_DEVICES.
        identity = getattr(torch.cuda.get_device_properties(device), "uuid", device.index or 0)
        self._lock = FileLock(private_folder() / f"training_{identity}.lock")

    def __enter__(self) -> Self:
        if not self._lock.acquire(wait=False):
            log.info("Waiting for the GPU, which is in use by another training.")
            self._lock.acquire(wait=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


class JointCorrection:
    """Context of a joint correction: half 1 corrects both halves, half 2 waits for its result.

    Each half writes a heartbeat file with a growing count. A file left by an earlier run does not change, so
    it is not mistaken for the other half, and the clocks of different hosts need not agree. Entering the
    context returns the STAR file of the other half's call, or None if each half is to be corrected by itself.

    Parameters
    ----------
    folder : Path
        Private folder of the job.
    call : ReconstructCall
        Call of this half.
    sequential : bool
        Whether RELION calls half 2 only after half 1 has returned.
    """

    def __init__(self, folder: Path, call: ReconstructCall, sequential: bool) -> None:
        assert call.half is not None
        stem = f"joint_it{call.iteration:03d}_{call.part}"
        self._own_file = folder / f"{stem}_half{call.half}.txt"
        self._other_file = folder / f"{stem}_half{3 - call.half}.txt"
        self._done_file = folder / f"{stem}_done.txt"
        self._star, self._sequential = call.star, sequential
        self._is_half1 = call.half == 1
        self._count, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._write_heartbeats, daemon=True)

    def __enter__(self) -> Path | None:
        if self._sequential:
            log.info("--sequential_halves_recons: each half is corrected by itself.")
            return None
        if self._is_half1:
            self._done_file.unlink(missing_ok=True)
        self._write_heartbeat()
        self._thread.start()
        other_star = self._wait_for_other_half()
        if other_star is None:
            log.info("The other half was not found: this half is corrected by itself.")
        return other_star

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._own_file.unlink(missing_ok=True)
        if not self._is_half1:
            self._done_file.unlink(missing_ok=True)

    def announce_result(self) -> None:
        """Signal to half 2 that its result is complete."""
        write_text(self._done_file, str(time.time_ns()), durable=False)

    def wait_for_result(self) -> bool:
        """Wait until half 1 announces the result; return False if its heartbeat stops before."""
        last, seen = "", time.monotonic()
        while time.monotonic() - seen < HEARTBEAT_TIMEOUT_SECONDS:
            if self._done_file.is_file():
                return True
            text = _read(self._other_file)
            if text and text != last:
                last, seen = text, time.monotonic()
            time.sleep(HEARTBEAT_SECONDS / 2)
        log.info("The process of the other half has ended: this half is corrected by itself.")
        return False

    def _wait_for_other_half(self) -> Path | None:
        """Return the call of the other half once its heartbeat count has grown."""
        first, start = _read(self._other_file), time.monotonic()
        while time.monotonic() - start < HEARTBEAT_TIMEOUT_SECONDS:
            now = _read(self._other_file)
            if now and now != first:
                return Path(now.split("\n", 1)[1])
            time.sleep(HEARTBEAT_SECONDS / 4)
        return None

    def _write_heartbeats(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            self._write_heartbeat()

    def _write_heartbeat(self) -> None:
        self._count += 1
        write_text(self._own_file, f"{self._count}\n{self._star}", durable=False)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
