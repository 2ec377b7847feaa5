"""Markers that skip visibly, and one hypothesis profile."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import settings

from tests.anisotropy.small_case import SmallCase, make_case
from tests.learning.measurements import make_measurement
from tests.relion_at_hand import BIN_VARIABLE, prefer_relion5, version_at_hand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spisonet.learning.measurement import Measurement

settings.register_profile("spisonet", deadline=None)
settings.load_profile("spisonet")

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "hemagglutinin"


# What tests with a marker need on PATH, its name, and the variable that requires it.
PROGRAMS = {
    "relion": (("relion_refine",), "RELION", "SPISONET_REQUIRE_RELION"),
    "browser": (("chromium", "chromedriver"), "Chromium with its driver", "SPISONET_REQUIRE_CHROMIUM"),
}


def pytest_configure() -> None:
    """Let all tests of RELION use RELION 5 if its folder is given, and all programs receive Ctrl-C.

    A shell starts programs in the background with Ctrl-C ignored, which they hand on.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        prefer_relion5()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests of other programs where these are absent, unless their presence is required, and of GPUs."""
    if item.get_closest_marker("checkout") and not (ROOT / "spisonet").is_dir():
        pytest.skip("the package is installed; its sources are not here")
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    for marker, (programs, name, variable) in PROGRAMS.items():
        if item.get_closest_marker(marker) and not all(map(shutil.which, programs)):
            if os.environ.get(variable):
                pytest.fail(f"{name} is required ({variable}) but not on PATH")
            pytest.skip(f"{name} is not on PATH")
    if item.get_closest_marker("relion5") and version_at_hand()[:1] != (5,):
        message = f"RELION 5 is not on PATH, and {BIN_VARIABLE} does not name the folder of its programs"
        if os.environ.get("SPISONET_REQUIRE_RELION5"):
            pytest.fail(f"{message}, but it is required (SPISONET_REQUIRE_RELION5)")
        pytest.skip(message)


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """The handler of the hook writes to the error stream: it ends with its test."""
    logger = logging.getLogger("spisonet")
    handlers, level = logger.handlers, logger.level
    logger.handlers = []
    yield
    logger.handlers = handlers
    logger.setLevel(level)


@pytest.fixture
def example() -> Path:
    """Folder with the demonstration's half1, half2, mask and truth."""
    return EXAMPLE


@pytest.fixture
def small_case(tmp_path: Path) -> SmallCase:
    """Small anisotropic half maps on disk."""
    return make_case(tmp_path)


@pytest.fixture
def make_small_case(tmp_path: Path) -> Callable[[int], SmallCase]:
    """Write such a case with another box."""
    return lambda n: make_case(tmp_path, n)


@pytest.fixture
def measurement_factory() -> Callable[..., Measurement]:
    """Return a function that makes small measurements; see `make_measurement`."""
    return make_measurement


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
