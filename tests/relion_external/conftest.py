"""Job folders as the versions of RELION write them before they call the external program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from spisonet.fourier.grids import radius_rfft, rfft3
from spisonet.io.mrc import Volume, write_volume
from spisonet.misalignment.backprojection import BackProjector
from spisonet.misalignment.prior import spherical_mask
from tests.misalignment.accumulators import (
    back_projector_of_map,
    blob_map,
    body_map,
    uneven_weight,
    write_call,
)

BOX, LAST, PIXEL = 32, 13, 4.0
COMMAND = (
    "--o Refine3D/job007/run --auto_refine --split_random_halves --i particles.star --ref ref.mrc "
    "--ini_high 30 --pad 1 --solvent_mask mask.mrc --sym C1 --external_reconstruct"
)
HEADERS = {
    "3.1": ("# RELION optimiser; version 3.1.3", "# version 30001"),
    "4.0": ("# RELION optimiser; version 4.0.1-commit-ex417f", "# version 30001"),
    "5.0": ("# RELION optimiser; version 5.0.1-commit-abcdef", "# version 50001"),
}


@dataclass
class Job:
    """A project with a refinement job in it, and a way to write calls."""

    project: Path
    version: str

    @property
    def folder(self) -> Path:
        return self.project / "Refine3D" / "job007"

    def write_iteration(
        self,
        iteration: int,
        command: str = COMMAND,
        root: str = "run",
        dimensionality: int = 2,
        **values: object,
    ):
        """Write RELION's files of a complete iteration."""
        stem = f"{root}_it{iteration:03d}"
        first, block = HEADERS[self.version]
        labels = {
            "rlnOutputRootName": f"Refine3D/job007/{root}",
            "rlnDoSplitRandomHalves": 1,
            "rlnSolventMaskName": "mask.mrc",
            "rlnParticleDiameter": 96.0,
            "rlnHasConverged": 0,
        } | values
        general = "\n".join(f"_{name} {value}" for name, value in labels.items())
        text = f"{first}\n# {command}\n\n{block}\n\ndata_optimiser_general\n\n{general}\n\n"
        (self.folder / f"{stem}_optimiser.star").write_text(text)
        (self.folder / f"{stem}_sampling.star").write_text(
            f"\n{block}\n\ndata_sampling_general\n\n_rlnHealpixOrder 3\n_rlnSymmetryGroup C1\n\n"
        )
        model = f"\n{block}\n\ndata_model_general\n\n_rlnDataDimensionality {dimensionality}\n"
        model += f"_rlnPixelSize {PIXEL}\n_rlnNrClasses 1\n\n"
        for half in (1, 2):
            (self.folder / f"{stem}_half{half}_model.star").write_text(model)
            path = self.folder / f"{stem}_half{half}_class001.mrc"
            write_volume(path, Volume(blob_map(BOX), PIXEL))
        rows = "\n".join(
            f"{10 * i} {(7 * i + iteration) % 60} 0 {1 + i % 2} {1 + i // 10}" for i in range(20)
        )
        labels = "_rlnAngleRot #1\n_rlnAngleTilt #2\n_rlnAnglePsi #3\n_rlnRandomSubset #4\n_rlnClassNumber #5"
        (self.folder / f"{stem}_data.star").write_text(
            f"\n{block}\n\ndata_particles\n\nloop_\n{labels}\n{rows}\n\n"
        )

    def write_call(
        self, iteration: int, tag: str = "_half1_class001", back_projector: BackProjector | None = None
    ):
        """Write a call; return its STAR file, relative to the project."""
        stem = f"run_it{iteration:03d}{tag}"
        star = write_call(
            self.folder,
            stem,
            back_projector or uneven_back_projector(),
            fsc=np.linspace(1, 0.2, BOX // 2 + 1),
            with_sizes=self.version != "3.1",
            paths_below="Refine3D/job007/",
        )
        return star.relative_to(self.project)

    def result(self, iteration: int, tag: str = "_half1_class001") -> Path:
        return self.folder / f"run_it{iteration:03d}{tag}_external_reconstruct.mrc"


def uneven_back_projector(seed: int = 1, opening: float = 40.0) -> BackProjector:
    """Return noisy accumulators with little weight in a cone around z."""
    back_projector = back_projector_of_map(
        blob_map(BOX), 1, LAST, uneven_weight(BOX, opening, weak=0.02), tau2=1.0
    )
    noise = rfft3(np.random.default_rng(seed).normal(size=(BOX,) * 3).astype(np.float32)) / BOX**1.5
    scale = 0.02 * np.abs(back_projector.data_rfft[radius_rfft((BOX,) * 3) < 6]).mean() / 10
    data = back_projector.data_rfft + noise * scale * np.sqrt(back_projector.weight_rfft)
    return BackProjector(
        data.astype(np.complex64), back_projector.weight_rfft, back_projector.tau2, BOX, 1, LAST
    )


@pytest.fixture
def make_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Job]:
    """Make a project in a new current folder, with iterations 0 to 2 of a refinement."""
    for name in ("ISONET_STRICT", "ISONET_EPOCHS"):
        monkeypatch.delenv(name, raising=False)

    def make(version: str = "3.1") -> Job:
        project = tmp_path / "a project"
        job = Job(project, version)
        job.folder.mkdir(parents=True)
        write_volume(project / "mask.mrc", Volume(spherical_mask(BOX, 24.0), PIXEL))
        write_volume(project / "ref.mrc", Volume(body_map(BOX), PIXEL))
        for iteration in range(3):
            job.write_iteration(iteration)
        monkeypatch.chdir(project)
        return job

    return make
