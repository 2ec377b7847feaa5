"""Held-out validation of a finished run."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spisonet.api.computing import one_device
from spisonet.api.maps import Map
from spisonet.api.reconstruction import Reconstruction
from spisonet.api.reconstruction_output import report_run
from spisonet.api.validation_output import validate_into_folder
from spisonet.errors import SpisonetError
from spisonet.io.events import progress_to
from spisonet.learning.process_group import SINGLE_PROCESS
from spisonet.validation import validate as validation
from spisonet.validation.config import ValidateConfig
from spisonet.validation.prepared import prepare_validation

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from spisonet.io.events import ProgressEvent
    from spisonet.validation.validate import ValidationResult

THREADS: int = ValidateConfig.model_fields["ncpus"].default
CONES: int = ValidateConfig.model_fields["cones"].default
ROTATIONS: int = ValidateConfig.model_fields["turns"].default


@dataclass(frozen=True)
class HeldOutValidation:
    """How well inference did in measured directions that were held out of the training.

    Attributes
    ----------
    result : ValidationResult
        All results: by cone (``cones``), and over all cones (``learned``, ``constrained``).
    """

    result: ValidationResult

    @property
    def recovery(self) -> float:
        """Correlation of the prediction with the signal in the held-out cones; 1 is perfect."""
        return self.result.learned.recovery

    @property
    def recovery_without_network(self) -> float:
        """The same for mask and positivity constraints alone."""
        return self.result.constrained.recovery

    @property
    def by_resolution(self) -> dict[str, list[float]]:
        """Recovery with and without a network, FSC and its ceiling, over ``resolution_angstrom``."""
        return self.result.by_resolution

    @property
    def uncertainty(self) -> Map | None:
        """Expected standard deviation of each voxel of corrected half map 1; None if not calibrated."""
        found = self.result.uncertainty
        return None if found is None else Map.of(self.result.corrected.with_data(found.voxels))

    def plot(self) -> Figure:
        """Draw FSC and recovery in the held-out cones by resolution, as a matplotlib figure."""
        from spisonet.figures.held_out import draw_held_out  # noqa: PLC0415 - matplotlib is slow to import

        return draw_held_out(self.by_resolution)


def validate(
    run: Path | str | Reconstruction,
    *,
    cones: int = CONES,
    cone_angle_degrees: float | None = None,
    epochs: int | None = None,
    rotations: int = ROTATIONS,
    write: bool = False,
    resume: bool = False,
    device: str | None = None,
    threads: int = THREADS,
    memory_limit_gigabytes: float | None = None,
    progress: Callable[[ProgressEvent], None] | None = None,
) -> HeldOutValidation:
    """Validate a finished run in held-out cones, as the command ``validate``.

    Measured cones are removed from the half maps, a network is trained without them, and its prediction in
    them is compared with the data.

    Parameters
    ----------
    run : path or Reconstruction
        Output folder of ``reconstruct``, or the result of `reconstruct` with `output_dir`.
    cones : int
        Number of held-out cones, each with a training of its own.
    cone_angle_degrees : float, optional
        Half-angle of the cones [default: that of the largest gap, 20 to 60].
    epochs : int, optional
        Training epochs for each cone [default: those of the run, divided by cones].
    rotations : int
        Number of rotated copies that each network predicts, for the uncertainty.
    write : bool
        Write ``validation/`` into the folder of the run, and its report anew.
    resume : bool
        With `write`: continue from the last checkpoints of a validation.
    device : str, optional
        ``cpu``, ``cuda``, ``cuda:1`` or ``mps`` [default: a GPU if there is one].
    threads : int
        CPU threads.
    memory_limit_gigabytes : float, optional
        Device memory to use [default: all free memory].
    progress : callable, optional
        Called with a `ProgressEvent` at the end of each epoch and after each cone.

    Returns
    -------
    HeldOutValidation
        Recovery in the held-out cones, and the uncertainty of the corrected map.

    Raises
    ------
    SpisonetError
        If the folder does not contain a finished run of two half maps with a trained network, or if its input
        maps are missing.

    Examples
    --------
    >>> import spisonet
    >>> training = {"epochs": 1, "n_subvolume": 4, "cube_size": 16, "filter_base": 4, "prior": "none"}
    >>> run = spisonet.reconstruct(
    ...     "half1.mrc", "half2.mrc", "mask.mrc", output_dir="corrected", report=False, **training
    ... )
    >>> validation = spisonet.validate(run, cones=1, rotations=2)
    >>> -1 <= validation.recovery <= 1
    True
    """
    folder = run.folder if isinstance(run, Reconstruction) else Path(run)
    if folder is None:
        raise SpisonetError("The reconstruction was not written: give it an output_dir.", field="run")
    config = ValidateConfig.from_options(
        {
            **{"folder": folder, "cones": cones, "cone_angle": cone_angle_degrees, "epochs": epochs},
            **{"turns": rotations, "device": device, "ncpus": threads, "resume": resume and write},
        }
    )
    with progress_to(progress), one_device(device, threads, memory_limit_gigabytes) as memory:
        if write:
            written = validate_into_folder(config, memory, SINGLE_PROCESS)
            report_run(folder, threads)
            return HeldOutValidation(written)
        prepared = prepare_validation(config, memory)
        with tempfile.TemporaryDirectory() as checkpoints:
            result = validation.validate(config, prepared, SINGLE_PROCESS, Path(checkpoints))
        return HeldOutValidation(result)
