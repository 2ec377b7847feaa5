"""Threads of a program beside other programs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ASK = """
import os
import spisonet.commands.main
spisonet.commands.main.main = lambda: print(os.environ["OMP_WAIT_POLICY"])
import spisonet_launcher
spisonet_launcher.main()
"""


@pytest.mark.parametrize(("given", "expected"), [(None, "passive"), ("active", "active")])
def test_idle_threads_leave_their_core_to_other_programs(given, expected):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if given is not None:
        environment["OMP_WAIT_POLICY"] = given
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected
