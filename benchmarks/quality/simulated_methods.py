"""Methods that the benchmark of simulated half maps compares; each corrects half map 1 of a simulated case.

``input``
    Half map 1, uncorrected.
``constraints``
    Iterative completion with data, mask and positivity, without a network.
``deconvolve``
    The classical baseline, ``reconstruct --method deconvolve``.
``published``
    The published method of spIsoNet (``published.py``), its plain prediction at the shell amplitudes of the
    input.
``ei``
    ``reconstruct --objective ei``: the same losses and network with the weights of this program, and measured
    coefficients kept.
``self-training``
    The default of ``reconstruct``: filled-map self-training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmarks.quality.methods import Training, reconstruct_command
from benchmarks.quality.published import amplitude_matched, published_measurement, published_trainer
from spisonet.analysis.half_maps import HalfMaps
from spisonet.analysis.normalisation import measure_grey_scale
from spisonet.anisotropy.constraints import deconvolve
from spisonet.anisotropy.fourier_weights import FourierWeights, estimate_fourier_weights
from spisonet.anisotropy.preparation import build_measurement, correction_band
from spisonet.io.mrc import Volume, read_volume, write_volume
from spisonet.learning.devices import choose_devices

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.quality.simulate import Case, Simulated

METHODS = ("input", "constraints", "deconvolve", "published", "ei", "self-training")


def correct(
    method: str, case: Case, simulated: Simulated, folder: Path, training: Training
) -> NDArray[np.float32]:
    """Return half map 1, corrected by a method."""
    if method == "input":
        return simulated.half1
    if method == "constraints":
        return _constraints(case, simulated)
    if method == "published":
        return _published(case, simulated, training)
    folder.mkdir(parents=True, exist_ok=True)
    for role in ("half1", "half2", "mask"):
        path = folder / f"{role}.mrc"
        write_volume(path, Volume(getattr(simulated, role), case.voxel_size, name=str(path)))
    options = ("--method", method) if method == "deconvolve" else ("--objective", method)
    reconstruct_command(folder, folder / method, case.resolution, training, options)
    return read_volume(folder / method / "corrected_half1.mrc").data


def fourier_weights(case: Case, simulated: Simulated) -> FourierWeights:
    """Estimate the Fourier weights of the half maps as ``reconstruct`` does without ``--aniso_file``."""
    volumes = (Volume(v, case.voxel_size) for v in (simulated.half1, simulated.half2, simulated.mask))
    return estimate_fourier_weights(HalfMaps(*volumes), None, case.resolution, torch.get_num_threads())


def _constraints(case: Case, simulated: Simulated) -> NDArray[np.float32]:
    weights = fourier_weights(case, simulated)
    band = correction_band(weights, case.limit_shell)
    scale = measure_grey_scale(simulated.half1, simulated.mask, band)
    measurement = build_measurement(
        [scale.normalise(simulated.half1)],
        weights.fsc_weight_rfft,
        weights.view_weight_rfft,
        band,
        simulated.mask,
        torch.device("cpu"),
        positivity=True,
    )
    return deconvolve(measurement, [simulated.half1], [scale])[0].whole


def _published(case: Case, simulated: Simulated, training: Training) -> NDArray[np.float32]:
    device = choose_devices()[0]
    measurement = published_measurement(
        [simulated.half1, simulated.half2], simulated.mask, case.voxel_size, case.resolution, device
    )
    trainer = published_trainer(
        measurement,
        device,
        training.epochs,
        training.subvolumes_per_epoch,
        training.published_filter_base,
        training.cube_size,
    )
    trainer.train("published", None, resume=False)
    prediction = trainer.predict(measurement.data)[0].cpu().numpy()
    return amplitude_matched(prediction, simulated.half1, simulated.mask)
