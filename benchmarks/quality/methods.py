"""Methods that the quality benchmark compares.

A method is a function from a case to corrected maps. To compare another one, register it::

    from benchmarks.quality import CorrectedMaps, Method, register

    def correct(case, training, folder):
        return CorrectedMaps(half1=..., half2=..., full=...)

    register(Method("mine", correct))

All methods get the half maps, the mask and the resolution of the case, and train on equal numbers of
subvolumes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from benchmarks.quality.published import published_measurement, published_trainer, recombine_published
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import irfft3, rfft3
from spisonet.fourier.windows import soft_lowpass_weights
from spisonet.io.atomic import write_json
from spisonet.io.mrc import Volume, read_volume, write_volume
from spisonet.learning.devices import choose_devices

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.quality.cases import Case

LOWPASS_EDGE_SHELLS = 2.0


@dataclass(frozen=True)
class Training:
    """Length of the trainings and size of the networks.

    Attributes
    ----------
    epochs, subvolumes_per_epoch : int
        Length; methods without a network do not depend on it.
    cube_size : int
        Edge of the subvolumes in voxels.
    filter_base, published_filter_base : int
        Width of the networks of this program and of the published method.
    seed : int
        Random seed.
    """

    epochs: int = 30
    subvolumes_per_epoch: int = 1000
    cube_size: int = 64
    filter_base: int = 32
    published_filter_base: int = 64
    seed: int = 0

    @property
    def n_subvolumes(self) -> int:
        """Number of training subvolumes in all."""
        return self.epochs * self.subvolumes_per_epoch


@dataclass(frozen=True)
class CorrectedMaps:
    """What a method makes of a case.

    Attributes
    ----------
    half1, half2 : ndarray
        Corrected half maps ``(n, n, n)``.
    full : ndarray or None
        Corrected full map; None if a method has none of its own.
    seconds : float or None
        Time of the method; None if it is that of the call.
    """

    half1: NDArray[np.float32]
    half2: NDArray[np.float32]
    full: NDArray[np.float32] | None = None
    seconds: float | None = None

    @property
    def full_or_mean(self) -> NDArray[np.float32]:
        """The full map or, without one, the mean of the corrected half maps."""
        if self.full is not None:
            return self.full
        return np.asarray((self.half1 + self.half2) / 2, dtype=np.float32)


class Correct(Protocol):
    """The function of a method."""

    def __call__(self, case: Case, training: Training, folder: Path) -> CorrectedMaps:
        """Correct the half maps of a case; `folder` is for files of the method."""


@dataclass(frozen=True)
class Method:
    """A method of the benchmark.

    Attributes
    ----------
    name : str
        Its name in tables and on the command line.
    correct : callable
        Function from case, training and folder to corrected maps.
    trains : bool
        Whether it trains a network, so that its maps depend on the training.
    """

    name: str
    correct: Correct
    trains: bool = False


METHODS: dict[str, Method] = {}


def register(method: Method) -> Method:
    """Add a method to `METHODS`.

    Raises
    ------
    SpisonetError
        If there is a method of this name.
    """
    if method.name in METHODS:
        raise SpisonetError(f"There is a method of the name {method.name} already; use another name.")
    METHODS[method.name] = method
    return method


def uncorrected(case: Case, training: Training, folder: Path) -> CorrectedMaps:
    """Return the half maps; their mean is the average of the half maps."""
    return CorrectedMaps(case.half1, case.half2)


def lowpass(case: Case, training: Training, folder: Path) -> CorrectedMaps:
    """Low-pass filter the half maps at the resolution of the case."""
    n = case.box
    shell = n * case.voxel_size_angstrom / case.resolution_angstrom
    weight = soft_lowpass_weights(n, shell, LOWPASS_EDGE_SHELLS)
    half1, half2 = (irfft3(rfft3(half) * weight, half.shape) for half in (case.half1, case.half2))
    return CorrectedMaps(half1, half2)


def deconvolve(case: Case, training: Training, folder: Path) -> CorrectedMaps:
    """Deconvolve with data, mask and positivity: ``reconstruct --method deconvolve``."""
    out = folder / "deconvolve"
    reconstruct_command(case.folder, out, case.resolution_angstrom, training, ("--method", "deconvolve"))
    return _reconstructed(out)


def self_training(case: Case, training: Training, folder: Path) -> CorrectedMaps:
    """Train on the completed maps: ``reconstruct`` with its default method."""
    out = folder / "self-training"
    reconstruct_command(case.folder, out, case.resolution_angstrom, training)
    return _reconstructed(out)


def without_prior(case: Case, training: Training, folder: Path) -> CorrectedMaps:
    """Train without the network trained on other structures: ``reconstruct --prior none``."""
    out = folder / "without-prior"
    reconstruct_command(case.folder, out, case.resolution_angstrom, training, ("--prior", "none"))
    return _reconstructed(out)


def prior(case: Case, training: Training, folder: Path) -> CorrectedMaps:
    """Predict with the network trained on other structures only: ``reconstruct --method prior``."""
    out = folder / "prior"
    reconstruct_command(case.folder, out, case.resolution_angstrom, training, ("--method", "prior"))
    return _reconstructed(out)


def pretrained(case: Case, training: Training, folder: Path) -> CorrectedMaps:
    """Train from a network trained on other structures: ``reconstruct --pretrained default``."""
    out = folder / "pretrained"
    options = ("--pretrained", "default")
    reconstruct_command(case.folder, out, case.resolution_angstrom, training, options, width=False)
    return _reconstructed(out)


def pretrained_only(case: Case, training: Training, folder: Path) -> CorrectedMaps:
    """Predict with that network, not trained further: ``--pretrained default --epochs 0``."""
    out = folder / "pretrained-only"
    untrained, options = replace(training, epochs=0), ("--pretrained", "default")
    reconstruct_command(case.folder, out, case.resolution_angstrom, untrained, options, width=False)
    return _reconstructed(out)


def published(case: Case, training: Training, folder: Path) -> CorrectedMaps:
    """Correct by the published method of spIsoNet, recombined with the input as published."""
    predictions = published_raw(case, training, folder)
    limit_shell = case.box * case.voxel_size_angstrom / case.resolution_angstrom
    half1, half2 = (
        recombine_published(prediction, half, case.mask, limit_shell)
        for prediction, half in ((predictions.half1, case.half1), (predictions.half2, case.half2))
    )
    return CorrectedMaps(half1, half2, seconds=predictions.seconds)


def published_raw(case: Case, training: Training, folder: Path) -> CorrectedMaps:
    """Return the plain predictions of the published method; they are kept in the folder and made once."""
    out = folder / f"published_{training.n_subvolumes}"
    record = out / "seconds.json"
    paths = [out / f"prediction_half{number}.mrc" for number in (1, 2)]
    if not record.is_file():
        out.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        predictions = _published_predictions(case, training)
        for path, prediction in zip(paths, predictions, strict=True):
            write_volume(path, Volume(prediction, case.voxel_size_angstrom))
        write_json(record, time.perf_counter() - start)
    half1, half2 = (read_volume(path).data for path in paths)
    return CorrectedMaps(half1, half2, seconds=json.loads(record.read_text(encoding="utf-8")))


def _published_predictions(case: Case, training: Training) -> NDArray[np.float32]:
    device = choose_devices()[0]
    measurement = published_measurement(
        [case.half1, case.half2], case.mask, case.voxel_size_angstrom, case.resolution_angstrom, device
    )
    trainer = published_trainer(
        measurement,
        device,
        training.epochs,
        training.subvolumes_per_epoch,
        training.published_filter_base,
        training.cube_size,
        seed=training.seed,
    )
    trainer.train("published", None, resume=False)
    return trainer.predict(measurement.data).cpu().numpy()


def reconstruct_command(
    inputs: Path,
    out: Path,
    resolution: float,
    training: Training,
    options: tuple[str, ...] = (),
    width: bool = True,
) -> None:
    """Run ``reconstruct`` on ``half1.mrc``, ``half2.mrc`` and ``mask.mrc`` of a folder.

    Parameters
    ----------
    inputs, out : Path
        Folder of the maps, and output folder.
    resolution : float
        Resolution limit in Å.
    training : Training
        Length of the training and size of the network.
    options : tuple of str
        Further options.
    width : bool
        Whether the width of the network is given; a pretrained network has its own.

    Raises
    ------
    SpisonetError
        If the command fails.
    """
    command = [
        *(str(Path(sys.executable).parent / "spisonet.py"), "reconstruct"),
        *(str(inputs / "half1.mrc"), str(inputs / "half2.mrc"), "--mask", str(inputs / "mask.mrc")),
        *("--limit_res", str(resolution), "--no-report", *options),
        *(("--filter_base", str(training.filter_base)) if width else ()),
        *("--cube_size", str(training.cube_size)),
        *("--epochs", str(training.epochs), "--n_subvolume", str(training.subvolumes_per_epoch)),
        *("--seed", str(training.seed), "--output_dir", str(out)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise SpisonetError(f"reconstruct failed on {inputs}: {lines[-1] if lines else 'without a message'}")


def _reconstructed(out: Path) -> CorrectedMaps:
    full = out / "corrected_full.mrc"
    return CorrectedMaps(
        half1=read_volume(out / "corrected_half1.mrc").data,
        half2=read_volume(out / "corrected_half2.mrc").data,
        full=read_volume(full).data if full.is_file() else None,
    )


INPUT = register(Method("input", uncorrected))
LOWPASS = register(Method("lowpass", lowpass))
DECONVOLVE = register(Method("deconvolve", deconvolve))
PUBLISHED = register(Method("published", published, trains=True))
PUBLISHED_RAW = register(Method("published-raw", published_raw, trains=True))
SELF_TRAINING = register(Method("self-training", self_training, trains=True))
WITHOUT_PRIOR = register(Method("without-prior", without_prior, trains=True))
PRIOR = register(Method("prior", prior))
PRETRAINED = register(Method("pretrained", pretrained, trains=True))
PRETRAINED_ONLY = register(Method("pretrained-only", pretrained_only))
