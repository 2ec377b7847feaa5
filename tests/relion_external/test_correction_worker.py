"""The worker that corrects one iteration of a refinement."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from relion_external import correction
from spisonet.errors import SpisonetError


def test_an_error_that_cannot_be_recorded_is_printed(tmp_path, monkeypatch):
    """The folder for the record does not exist, as on a disk that fails."""

    def fail(_):
        raise SpisonetError("The disk is full.")

    monkeypatch.setattr(sys, "argv", ["worker", "call.star"])
    monkeypatch.setattr(correction, "read_call", lambda path: path)
    monkeypatch.setattr(correction, "_correct", fail)
    monkeypatch.setattr(
        correction, "Workspace", lambda _: SimpleNamespace(result=Path(tmp_path, "none/x.json"))
    )
    with pytest.raises(SystemExit) as ended:
        correction.main()
    assert str(ended.value).startswith("spisonet: The disk is full. ")
    assert "x.json cannot be written" in str(ended.value)
