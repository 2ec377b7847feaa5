"""Recombine predictions and data to corrected maps in the grey scale of the input."""

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
        ``(n, n, n)``: corrected to the resolution limit, the input beyond it.
    filtered : ndarray
        ``(n, n, n)``: the corrected part only.
    """

    whole: NDArray[np.float32]
    filtered: NDArray[np.float32]


def recombine(
    measurement: Measurement,
    predictions: torch.Tensor,
    inputs: list[NDArray[np.float32]],
    scales: list[GreyScale],
) -> list[CorrectedMap]:
    """Complete the maps with predictions (data consistency, `Measurement.complete`); see `corrected_maps`.

    Where the data weight is 1 the output is the measurement; where it is 0 it is the prediction under the
    real-space constraints.

    Parameters
    ----------
    measurement : Measurement
        Its data are `inputs`, normalised and band-limited.
    predictions : Tensor
        ``(n_halves, n, n, n)`` output of the network.
    inputs : list of ndarray
        ``(n, n, n)`` input maps in grey values.
    scales : list of GreyScale
        Grey scale of each input.
    """
    return corrected_maps(measurement, measurement.complete(predictions), inputs, scales)


def corrected_maps(
    measurement: Measurement,
    completed: torch.Tensor,
    inputs: list[NDArray[np.float32]],
    scales: list[GreyScale],
) -> list[CorrectedMap]:
    """Add what the inputs contain beyond the band to completed maps, and restore the grey scale.

    Parameters
    ----------
    measurement, inputs, scales
        As for `recombine`.
    completed : Tensor
        ``(n_halves, n, n, n)`` completed maps.
    """
    beyond = 1.0 - measurement.band_rfft.cpu().numpy()
    corrected = []
    for densities, grey, scale in zip(completed.cpu().numpy(), inputs, scales, strict=True):
        filtered = scale.restore(densities)
        rest = irfft3((rfft3(scale.normalise(grey)) * beyond).astype(np.complex64), grey.shape)
        corrected.append(CorrectedMap(scale.restore(densities + rest), filtered))
    return corrected
