"""Results of a finished job as the Pipeliner's display objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeliner.display_tools import create_results_display_object, make_maps_slice_montage_and_3d_display
from pipeliner.nodes import NODE_DENSITYMAP

from relion_external.jobs.definitions import LOGFILE
from relion_external.jobs.logfile import contents_of
from spisonet.anisotropy.config import ReconstructConfig
from spisonet.figures.captions import correction_caption
from spisonet.integrations.pipeliner.nodes import FOURIER_VOLUMES, REPORT_FILE, finished_outputs
from spisonet.io.json_files import read_json_object
from spisonet.io.run_record import read_job_record

if TYPE_CHECKING:
    from pathlib import Path

    from relion_external.jobs.job import Job
    from spisonet.io.config import CommandConfig

FSC3D_RECORD = "FSC3D.json"


def results_display(job: Job, folder: Path, config: CommandConfig) -> list[Any]:
    """Return the display objects of a finished job, the numbers first.

    Parameters
    ----------
    job : Job
        External job.
    folder : Path
        Its folder, relative to the project.
    config : CommandConfig
        Configuration of its command.

    Returns
    -------
    list
        Table of numbers; FSC and histogram of resolution by direction; slices and 3D views of maps; figures;
        the report and the logfile.
    """
    outputs = finished_outputs(job, folder)
    is_fourier = FOURIER_VOLUMES.keys()
    maps = [node.name for node in outputs if node.type == NODE_DENSITYMAP and node.name not in is_fourier]
    found = [_numbers(folder, config, [node.name for node in outputs])]
    if (folder / FSC3D_RECORD).is_file() and job.name == "fsc3d":
        record = read_json_object(folder / FSC3D_RECORD)
        found += [_fsc_graph(folder, record), _resolution_histogram(folder, record)]
    if maps:
        shown = {str(folder / name): name for name in maps}
        found += make_maps_slice_montage_and_3d_display(in_maps=shown, output_dir=f"{folder}/")
    if not (folder / REPORT_FILE).is_file():  # which contains the figures
        captions = _captions(config)
        found += [_figure(path, captions.get(path.name, "")) for path in sorted(folder.glob("*.png"))]
    else:
        report = str(folder / REPORT_FILE)
        found.append(
            create_results_display_object("html", title="Report", html_file=report, associated_data=[report])
        )
    if (folder / LOGFILE.name).is_file():
        found.append(
            create_results_display_object(
                "pdffile", title="Logfile", file_path=str(folder / LOGFILE.name), start_collapsed=True
            )
        )
    return found


def result_numbers(config: CommandConfig) -> dict[str, str]:
    """Return the numbers of a finished job, as its logfile lists them."""
    return contents_of(config).metadata


def _numbers(folder: Path, config: CommandConfig, names: list[str]) -> Any:
    contents = contents_of(config)
    return create_results_display_object(
        "table",
        title=contents.title,
        headers=["Quantity", "Value"],
        table_data=[[name, value] for name, value in contents.metadata.items()],
        associated_data=[str(folder / name) for name in names],
    )


def _fsc_graph(folder: Path, record: dict[str, Any]) -> Any:
    curve, directions = record["global_curve"], record["directional_curves"]
    frequencies = [curve["spatial_frequency_per_angstrom"], directions["spatial_frequency_per_angstrom"]]
    series = {
        "all directions": (frequencies[0], curve["fsc"]),
        "best direction of each shell": (frequencies[1], directions["maximum"]),
        "mean of the directions": (frequencies[1], directions["mean"]),
        "worst direction of each shell": (frequencies[1], directions["minimum"]),
    }
    angle_degrees = record["directional_cone_half_angle_degrees"]
    return create_results_display_object(
        "graph",
        title=f"FSC of the half maps by direction (cones of {angle_degrees:g}°)",
        xvalues=[x for x, _ in series.values()],
        yvalues=[y for _, y in series.values()],
        xaxis_label="Spatial frequency (1/Å)",
        yaxis_label="FSC",
        data_series_labels=list(series),
        modes=["lines"] * len(series),
        associated_data=[str(folder / FSC3D_RECORD)],
    )


def _resolution_histogram(folder: Path, record: dict[str, Any]) -> Any:
    histogram = record["directional_resolution_histogram"]
    return create_results_display_object(
        "histogram",
        title="Resolution by direction at FSC 0.143",
        bins=histogram["counts"],
        bin_edges=histogram["edges_per_angstrom"],
        xlabel="Resolution (1/Å)",
        ylabel="Number of directions",
        associated_data=[str(folder / FSC3D_RECORD)],
    )


def _captions(config: CommandConfig) -> dict[str, str]:
    """Return the captions of the figures of a run by file name; empty for other commands."""
    if not isinstance(config, ReconstructConfig):
        return {}
    figures = read_job_record(config.output_dir)["figures"]
    return {name: correction_caption(name, config.i2 is None) for name in figures if name.endswith(".png")}


def _figure(path: Path, caption: str) -> Any:
    return create_results_display_object(
        "image",
        title=path.stem.replace("_", " "),
        image_path=str(path),
        image_desc=caption,
        associated_data=[str(path)],
    )
