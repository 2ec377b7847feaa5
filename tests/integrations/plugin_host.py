"""Programs whose plugins are tested where they are installed."""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType

import pytest

REQUIRED = "SPISONET_REQUIRE_PLUGINS"


def require_plugin_host(module: str, reason: str) -> ModuleType:
    """Import a package, or skip the test; fail instead if the variable requires all packages."""
    if os.environ.get(REQUIRED):
        return import_module(module)
    found: ModuleType = pytest.importorskip(module, reason=reason)
    return found
