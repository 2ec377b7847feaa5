"""The parsers of files from outside: each may only raise what a program turns into a sentence."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from relion_external.call import read_call
from relion_external.job_form import read_form
from relion_external.jobs.map_metadata import find_map_metadata
from relion_external.options import read_settings
from relion_external.refinement import read_header
from relion_external.workspace import read_records
from spisonet.errors import known_error
from spisonet.io.coordinates import read_coordinates
from spisonet.io.dynamo import read_listed_tomograms, read_table_positions
from spisonet.io.events import PROGRESS_FILE, read_progress
from spisonet.io.imod import image_size_of_model, read_contours
from spisonet.io.mrc import read_volume
from spisonet.io.mrc_file import open_mrc
from spisonet.io.particles import read_particle_orientations
from spisonet.io.run_record import read_job_record
from spisonet.io.schedulers import template_fields
from spisonet.io.star import StarFile, read_blocks
from spisonet.io.tilt_angles import read_tilt_range
from spisonet.io.tilt_series import read_optimisation_set, read_projection_directions
from spisonet.io.tomogram_table import TomogramTable
from spisonet.learning.checkpoint import load_network
from spisonet.learning.trainer import Trainer, TrainingOptions
from spisonet.learning.unet import UNet
from spisonet.tomography.network_metadata import NetworkMetadata
from spisonet.validation.finished_run import FinishedRun
from spisonet.validation.model import read_model
from tests.learning.test_trainer import FakeObjective

if TYPE_CHECKING:
    from collections.abc import Iterable

SHAPE, VOXEL = (16, 32, 32), 10.0


@dataclass(frozen=True)
class Parser:
    """A function that reads one file.

    Attributes
    ----------
    read : callable
        Called with the path.
    file : str
        Name of the file.
    sample : str
        Valid content: a file in the project of `tests.hostile.inputs`.
    """

    read: Callable[[Path], Any]
    file: str
    sample: str


def _whole_mrc(path: Path) -> object:
    file = open_mrc(path)
    file.read(slice(0, 1), slice(0, 2), slice(0, 2))
    return file.read()


def _table(path: Path) -> object:
    return TomogramTable.read(path).chosen("1")


def _network(path: Path) -> object:
    return NetworkMetadata.from_record(path, load_network(path)[1])


def _checkpoint(path: Path) -> object:
    small_trainer().train("small", path, resume=True)
    return None


def small_trainer(epochs: int = 1) -> Trainer:
    """Return the training of a small network."""
    options = TrainingOptions(epochs, 2, 2, 1, 1e-3, 0)
    return Trainer(UNet(2), FakeObjective(), options, torch.device("cpu"), 16)


def _star(path: Path) -> object:
    return StarFile(path), read_optimisation_set(path)


def _coordinates(path: Path) -> object:
    return read_coordinates(path, SHAPE, VOXEL, ["a"])


def _contours(path: Path) -> object:
    return read_contours(path), image_size_of_model(path)


CALL = "run_it002_half1_class001_external_reconstruct.star"
PARSERS = {
    "map": Parser(read_volume, "map.mrc", "half1.mrc"),
    "regions": Parser(_whole_mrc, "map.mrc", "half1.mrc"),
    "em": Parser(lambda path: read_volume(path, 1.0), "map.em", "map.em"),
    "blocks": Parser(read_blocks, "table.star", "tomograms.star"),
    "star": Parser(_star, "table.star", "particles.star"),
    "table": Parser(_table, "tomograms.star", "tomograms.star"),
    "particles": Parser(read_particle_orientations, "particles.star", "particles.star"),
    "subtomograms": Parser(read_particle_orientations, "particles.star", "subtomograms.star"),
    "cryosparc": Parser(read_particle_orientations, "particles.cs", "particles.cs"),
    "projections": Parser(read_projection_directions, "tomograms.star", "tilts.star"),
    "contours": Parser(_contours, "a.mod", "models/a.mod"),
    "coordinates": Parser(_coordinates, "a.txt", "coords/a.txt"),
    "star coordinates": Parser(_coordinates, "a.star", "subtomograms.star"),
    "table of Dynamo": Parser(lambda path: read_table_positions(path, ["a"]), "a.tbl", "lists/a.tbl"),
    "list of Dynamo": Parser(read_listed_tomograms, "a.vll", "lists/a.vll"),
    "tilts": Parser(read_tilt_range, "a.tlt", "tilts/a.tlt"),
    "mdoc": Parser(read_tilt_range, "a.mdoc", "tilts/a.mdoc"),
    "aln": Parser(read_tilt_range, "a.aln", "tilts/a.aln"),
    "network": Parser(_network, "network.safetensors", "network.safetensors"),
    "checkpoint": Parser(_checkpoint, "checkpoint.safetensors", "checkpoint.safetensors"),
    "record": Parser(lambda path: read_job_record(path.parent), "job.json", "run/job.json"),
    "run": Parser(lambda path: FinishedRun.read(path.parent), "job.json", "run/job.json"),
    "progress": Parser(lambda path: read_progress(path.parent), PROGRESS_FILE, "run/progress.jsonl"),
    "fsc3d": Parser(lambda path: find_map_metadata(path.parent), "FSC3D.json", "run/job.json"),
    "call": Parser(read_call, CALL, f"Refine3D/job007/{CALL}"),
    "optimiser": Parser(read_header, "run_it001_optimiser.star", "Refine3D/job007/run_it001_optimiser.star"),
    "form": Parser(read_form, "job.star", "tomograms.star"),
    "settings": Parser(
        lambda path: read_settings({}, [path.parent]), "spisonet.toml", "Refine3D/job007/spisonet.toml"
    ),
    "hook record": Parser(
        lambda path: read_records(path.parent.parent), "spisonet/it001_half1_class001.json", "run/job.json"
    ),
    "template": Parser(template_fields, "slurm.sh", "tilts/a.mdoc"),
    "model": Parser(read_model, "model.pdb", "model.pdb"),
}


def samples(project: Path) -> dict[str, bytes]:
    """Return the valid content of each parser's file."""
    found = {}
    for name, parser in PARSERS.items():
        path = project / parser.sample
        found[name] = path.read_bytes() if path.is_file() else bytes(512) + bytes(4 * 8**3)
    return found


def defect(parser: Parser, content: bytes) -> Exception | None:
    """Return the exception that no program turns into a sentence; None if there is none."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / parser.file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        try:
            parser.read(path)
        except Exception as error:  # noqa: BLE001 - any is judged
            return None if known_error(error) is not None else error
    return None


def corpus(folder: Path) -> Iterable[tuple[str, bytes]]:
    """Yield every input that has ever failed, with the name of its parser."""
    for path in sorted(folder.glob("*/*")):
        yield path.parent.name, path.read_bytes()
