"""Which trainings are called too short."""

from __future__ import annotations

import pytest

from spisonet.anisotropy.training_length import is_too_short, too_short_sentence


@pytest.mark.parametrize(
    ("loss_reduction", "expected"),
    [
        (None, False),  # not measured
        (-0.1, True),
        (0.0, True),
        (0.1, True),
        (0.6, False),
    ],
)
def test_a_training_that_hardly_reduced_the_loss_is_too_short(loss_reduction, expected):
    assert is_too_short(loss_reduction) is expected


def test_the_sentence_has_the_number_and_what_to_do():
    assert too_short_sentence(0.034).startswith(
        "The training was too short to learn: it reduced the loss by 3 %"
    )
    assert "Raise --epochs or --n_subvolume." in too_short_sentence(-0.1)
