"""Held-out directions: hide a measured cone, learn from the rest, and compare what is put into the cone.

The prediction ``p`` made from half map 1 never saw the cone, and the raw half map ``y2`` has noise of its
own, so that their FSC inside the cone is the prediction's correlation with the signal times what the noise of
``y2`` allows, ``FSC(p, y2) = corr(p, s) sqrt(FSC(y1, y2))``. No mask is laid on either: it would leak signal
from outside of the cone into it. The same sums give the error of the prediction, free of noise:
``|p - s|² = |p - y2|² - |y1 - y2|² / 2``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from matplotlib.figure import Figure

from spisonet.anisotropy.figures import label_resolutions
from spisonet.fourier.grids import frequency_axes_rfft, hermitian_multiplicity, radius_rfft, shell_index_rfft
from spisonet.geometry.sampling import AxisGrid
from spisonet.learning.spectra import apply_filter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.learning.measurement import Measurement

MEASURED = 0.3  # weight from which a coefficient can be compared with
AXES_PER_EDGE = 13  # 7.5 degrees between axes that are looked at
WELL_MEASURED = 0.8  # of the best cone's share
FEWEST = 8  # coefficients of a shell
HALF = 0.5


@dataclass(frozen=True)
class Cone:
    """A double cone of directions.

    Attributes
    ----------
    axis_xyz : tuple of float
        Unit vector.
    half_angle_degrees : float
        Between the axis and the edge.
    """

    axis_xyz: tuple[float, float, float]
    half_angle_degrees: float

    def inside_rfft(self, n: int) -> NDArray[np.bool_]:
        """Coefficients ``(n, n, n // 2 + 1)`` inside the cone; DC is not."""
        kz, ky, kx = frequency_axes_rfft((n, n, n))
        x, y, z = self.axis_xyz
        radius = radius_rfft((n, n, n))
        along = np.abs(kx * x + ky * y + kz * z)
        return cast(
            "NDArray[np.bool_]",
            (along >= np.cos(np.radians(self.half_angle_degrees)) * radius) & (radius > 0),
        )

    @property
    def first_shell(self) -> int:
        """First shell in which the cone is four Fourier voxels wide or more."""
        return int(np.ceil(2 / np.sin(np.radians(min(self.half_angle_degrees, 90)))))


def choose_cones(
    weight_rfft: NDArray[np.float32], last_shell: float, count: int, half_angle_degrees: float
) -> list[Cone]:
    """Choose cones that were well measured, and far from each other.

    Parameters
    ----------
    weight_rfft : ndarray
        ``(n, n, n // 2 + 1)`` in 0..1, how well each coefficient was measured.
    last_shell : float
        Where the correction ends.
    count : int
        How many; fewer are returned if fewer directions were measured.
    half_angle_degrees : float
        Of the cones.

    Returns
    -------
    list of Cone
        Best measured first.
    """
    n = len(weight_rfft)
    kz, ky, kx = (
        np.broadcast_to(k, weight_rfft.shape) for k in frequency_axes_rfft(weight_rfft.shape[:1] * 3)
    )
    radius = radius_rfft((n, n, n))
    chosen = (radius > 1) & (radius <= last_shell)
    vectors = np.stack([kx[chosen], ky[chosen], kz[chosen]], axis=1) / radius[chosen][:, None]
    # Shells count alike, whatever the number of their coefficients.
    share = weight_rfft[chosen] / radius[chosen] ** 2
    grid = AxisGrid(AXES_PER_EDGE)
    n_axes = len(grid.directions)
    cells = grid.nearest(vectors)
    measured = np.bincount(cells, share, n_axes)
    total = np.bincount(cells, 1 / radius[chosen] ** 2, n_axes)
    cosines = np.abs(grid.directions @ grid.directions.T)
    inside = cosines >= np.cos(np.radians(half_angle_degrees))
    quality = (inside @ measured) / np.maximum(inside @ total, 1e-30)
    good = quality >= WELL_MEASURED * quality.max()
    chosen_axes = [int(np.argmax(quality))]
    while len(chosen_axes) < count:
        nearest = cosines[:, chosen_axes].max(axis=1)
        # Of axes equally far from the others, the better measured one.
        candidate = int(np.argmin(np.where(good, nearest - 1e-3 * quality, np.inf)))
        if nearest[candidate] > np.cos(np.radians(half_angle_degrees)):
            break
        chosen_axes.append(candidate)
    x_y_z = [grid.directions[index] for index in chosen_axes]
    return [Cone((float(a[0]), float(a[1]), float(a[2])), half_angle_degrees) for a in x_y_z]


def hide(measurement: Measurement, inside_rfft: NDArray[np.bool_]) -> Measurement:
    """Take coefficients out of the data and the weights of a measurement."""
    rest = torch.from_numpy((~inside_rfft).astype(np.float32)).to(measurement.data.device)
    consistency = measurement.consistency_rfft
    return replace(
        measurement,
        data=apply_filter(measurement.data, rest),
        weight_rfft=measurement.weight_rfft * rest,
        consistency_rfft=None if consistency is None else consistency * rest,
    )


@dataclass(frozen=True)
class Agreement:
    """Sums over the compared coefficients of every shell, ``(n // 2 + 1,)`` each.

    Attributes
    ----------
    cross, predicted, raw : ndarray
        ``Σ Re(p y2*)``, ``Σ |p|²``, ``Σ |y2|²``.
    half_cross, half_power : ndarray
        ``Σ Re(y1 y2*)``, ``Σ |y1|²``.
    counts : ndarray
        Coefficients.
    """

    cross: NDArray[np.float64]
    predicted: NDArray[np.float64]
    raw: NDArray[np.float64]
    half_cross: NDArray[np.float64]
    half_power: NDArray[np.float64]
    counts: NDArray[np.float64]

    def __add__(self, other: Agreement) -> Agreement:
        """Return the sums over two regions."""
        return Agreement(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def used(self) -> NDArray[np.bool_]:
        """Shells with enough coefficients, in which the half maps correlate."""
        return (self.counts >= FEWEST) & (self.half_cross > 0)

    @property
    def fsc(self) -> NDArray[np.float64]:
        """FSC of prediction and raw half map 2."""
        return self.cross / np.sqrt(np.maximum(self.predicted * self.raw, 1e-30))

    @property
    def ceiling(self) -> NDArray[np.float64]:
        """FSC that the noise of half map 2 leaves to a perfect prediction."""
        fsc = self.half_cross / np.sqrt(np.maximum(self.half_power * self.raw, 1e-30))
        return np.sqrt(np.clip(fsc, 0, 1))

    @property
    def recovered(self) -> float:
        """Recovered fraction: mean FSC over mean ceiling, over the used shells; 0 without any."""
        ceiling = self.ceiling[self.used].sum()
        return float(self.fsc[self.used].sum() / ceiling) if ceiling > 0 else 0.0

    @property
    def recovered_by_shell(self) -> NDArray[np.float64]:
        """The fraction for every shell, from three neighbouring ones; NaN where nothing can be told."""
        three = np.ones(3)
        fsc, ceiling = (
            np.convolve(np.where(self.used, curve, 0), three, "same") for curve in (self.fsc, self.ceiling)
        )
        known = self.used & (ceiling > 0)
        fraction: NDArray[np.float64] = np.full_like(fsc, np.nan)
        np.divide(fsc, ceiling, out=fraction, where=known)
        return fraction

    @property
    def squared_error(self) -> NDArray[np.float64]:
        """``Σ |p - s|²``, from which the noise of half map 2 has been taken away."""
        raw_error = self.predicted + self.raw - 2 * self.cross
        noise = (self.half_power + self.raw - 2 * self.half_cross) / 2
        return raw_error - noise

    @property
    def power_ratio(self) -> float:
        """Power of the prediction relative to that of the signal, ``Σ |p|² / Σ Re(y1 y2*)``."""
        signal = self.half_cross[self.used].sum()
        return float(self.predicted[self.used].sum() / signal) if signal > 0 else 0.0


def compare(
    predicted: NDArray[np.complexfloating],
    half1: NDArray[np.complexfloating],
    half2: NDArray[np.complexfloating],
    region_rfft: NDArray[np.bool_],
    first_shell: int,
) -> Agreement:
    """Compare a prediction with the raw halves in a region of Fourier space, shell by shell.

    Parameters
    ----------
    predicted, half1, half2 : ndarray
        ``(n, n, n // 2 + 1)`` half spectra; half map 2 is what the prediction did not see.
    region_rfft : ndarray
        ``(n, n, n // 2 + 1)`` what is compared.
    first_shell : int
        Where the comparison begins.
    """
    n = predicted.shape[0]
    shell = shell_index_rfft((n, n, n))
    region = region_rfft & (shell >= first_shell) & (shell <= n // 2)
    index = shell[region]
    copies = np.broadcast_to(hermitian_multiplicity(n), shell.shape)[region]
    p, y1, y2 = (spectrum[region] for spectrum in (predicted, half1, half2))

    def sums(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(index, copies * values, n // 2 + 1).astype(np.float64)

    return Agreement(
        sums((p * y2.conj()).real),
        sums(np.abs(p) ** 2),
        sums(np.abs(y2) ** 2),
        sums((y1 * y2.conj()).real),
        sums(np.abs(y1) ** 2),
        sums(np.ones(len(p))),
    )


def reach(recovered: NDArray[np.float64], box_angstrom: float, threshold: float = HALF) -> float | None:
    """Resolution in Å up to which at least this fraction was recovered; None if nowhere."""
    known = np.flatnonzero(~np.isnan(recovered))
    good = recovered[known] >= threshold
    n_good = len(known) if good.all() else int(np.argmin(good))
    return box_angstrom / int(known[n_good - 1]) if n_good else None


def draw_held_out(curves: dict[str, list[float]]) -> Figure:
    """Draw how well hidden cones were recovered, by resolution; see ``validation.json`` for the curves."""
    figure = Figure(figsize=(11.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    frequency = 1 / np.array(curves["resolution_angstrom"])
    left.plot(frequency, curves["ceiling"], "k--", label="ceiling")
    left.plot(frequency, curves["fsc"], "k-", label="prediction, raw half map 2")
    left.set_ylabel("FSC inside the hidden cones")
    right.plot(frequency, curves["recovered"], "k-", label="with the network")
    right.plot(frequency, curves["recovered_without_network"], "k:", label="data, mask and positivity alone")
    right.axhline(HALF, color="0.6", lw=0.8)
    right.set_ylabel("recovered fraction")
    for axis in (left, right):
        axis.set_ylim(-0.1, 1.05)
        axis.set_xlabel("spatial frequency / Å⁻¹")
        axis.legend(fontsize=8, loc="lower left")
        label_resolutions(axis)
    return figure
