r"""Names of files as text: bytes that are not UTF-8 are shown escaped, such as ``m\xe4p.mrc``."""

from __future__ import annotations

import re
from pathlib import Path

# Python holds such a byte as one of these characters (PEP 383), which JSON and addresses cannot hold.
BYTE = re.compile("[\udc80-\udcff]")
ESCAPED = re.compile(r"\\x([89a-f][0-9a-f])")
FIRST = 0xDC00


def escape_bytes(name: str) -> str:
    """Return a file name as text that any program can hold."""
    return BYTE.sub(lambda found: f"\\x{ord(found[0]) - FIRST:02x}", name)


def restore_bytes(name: str | Path, folder: Path = Path()) -> Path:
    """Return the path that `escape_bytes` shows as this name, or this path itself if it exists.

    Parameters
    ----------
    name : str or Path
        Name from the web page.
    folder : Path
        Folder of a relative name.
    """
    path = folder / name
    text = str(path)
    restored = ESCAPED.sub(lambda found: chr(FIRST + int(found[1], 16)), text)
    return path if restored == text or path.exists() else Path(restored)
