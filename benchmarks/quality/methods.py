"""Methods that the quality benchmark compares; each corrects half map 1 of a simulated case.

``input``
    Half map 1, uncorrected.
``constraints``
    Iterative completion with data, mask and positivity, without a network.
``deconvolve``
    The classical baseline, ``reconstruct --method deconvolve``.
``published``
    The published method of spIsoNet: three losses, 24 rotations, batch-norm U-Net, constant learning rate,
    float32; the masked conical 3D FSC as filter, densities normalised over the box; plain prediction, scaled
    to the rotationally averaged amplitudes of the input.
``ei``
    ``reconstruct --objective ei``: the same losses and network with the weights of this program, and measured
    coefficients kept.
``self-training``
    The default of ``reconstruct``: filled-map self-training.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.analysis.half_maps import HalfMaps
from spisonet.analysis.normalisation import measure_grey_scale
from spisonet.anisotropy.constraints import deconvolve
from spisonet.anisotropy.fourier_weights import FourierWeights, estimate_fourier_weights
from spisonet.anisotropy.preparation import build_measurement, correction_band
from spisonet.fourier.filters import shell_curve_to_rfft
from spisonet.fourier.grids import irfft3, rfft3
from spisonet.fourier.shells import shell_sums
from spisonet.io.mrc import Volume, read_volume, write_volume
from spisonet.learning.devices import choose_devices, keep_freed_memory
from spisonet.learning.memory import Memory
from spisonet.learning.objectives import EquivarianceObjective
from spisonet.learning.trainer import Trainer, TrainingOptions
from spisonet.learning.unet import PublishedUNet

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from simulate import Case, Simulated

    from spisonet.learning.measurement import Measurement

METHODS = ("input", "constraints", "deconvolve", "published", "ei", "self-training")
EPOCHS = 4
PUBLISHED_RATE, PUBLISHED_BATCH = 3e-4, 4
PUBLISHED_ALPHA, PUBLISHED_BETA = 1.0, 0.5


def correct(
    method: str,
    case: Case,
    simulated: Simulated,
    folder: Path,
    n_subvolumes: int,
    filter_base: int,
    cube_size: int,
) -> NDArray[np.float32]:
    """Return half map 1, corrected by a method with `n_subvolumes` training subvolumes in all."""
    if method == "input":
        return simulated.half1
    if method == "constraints":
        return _constraints(case, simulated)
    if method == "published":
        return _published(case, simulated, n_subvolumes, filter_base, cube_size)
    options = ("--method", method) if method == "deconvolve" else ("--objective", method)
    return _command(method, options, case, simulated, folder, n_subvolumes, filter_base, cube_size)


def _command(
    name: str,
    options: tuple[str, ...],
    case: Case,
    simulated: Simulated,
    folder: Path,
    n_subvolumes: int,
    filter_base: int,
    cube_size: int,
) -> NDArray[np.float32]:
    folder.mkdir(parents=True, exist_ok=True)
    for role in ("half1", "half2", "mask"):
        path = folder / f"{role}.mrc"
        write_volume(path, Volume(getattr(simulated, role), case.voxel_size, name=str(path)))
    command = [
        *(str(Path(sys.executable).parent / "spisonet.py"), "reconstruct"),
        *(str(folder / "half1.mrc"), str(folder / "half2.mrc"), "--mask", str(folder / "mask.mrc")),
        *("--limit_res", str(case.resolution), "--no-report", *options),
        *("--filter_base", str(filter_base), "--cube_size", str(cube_size)),
        *("--epochs", str(EPOCHS), "--n_subvolume", str(n_subvolumes // EPOCHS)),
        *("--output_dir", str(folder / name)),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return read_volume(folder / name / "corrected_half1.mrc").data


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


def published_measurement(case: Case, simulated: Simulated, device: torch.device) -> Measurement:
    """Return the training data of spIsoNet: normalised over the box, with the masked 3D FSC as weight."""
    weights = fourier_weights(case, simulated)
    halves = [simulated.half1, simulated.half2]
    measurement = build_measurement(
        halves,
        weights.fsc_weight_rfft,
        None,
        correction_band(weights, case.limit_shell),
        simulated.mask,
        device,
        positivity=False,
    )
    data = measurement.data
    mean, deviation = data.mean(dim=(1, 2, 3), keepdim=True), data.std(dim=(1, 2, 3), keepdim=True)
    return replace(measurement, data=(data - mean) / deviation)


def published_trainer(
    measurement: Measurement,
    device: torch.device,
    epochs: int,
    n_subvolumes: int,
    filter_base: int,
    cube_size: int,
) -> Trainer:
    """Return a trainer with the published method of spIsoNet and `n_subvolumes` per epoch."""
    keep_freed_memory()
    torch.manual_seed(0)
    network = PublishedUNet(filter_base)
    objective = EquivarianceObjective(measurement, cube_size, PUBLISHED_ALPHA, PUBLISHED_BETA)
    options = TrainingOptions(
        epochs, n_subvolumes, PUBLISHED_BATCH, 1, learning_rate=PUBLISHED_RATE, seed=0, published=True
    )
    return Trainer(network, objective, options, device, Memory(device).largest_tile(network))


def _published(
    case: Case, simulated: Simulated, n_subvolumes: int, filter_base: int, cube_size: int
) -> NDArray[np.float32]:
    device = choose_devices()[0]
    measurement = published_measurement(case, simulated, device)
    trainer = published_trainer(measurement, device, EPOCHS, n_subvolumes // EPOCHS, filter_base, cube_size)
    with tempfile.TemporaryDirectory() as folder:
        trainer.train("published", Path(folder) / "checkpoint.safetensors", resume=False)
    predicted = rfft3(trainer.predict(measurement.data)[0].cpu().numpy())
    # The corrected map is scaled to the shell amplitudes of the input inside the mask.
    n = len(simulated.half1)
    predicted_amplitude, input_amplitude = (
        np.sqrt(shell_sums(np.abs(rfft3(volume * simulated.mask)) ** 2, n))
        for volume in (irfft3(predicted, (n, n, n)), simulated.half1)
    )
    gain = np.divide(
        input_amplitude,
        predicted_amplitude,
        out=np.zeros_like(input_amplitude),
        where=predicted_amplitude > 0,
    )
    return irfft3((predicted * shell_curve_to_rfft(gain, n)).astype(np.complex64), (n, n, n))
