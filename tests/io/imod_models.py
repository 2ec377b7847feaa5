"""IMOD models with contours, written by hand."""

from __future__ import annotations

import struct

import numpy as np


def imod_model(contours: list[np.ndarray]) -> bytes:
    """A model of one object, with parts other than contours behind it."""
    content = b"IMODV1.2" + bytes(232) + b"OBJT" + bytes(176)
    for contour in contours:
        content += b"CONT" + struct.pack(">iIii", len(contour), 0, 0, 0)
        content += np.asarray(contour, dtype=">f4").tobytes()
    content += b"MESH" + struct.pack(">iiIhh", 1, 2, 0, 0, 0) + bytes(20)
    return content + b"LABL" + struct.pack(">i", 3) + b"abc" + b"IEOF"
