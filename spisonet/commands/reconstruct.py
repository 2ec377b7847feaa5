"""The commands ``reconstruct``, ``validate`` and ``nulltest``: correct half maps, judge, and report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.anisotropy.reconstruct import reconstruct
from spisonet.commands.validation import report_run, validate_run
from spisonet.errors import SpisonetError
from spisonet.io.mrc import read_volume
from spisonet.learning.launcher import run_on_devices
from spisonet.validation.config import ValidateConfig
from spisonet.validation.model import positions_in_map, read_model

if TYPE_CHECKING:
    from spisonet.anisotropy.config import ReconstructConfig
    from spisonet.learning.memory import Memory
    from spisonet.learning.process_group import ProcessGroup


def run_reconstruct(config: ReconstructConfig) -> None:
    """Correct the anisotropy of one or two half maps.

    Writes corrected maps, weights, figures, the log, ``job.json``, what a validation found (if it is asked
    for) and a report into ``config.output_dir``.

    Raises
    ------
    SpisonetError
        If an input or option is unusable (nothing is written then), or if training fails.
    """
    run_on_devices(run_reconstruct, config, _correct)


def _correct(config: ReconstructConfig, memory: Memory, processes: ProcessGroup) -> None:
    if config.validation and config.method == "deconvolve":
        raise SpisonetError("--validate judges what a network infers; --method deconvolve trains none.")
    if config.validation and config.i2 is None:
        raise SpisonetError("--validate compares with the other half map, and there is only one map.")
    if config.model is not None:
        # A fault of it is better told now than after the training.
        positions_in_map(read_model(config.model), read_volume(config.i1, config.apix))
    reconstruct(config, memory, processes)
    if config.validation:
        options = {"cones": config.validation_cones, "ncpus": config.ncpus, "resume": config.resume}
        asked = ValidateConfig.from_options({"folder": config.output_dir, **options})
        try:
            validate_run(asked, memory, processes)
        except SpisonetError:
            _report_if_asked(config)  # the correction itself is whole
            raise
    _report_if_asked(config)


def _report_if_asked(config: ReconstructConfig) -> None:
    if config.report:
        report_run(config.output_dir, config.ncpus)
