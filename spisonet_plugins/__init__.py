"""Entry points for programs that load plugins, such as the CCP-EM Pipeliner and napari.

A console script puts its own folder first on ``sys.path``, and there the script ``spisonet.py`` shadows the
package `spisonet`. This package has another name, and imports the other with that folder left out.
"""

from __future__ import annotations

import sys
from importlib import import_module

from spisonet_launcher import remove_script_folder


def _import_spisonet() -> None:
    before = sys.path[:]
    remove_script_folder()
    try:
        import_module("spisonet")
    finally:
        sys.path[:] = before


_import_spisonet()
