"""The run's log: the lines that the terminal shows, in a file of the output folder."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOG_FILE = "run.log"


@contextmanager
def log_to_folder(folder: Path) -> Iterator[None]:
    """Append what the ``spisonet`` logger says to ``run.log`` in `folder`, with times.

    An exception that leaves the block is noted in the file; the terminal is told by its catcher.
    """
    logger = logging.getLogger("spisonet")
    handler = logging.FileHandler(folder / LOG_FILE, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger.addHandler(handler)
    try:
        yield
    except BaseException as error:
        reason = str(error) or type(error).__name__
        handler.handle(
            logger.makeRecord(logger.name, logging.ERROR, __file__, 0, f"stopped: {reason}", (), None)
        )
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()
