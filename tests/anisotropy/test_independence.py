"""Independence of corrected halves: data in the record, a token in the label."""

from __future__ import annotations

import itertools

import pytest

from spisonet.anisotropy.independence import (
    DATA_FACTORS,
    FOURIER_WEIGHTS,
    INFERRED_GAIN,
    NETWORK,
    PREDICTION_SHARES,
    REFERENCE,
    START_WEIGHTS,
    HalvesIndependence,
)
from spisonet.io.labels import HALVES, read_tokens

MEASURED = (FOURIER_WEIGHTS, INFERRED_GAIN, DATA_FACTORS, PREDICTION_SHARES)
SHARED = (NETWORK, START_WEIGHTS, REFERENCE, FOURIER_WEIGHTS)
COMBINATIONS = [c for n in range(len(SHARED) + 1) for c in itertools.combinations(SHARED, n)]


@pytest.mark.parametrize("method", ["learn", "prior", "deconvolve"])
@pytest.mark.parametrize("shared", COMBINATIONS)
def test_halves_are_coupled_by_shared_densities_but_not_by_shared_numbers(shared, method):
    halves = HalvesIndependence.of_shared(2, *shared)
    assert halves.independent == (set(shared) <= {FOURIER_WEIGHTS})
    assert HalvesIndependence.of_shared(2, *shared, *MEASURED).independent == halves.independent
    token = "independent" if halves.independent else "coupled"
    assert read_tokens([halves.label(method)]) == {HALVES: {token}}
    assert HalvesIndependence.from_record(halves.as_record()) == halves


def test_a_single_map_is_neither():
    halves = HalvesIndependence.of_shared(1, NETWORK, FOURIER_WEIGHTS)
    assert halves.as_record() == {"independent": None, "shared": []}
    assert read_tokens([halves.label("learn")]) == {HALVES: {"single"}}
