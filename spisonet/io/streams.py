"""Standard streams that print any file name, whatever the locale, and end quietly."""

from __future__ import annotations

import io
import os
import sys

UTF8 = "utf-8"
OUTPUT_FAILED = 1  # exit status if standard output cannot be written


def prepare_streams() -> None:
    """Let output streams never fail on a character.

    Names that are not UTF-8 are printed as the bytes that they are; characters that another encoding lacks
    are escaped. A stream that is closed is replaced by the null device, since otherwise the next file that is
    opened would take its number.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, _null_stream(number))
        elif number and isinstance(stream, io.TextIOWrapper):
            is_utf8 = stream.encoding.replace("_", "-").lower() in (UTF8, "utf8")
            stream.reconfigure(errors="surrogateescape" if is_utf8 else "backslashreplace")


def finish_streams() -> int:
    """Write what is left in the output streams.

    Returns
    -------
    int
        1 if standard output cannot be written (for another reason than a closed pipe), otherwise 0.
    """
    status = 0
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:  # whoever read the output has ended
            _discard(stream.fileno())
        except OSError as error:
            _discard(stream.fileno())
            status = OUTPUT_FAILED
            if stream is sys.stdout:
                sys.stderr.write(f"spisonet: the standard output cannot be written: {error.strerror}.\n")
        except ValueError:  # closed
            continue
    return status


def _null_stream(number: int) -> io.TextIOWrapper:
    descriptor = os.open(os.devnull, os.O_RDWR)
    if descriptor != number:
        os.dup2(descriptor, number)
        os.close(descriptor)
    return open(number, "w" if number else "r", encoding=UTF8, errors="surrogateescape")


def _discard(number: int) -> None:
    """Let a descriptor write to the null device: the interpreter flushes the streams again when it ends."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, number)
    os.close(descriptor)
