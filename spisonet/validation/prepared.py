"""A finished run, read and prepared for held-out validation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from spisonet.analysis.normalisation import measure_grey_scale
from spisonet.anisotropy.data_factors import DataFactors
from spisonet.anisotropy.fourier_weights import REFERENCE_EDGE_SHELLS
from spisonet.anisotropy.learned_completion import CompletionSource
from spisonet.anisotropy.preparation import correction_band, prepare_measurement
from spisonet.anisotropy.reconstruct import fourier_weights_of, training_config_of, training_units
from spisonet.anisotropy.run_inputs import read_run_inputs
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import rfft3
from spisonet.io.mrc import Volume, read_volume
from spisonet.learning.pretrained import network_file
from spisonet.learning.process_group import SINGLE_PROCESS
from spisonet.learning.structural_prior import read_prior_network
from spisonet.validation.finished_run import FinishedRun
from spisonet.validation.held_out import MEASURED, Cone, HeldOutStatistics, compare_in_region

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from spisonet.anisotropy.run_inputs import RunInputs
    from spisonet.learning.measurement import Measurement
    from spisonet.learning.memory import Memory
    from spisonet.learning.process_group import ProcessGroup
    from spisonet.learning.training_config import TrainingConfig
    from spisonet.learning.unet import Network
    from spisonet.validation.config import ValidateConfig


@dataclass(frozen=True)
class PreparedValidation:
    """A finished run, read and prepared for held-out validation.

    Attributes
    ----------
    run : FinishedRun
        The run.
    inputs : RunInputs
        Its maps, read again.
    memory : Memory
        Memory of the device.
    measurement : Measurement
        What the network to be validated was trained on: both halves, or half 1 of independent halves.
    unit_name : str
        Name of that in the record of the run.
    half1_rfft, half2_rfft : ndarray
        ``(n, n, n // 2 + 1)`` half spectra of the half maps, normalised.
    data_weight_rfft : ndarray
        ``(n, n, n // 2 + 1)`` data weight in 0..1.
    network_path : Path
        Network that the first map was corrected with.
    corrected : list of Volume
        Corrected half maps, filtered to the resolution limit.
    grey_deviation : float
        Grey values per normalised unit of half map 1.
    limit_angstrom : float
        Resolution limit in Å.
    training_config : TrainingConfig
        Training of each network of the validation.
    """

    run: FinishedRun
    inputs: RunInputs
    memory: Memory
    measurement: Measurement
    unit_name: str
    half1_rfft: NDArray[np.complex64]
    half2_rfft: NDArray[np.complexfloating]
    data_weight_rfft: NDArray[np.float32]
    network_path: Path
    corrected: list[Volume]
    grey_deviation: float
    limit_angstrom: float
    training_config: TrainingConfig

    @property
    def box(self) -> int:
        """Box in voxels."""
        return self.inputs.maps.half1.box

    @property
    def box_angstrom(self) -> float:
        """Box edge in Å."""
        return self.box * self.inputs.maps.half1.voxel_size_angstrom

    @property
    def last_shell(self) -> float:
        """Resolution limit in Fourier voxels."""
        return self.box_angstrom / self.limit_angstrom

    def region(self, cone: Cone) -> tuple[NDArray[np.bool_], int]:
        """Return the compared region of a cone, ``(n, n, n // 2 + 1)``, and the first shell."""
        first = cone.first_shell
        if self.inputs.reference_shell:  # up to there both halves contain the same reference
            first = max(first, math.ceil(self.inputs.reference_shell) + REFERENCE_EDGE_SHELLS + 1)
        return cone.inside_rfft(self.box) & (self.data_weight_rfft > MEASURED), first

    @property
    def prediction_shares(self) -> dict[str, float]:
        """Shares of the predictions in the corrected maps of the validated unit."""
        of_units: dict[str, dict[str, float]] = self.run.record.get("prediction_shares", {})
        return of_units.get(self.unit_name, {})

    @property
    def inferred_gain(self) -> Tensor | None:
        """Gain of the inferred part of the corrected maps by shell; None in runs that did not measure it."""
        of_units: dict[str, list[float] | None] = self.run.record.get("inferred_gains", {})
        gain = of_units.get(self.unit_name)
        return None if gain is None else torch.tensor(gain, dtype=torch.float32)

    @property
    def data_factors(self) -> DataFactors:
        """Factors of the data in the corrected maps; 1 in runs that did not measure them."""
        of_units: dict[str, dict[str, float]] = self.run.record.get("data_factors", {})
        return DataFactors(**of_units.get(self.unit_name, {}))

    def completion_source(
        self,
        title: str,
        training: TrainingConfig,
        start_network: Network | None,
        processes: ProcessGroup = SINGLE_PROCESS,
        checkpoint: Path | None = None,
        resume: bool = False,
    ) -> CompletionSource:
        """Return what completes maps as those of the run were completed; see `CompletionSource`."""
        config = self.run.config
        prior_network = read_prior_network(config.prior) if config.objective != "ei" else None
        return CompletionSource(
            title, training, prior_network, start_network, self.memory, processes, checkpoint, resume
        )

    def compare(self, predicted_rfft: NDArray[np.complexfloating], cone: Cone) -> HeldOutStatistics:
        """Compare a prediction from half map 1 with raw half map 2 in a cone."""
        return compare_in_region(predicted_rfft, self.half1_rfft, self.half2_rfft, *self.region(cone))


def prepare_validation(config: ValidateConfig, memory: Memory) -> PreparedValidation:
    """Read a finished run and prepare its maps; nothing is written.

    Raises
    ------
    SpisonetError
        If the folder does not contain a finished run of two half maps with a trained network, or if its input
        maps are missing.
    """
    run = FinishedRun.read(config.folder, config.ncpus)
    if run.config.i2 is None:
        raise SpisonetError("Held-out validation needs two half maps, but the run corrected a single map.")
    if run.config.method != "learn":
        raise SpisonetError(
            f"{run.folder} was corrected without training; only trained networks can be validated."
        )
    inputs = read_run_inputs(run.config)
    weights = fourier_weights_of(inputs, run.config.independent, torch.get_num_threads())
    if not weights.learnable[1:].any():
        raise SpisonetError(f"{run.folder}: the half maps do not correlate, so no network was trained.")
    limit = weights.limit_resolution_angstrom
    first = inputs.maps.half1
    band = correction_band(weights, first.box * first.voxel_size_angstrom / limit)
    unit = training_units(inputs.volumes, run.config.independent, run.config.seed)[0]
    maps = [volume.data for volume in unit.volumes]
    measurement, scales = prepare_measurement(
        maps, weights, band, inputs.mask, memory.device, run.config.positivity
    )
    paths = [run.filtered_path(name) for name in run.record["corrected_maps"]]
    other = inputs.volumes[-1].data
    other = measure_grey_scale(other, inputs.mask, band).normalise(other)
    own = run.folder / f"network{unit.suffix}.safetensors"
    # Networks that are not trained further are not written.
    network_path = own if own.is_file() else network_file(run.config.pretrained) or own
    per_cone = max(1, run.epochs // config.cones)
    epochs = min(run.epochs, config.epochs or per_cone)
    return PreparedValidation(
        run=run,
        inputs=inputs,
        memory=memory,
        measurement=measurement,
        unit_name=unit.name,
        half1_rfft=rfft3(measurement.data[0].cpu().numpy()),
        half2_rfft=rfft3(other) * band,
        data_weight_rfft=measurement.data_weight_rfft.cpu().numpy(),
        network_path=network_path,
        corrected=[read_volume(path, run.config.apix) for path in paths],
        grey_deviation=scales[0].deviation,
        limit_angstrom=limit,
        training_config=replace(
            training_config_of(run.config, first.box), epochs=epochs, until_plateau=False
        ),
    )
