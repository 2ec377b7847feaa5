"""Training of networks on tomograms, and correction of tomograms with them."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from spisonet.api.computing import one_device
from spisonet.api.maps import Map, read_map, saved_map, volume_of
from spisonet.api.parameters import require_known
from spisonet.api.tomogram_output import (
    PREDICTION_FOLDER,
    predict_after_training,
    predict_into_folder,
    train_into_folder,
)
from spisonet.errors import SpisonetError
from spisonet.io.atomic import prepare_output_folder
from spisonet.io.config import STANDARD
from spisonet.io.events import progress_to
from spisonet.io.run_record import read_job_record
from spisonet.io.tilt_angles import DEFAULT_TILT_RANGE
from spisonet.io.tomogram_table import FULL_ISONET1, HALVES, INDEX, TomogramTable
from spisonet.io.tomogram_table import FULL_ISONET2 as NAME
from spisonet.io.tomograms import stem_of
from spisonet.learning.checkpoint import load_network, save_network
from spisonet.learning.process_group import SINGLE_PROCESS
from spisonet.tomography.prediction_config import PredictConfig
from spisonet.tomography.prediction_tasks import NETWORK_FILE
from spisonet.tomography.training_config import RefineConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from matplotlib.figure import Figure

    from spisonet.api.maps import MapLike
    from spisonet.io.config import Profile
    from spisonet.io.events import ProgressEvent
    from spisonet.io.mrc import Volume
    from spisonet.learning.unet import Network

Tomograms: TypeAlias = "Path | str | Sequence[MapLike | tuple[MapLike, MapLike]]"

THREADS: int = RefineConfig.model_fields["ncpus"].default
RESULTS_TABLE, INPUT_FOLDER = "tomograms.star", "inputs"
# Options of the commands that are arguments here under another name, or belong to a terminal.
ARGUMENTS = frozenset(
    {
        *("star_file", "output_star", "output_dir", "model", "resume", "device", "gpuID", "ncpus"),
        *("memory_limit", "with_predict", "remove_intermediate", "continue_from", "seed", "epochs"),
        "profile",
    }
)
REFINE_OPTIONS = frozenset(RefineConfig.model_fields) - ARGUMENTS
PREDICT_OPTIONS = frozenset(PredictConfig.model_fields) - ARGUMENTS


@dataclass(frozen=True)
class TomogramPrediction:
    """Corrected tomograms.

    Attributes
    ----------
    corrected : dict
        Corrected tomograms by name.
    wedges : dict
        Measured missing wedge by name of the tomogram.
    folder : Path or None
        Output folder, if one was given.
    """

    corrected: dict[str, Map]
    wedges: dict[str, dict[str, Any]]
    folder: Path | None

    def plot(self, name: str | None = None) -> Figure:
        """Draw the central slices of a corrected tomogram, as a matplotlib figure.

        Parameters
        ----------
        name : str, optional
            Name of the tomogram [default: the first].
        """
        return self.corrected[name or next(iter(self.corrected))].plot()


@dataclass(frozen=True)
class TomogramNetwork:
    """A network trained on tomograms, and the tomograms corrected with it.

    Attributes
    ----------
    network : Network
        The trained network, a PyTorch module.
    metadata : dict
        How it was trained, as far as predictions depend on it.
    epoch_losses : list of float
        Mean training loss of each epoch.
    denoiser_losses : list of float
        The same of the network that denoises first; empty if there is none.
    prediction : TomogramPrediction or None
        The corrected tomograms; None with ``predict=False``.
    folder : Path or None
        Output folder, if one was given.
    """

    network: Network
    metadata: dict[str, Any]
    epoch_losses: list[float]
    denoiser_losses: list[float]
    prediction: TomogramPrediction | None
    folder: Path | None

    @property
    def corrected(self) -> dict[str, Map]:
        """Corrected tomograms by name; empty with ``predict=False``."""
        return {} if self.prediction is None else self.prediction.corrected

    def write(self, path: Path | str) -> None:
        """Write the network as a safetensors file, which `predict_tomograms` reads.

        Raises
        ------
        SpisonetError
            If the file cannot be written.
        """
        save_network(Path(path), self.network, self.metadata)

    def plot(self) -> Figure:
        """Draw the training loss by epoch, as a matplotlib figure."""
        from spisonet.figures.training import draw_tomogram_losses  # noqa: PLC0415 - matplotlib is slow to import

        return draw_tomogram_losses(self.epoch_losses, self.denoiser_losses)


def refine_tomograms(
    tomograms: Tomograms,
    *,
    tilt_range_degrees: tuple[float, float] | None = None,
    masks: Sequence[MapLike] | None = None,
    voxel_size_angstrom: float | None = None,
    defocus_angstrom: float = 0.0,
    epochs: int | Literal["auto"] | None = None,
    profile: Profile = STANDARD,
    predict: bool = True,
    output_dir: Path | str | None = None,
    resume: bool = False,
    device: str | None = None,
    threads: int = THREADS,
    memory_limit_gigabytes: float | None = None,
    seed: int = 0,
    progress: Callable[[ProgressEvent], None] | None = None,
    **options: Any,
) -> TomogramNetwork:
    """Train a network to fill missing wedges and correct the tomograms with it, as the command ``refine``.

    Parameters
    ----------
    tomograms : path or sequence
        STAR file of tomograms (see `prepare_tomograms`) or folder of a Reconstruct tomograms job of RELION 5;
        or a sequence of tomograms, each a path, `Map` or array ``(z, y, x)``, or a pair of even and odd ones,
        with which the network also denoises.
    tilt_range_degrees : tuple of float, optional
        Minimum and maximum tilt of the tomograms of a sequence [default: -60 to 60].
    masks : sequence, optional
        Masks of the specimen in the tomograms of a sequence.
    voxel_size_angstrom : float, optional
        Voxel size in Å of the tomograms of a sequence; overrides those of headers.
    defocus_angstrom : float
        Defocus of the tomograms of a sequence, for ``CTF_mode``; 0: no CTF.
    epochs : int or "auto", optional
        Training epochs; ``auto``: until more of them hardly improve the prediction [default: those of the
        profile; 50 with ``standard``].
    profile : str
        ``quick``, ``standard`` or ``careful``: values of the options that are not given.
    predict : bool
        Correct the tomograms with the trained network.
    output_dir : path, optional
        Folder into which everything is written that the command writes; arrays are written into it, too, and
        ``tomograms.star`` lists the results. Without it nothing is written but temporary files.
    resume : bool
        With `output_dir`: continue the run in it from its last checkpoint.
    device : str, optional
        ``cpu``, ``cuda``, ``cuda:1`` or ``mps`` [default: a GPU if there is one].
    threads : int
        CPU threads.
    memory_limit_gigabytes : float, optional
        Device memory to use [default: all free memory].
    seed : int
        Random seed.
    progress : callable, optional
        Called with a `ProgressEvent` at the end of each epoch and during the prediction.
    **options
        Further options of the command by name, such as ``n_subvolume``, ``cube_size``, ``filter_base``,
        ``batch_size``, ``CTF_mode``, ``method``, ``mw_weight``, ``noise_level``, ``turns`` and
        ``pretrained``.

    Returns
    -------
    TomogramNetwork
        The trained network, its losses, and the corrected tomograms.

    Raises
    ------
    SpisonetError
        If a tomogram or an option is unusable, or if training or prediction fails.

    Examples
    --------
    The default length is meant for a GPU; this training is too short to be useful.

    >>> import spisonet
    >>> trained = spisonet.refine_tomograms(
    ...     ["tomograms/TS_01.mrc"], epochs=1, n_subvolume=4, cube_size=16, filter_base=4, batch_size=2
    ... )
    >>> trained.corrected["TS_01"].data.shape
    (32, 48, 48)
    >>> trained.write("network.safetensors")
    """
    require_known("refine_tomograms", options, REFINE_OPTIONS)
    with _folder(output_dir) as folder, progress_to(progress):
        table = _table(tomograms, folder, tilt_range_degrees, masks, voxel_size_angstrom, defocus_angstrom)
        config = RefineConfig.from_options(
            {
                **{"star_file": table, "output_dir": folder, "output_star": folder / RESULTS_TABLE},
                **{
                    "epochs": epochs,
                    "profile": profile,
                    "with_predict": predict,
                    "resume": resume,
                    "seed": seed,
                },
                **{"device": device, "ncpus": threads, "memory_limit": memory_limit_gigabytes},
                **options,
            }
        )
        with one_device(device, threads, memory_limit_gigabytes) as memory:
            train_into_folder(config, memory, SINGLE_PROCESS)
            predict_after_training(config)
        network, metadata = load_network(folder / NETWORK_FILE)
        record = read_job_record(folder)
        return TomogramNetwork(
            network,
            metadata,
            record["epoch_losses"],
            record["denoiser_losses"],
            _prediction(folder / PREDICTION_FOLDER, output_dir) if predict else None,
            None if output_dir is None else folder,
        )


def predict_tomograms(
    tomograms: Tomograms,
    network: TomogramNetwork | Path | str,
    *,
    tilt_range_degrees: tuple[float, float] | None = None,
    voxel_size_angstrom: float | None = None,
    defocus_angstrom: float = 0.0,
    output_dir: Path | str | None = None,
    resume: bool = False,
    device: str | None = None,
    threads: int = THREADS,
    memory_limit_gigabytes: float | None = None,
    progress: Callable[[ProgressEvent], None] | None = None,
    **options: Any,
) -> TomogramPrediction:
    """Correct tomograms with a trained network, as the command ``predict``.

    Parameters
    ----------
    tomograms, tilt_range_degrees, voxel_size_angstrom, defocus_angstrom
        As for `refine_tomograms`.
    network : TomogramNetwork or path
        Result of `refine_tomograms`, or ``network.safetensors``.
    output_dir : path, optional
        Folder for the corrected tomograms, in which ``tomograms.star`` lists them [default: only temporary
        files are written].
    resume : bool
        With `output_dir`: keep tomograms that a previous call has corrected.
    device, threads, memory_limit_gigabytes
        As for `refine_tomograms`.
    progress : callable, optional
        Called with a `ProgressEvent` during the prediction.
    **options
        Further options of the command by name, such as ``turns``, ``crop_size``, ``padding_factor``,
        ``input_column``, ``tomo_idx`` and ``trust_table``.

    Returns
    -------
    TomogramPrediction
        The corrected tomograms.

    Raises
    ------
    SpisonetError
        If a tomogram, the network or an option is unusable.

    Examples
    --------
    >>> import spisonet
    >>> prediction = spisonet.predict_tomograms(["tomograms/TS_01.mrc"], "network.safetensors")
    >>> list(prediction.corrected)
    ['TS_01']
    >>> spisonet.write_map("TS_01_corrected.mrc", prediction.corrected["TS_01"])
    """
    require_known("predict_tomograms", options, PREDICT_OPTIONS)
    with _folder(output_dir) as folder, _network_file(network) as file, progress_to(progress):
        table = _table(tomograms, folder, tilt_range_degrees, None, voxel_size_angstrom, defocus_angstrom)
        config = PredictConfig.from_options(
            {
                **{"star_file": table, "model": file, "output_dir": folder},
                **{"output_star": folder / RESULTS_TABLE, "resume": resume},
                **{"device": device, "ncpus": threads, "memory_limit": memory_limit_gigabytes},
                **options,
            }
        )
        with one_device(device, threads, memory_limit_gigabytes):
            predict_into_folder(config)
        return _prediction(folder, output_dir)


@contextmanager
def _folder(output_dir: Path | str | None) -> Iterator[Path]:
    """Yield the output folder, or a temporary one."""
    if output_dir is not None:
        folder = Path(output_dir)
        prepare_output_folder(folder)
        yield folder
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@contextmanager
def _network_file(network: TomogramNetwork | Path | str) -> Iterator[Path]:
    if not isinstance(network, TomogramNetwork):
        yield Path(network)
        return
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / NETWORK_FILE
        network.write(path)
        yield path


def _prediction(folder: Path, output_dir: Path | str | None) -> TomogramPrediction:
    """Read the corrected tomograms in a folder."""
    record = read_job_record(folder)
    corrected = {name: read_map(path) for name, path in record["corrected"].items()}
    return TomogramPrediction(corrected, record["wedges"], None if output_dir is None else folder)


def _table(
    tomograms: Tomograms,
    folder: Path,
    tilt_range_degrees: tuple[float, float] | None,
    masks: Sequence[MapLike] | None,
    voxel_size_angstrom: float | None,
    defocus_angstrom: float,
) -> Path:
    """Return the table of tomograms that a caller gives, or write one of a sequence into the folder."""
    if isinstance(tomograms, (str, Path)):
        if tilt_range_degrees is not None or masks is not None or voxel_size_angstrom is not None:
            raise SpisonetError(
                f"{tomograms} lists tilt ranges, masks and voxel sizes: these are arguments of a sequence."
            )
        return Path(tomograms)
    if isinstance(tomograms, np.ndarray) or not len(tomograms):
        raise SpisonetError("tomograms is a STAR file, or a sequence such as [tomogram].", field="tomograms")
    if masks is not None and len(masks) != len(tomograms):
        raise SpisonetError(
            f"There are {len(masks)} masks of {len(tomograms)} tomograms; give one for each.", field="masks"
        )
    inputs = folder / INPUT_FOLDER
    prepare_output_folder(inputs)
    tilts = tilt_range_degrees or DEFAULT_TILT_RANGE
    rows = []
    for number, given in enumerate(tomograms, start=1):
        pair = given if isinstance(given, tuple) else (given,)
        files = [
            _saved(source, voxel_size_angstrom, f"tomogram{number}{suffix}", inputs)
            for source, suffix in zip(pair, ("_even", "_odd") if len(pair) > 1 else ("",), strict=True)
        ]
        columns = HALVES if len(pair) > 1 else (FULL_ISONET1,)
        row = {INDEX: str(number), NAME: _name(pair[0], number)}
        row |= {column: str(path.absolute()) for column, (path, _) in zip(columns, files, strict=True)}
        row |= {
            "rlnPixelSize": f"{files[0][1].voxel_size_angstrom:.6g}",
            "rlnDefocus": f"{defocus_angstrom:g}",
            "rlnTiltMin": f"{tilts[0]:g}",
            "rlnTiltMax": f"{tilts[1]:g}",
        }
        if masks is not None:
            mask, _ = _saved(masks[number - 1], files[0][1].voxel_size_angstrom, f"mask{number}", inputs)
            row["rlnMaskName"] = str(mask.absolute())
        rows.append(row)
    table = inputs / RESULTS_TABLE
    TomogramTable.new(table, rows).write()
    return table


def _saved(
    source: MapLike, voxel_size_angstrom: float | None, name: str, folder: Path
) -> tuple[Path, Volume]:
    volume = volume_of(source, voxel_size_angstrom, name)
    return saved_map(source, volume, name, folder), volume


def _name(source: MapLike, number: int) -> str:
    return stem_of(Path(source)) if isinstance(source, (str, Path)) else f"tomogram{number}"
