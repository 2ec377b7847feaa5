"""Packages of other programs: absent, of an unknown version, and present."""

from __future__ import annotations

import logging

import pytest

from spisonet.errors import SpisonetError
from spisonet.io.hosts import Host


def test_an_absent_package_names_the_command_that_installs_it():
    with pytest.raises(
        SpisonetError, match=r"no-such is not installed; run: pip install 'spisonet\[extra\]'"
    ):
        Host("extra", "no-such", "no_such_module", ("1",)).require()


def test_an_untested_version_is_named_and_used(caplog):
    caplog.set_level(logging.WARNING, "spisonet")
    module = Host("extra", "pydantic", "pydantic", ("0.9",)).require("fields")
    assert module.__name__ == "pydantic.fields"
    assert "was not tested with this version of spisonet (tested: 0.9)" in caplog.text


@pytest.mark.parametrize(
    ("version", "is_tested"), [("1.6", True), ("1.6.1", True), ("1.60", False), ("2.1.6", False)]
)
def test_tested_versions_are_beginnings(version, is_tested):
    assert Host("extra", "name", "module", ("1.6",)).is_tested(version) is is_tested
