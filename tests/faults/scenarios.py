"""The runs into which faults are injected: inputs, command, what counts as a result, how to go on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from relion_external.jobs.run import main as external_job
from relion_external.reconstruct import main as hook
from spisonet.commands.main import isonet, main
from spisonet.errors import SpisonetError
from spisonet.io.atomic import prepare_output_folder, write_json
from spisonet.io.mrc import Volume, write_volume
from spisonet.io.run_record import JOB_FILE
from spisonet.learning.checkpoint import load_tensors, save_tensors
from spisonet.misalignment.prior import spherical_mask
from tests.anisotropy.small_case import make_case
from tests.misalignment.accumulators import blob_map, body_map
from tests.relion_external.conftest import BOX, PIXEL, Job, uneven_back_projector
from tests.tomography.simulation import write_halves

SMALL = "--epochs 1 --n_subvolume 4 --cube_size 16 --filter_base 4 --ncpus 1 --device cpu".split()
OUT = Path("out")
EXTERNAL = Path("External/job005")


@dataclass(frozen=True)
class Scenario:
    """A run.

    Attributes
    ----------
    prepare : callable
        Writes the inputs into the current folder.
    run : callable
        Runs the command there as the command line does; it may raise SystemExit.
    proceed : callable
        Goes on after a fault as a user would, or as RELION does.
    may_be_uncorrected : bool
        Whether a result may be that of a run without correction, which the program said (the hook).
    exit_files : Path or None
        Folder that has an exit file however the run ends.
    """

    prepare: Callable[[], None]
    run: Callable[[], None]
    proceed: Callable[[], None]
    may_be_uncorrected: bool = False
    exit_files: Path | None = None


def _reconstruct(*more: str) -> None:
    inputs = ["half1.mrc", "half2.mrc", "--aniso_file", "FSC3D.mrc", "--mask", "mask.mrc", "--limit_res", "6"]
    main(["reconstruct", *inputs, *SMALL, "--output_dir", str(OUT), *more])


def _prepare_refine() -> None:
    write_halves(Path(), "t", shape=(24, 40, 40), n=5)
    isonet("prepare_star --even even --odd odd --pixel_size 10".split())


def _refine(*more: str) -> None:
    isonet(["refine", "tomograms.star", *SMALL, "--output_dir", str(OUT), *more])


def _resume(run: Callable[..., None]) -> Callable[[], None]:
    def proceed() -> None:
        run(*(["--resume"] if (OUT / JOB_FILE).is_file() else []))

    return proceed


def _prepare_hook() -> None:
    job = Job(Path().absolute(), "3.1")
    job.folder.mkdir(parents=True)
    write_volume(Path("mask.mrc"), Volume(spherical_mask(BOX, 24.0), PIXEL))
    write_volume(Path("ref.mrc"), Volume(body_map(BOX), PIXEL))
    for iteration in range(3):
        job.write_iteration(iteration)
    job.write_call(3, back_projector=uneven_back_projector())


def _hook() -> None:
    options = {"EPOCHS": "1", "N_SUBVOLUME": "4", "FILTER_BASE": "4", "CUBE_SIZE": "16", "DEVICE": "cpu"}
    os.environ.update({f"ISONET_{name}": value for name, value in options.items()})
    hook(["Refine3D/job007/run_it003_half1_class001_external_reconstruct.star"])


def _prepare_job() -> None:
    Path("default_pipeline.star").touch()
    EXTERNAL.mkdir(parents=True)
    rng = np.random.default_rng(1)
    truth = blob_map(BOX)
    for half in (1, 2):
        noisy = truth + 0.02 * rng.normal(size=truth.shape).astype(np.float32)
        write_volume(Path(f"run_half{half}_class001_unfil.mrc"), Volume(noisy, PIXEL))


def _job() -> None:
    half1 = "run_half1_class001_unfil.mrc"
    external_job("fsc3d", ["--o", f"{EXTERNAL}/", "--in_3dref", half1, "--j", "1"])


def _checkpoints() -> None:
    """The protocol of a training without the training: a checkpoint after each epoch, then the network."""
    path = OUT / "checkpoint.safetensors"
    try:
        prepare_output_folder(OUT)
        tensors, metadata = (
            load_tensors(path) if path.is_file() else ({"weights": torch.ones(100)}, {"epoch": 0})
        )
        weights = tensors["weights"]
        for epoch in range(metadata["epoch"], 4):
            weights = weights * 1.5 + epoch
            save_tensors(path, {"weights": weights}, {"epoch": epoch + 1})
            write_json(OUT / JOB_FILE, {"epochs": epoch + 1})
        save_tensors(OUT / "network.safetensors", {"weights": weights}, {})
    except SpisonetError as error:
        sys.exit(f"spisonet: {error}")


SCENARIOS = {
    "checkpoints": Scenario(lambda: None, _checkpoints, _checkpoints),
    "reconstruct": Scenario(lambda: (make_case(Path()), None)[1], _reconstruct, _resume(_reconstruct)),
    "refine": Scenario(_prepare_refine, _refine, _resume(_refine)),
    "hook": Scenario(_prepare_hook, _hook, _hook, may_be_uncorrected=True),
    "external job": Scenario(_prepare_job, _job, _job, exit_files=EXTERNAL),
}
