"""A RELION project on the command line: `relion_pipeliner` in the current folder."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from relion_external.jobs.folder import NodeType
from spisonet.io.star import StarFile

PIPELINE = Path("default_pipeline.star")
# RELION 5 writes words, RELION 3.1 numbers.
FINISHED, FAILED, ABORTED = "Succeeded", "Failed", "Aborted"
STATUS_OF_NUMBER = {2: FINISHED, 3: FAILED, 4: ABORTED}


def start_project() -> None:
    """Make the current folder a RELION project."""
    PIPELINE.write_text("\ndata_pipeline_general\n\n_rlnPipeLineJobCounter 1\n \n")
    Path(".gui_projectdir").touch()


def pipeliner(*words: str) -> None:
    subprocess.run(["relion_pipeliner", *words], check=True, capture_output=True, timeout=900)


def add_job(kind: str, options: Mapping[str, str]) -> str:
    """Schedule a job; return its folder."""
    number = int(StarFile(PIPELINE).value("rlnPipeLineJobCounter"))
    text = ";".join(f"{key} == {value}" for key, value in options.items())
    pipeliner("--addJob", kind, "--addJobOptions", text)
    return f"{kind}/job{number:03d}/"


def add_job_from_star(path: Path, kind: str = "External") -> str:
    """Schedule a job as a ``job.star`` describes it; return its folder."""
    number = int(StarFile(PIPELINE).value("rlnPipeLineJobCounter"))
    pipeliner("--addJobFromStar", str(path))
    return f"{kind}/job{number:03d}/"


def run(job: str) -> None:
    """Run a scheduled job to its end."""
    pipeliner("--RunJobs", job, "--sec_wait_after", "1")


def status(job: str) -> str:
    """Return the status of a job in the words of RELION 5."""
    table = StarFile(PIPELINE).tables["pipeline_processes"]
    row = table[table["rlnPipeLineProcessName"] == job].iloc[0]
    label = row.get("rlnPipeLineProcessStatusLabel")
    return STATUS_OF_NUMBER[int(row["rlnPipeLineProcessStatus"])] if label is None else str(label)


def node_types() -> dict[str, str]:
    """Return the type labels of all files in the project's graph."""
    nodes = StarFile(PIPELINE).tables["pipeline_nodes"]
    if "rlnPipeLineNodeTypeLabel" in nodes:
        labels = nodes["rlnPipeLineNodeTypeLabel"]
    else:
        label_of_number = {kind.value[2]: kind.value[0] for kind in NodeType}
        labels = nodes["rlnPipeLineNodeType"].astype(int).map(label_of_number)
    return dict(zip(nodes["rlnPipeLineNodeName"], labels, strict=True))


def edges() -> set[tuple[str, str]]:
    """Return all connections of jobs and files."""
    star = StarFile(PIPELINE)
    inputs, outputs = star.tables["pipeline_input_edges"], star.tables["pipeline_output_edges"]
    found = set(zip(inputs["rlnPipeLineEdgeFromNode"], inputs["rlnPipeLineEdgeProcess"], strict=True))
    return found | set(zip(outputs["rlnPipeLineEdgeProcess"], outputs["rlnPipeLineEdgeToNode"], strict=True))
