"""Whether a training was long enough for its network to learn anything."""

from __future__ import annotations

# Fraction by which a training has to reduce the loss of the untrained network, which returns its input. On
# three simulated particles with different noise (hemagglutinin, haemoglobin, 30S ribosome), 10 to 20 updates
# reduced it by 0 %, 30 updates by 8 to 12 % without a gain in the map, and 400 updates by 43 to 81 %, with or
# without a prior. The share of the network in the corrected map is not a criterion: that of an untrained
# network, whose prediction is an average over rotated copies, was up to 0.76.
MIN_LOSS_REDUCTION = 0.2


def is_too_short(loss_reduction: float | None) -> bool:
    """Whether a training reduced the loss too little; False if it was not measured.

    Parameters
    ----------
    loss_reduction : float or None
        ``1 - L / L0`` with the loss ``L`` of the trained and ``L0`` of the untrained network, see `Trainer`.
    """
    return loss_reduction is not None and loss_reduction < MIN_LOSS_REDUCTION


def too_short_sentence(loss_reduction: float | None) -> str:
    """Return a warning with the number and what to do."""
    percent = 100 * max(loss_reduction or 0.0, 0.0)
    return (
        f"The training was too short to learn: it reduced the loss by {percent:.0f} % "
        f"(at least {100 * MIN_LOSS_REDUCTION:.0f} % is expected). Raise --epochs or --n_subvolume."
    )
