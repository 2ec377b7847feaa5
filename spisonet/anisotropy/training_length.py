"""Whether a training was long enough for its network to learn anything."""

from __future__ import annotations

# Fraction by which a training has to reduce the loss of the untrained network, which returns its input. On
# the demonstration, 8 updates reduce it by 0 %, 30 by 9 %, and 800 by more than 60 %.
MIN_LOSS_REDUCTION = 0.2
NO_LOSS_REDUCTION = 0.02  # the network is still the untrained one
MIN_SHARE = 0.05  # in the corrected map, of a network that learned something


def is_too_short(loss_reduction: float | None, share: float | None = None) -> bool:
    """Whether a training reduced the loss too little; False if it was not measured.

    A training that begins at the prediction of another network may reduce the loss by little, and still add
    to it. If the share of the network in the corrected map was measured, it must be small as well, unless the
    loss was not reduced at all: the share is that of the untrained network then.

    Parameters
    ----------
    loss_reduction : float or None
        ``1 - L / L0`` with the loss ``L`` of the trained and ``L0`` of the untrained network, see `Trainer`.
    share : float or None
        Share of the network's prediction in the corrected map, measured in held-out cones.
    """
    if loss_reduction is None:
        return False
    adds_nothing = share is None or share < MIN_SHARE
    return loss_reduction < (MIN_LOSS_REDUCTION if adds_nothing else NO_LOSS_REDUCTION)


def too_short_sentence(loss_reduction: float | None) -> str:
    """Return a warning with the number and what to do."""
    percent = 100 * max(loss_reduction or 0.0, 0.0)
    return (
        f"The training was too short to learn: it reduced the loss by {percent:.0f} % "
        f"(at least {100 * MIN_LOSS_REDUCTION:.0f} % is expected). Raise --epochs or --n_subvolume."
    )
