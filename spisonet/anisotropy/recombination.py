"""Put prediction and measurement together, in the input's grey scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spisonet.fourier.grids import irfft3, rfft3

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from spisonet.analysis.normalisation import GreyScale
    from spisonet.learning.measurement import Measurement


@dataclass(frozen=True)
class CorrectedMap:
    """A corrected map in the grey scale of its input.

    Attributes
    ----------
    whole : ndarray
        ``(n, n, n)``: corrected up to the resolution limit, the input beyond it.
    filtered : ndarray
        ``(n, n, n)``: the corrected part alone.
    """

    whole: NDArray[np.float32]
    filtered: NDArray[np.float32]


def recombine(
    measurement: Measurement,
    predictions: torch.Tensor,
    inputs: list[NDArray[np.float32]],
    scales: list[GreyScale],
    prior_weight: float | None = None,
) -> list[CorrectedMap]:
    """Corrected maps: the filled measurement within the band and the input beyond it.

    A coefficient is kept as far as the half maps agree on it: where the weight is 1 the output is the
    measurement, where it is 0 the prediction under the real-space constraints (`Measurement.complete`).

    Parameters
    ----------
    measurement : Measurement
        What was measured, with `inputs` normalised and band-limited as its data.
    predictions : Tensor
        ``(n_halves, n, n, n)`` network output.
    inputs : list of ndarray
        The input maps in grey values.
    scales : list of GreyScale
        Of each input.
    prior_weight : float, optional
        How far the result is held to the prediction, see `Measurement.complete`.
    """
    filled = measurement.complete(predictions, prior_weight).cpu().numpy()
    beyond = 1.0 - measurement.band_rfft.cpu().numpy()
    corrected = []
    for densities, grey, scale in zip(filled, inputs, scales, strict=True):
        filtered = scale.restore(densities)
        rest = irfft3((rfft3(scale.normalise(grey)) * beyond).astype(np.complex64), grey.shape)
        corrected.append(CorrectedMap(scale.restore(densities + rest), filtered))
    return corrected


def deconvolve(
    measurement: Measurement, inputs: list[NDArray[np.float32]], scales: list[GreyScale]
) -> list[CorrectedMap]:
    """Correct maps without a network, each alone: the classical baseline.

    The directional Wiener filter ``M y`` is the object as seen through the transfer function M, with noise.
    It is deconvolved by the iteration ``x <- M y + (1 - M) P x`` (Landweber's, in which every coefficient
    moves as far as it is known, with the projection P on mask and positivity), which is stopped before it
    fits the noise. It is not held to where it began, which is made of the same data.

    Parameters
    ----------
    measurement, inputs, scales
        As for `recombine`.

    References
    ----------
    Bertero & Boccacci (1998) Introduction to Inverse Problems in Imaging (projected Landweber iteration).
    """
    return recombine(measurement, measurement.weighted_data, inputs, scales, prior_weight=0.0)
