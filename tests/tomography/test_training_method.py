"""Choice of the training method, and its added noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spisonet.errors import SpisonetError
from spisonet.io.tomogram_table import HALVES, TomogramRow
from spisonet.tomography.noise_schedule import NoiseSchedule
from spisonet.tomography.training_config import DenoiseConfig, RefineConfig
from spisonet.tomography.training_method import TrainingMethod, choose_method, training_method

STAR = Path("tomograms.star")
PAIR = {HALVES[0]: "even.mrc", HALVES[1]: "odd.mrc"}


def rows(*values: dict[str, str]) -> list[TomogramRow]:
    return [TomogramRow(number, {"rlnTomoName": f"t{number}"} | v) for number, v in enumerate(values)]


def test_the_method_follows_from_the_tomograms_that_are_listed():
    assert choose_method(RefineConfig(star_file=STAR), rows(PAIR, PAIR)) == "isonet2-n2n"
    assert choose_method(RefineConfig(star_file=STAR), rows({}, {})) == "isonet2"
    assert choose_method(RefineConfig(star_file=STAR, method="isonet2"), rows(PAIR)) == "isonet2"
    assert choose_method(DenoiseConfig(star_file=STAR), rows(PAIR)) == "n2n"


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        (RefineConfig(star_file=STAR), [PAIR, {}], "no even and odd tomograms for t1"),
        (DenoiseConfig(star_file=STAR), [{}], "no even and odd tomograms for t0"),
        (RefineConfig(star_file=STAR, method="isonet2-n2n"), [{}], "requires even and odd tomograms"),
        (RefineConfig(star_file=STAR), [{HALVES[0]: "even.mrc"}], "only one of even and odd for t0"),
    ],
)
def test_missing_halves_are_named(config, values, message):
    with pytest.raises(SpisonetError, match=message):
        choose_method(config, rows(*values))


def test_options_become_parameters_of_the_method():
    schedule = NoiseSchedule(3, ((1, 0.2), (2, 0.4)))
    config = RefineConfig(star_file=STAR, mw_weight=5, noise_mode="RAMP")
    method = training_method(config, "isonet2", 32, schedule)
    assert method == TrainingMethod(True, 32, 5.0, schedule.noise, "ramp")
    assert [method.noise_level(epoch) for epoch in range(4)] == [0.0, 0.2, 0.4, 0.4]
    assert (
        training_method(RefineConfig(star_file=STAR, mw_weight=0), "isonet2", 32, schedule).missing_weight
        == 1
    )
    assert not training_method(DenoiseConfig(star_file=STAR), "n2n", 32, schedule).fill


def test_backprojected_noise_decreases_with_frequency_as_its_filter_says():
    k = np.linspace(0, 1, 257)[1:]
    curves = {
        name: TrainingMethod(True, 32, noise_filter=name).noise_curve.values[1:]
        for name in ("white", "noFilter", "ramp", "hamming")
    }
    np.testing.assert_allclose(curves["white"], 1, rtol=1e-6)
    np.testing.assert_allclose(curves["noFilter"], k**-0.5, rtol=1e-6)
    np.testing.assert_allclose(curves["ramp"], k**0.5, rtol=1e-6)
    assert np.all(curves["hamming"] <= curves["ramp"])
    assert curves["hamming"][-1] == pytest.approx(0.08, rel=1e-3)
