"""Operations of an update: none makes the host wait for the device."""

from __future__ import annotations

import argparse

import pytest
import torch

from benchmarks.training_speed import LaunchCounter, make_trainer, synthetic

MOST_OPERATIONS = 420  # of an update with two subvolumes: the default batch is limited by their number


@pytest.fixture(scope="module")
def measurement():
    return synthetic(24)


@pytest.mark.parametrize("published", [False, True])
def test_an_update_does_not_wait_for_the_device(measurement, published):
    sizes = argparse.Namespace(cube_size=16, filter_base=4)
    trainer = make_trainer(measurement, torch.device("cpu"), sizes, 2, published, mixed=False)
    trainer.update()  # the optimiser makes its state
    with LaunchCounter() as counter:
        trainer.update()
    assert counter.n_host_reads == 0
    assert published or counter.n_operations <= MOST_OPERATIONS


def test_reads_of_values_are_counted():
    values = torch.arange(4.0)
    with LaunchCounter() as counter:
        float(values.sum())
        values[values > 1]
    assert counter.n_host_reads == 2
    assert counter.n_operations > counter.n_host_reads
