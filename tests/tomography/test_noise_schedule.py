"""Number of epochs, and when noise is added to the inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from spisonet.errors import SpisonetError
from spisonet.tomography.noise_schedule import read_schedule
from spisonet.tomography.training_config import DenoiseConfig, RefineConfig


def refine(**options: object) -> RefineConfig:
    return RefineConfig.from_options({"star_file": Path("tomograms.star"), **options})


def test_epochs_are_those_of_isonet2_or_of_the_iterations_of_isonet():
    assert read_schedule(refine(), adds_noise=False).epochs == 50
    assert read_schedule(refine(epochs=7), adds_noise=False).epochs == 7
    assert read_schedule(refine(iterations=30), adds_noise=False).epochs == 300
    assert read_schedule(refine(iterations=30, epochs=2), adds_noise=False).epochs == 60
    assert read_schedule(DenoiseConfig(star_file=Path("t.star")), adds_noise=False).epochs == 50


def test_noise_is_added_only_by_the_method_for_single_tomograms():
    config = refine(noise_level="0.1")
    assert read_schedule(config, adds_noise=False).noise == ()
    assert read_schedule(config, adds_noise=True).noise == ((0, 0.1),)
    assert read_schedule(refine(), adds_noise=True).noise == ((0, 0.7),)


def test_starts_count_iterations_from_1():
    config = refine(iterations=30, noise_level="0.05,0.1", noise_start_iter="11,16")
    assert read_schedule(config, adds_noise=True).noise == ((100, 0.05), (150, 0.1))
    config = refine(epochs=4, noise_level="0.1,0.05", noise_start_iter="3,2")
    assert read_schedule(config, adds_noise=True).noise == ((1, 0.05), (2, 0.1))


def test_levels_without_starts_are_evenly_spaced_after_a_third():
    config = refine(epochs=30, noise_level="0.05,0.1,0.15,0.2")
    assert read_schedule(config, adds_noise=True).noise == ((10, 0.05), (15, 0.1), (20, 0.15), (25, 0.2))


@pytest.mark.parametrize(
    ("options", "message", "field"),
    [
        ({"noise_level": "0.1,0.2", "noise_start_iter": "1"}, "2 levels", "noise_start_iter"),
        ({"noise_level": "much"}, "--noise_level: much is not a list of numbers", "noise_level"),
        ({"noise_level": "nan"}, "--noise_level: nan is not a list of numbers", "noise_level"),
        ({"noise_start_iter": "-1"}, "--noise_start_iter: -1 is not a list", "noise_start_iter"),
    ],
)
def test_invalid_levels_and_starts_are_refused(options, message, field):
    with pytest.raises(SpisonetError, match=message) as caught:
        read_schedule(refine(**options), adds_noise=True)
    assert caught.value.field == field
