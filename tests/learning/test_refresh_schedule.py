"""Refreshes cost at most a fifth of the training, at every size."""

from __future__ import annotations

import itertools

import pytest

from spisonet.learning.objectives import SelfTrainingObjective
from spisonet.learning.refresh_schedule import MIN_REFRESH_INTERVAL, RefreshSchedule, refresh_interval


@pytest.mark.parametrize("batch_size", [2, 8])
@pytest.mark.parametrize("box", [64, 128, 256, 400, 600])
@pytest.mark.parametrize("epochs", [5, 30])
def test_refreshes_cost_at_most_a_fifth_of_the_updates(box, batch_size, epochs):
    n_voxels, cube_size, n_updates = 2 * box**3, 64, epochs * 1000 // batch_size
    schedule = RefreshSchedule(refresh_interval(n_voxels, batch_size, cube_size), n_updates)
    due = [update for update in range(n_updates) if schedule.is_due(update)]
    assert len(due) == schedule.n_refreshes
    training = 3 * n_updates * batch_size * cube_size**3  # in forward passes
    assert due == [0] or len(due) * n_voxels <= 0.2 * training
    assert all(later - earlier == schedule.interval for earlier, later in itertools.pairwise(due))
    assert [schedule.number(update) for update in due] == list(range(len(due)))
    assert schedule.number(n_updates - 1) == len(due) - 1


def test_small_maps_are_refreshed_every_few_updates(measurement_factory):
    assert SelfTrainingObjective(measurement_factory(), 16).refresh_interval(64) == MIN_REFRESH_INTERVAL


def test_large_maps_may_have_intervals_of_several_epochs():
    assert refresh_interval(2 * 400**3, 2, 64) == 407
    assert refresh_interval(2 * 600**3, 2, 64) > 1000


def test_without_an_interval_there_are_no_refreshes():
    schedule = RefreshSchedule(0, 100)
    assert schedule.n_refreshes == 0
    assert not any(schedule.is_due(update) for update in range(100))
