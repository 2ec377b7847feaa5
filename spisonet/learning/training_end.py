"""When a training of variable length (``--epochs auto``) ends.

Such a training has a constant learning rate until more updates hardly improve its score; then the learning
rate falls to zero over as many updates again. Trainings of all lengths therefore have the same shape.
"""

from __future__ import annotations

from typing import Any

MIN_CONSTANT_EPOCHS = 4
# Gain of the score over the second half of the epochs so far below which more are not worth their time.
MIN_GAIN = 0.004
PLATEAU, MAXIMUM = "plateau", "maximum"


def reached_end(scores: list[float], max_epochs: int) -> str | None:
    """Return why the part of a training with a constant learning rate ends; None if it continues.

    Parameters
    ----------
    scores : list of float
        Score after each epoch so far; larger is better.
    max_epochs : int
        Largest number of epochs of the whole training.

    Returns
    -------
    str or None
        ``plateau`` or ``maximum``.
    """
    n = len(scores)
    if n >= MIN_CONSTANT_EPOCHS and n % 2 == 0 and scores[-1] - scores[n // 2 - 1] < MIN_GAIN:
        return PLATEAU
    return MAXIMUM if 2 * n >= max_epochs else None


def end_sentence(scores: list[float], reason: str, n_epochs: int) -> str:
    """Return why the part with a constant learning rate ended, and how long the training becomes."""
    n = len(scores)
    half = max(n // 2, 1)
    limit = f"less than {MIN_GAIN:g}" if reason == PLATEAU else "the largest number of epochs is reached"
    return (
        f"The score rose by {scores[-1] - scores[half - 1]:.4f} to {scores[-1]:.4f} from epoch {half} to {n} "
        f"({limit}): the learning rate falls to zero, and the training ends after {n_epochs} epochs."
    )


def epochs_sentence(end: dict[str, Any]) -> str:
    """Return how many epochs were trained and why, of `Trainer.end_record`, for a report."""
    reason = "the score rose no further" if end["reason"] == PLATEAU else "the largest number"
    return f"{end['epochs']} of at most {end['max_epochs']} epochs ({reason})"
