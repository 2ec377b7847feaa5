"""Null tests: correct maps that lack something on purpose, and look whether it appears.

Three kinds of half maps are made from those of a run, and corrected as it was:

``noise``
    Noise alone, with the power that the difference of the half maps has in every direction.
``phases``
    The half maps with random phases beyond a resolution, of their own in each half.
``deletion``
    The half maps without a domain: the corrected density inside a mask, as the half maps show it, is
    subtracted from them. The mask of the run still has room for it.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet import __version__
from spisonet.analysis.half_maps import checked_limit_resolution
from spisonet.analysis.normalisation import solvent_level
from spisonet.anisotropy.config import ReconstructConfig
from spisonet.anisotropy.reconstruct import output_names, reconstruct
from spisonet.anisotropy.run_inputs import FSC3D_FILE
from spisonet.errors import SpisonetError
from spisonet.io.atomic import prepare_output_folder, write_json
from spisonet.io.mrc import Volume, read_volume, write_volume
from spisonet.io.run_record import JOB_FILE, read_job_record
from spisonet.validation.finished_run import FinishedRun
from spisonet.validation.null_maps import (
    DOMAIN,
    FAILED,
    MOST_ADDED_FSC,
    SOLVENT,
    AddedCorrelation,
    added_correlation,
    deleted_domain,
    noise_halves,
    randomised_halves,
    read_domain,
    without_domain,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.learning.memory import Memory
    from spisonet.learning.process_group import ProcessGroup
    from spisonet.validation.config import NullTestConfig

    Halves = tuple[NDArray[np.float32], NDArray[np.float32]]

log = logging.getLogger("spisonet")

FOLDER, RECORD = "null_tests", "null_tests.json"
FIRST_SHELL = 3
COARSER = 1.5  # than the limit: from where phases are randomised if nothing else is asked for


def null_test(config: NullTestConfig, memory: Memory, processes: ProcessGroup) -> None:
    """Carry out null tests on a finished run and write ``null_tests.json`` into its folder.

    Called in the main process while others attend.

    Raises
    ------
    SpisonetError
        If the folder holds no finished run, or one of a single map, or the domain's mask is unusable.
    """
    run = FinishedRun.read(config.folder, config.ncpus)
    if run.config.i2 is None:
        raise SpisonetError("One map alone cannot be put to null tests: they need both half maps.")
    maps, mask = run.before, None if run.before.mask is None else run.before.mask.data
    assert maps.half2 is not None
    n, voxel_size = maps.half1.box, maps.half1.voxel_size_angstrom
    coarse = checked_limit_resolution(
        config.phase_res or COARSER * run.limit_angstrom, voxel_size, "--phase_res"
    )
    from_shell, last = round(n * voxel_size / coarse), int(n * voxel_size / run.limit_angstrom)
    if from_shell >= last:
        raise SpisonetError(
            f"--phase_res {coarse:g} Å is not coarser than the limit of the run, {run.limit_angstrom:.2f} Å."
        )
    domain = None if config.delete is None else read_domain(config.delete, maps.half1, run.config.apix)
    if domain is not None and mask is None:
        raise SpisonetError("--delete needs a run with --mask, which tells the solvent from the particle.")
    if domain is not None and mask is not None:
        _require_domain(config, domain, mask)
    folder = run.folder / FOLDER
    prepare_output_folder(folder)
    halves = maps.half1.data, maps.half2.data
    found: dict[str, Any] = {
        "program": "spisonet",
        "version": __version__,
        "config": config.model_dump(mode="json"),
        "validated_run": run.outcome["written"],
        "epochs": _epochs(run, config),
    }

    def added(name: str, null: Halves, shells: slice) -> AddedCorrelation:
        corrected = _correct(run, config, folder / name, null, memory, processes)
        attempted = read_job_record(folder / name)["corrected_by_shell"][shells]
        both = corrected[0].data, corrected[1].data
        return added_correlation(null, both, halves[1], mask, shells, float(np.mean(attempted)))

    seed = run.config.seed
    outcome = added("noise", noise_halves(halves, seed), slice(FIRST_SHELL, last + 1))
    # What is made of noise may not look like the particle, either.
    result = outcome.result if outcome.with_original < MOST_ADDED_FSC else FAILED
    found["noise"] = vars(outcome) | {"result": result}
    outcome = added("phases", randomised_halves(halves, from_shell, seed), slice(from_shell + 1, last + 1))
    found["phases"] = {"beyond_angstrom": coarse} | vars(outcome) | {"result": outcome.result}
    if domain is not None and mask is not None:
        assert run.after.half2 is not None
        mean = (run.after.half1.data + run.after.half2.data) / np.float32(2)
        null, deleted = without_domain(halves, mean - np.float32(solvent_level(mean, mask)), domain)
        original = read_volume(_filtered(run.folder / run.outcome["corrected_maps"][0]), run.config.apix)
        lacking = _correct(run, config, folder / "deletion", null, memory, processes)[0]
        after = read_volume(_filtered(Path(lacking.name)), run.config.apix)
        absent = deleted_domain(original.data, after.data, deleted, domain, mask)
        found["deletion"] = vars(absent) | {"result": absent.result}
    write_json(folder / RECORD, found)
    for name in ("noise", "phases", "deletion"):
        if name in found:
            log.info("Null test %s: %s", name, found[name]["result"])


def _filtered(corrected: Path) -> Path:
    return corrected.with_name(f"{corrected.stem}_filtered.mrc")


def _require_domain(config: NullTestConfig, domain: NDArray[np.float32], mask: NDArray[np.float32]) -> None:
    """Refuse a domain in which nothing could appear, or beside which there is no solvent."""
    inside = domain > DOMAIN
    if not inside.any() or float(mask[inside].mean()) < DOMAIN:
        raise SpisonetError(f"{config.delete} is empty, or outside the run's mask, where nothing can appear.")
    if not ((mask < SOLVENT) & (domain < SOLVENT)).any():
        raise SpisonetError("The run's mask leaves no solvent to compare a deleted domain with.")


def _epochs(run: FinishedRun, config: NullTestConfig) -> int:
    return min(run.config.epochs, config.epochs or max(1, run.config.epochs // 3))


def _correct(
    run: FinishedRun,
    config: NullTestConfig,
    folder: Path,
    halves: Halves,
    memory: Memory,
    processes: ProcessGroup,
) -> tuple[Volume, Volume]:
    """Correct half maps as the run was, with what its 3D FSC says was measured."""
    prepare_output_folder(folder)
    paths = [folder / f"half{index}.mrc" for index in (1, 2)]
    like = run.before.half1
    for path, data in zip(paths, halves, strict=True):
        write_volume(path, like.with_data(data), "spisonet: made for a null test")
    asked = ReconstructConfig.from_options(
        run.config.model_dump()
        | {
            **{"i1": paths[0], "i2": paths[1], "output_dir": folder, "epochs": _epochs(run, config)},
            **{
                "limit_res": run.limit_angstrom,
                "reference": None,
                "resume": config.resume and (folder / JOB_FILE).is_file(),
            },
            "aniso_file": run.config.aniso_file or run.folder / FSC3D_FILE,
        }
    )
    reconstruct(asked, memory, processes)
    names = output_names(
        [Volume(data, 1.0, name=str(path)) for data, path in zip(halves, paths, strict=True)]
    )
    first, second = (read_volume(folder / f"corrected_{name}.mrc", run.config.apix) for name in names)
    return first, second
