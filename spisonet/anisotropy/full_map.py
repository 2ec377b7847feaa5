"""The full map: the average of the two half maps, corrected with its own noise level.

Both completed half maps contain inferred signal, with errors that are partly independent. Their mean infers
the unmeasured directions better than a completion of the average does (``benchmarks/RESULTS.md``).

A half map is completed to ``M y + (1 - M) p`` with the weight ``M`` of one half. The full map has the
averaged data with their own weight ``M' = 2 M / (1 + M)``, and only the inferred parts of the halves:

    x = M' (y1 + y2) / 2 + (1 - M') (p1 + p2) / 2

With the completed halves in place of ``p`` it would contain the data twice. Mask and positivity are not
applied again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.analysis.normalisation import GreyScale
from spisonet.anisotropy.data_factors import DataFactors
from spisonet.anisotropy.inferred_gain import CompletedMaps
from spisonet.anisotropy.preparation import prepare_measurement
from spisonet.anisotropy.recombination import CorrectedMap, corrected_maps
from spisonet.io.labels import BOTH, label_with_tokens
from spisonet.learning.measurement import weight_of_half
from spisonet.learning.spectra import irfft3, rfft3

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from spisonet.analysis.half_maps import HalfMaps
    from spisonet.anisotropy.fourier_weights import FourierWeights
    from spisonet.io.mrc import Volume
    from spisonet.learning.measurement import Measurement

CPU = torch.device("cpu")


@dataclass(frozen=True)
class FullMap:
    """The corrected average of two half maps: the map to build into, not a half map.

    Attributes
    ----------
    average : Volume
        Mean of the two input half maps.
    corrected, deconvolved : CorrectedMap
        The average as corrected, and as corrected without a network, by mask and positivity constraints.
    data_weight_rfft : ndarray
        ``(n, n, n // 2 + 1)`` weight in 0..1 with which the averaged data are kept within the band.
    unmeasured_fraction : float
        Fraction in 0..1 of the band that is unmeasured.
    """

    average: Volume
    corrected: CorrectedMap
    deconvolved: CorrectedMap
    data_weight_rfft: NDArray[np.float32]
    unmeasured_fraction: float

    @property
    def volume(self) -> Volume:
        """The corrected average with the header geometry of half map 1."""
        return self.average.with_data(self.corrected.whole)

    @property
    def label(self) -> str:
        """Header label, with a token by which the map is refused as a half map."""
        return label_with_tokens(
            "spisonet: corrected full map, from both halves, not a half map", halves=BOTH
        )


@dataclass(frozen=True)
class AveragedHalves:
    """The average of two half maps, ready to be completed.

    Attributes
    ----------
    volume : Volume
        Mean of the two half maps in grey values.
    scale : GreyScale
        Its grey scale: the mean of those of the halves.
    measurement : Measurement
        On the CPU; see `Measurement.averaged`.
    """

    volume: Volume
    scale: GreyScale
    measurement: Measurement

    @classmethod
    def of(
        cls,
        maps: HalfMaps,
        weights: FourierWeights,
        band_rfft: NDArray[np.float32],
        positivity: bool,
    ) -> AveragedHalves:
        """Average two half maps.

        Parameters
        ----------
        maps : HalfMaps
            Two half maps, and a mask if there is one.
        weights, band_rfft, positivity
            As for `prepare_measurement`.
        """
        assert maps.half2 is not None
        halves = [maps.half1.data, maps.half2.data]
        mask = None if maps.mask is None else maps.mask.data
        measurement, scales = prepare_measurement(halves, weights, band_rfft, mask, CPU, positivity)
        first, second = scales
        scale = GreyScale((first.solvent + second.solvent) / 2, (first.deviation + second.deviation) / 2)
        average = maps.half1.with_data((halves[0] + halves[1]) / np.float32(2))
        return cls(average, scale, measurement.averaged())

    def corrected(
        self, completed: list[CompletedMaps], constrained: list[CompletedMaps], device: torch.device
    ) -> FullMap:
        """Return the full map.

        Parameters
        ----------
        completed, constrained : list of CompletedMaps
            Half maps completed by networks and by constraints only. Without the first, constraints alone
            complete the full map. Its inferred part gets the mean gain of
            theirs, its data their mean factors.
        device : torch.device
            Where it is computed.
        """
        measurement = self.measurement.to(device)
        deconvolved = self._completed_by(measurement, constrained)
        return FullMap(
            self.volume,
            self._completed_by(measurement, completed) if completed else deconvolved,
            deconvolved,
            measurement.data_weight_rfft.cpu().numpy(),
            measurement.unmeasured_fraction,
        )

    def _completed_by(self, measurement: Measurement, halves: list[CompletedMaps]) -> CorrectedMap:
        device = measurement.data.device
        mean = torch.cat([half.maps.to(device) for half in halves]).mean(dim=0, keepdim=True)
        gains = [half.gain for half in halves if half.gain is not None]
        gain = torch.stack(gains).mean(dim=0) if gains else None
        factors = DataFactors.mean([half.factors for half in halves])
        completed = CompletedMaps(_with_averaged_data(measurement, mean), gain, factors)
        (corrected,) = corrected_maps(
            measurement, completed.recombined(measurement), [self.volume.data], [self.scale]
        )
        return corrected


def _with_averaged_data(measurement: Measurement, mean: Tensor) -> Tensor:
    """Replace the data in the mean of two completed halves, at their weight, by those of the average.

    Parameters
    ----------
    measurement : Measurement
        The average.
    mean : Tensor
        ``(1, z, y, x)`` mean of both completed half maps.
    """
    weight, data = measurement.data_weight_rfft, rfft3(measurement.data)
    inferred = rfft3(mean) - weight_of_half(weight) * data  # times 1 - weight of a half
    return irfft3(weight * data + (1.0 - weight / 2.0) * inferred, measurement.shape)
