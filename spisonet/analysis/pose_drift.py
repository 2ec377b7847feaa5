"""Drift of the poses of a particle set, as the particles of the other half set measure it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIGNIFICANT_P_VALUE = 1e-3
# A double cone of 37 degrees. If all views are near one axis, to stretch them away from it changes the images
# hardly more than to shrink the particle along it: errors of the half maps then look like a drift.
UNSAMPLED_FRACTION_LIMIT = 0.2


@dataclass(frozen=True)
class PoseDrift:
    """The most likely collective motion of the poses, and the cross-half likelihood along it.

    Attributes
    ----------
    n_particles, n_listed : int
        Particles that were used, and particles in the file.
    coarsest_angstrom, finest_angstrom : float
        Band of the likelihood.
    motion_degrees : float
        Root mean square rotation of the particles by the motion.
    smallest_drift_degrees : float
        Motions below this are not called a drift.
    p_value : float
        Probability of such a gradient of the likelihood if the poses have not drifted.
    log_likelihood : float
        Per particle, relative to the model "noise only", in nats, in the given poses.
    fractions : ndarray
        ``(k,)`` of the motion; contains 0 and 1.
    rise, standard_error : ndarray
        ``(k,)`` log-likelihood per particle minus that in the given poses, in nats, and the standard error of
        this difference over particles.
    ignored_aberrations : tuple of str
        Columns with aberrations that were not applied.
    unsampled_fraction : float
        Fraction in 0..1 of the directions of Fourier space with less than 2 % of an even share of the views.
    of_subtomograms : bool
        Whether the images are tilt images of subtomograms.
    """

    n_particles: int
    n_listed: int
    coarsest_angstrom: float
    finest_angstrom: float
    motion_degrees: float
    smallest_drift_degrees: float
    p_value: float
    log_likelihood: float
    fractions: NDArray[np.float64]
    rise: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    ignored_aberrations: tuple[str, ...] = ()
    unsampled_fraction: float = 0.0
    of_subtomograms: bool = False

    @property
    def rise_of_motion(self) -> tuple[float, float]:
        """Rise by the whole motion, and its standard error."""
        whole = int(np.flatnonzero(self.fractions == 1)[0])
        return float(self.rise[whole]), float(self.standard_error[whole])

    @property
    def is_determined(self) -> bool:
        """Whether the views are spread enough to tell a drift from a stretched particle."""
        return self.unsampled_fraction < UNSAMPLED_FRACTION_LIMIT

    @property
    def is_detected(self) -> bool:
        """Whether the motion is determined, large enough and significant."""
        large = self.motion_degrees >= self.smallest_drift_degrees
        return self.is_determined and large and self.p_value < SIGNIFICANT_P_VALUE

    @property
    def sentence(self) -> str:
        """The result in a sentence."""
        rise, error = self.rise_of_motion
        measured = (
            f"The most likely collective motion of the poses is {self.motion_degrees:.1f}° rms and raises "
            f"the cross-half log-likelihood by {rise:.2f} ± {error:.2f} per particle ({self.n_particles:,} "
            f"particles, {self.coarsest_angstrom:.0f} to {self.finest_angstrom:.0f} Å; "
            f"p = {self.p_value:.1g})"
        )
        if self.is_detected:
            return f"{measured}: the poses have drifted."
        if not self.is_determined:
            return (
                f"{measured}. {100 * self.unsampled_fraction:.0f} % of Fourier space has hardly any view: "
                "with such views a drift cannot be told from a stretched particle, and none is reported."
            )
        return (
            f"{measured}: no drift of the poses was found (a drift: {self.smallest_drift_degrees:g}° or "
            f"more, and p below {SIGNIFICANT_P_VALUE:g})."
        )

    @property
    def numbers(self) -> dict[str, Any]:
        """Values for a JSON file."""
        rise, error = self.rise_of_motion
        return {
            "is_detected": self.is_detected,
            "is_determined": self.is_determined,
            "unsampled_fraction": self.unsampled_fraction,
            "n_particles": self.n_particles,
            "n_listed": self.n_listed,
            "of_subtomograms": self.of_subtomograms,
            "coarsest_angstrom": self.coarsest_angstrom,
            "finest_angstrom": self.finest_angstrom,
            "motion_degrees": self.motion_degrees,
            "smallest_drift_degrees": self.smallest_drift_degrees,
            "p_value": self.p_value,
            "log_likelihood_per_particle": self.log_likelihood,
            "rise_per_particle": rise,
            "rise_standard_error": error,
            "curve": {
                "fraction_of_motion": self.fractions.tolist(),
                "rise_per_particle": self.rise.tolist(),
                "standard_error": self.standard_error.tolist(),
            },
            "ignored_aberrations": list(self.ignored_aberrations),
        }
