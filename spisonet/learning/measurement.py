"""A measurement: one or two maps, and Fourier weights that describe how well they are measured."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from spisonet.fourier.grids import hermitian_multiplicity
from spisonet.learning.spectra import apply_filter, irfft3, rfft3

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

CONSTRAINT_ITERATIONS = 30
CONTEXT_VOXELS = 16  # around the support, as input of the network
SUPPORT_THRESHOLD = 0.02  # soft masks fade out over many voxels


@dataclass(frozen=True)
class Measurement:
    """One object, measured once or twice, on one device.

    Two Fourier weights in 0..1 describe how well the data ``y`` are known at the spatial frequency ``k``.
    The symbols are the same in all docstrings:

    ``C(k)``
        The smooth weight, from the 3D FSC, which is an average over cones. It filters the network's inputs.
    ``M(k)``
        The sharp weight, from the distribution of views: each view fills a plane of Fourier space. The data
        are kept with it when a map is completed (`complete`). Where only the 3D FSC is available, ``C`` takes
        its place; see `data_weight_rfft`.

    Attributes
    ----------
    data : Tensor
        ``(n_halves, z, y, x)`` densities ``y``: one map, or two with independent noise. The solvent is 0, the
        root mean square at `subvolume_centres` is 1, and the spectrum is limited to `band_rfft`.
    fsc_weight_rfft : Tensor
        ``(z, y, x // 2 + 1)`` smooth weight ``C(k)``, zero outside the band.
    view_weight_rfft : Tensor or None
        ``(z, y, x // 2 + 1)`` sharp weight ``M(k)`` of the unmasked data, solvent noise included; None if
        there is only a 3D FSC.
    noise_fraction_in_mask : float
        Fraction in 0..1 of the noise power of the box that lies inside the support.
    band_rfft : Tensor
        ``(z, y, x // 2 + 1)`` low-pass filter in 0..1 that limits what is learned and predicted.
    band_fraction : float
        Upper limit of the band, as a fraction of Nyquist.
    subvolume_centres : Tensor
        ``(n, 3)`` voxel coordinates ``(x, y, z)`` at which training subvolumes may be centred.
    support : Tensor or None
        ``(z, y, x)`` soft mask; the outside is solvent.
    positivity : bool
        Whether densities inside the support are constrained to be at least that of the solvent.
    prior : Tensor or None
        ``(n_halves, z, y, x)`` prediction of the data by a network that was trained on other structures, from
        which training begins; None without one.
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
    prior: Tensor | None = None

    def to(self, device: torch.device | str) -> Measurement:
        """Return the same measurement on another device."""
        moved: dict[str, Any] = {
            name: value.to(device) if isinstance(value, torch.Tensor) else value
            for name, value in vars(self).items()
        }
        return Measurement(**moved)

    def averaged(self) -> Measurement:
        """Return the measurement by the mean of the two halves, with the weights of its own noise level.

        `data` is ``(1, z, y, x)``; see `weight_of_average` for the weights.
        """
        views = self.view_weight_rfft
        return replace(
            self,
            data=self.data.mean(dim=0, keepdim=True),
            fsc_weight_rfft=weight_of_average(self.fsc_weight_rfft),
            view_weight_rfft=None if views is None else weight_of_average(views),
            prior=None,
        )

    @property
    def n_halves(self) -> int:
        """Number of maps: 1, or 2 with independent noise."""
        return int(self.data.shape[0])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Box ``(z, y, x)`` in voxels."""
        z, y, x = self.data.shape[-3:]
        return z, y, x

    @property
    def nbytes(self) -> int:
        """Size of the data in bytes."""
        return self.data.nbytes

    @property
    def data_weight_rfft(self) -> Tensor:
        """The weight with which data are kept when the map is completed: ``M`` if it is known, else ``C``."""
        return self.fsc_weight_rfft if self.view_weight_rfft is None else self.view_weight_rfft

    @property
    def has_constraints(self) -> bool:
        """Whether a support and the sharp weight ``M`` are given; `complete` is repeated only with both."""
        return self.view_weight_rfft is not None and self.support is not None

    @property
    def unmeasured_fraction(self) -> float:
        """Fraction of the band that is unmeasured: the mean of ``1 - w``, with `data_weight_rfft` ``w``."""
        copies = torch.from_numpy(hermitian_multiplicity(self.shape[2])).to(self.band_rfft.device)
        band = self.band_rfft * copies
        return float(1.0 - (self.data_weight_rfft * band).sum() / band.sum())

    @property
    def fingerprint(self) -> str:
        """Short hash of the data, the weights and the constraints."""
        digest = hashlib.blake2b(digest_size=12)
        for tensor in (
            self.data,
            self.fsc_weight_rfft,
            self.view_weight_rfft,
            self.band_rfft,
            self.subvolume_centres,
            self.support,
            self.prior,
        ):
            if tensor is not None:
                digest.update(tensor.contiguous().cpu().numpy().tobytes())
        digest.update(repr((self.noise_fraction_in_mask, self.positivity)).encode())
        return digest.hexdigest()

    @property
    def weighted_data(self) -> Tensor:
        """The data filtered by the smooth weight, ``C y``: the input of the network."""
        return apply_filter(self.data, self.fsc_weight_rfft)

    def constrain(self, densities: Tensor) -> Tensor:
        """Apply the real-space constraints to densities ``(..., z, y, x)``.

        Densities are multiplied by the support; with positivity, negative ones are set to 0 first.
        """
        if self.support is None:
            return densities
        return (densities.clamp(min=0.0) if self.positivity else densities) * self.support

    def within_support(self, function: Callable[[Tensor], Tensor], volumes: Tensor) -> Tensor:
        """Apply a network to volumes ``(n, z, y, x)`` inside the bounding box of the support; zero elsewhere.

        The box is widened by `CONTEXT_VOXELS` on each side.
        """
        if self.support is None:
            return function(volumes)
        region = [slice(None)]
        for axis, n in enumerate(self.shape):
            others = [other for other in range(3) if other != axis]
            inside = torch.nonzero(self.support.amax(dim=others) > SUPPORT_THRESHOLD)
            first, last = (int(inside[0]), int(inside[-1])) if len(inside) else (0, n - 1)
            region.append(slice(max(0, first - CONTEXT_VOXELS), last + 1 + CONTEXT_VOXELS))
        result = torch.zeros_like(volumes)
        result[tuple(region)] = function(volumes[tuple(region)])
        return result

    def complete(self, prediction: Tensor, prior_weight: float | None = None) -> Tensor:
        """Complete the map: keep the data where they were measured, take the prediction elsewhere.

        Iterates ``x = M y + (1 - M) ((1 - a) P x + a p')``, where ``P`` is `constrain` and ``a`` is
        `prior_weight`. With the prediction ``p`` and ``d = M y + (1 - M) p``, ``p' = p + P d - d`` is the
        prediction with the change that the constraints make to ``d``. Where ``M = S / (1 + S)`` varies slowly
        (``S`` is the signal-to-noise ratio), the iteration converges inside the support to
        ``(S y + a p') / (S + a)``, the Wiener estimate about the prediction for the noise in the support.
        With ``a = 0`` it converges to ``y`` with all its noise; with ``a = 1`` it is a single pass.

        With only the 3D FSC as weight, ``C`` takes the place of ``M``, and the map is completed in a single
        pass: ``C`` extends into unmeasured directions, in which repeated passes would pull the map to zero.

        Parameters
        ----------
        prediction : Tensor
            ``(n_halves, z, y, x)``.
        prior_weight : float, optional
            Weight ``a`` of the prediction in 0..1, by default `noise_fraction_in_mask`.

        Returns
        -------
        Tensor
            ``(n_halves, z, y, x)``.

        References
        ----------
        Fienup (1982) Appl. Opt. 21, 2758-2769 (error reduction).
        """
        prior_weight = self.noise_fraction_in_mask if prior_weight is None else prior_weight
        halves = zip(self.data, prediction, strict=True)  # one after the other, to save memory
        return torch.stack([self._complete_half(data, expected, prior_weight) for data, expected in halves])

    def complete_by_constraints(self) -> Tensor:
        """Complete the map with mask and positivity constraints only; return ``(n_halves, z, y, x)``.

        The iteration of `complete` begins at the directional Wiener filter of the data, `weighted_data`. That
        is not a prior, since it is made from the same data: the result is not drawn towards it (``a = 0``).
        The iteration is stopped before it fits the noise.

        References
        ----------
        Bertero & Boccacci (1998) Introduction to Inverse Problems in Imaging (projected Landweber iteration).
        """
        return self.complete(self.weighted_data, prior_weight=0.0)

    def _complete_half(self, data: Tensor, prediction: Tensor, prior_weight: float) -> Tensor:
        weight = self.data_weight_rfft
        measured, missing = rfft3(data) * weight, (1.0 - weight) * self.band_rfft
        # The constraints apply to the prediction together with the data. Applied to the prediction alone,
        # they would cut off its errors where the map is measured, and change the unmeasured directions.
        consistent = irfft3((rfft3(prediction) * missing).add_(measured), self.shape)
        expected = prediction + self.constrain(consistent) - consistent
        completed = irfft3((rfft3(expected) * missing).add_(measured), self.shape)
        repeats = self.has_constraints and prior_weight < 1  # with a weight of 1 nothing would change
        for _ in range(CONSTRAINT_ITERATIONS if repeats else 0):
            mixed = torch.lerp(self.constrain(completed), expected, prior_weight)
            completed = irfft3((rfft3(mixed) * missing).add_(measured), self.shape)
        return completed


def weight_of_average(weight_rfft: Tensor) -> Tensor:
    """Return the Fourier weight of the mean of two halves from that of one half.

    The weight of one half with the signal-to-noise ratio ``S`` is ``w = S / (1 + S)``, so that
    ``S = w / (1 - w)``. In the mean of two halves the signal is the same and the variance of the independent
    noise is half as large: its signal-to-noise ratio is ``2 S``, and its weight is
    ``2 S / (1 + 2 S) = 2 w / (1 + w)``.

    Parameters
    ----------
    weight_rfft : Tensor
        Weight of one half in 0..1, of any shape.

    References
    ----------
    Rosenthal & Henderson (2003) J. Mol. Biol. 333, 721-745, whose ``C_ref`` is the square root of it.
    """
    return 2.0 * weight_rfft / (1.0 + weight_rfft)


def weight_of_half(weight_rfft: Tensor) -> Tensor:
    """Return the Fourier weight of one half from that of the mean of two: the inverse of `weight_of_average`.

    Parameters
    ----------
    weight_rfft : Tensor
        Weight of the mean in 0..1, of any shape.
    """
    return weight_rfft / (2.0 - weight_rfft)
