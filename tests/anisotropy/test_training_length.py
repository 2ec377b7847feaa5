"""Which trainings are called too short."""

from __future__ import annotations

import pytest

from spisonet.anisotropy.training_length import is_too_short, too_short_sentence


@pytest.mark.parametrize(
    ("loss_reduction", "share", "expected"),
    [
        (None, None, False),  # not measured
        (0.1, None, True),
        (0.6, None, False),
        (0.1, 0.01, True),
        (0.1, 0.3, False),  # it reduced the loss by little, but adds to the map
        (0.0, 0.3, True),  # the share is that of the untrained network
        (0.6, 0.01, False),  # long enough, but without use: the shares say so
    ],
)
def test_a_training_is_too_short_by_its_loss_and_by_its_share(loss_reduction, share, expected):
    assert is_too_short(loss_reduction, share) is expected


def test_the_sentence_has_the_number_and_what_to_do():
    assert too_short_sentence(0.034).startswith(
        "The training was too short to learn: it reduced the loss by 3 %"
    )
    assert "Raise --epochs or --n_subvolume." in too_short_sentence(-0.1)
