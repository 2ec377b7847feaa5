"""Check whether an initial reference is isotropic, by its agreement with its own envelope in every direction.

At low resolution a molecule is close to a body of uniform density. A map of such a body agrees in every
direction with the body inside one of its contours, however elongated the body is. A map in which directions
are missing, attenuated or filled by particles at wrong poses has density of varying height, and disagrees
with its envelope in these directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from spisonet.fourier.cones import axis_sums, cone_weights
from spisonet.fourier.grids import crop_or_pad_rfft, distance_from_centre, irfft3, rfft3
from spisonet.fourier.shells import shell_counts, shell_sums
from spisonet.fourier.windows import soft_lowpass_weights
from spisonet.geometry.sphere import AxisGrid

if TYPE_CHECKING:
    from numpy.typing import NDArray

ReferenceClass = Literal["trusted", "doubtful", "anisotropic"]

# Lowest agreement over the directions; measured on known cases in benchmarks/RESULTS.md.
TRUSTED_AGREEMENT = 0.85
ANISOTROPIC_AGREEMENT = 0.75
# Resolution at which a reference is judged. Coarser, too few shells separate good from drifted maps; finer, a
# molecule is not uniform.
JUDGED_ANGSTROM = 30.0
FIRST_SHELL, FEWEST_SHELLS = 2, 2
FILTER_EDGE_SHELLS = 2.0  # as RELION's low-pass filter
VOXELS_PER_SHELL = 8  # of the grid on which envelopes are made
CONE_DEGREES, AXES_PER_EDGE = 30.0, 13
# Part of the mean power of a shell that is added in every direction, so that directions in which the molecule
# itself has little power do not decide.
POWER_FLOOR = 0.1
CONTOURS = np.linspace(0.1, 0.7, 13)  # relative to the highest densities
HIGHEST_FRACTION = 0.002  # of the voxels
# A shell is empty if its power, times the fourth power of its radius (Porod's law), is below this fraction of
# the largest one.
EMPTY_POWER = 1e-3
# Fraction of the envelope outside the inscribed sphere from which a map is noise rather than a particle.
# Noise, too, agrees with its contours in every direction.
MAX_OUTSIDE_FRACTION = 0.2


@dataclass(frozen=True)
class ReferenceCheck:
    """Agreement of a reference with its own envelope, by direction.

    Attributes
    ----------
    agreement : float
        Lowest correlation over the directions, in -1..1.
    median_agreement : float
        Its median.
    axis_xyz : ndarray
        ``(3,)`` direction of the lowest one.
    resolution_angstrom : float
        Resolution to which it was measured.
    n_shells : int
        Number of shells that were used; with fewer than two a reference cannot be judged.
    outside_fraction : float
        Fraction in 0..1 of the envelope outside the sphere inscribed in the box.
    """

    agreement: float
    median_agreement: float
    axis_xyz: NDArray[np.float64]
    resolution_angstrom: float
    n_shells: int
    outside_fraction: float

    @property
    def category(self) -> ReferenceClass:
        """``trusted``, ``doubtful`` (also with too few shells, and for noise) or ``anisotropic``."""
        if self.n_shells < FEWEST_SHELLS or self.outside_fraction > MAX_OUTSIDE_FRACTION:
            return "doubtful"
        if self.agreement >= TRUSTED_AGREEMENT:
            return "trusted"
        return "doubtful" if self.agreement >= ANISOTROPIC_AGREEMENT else "anisotropic"


def check_reference(
    volume: NDArray[np.float32], voxel_size_angstrom: float, resolution_angstrom: float
) -> ReferenceCheck:
    """Measure the anisotropy of an initial reference.

    Parameters
    ----------
    volume : ndarray
        ``(n, n, n)`` reference, bright particle on a dark background.
    voxel_size_angstrom : float
        Voxel size.
    resolution_angstrom : float
        Resolution to which it is used. It is measured to `JUDGED_ANGSTROM` or, if finer, to this resolution,
        unless the map contains nothing there.
    """
    box_angstrom = len(volume) * voxel_size_angstrom
    nyquist_shell = (len(volume) - 1) // 2
    spectrum = rfft3(volume)
    shell = int(min(box_angstrom / min(resolution_angstrom, JUDGED_ANGSTROM), nyquist_shell))
    last = _last_shell_with_power(spectrum, len(volume), max(shell, 1))
    if last < shell:
        shell = last - 1  # the last one is within the edge of the filter
    n_shells = max(0, shell - FIRST_SHELL + 1)
    if not n_shells:
        return ReferenceCheck(0.0, 0.0, np.zeros(3), box_angstrom / max(shell, 1), 0, 0.0)
    n = min(VOXELS_PER_SHELL * shell, len(volume) + len(volume) % 2)
    lowpass = soft_lowpass_weights(n, shell - FILTER_EDGE_SHELLS / 2, FILTER_EDGE_SHELLS)
    filtered = (crop_or_pad_rfft(spectrum, n) * lowpass).astype(np.complex64)
    body = _best_contour(irfft3(filtered, (n, n, n)), lowpass)
    envelope = (rfft3(body) * lowpass).astype(np.complex64)
    directions = AxisGrid(AXES_PER_EDGE)
    agreement = _agreement(filtered, envelope, directions, shell)
    worst = int(agreement.argmin())
    return ReferenceCheck(
        float(agreement[worst]),
        float(np.median(agreement)),
        directions.directions[worst],
        box_angstrom / shell,
        n_shells,
        float(body[distance_from_centre(n) > n / 2].sum() / max(body.sum(), 1)),
    )


def _last_shell_with_power(spectrum: NDArray[np.complex64], n: int, limit: int) -> int:
    """Return the last shell up to a limit in which a map has power, for maps that were low-pass filtered."""
    power = (shell_sums(np.abs(spectrum) ** 2, n) / shell_counts(n))[1 : limit + 1]
    scaled = power * np.arange(1, len(power) + 1) ** 4.0
    return 1 + int(np.flatnonzero(scaled >= EMPTY_POWER * scaled.max())[-1])


def _best_contour(volume: NDArray[np.float32], lowpass: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the body, 1 inside a contour, that correlates best with a filtered map if filtered alike."""
    n_highest = max(1, round(HIGHEST_FRACTION * volume.size))
    highest = float(np.median(np.partition(volume, -n_highest, axis=None)[-n_highest:]))
    bodies: list[NDArray[np.float32]] = []
    correlations: list[float] = []
    for contour in CONTOURS:
        body = (volume > contour * highest).astype(np.float32)
        envelope = irfft3((rfft3(body) * lowpass).astype(np.complex64), volume.shape)
        bodies.append(body)
        correlations.append(float(np.corrcoef(envelope.ravel(), volume.ravel())[0, 1]))
    return bodies[int(np.argmax(correlations))]


def _agreement(
    spectrum: NDArray[np.complex64], envelope: NDArray[np.complex64], grid: AxisGrid, last_shell: int
) -> NDArray[np.float64]:
    """Return the correlation of two spectra in a cone around every axis; all shells count alike."""
    cross = (spectrum * envelope.conj()).real
    quantities = (cross, np.abs(spectrum) ** 2, np.abs(envelope) ** 2, np.ones_like(cross))
    sums = axis_sums(quantities, grid, FIRST_SHELL, last_shell)
    whole = sums.sum(axis=2, keepdims=True)
    scales = np.stack([np.sqrt(whole[1] * whole[2]), whole[1], whole[2], whole[3]])
    cones = (sums / scales).sum(axis=1) @ cone_weights(grid.directions, CONE_DEGREES)
    cross, power, envelope_power = cones[:3] + POWER_FLOOR * cones[3]
    return np.asarray(cross / np.sqrt(power * envelope_power))
