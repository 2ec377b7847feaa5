"""A measurement: data and a Fourier weight that says what the data know."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from spisonet.learning.spectra import apply_filter, irfft3, rfft3

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

CONSTRAINT_ITERATIONS = 30
SURROUNDINGS = 16  # voxels
EDGE_OF_SUPPORT = 0.02  # soft masks fade out over many voxels


@dataclass(frozen=True)
class Measurement:
    """One object as it was measured, once or twice, on one device.

    Attributes
    ----------
    data : Tensor
        ``(n_halves, z, y, x)`` densities with a solvent of zero and, where crops are drawn, a
        root mean square of 1, limited to `band_rfft`: one map, or two with independent noise.
    fsc_weight_rfft : Tensor
        ``(z, y, x // 2 + 1)`` weight ``M(k)`` in 0..1, zero outside the band.
    view_weight_rfft : Tensor or None
        ``(z, y, x // 2 + 1)`` weight of the data of the whole box, solvent noise included, if it is
        known as sharply as filling with constraints needs it.
    noise_fraction_in_mask : float
        Share in 0..1 of the noise of the box that is inside the support.
    band_rfft : Tensor
        ``(z, y, x // 2 + 1)`` low-pass in 0..1 of what is to be learned at all.
    band_fraction : float
        Where the band ends, as a fraction of Nyquist.
    subvolume_centres : Tensor
        ``(n, 3)`` voxel coordinates ``(x, y, z)`` around which training crops may be drawn.
    support : Tensor or None
        ``(z, y, x)`` soft mask outside which there is only solvent.
    positivity : bool
        Whether nothing inside the support is less dense than the solvent.
    """

    data: Tensor
    fsc_weight_rfft: Tensor
    view_weight_rfft: Tensor | None
    noise_fraction_in_mask: float
    band_rfft: Tensor
    band_fraction: float
    subvolume_centres: Tensor
    support: Tensor | None
    positivity: bool

    def to(self, device: torch.device | str) -> Measurement:
        """Return the same measurement on another device."""
        moved: dict[str, Any] = {
            name: value.to(device) if isinstance(value, torch.Tensor) else value
            for name, value in vars(self).items()
        }
        return Measurement(**moved)

    @property
    def n_halves(self) -> int:
        """1, or 2 when noise can be told from signal."""
        return int(self.data.shape[0])

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(z, y, x)``."""
        z, y, x = self.data.shape[-3:]
        return z, y, x

    @property
    def nbytes(self) -> int:
        """Size of the data in memory."""
        return self.data.nbytes

    @property
    def data_weight_rfft(self) -> Tensor:
        """The sharpest weight that is known: how far a coefficient is kept when the rest is filled."""
        return self.fsc_weight_rfft if self.view_weight_rfft is None else self.view_weight_rfft

    @property
    def has_constraints(self) -> bool:
        """Whether a support and a sharp weight are there, which filling again and again needs."""
        return self.view_weight_rfft is not None and self.support is not None

    @property
    def unmeasured_fraction(self) -> float:
        """Fraction of the band that the measurement does not know."""
        known = (self.data_weight_rfft * self.band_rfft).sum()
        return float(1.0 - known / self.band_rfft.sum())

    @property
    def fingerprint(self) -> str:
        """Short hash of the data and everything that is known of them."""
        digest = hashlib.blake2b(digest_size=12)
        for tensor in (
            self.data,
            self.fsc_weight_rfft,
            self.view_weight_rfft,
            self.band_rfft,
            self.subvolume_centres,
            self.support,
        ):
            if tensor is not None:
                digest.update(tensor.contiguous().cpu().numpy().tobytes())
        digest.update(repr((self.noise_fraction_in_mask, self.positivity)).encode())
        return digest.hexdigest()

    @property
    def weighted_data(self) -> Tensor:
        """The data as far as they are known, ``M y``: what the network is given."""
        return apply_filter(self.data, self.fsc_weight_rfft)

    def constrain(self, densities: Tensor) -> Tensor:
        """Project densities ``(..., z, y, x)`` on what is known of the object in real space.

        With a support, the outside is solvent; with positivity, the inside is not below it.
        """
        if self.support is None:
            return densities
        return (densities.clamp(min=0.0) if self.positivity else densities) * self.support

    def within_support(self, function: Callable[[Tensor], Tensor], volumes: Tensor) -> Tensor:
        """Apply a network to volumes ``(n, z, y, x)`` where its answer counts; zero elsewhere.

        That is the box around the support, with some surroundings for the network to look at.
        """
        if self.support is None:
            return function(volumes)
        region = [slice(None)]
        for axis, n in enumerate(self.shape):
            others = [other for other in range(3) if other != axis]
            inside = torch.nonzero(self.support.amax(dim=others) > EDGE_OF_SUPPORT)
            first, last = (int(inside[0]), int(inside[-1])) if len(inside) else (0, n - 1)
            region.append(slice(max(0, first - SURROUNDINGS), last + 1 + SURROUNDINGS))
        result = torch.zeros_like(volumes)
        result[tuple(region)] = function(volumes[tuple(region)])
        return result

    def complete(self, prediction: Tensor, prior_weight: float | None = None) -> Tensor:
        """Put a prediction where the measurement knows little, in accord with what is known of the object.

        Repeats ``x = M y + (1 - M) ((1 - a) P x + a p)`` from the prediction ``p``, where ``P`` is
        `constrain` and ``a`` is `hold`, by default the share of the noise inside the support. Where
        ``M = S / (1 + S)`` varies slowly, this ends inside the support at ``(S y + a p) / (S + a)``, the
        Wiener estimate about the prediction for the noise that is there; without ``a``, at ``y`` with all
        its noise.
        A weight that is not sharp bears no repetition: a little of it on the emptiness of an
        unmeasured direction would empty it.

        Parameters
        ----------
        prediction : Tensor
            ``(n_halves, z, y, x)``.
        prior_weight : float, optional
            How far the result is held to the prediction, 0..1.

        References
        ----------
        Fienup (1982) Appl. Opt. 21, 2758-2769 (error reduction).
        """
        prior_weight = self.noise_fraction_in_mask if prior_weight is None else prior_weight
        halves = zip(self.data, prediction, strict=True)  # one after the other, to save memory
        return torch.stack([self._complete_half(data, expected, prior_weight) for data, expected in halves])

    def _complete_half(self, data: Tensor, prediction: Tensor, prior_weight: float) -> Tensor:
        weight = self.data_weight_rfft
        known, missing = rfft3(data) * weight, (1.0 - weight) * self.band_rfft
        expected = self.constrain(prediction)
        filled = irfft3((rfft3(expected) * missing).add_(known), self.shape)
        for _ in range(CONSTRAINT_ITERATIONS if self.has_constraints else 0):
            mixed = torch.lerp(self.constrain(filled), expected, prior_weight)
            filled = irfft3((rfft3(mixed) * missing).add_(known), self.shape)
        return filled
