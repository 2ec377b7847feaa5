"""Nodes of Pipeliner jobs: types and keywords of inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeliner import nodes as types

from relion_external.jobs.definitions import LOGFILE, TOMOGRAMS_AS_RECONSTRUCTED
from relion_external.jobs.folder import Node, NodeType
from spisonet.anisotropy.run_inputs import CORRECTED_PREFIX, FULL_MAP
from spisonet.tomography.prediction_config import PredictConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relion_external.jobs.job import Job

SPISONET = "spisonet"
REPORT_FILE = "report.html"


@dataclass(frozen=True)
class InputNode:
    """Kind of an input.

    Attributes
    ----------
    type : str
        Top-level type in the Pipeliner.
    meaning : str
        Description for the file browser.
    extensions : tuple of str
        Endings of the files' names.
    keywords : tuple of str
        Keywords of the node.
    """

    type: str
    meaning: str
    extensions: tuple[str, ...]
    keywords: tuple[str, ...] = ()


_MAP = InputNode(types.NODE_DENSITYMAP, "Map", (".mrc", ".map"))
_HALF_MAP = InputNode(types.NODE_DENSITYMAP, "Half map", (".mrc", ".map"), ("halfmap",))
_MASK = InputNode(types.NODE_MASK3D, "Mask", (".mrc", ".map"))
_TOMOGRAMS = InputNode(types.NODE_TOMOGRAMGROUPMETADATA, "Tomograms", (".star",), ("relion",))
# By argument of an External job, or by option of its command.
INPUT_NODES = {
    "in_3dref": _MAP,
    "in_mask": _MASK,
    "in_parts": InputNode(types.NODE_PARTICLEGROUPMETADATA, "Particles", (".star",), ("relion",)),
    "in_mics": _TOMOGRAMS,
    "h2": _HALF_MAP,
    "i2": _HALF_MAP,
    "aniso_file": InputNode(types.NODE_IMAGE3D, "3D FSC or Fourier sampling density", (".mrc",)),
    "mask": _MASK,
    "reference": _MAP,
    "low_map": _MAP,
    "tomograms": _TOMOGRAMS,
    "model": InputNode(types.NODE_ATOMCOORDS, "Atomic model", (".pdb", ".cif", ".mmcif")),
}
NETWORK = InputNode(types.NODE_MLMODEL, "Trained network", (".safetensors",))
FOURIER_VOLUMES = {"FSC3D.mrc": "fsc3d", "FSD3D.mrc": "fsd3d"}
OUTPUT_TYPES = {
    NodeType.MAP: (types.NODE_DENSITYMAP, ()),
    NodeType.HALF_MAP: (types.NODE_DENSITYMAP, ("halfmap",)),
    NodeType.PARTICLES: (types.NODE_PARTICLEGROUPMETADATA, ("relion",)),
    NodeType.TOMOGRAMS: (types.NODE_TOMOGRAMGROUPMETADATA, ("relion",)),
    NodeType.LOGFILE: (types.NODE_LOGFILE, ()),
}
# Outputs that are known before a job runs, of jobs whose other outputs depend on the run.
FIRST_OUTPUTS: dict[str, tuple[Node, ...]] = {
    "anisotropy": (Node(f"{CORRECTED_PREFIX}{FULL_MAP}.mrc", NodeType.MAP),),
    "rescue": (),
}

# Outputs that an option switches on: the option, and whether jobs without it have the output.
SWITCHES = {
    REPORT_FILE: ("report", True),
    TOMOGRAMS_AS_RECONSTRUCTED.name: ("as_reconstructed", False),
}


@dataclass(frozen=True)
class OutputNode:
    """An output as the Pipeliner lists it: file name in the job folder, top-level type, keywords."""

    name: str
    type: str
    keywords: tuple[str, ...]


def input_node(job: Job, name: str) -> InputNode | None:
    """Return the kind of an input or of an option; None if the option is not a file of the project."""
    if job.config is PredictConfig and name == "model":
        return NETWORK
    return INPUT_NODES.get(name)


def planned_outputs(job: Job, switches: Mapping[str, bool]) -> list[OutputNode]:
    """Return the outputs that a job lists before it runs, to which scheduled jobs are connected.

    Parameters
    ----------
    job : Job
        External job.
    switches : mapping
        Values of the options that switch an output on or off, as far as the job has them.
    """
    first = FIRST_OUTPUTS.get(job.name)
    nodes = job.nodes(Path()) if first is None else list(first)
    outputs = [*(_output(job, node) for node in nodes), *_texts(job)]
    absent = {name for name, (option, default) in SWITCHES.items() if not switches.get(option, default)}
    return [node for node in outputs if node.name not in absent]


def finished_outputs(job: Job, folder: Path) -> list[OutputNode]:
    """Return the outputs of a finished job that exist."""
    nodes = [*(_output(job, node) for node in job.nodes(folder)), *_texts(job)]
    return [node for node in nodes if (folder / node.name).is_file()]


def _texts(job: Job) -> list[OutputNode]:
    report = [REPORT_FILE] if job.name in ("anisotropy", "report") else []
    return [OutputNode(name, types.NODE_LOGFILE, (SPISONET, job.name)) for name in (*report, LOGFILE.name)]


def _output(job: Job, node: Node) -> OutputNode:
    if node.name in FOURIER_VOLUMES:
        return OutputNode(node.name, types.NODE_IMAGE3D, (SPISONET, FOURIER_VOLUMES[node.name]))
    kind, keywords = OUTPUT_TYPES[node.type]
    return OutputNode(node.name, kind, (*keywords, SPISONET, job.name.replace("-", "")))
