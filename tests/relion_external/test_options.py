"""Settings from the environment and from spisonet.toml."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relion_external.options import is_strict, obsolete_variables, option_names, read_settings
from spisonet.errors import SpisonetError

PUBLISHED = (
    "BETA ALPHA START_HEALPIX START_RESOLUTION RETRAIN_EACH_ITER EPOCHS ACC_BATCHES KEEP_LOWRES WHITENING "
    "WHITENING_LOW FSC_WEIGHTING FSC_05 3DFSD ANGULAR_WHITEN LOWPASS"
)


def test_every_published_name_is_known():
    assert {name.lower() for name in PUBLISHED.split()} <= set(option_names())


def test_the_environment_overrides_the_job_and_the_job_the_project(tmp_path):
    project, job = tmp_path, tmp_path / "job"
    job.mkdir()
    (project / "spisonet.toml").write_text("epochs = 3\nbeta = 0.25\n3dfsd = true\nkeep_lowres = false\n")
    (job / "spisonet.toml").write_text("epochs = 7\n")
    found = read_settings({"ISONET_BETA": "2", "PATH": "/bin", "ISONET_DEVICE": "None"}, (project, job))
    assert (found.epochs, found.beta, found.fsd3d, found.keep_lowres, found.device) == (
        7,
        2,
        True,
        "no",
        None,
    )


@pytest.mark.parametrize("text", ["True", "true", "1"])
def test_switches_are_read_as_published(text):
    assert read_settings({"ISONET_WHITENING": text, "ISONET_3DFSD": text}, ()).whitening


@pytest.mark.parametrize(
    ("value", "expected"), [("True", "yes"), ("yes", "yes"), ("0", "no"), ("Auto", "auto"), (None, "auto")]
)
def test_keeping_low_resolutions_is_a_switch_or_automatic(value, expected):
    environment = {} if value is None else {"ISONET_KEEP_LOWRES": value}
    assert read_settings(environment, ()).keep_lowres == expected


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("ISONET_EPOCHES", "2", "ISONET_EPOCHES is not a known option; did you mean EPOCHS"),
        ("ISONET_EPOCHS", "many", "ISONET_EPOCHS: must be a whole number; many was given"),
        ("ISONET_KEEP_LOWRES", "maybe", "ISONET_KEEP_LOWRES: must be auto, yes or no"),
        ("ISONET_WHITENING_LOW", "-1", "ISONET_WHITENING_LOW: .*must be above 0"),
        ("ISONET_3DFSD", "perhaps", "3DFSD"),
    ],
)
def test_mistakes_name_the_variable(variable, value, complaint):
    with pytest.raises(SpisonetError, match=complaint):
        read_settings({variable: value}, ())


def test_variables_of_spisonet_without_effect_are_named():
    environment = {"CONDA_ENV": "spisonet", "ISONET_COMBINE": "True", "ISONET_START_EPOCHS": " "}
    assert [sentence.partition(":")[0] for sentence in obsolete_variables(environment)] == [
        "CONDA_ENV has no effect",
        "ISONET_COMBINE has no effect",
    ]
    assert read_settings(environment, ()).epochs == 5


def test_variables_of_other_programs_are_ignored():
    assert read_settings({"ISONET_HOME": "/opt/isonet"}, ()).epochs == 5


def test_strict_is_read_even_if_other_settings_are_invalid(tmp_path):
    assert is_strict({"ISONET_STRICT": "on", "ISONET_EPOCHES": "1"}, ())
    assert not is_strict({"ISONET_STRICT": "False"}, ())
    assert not is_strict({}, (tmp_path,))
    (tmp_path / "spisonet.toml").write_text("strict = true\nepochess = 3\n")
    assert is_strict({}, (tmp_path,))
    assert not is_strict({"ISONET_STRICT": "0"}, (tmp_path,))


def test_mistakes_in_a_file_name_the_file(tmp_path):
    path = tmp_path / "spisonet.toml"
    for content, complaint in (
        ("keep_lowers = true", "keep_lowers is not a known option; did you mean KEEP_LOWRES"),
        ("epochs = -1", "epochs in .*spisonet.toml"),
        ("epochs = ", "not a readable TOML"),
    ):
        path.write_text(content)
        with pytest.raises(SpisonetError, match=complaint):
            read_settings({}, (tmp_path,))


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_settings_that_are_no_regular_file_are_refused(tmp_path, make):
    make(tmp_path / "spisonet.toml")
    with pytest.raises(SpisonetError, match=r"spisonet\.toml is not a regular file"):
        read_settings({}, [tmp_path])
    assert not is_strict({}, [tmp_path])


def test_a_profile_sets_what_is_not_given():
    assert read_settings({"ISONET_PROFILE": "quick"}, []).filter_base == 16
    given = read_settings({"ISONET_PROFILE": "quick", "ISONET_FILTER_BASE": "32"}, [])
    assert (given.filter_base, given.epochs) == (32, 2)
