"""Write the table of licences of all packages that an installation contains, for the documentation.

python -m tools.licences docs/licences.md

Reads the metadata of the installed packages, beginning with those that spisonet needs.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import metadata, requires
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from importlib.metadata import PackageMetadata

EXTRAS = ("gui", "model")
OF_CUDA = ("cuda-", "nvidia-", "triton")  # beginnings of packages of PyTorch for CUDA
LONGEST = 80  # characters of a licence; longer ones are the text of the licence itself
TABLE = re.compile(r"\| package \|.*?\n\n", re.DOTALL)
SPDX = {
    "BSD License": "BSD",
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "ISC License (ISCL)": "ISC",
    "Python Software Foundation License": "PSF-based",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}


def needed_packages() -> dict[str, str]:
    """Return the packages that spisonet needs, directly or not, and what for, in alphabetical order."""
    found: dict[str, str] = {}
    for text, purpose in (("spisonet", "all commands"), *((f"spisonet[{e}]", f"`[{e}]`") for e in EXTRAS)):
        _add_needed(text, purpose, found)
    return dict(sorted(found.items()))


def _add_needed(text: str, purpose: str, found: dict[str, str]) -> None:
    """Add the packages that a package needs, and what these need."""
    waiting = [text]
    while waiting:
        text = waiting.pop(0)
        parent = Requirement(text)
        for line in requires(parent.name) or []:
            requirement = Requirement(line)
            environments = [{"extra": extra} for extra in (parent.extras or {""})]
            marker = requirement.marker
            if marker is not None and not any(marker.evaluate(environment) for environment in environments):
                continue
            if parent.extras and (marker is None or "extra" not in str(marker)):
                continue  # needed without the extra, too
            name = canonicalize_name(requirement.name)
            if name not in found and not name.startswith(OF_CUDA):
                found[name] = purpose
                waiting.append(name)


def licence(package: PackageMetadata) -> str:
    """Return the licence of a package: its expression, or else its classifier or name."""
    if expression := package.get_all("License-Expression"):
        return str(expression[0])
    prefix = "License :: OSI Approved :: "
    classifiers = [
        c.removeprefix(prefix) for c in package.get_all("Classifier") or [] if c.startswith(prefix)
    ]
    named = str((package.get_all("License") or [""])[0])
    if classifiers and (not named or len(named) > LONGEST or named in ("BSD", "MIT")):
        return " OR ".join(SPDX.get(name, name) for name in classifiers)
    return named.replace(" License", "").replace("BSD 3-Clause", "BSD-3-Clause")


def licence_table() -> str:
    """Return the table in Markdown."""
    rows = [
        f"| {name} | {metadata(name)['Version'].split('+')[0]} | {licence(metadata(name))} | {purpose} |"
        for name, purpose in needed_packages().items()
    ]
    return "\n".join(
        ["| package | tested version | licence | needed for |", "|---|---|---|---|", *rows, "", ""]
    )


def main(path: Path) -> None:
    """Replace the table in a document."""
    text = path.read_text(encoding="utf-8")
    path.write_text(TABLE.sub(lambda _: licence_table(), text, count=1), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
