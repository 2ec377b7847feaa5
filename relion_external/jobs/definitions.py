"""The jobs: which command each runs, what it finds out by itself, and what it gives back to RELION."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relion_external.jobs.arguments import JobCall, as_options
from relion_external.jobs.folder import Node, NodeType
from relion_external.jobs.project import Source, find_source
from spisonet.analysis.config import DiagnoseConfig, Fsc3dConfig, Fsd3dConfig
from spisonet.anisotropy.config import ReconstructConfig
from spisonet.commands.options import boolean_names
from spisonet.errors import SpisonetError
from spisonet.fourier.config import AngularWhitenConfig, CombineMapConfig, WhiteningConfig
from spisonet.io.mrc import read_box
from spisonet.io.run_record import JOB_FILE, changed_option, read_job_record
from spisonet.report.config import ReportConfig
from spisonet.tomography.filters_config import DeconvConfig, MakeMaskConfig
from spisonet.tomography.prediction_config import PredictConfig
from spisonet.tomography.training_config import RefineConfig

if TYPE_CHECKING:
    from spisonet.io.config import CommandConfig

EXECUTABLE_PREFIX, TOMOGRAM_PREFIX = "spisonet-job-", "isonet-job-"
TOMOGRAMS = Node("tomograms.star", NodeType.TOMOGRAMS)
LOGFILE = Node("logfile.pdf", NodeType.LOGFILE)
MASK_MEANING = "soft solvent mask [default: that of the refinement]"
HALF1_MEANING = "half map 1, or the folder of a finished Refine3D or PostProcess job"

Find = Callable[[JobCall, Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Job:
    """One kind of External job: a thin front of one command.

    Attributes
    ----------
    name : str
        The console script is ``spisonet-job-<name>``, or begins with another prefix.
    config : type
        The command's configuration.
    inputs : dict
        Meaning of the input nodes that RELION may hand over.
    offered : tuple of str
        The parameters that a ready ``job.star`` shows; RELION has room for ten.
    decided : tuple of str
        Options of the command that only the job decides.
    find : callable
        Finds options from the call, given those that the user chose; None for what remains unknown.
    nodes : callable
        Outputs in the job's folder for RELION, besides the logfile; those first that a user looks at first.
    aliases : dict
        Options by further names of parameters.
    automatic : tuple of str
        Those of the offered parameters that are found, although the command has a default for them.
    trains : bool
        The job is long and wants a GPU, and can be continued.
    after_refinement : bool
        The input map is half map 1 of a refinement as a rule.
    prefix : str
        Of the console script.
    """

    name: str
    config: type[CommandConfig]
    inputs: Mapping[str, str]
    offered: tuple[str, ...]
    decided: tuple[str, ...]
    find: Find
    nodes: Callable[[Path], list[Node]]
    aliases: Mapping[str, str] = field(default_factory=dict)
    automatic: tuple[str, ...] = ()
    trains: bool = False
    after_refinement: bool = False
    prefix: str = EXECUTABLE_PREFIX

    @property
    def executable(self) -> str:
        """Name of the console script."""
        return self.prefix + self.name

    @property
    def parameters(self) -> dict[str, str]:
        """Help of the options that users may choose, by name."""
        shown = {option: alias for alias, option in self.aliases.items()}
        return {
            shown.get(name, name): info.description or ""
            for name, info in self.config.model_fields.items()
            if name not in self.decided
        }

    def configure(self, call: JobCall) -> CommandConfig:
        """Build the command's configuration from what RELION handed over and what can be found.

        A job that RELION runs again in its folder resumes what it did there.

        Raises
        ------
        SpisonetError
            If an input is missing, a parameter is unknown or its value not allowed, or if the job has begun
            with other options.
        """
        fields = self.config.model_fields
        names = [name for name in fields if name not in self.decided]
        chosen: dict[str, Any] = {
            **as_options(call.parameters, names, boolean_names([self.config]), self.aliases)
        }
        if chosen.get("gpuID"):
            chosen["gpuID"] = chosen["gpuID"].replace(":", ",")  # as RELION separates them
        if "ncpus" in fields:
            chosen.setdefault("ncpus", call.threads)
        found = {name: value for name, value in self.find(call, chosen).items() if value is not None}
        for name in names:
            if fields[name].is_required() and name not in found | chosen:
                raise SpisonetError(f"The job needs the parameter {name}: {fields[name].description}")
        config = self.config.from_options(found | chosen)
        return self._resumed(config, call.folder) if self.trains else config

    def _resumed(self, config: CommandConfig, folder: Path) -> CommandConfig:
        if not (folder / JOB_FILE).is_file() or not any(folder.glob("checkpoint*.safetensors")):
            return config
        record = read_job_record(folder)
        name = changed_option(config, record)
        if name is not None:
            raise SpisonetError(
                f"{name} was {record['config'].get(name)} in this job and is {getattr(config, name)} now: "
                "start a new job for it; this one can only go on with what it began with."
            )
        return config.model_copy(update={"resume": True})


def _halves(given: Path, source: Source, half2: str | None) -> tuple[Path, Path]:
    if half2 is not None:
        return source.half1 or given, Path(half2)
    return source.require_halves(given)


def _mask(call: JobCall, chosen: Mapping[str, Any], source: Source) -> Path | None:
    """Return the mask to use: the user's, or that of the job that made the map, which should be there."""
    if "in_mask" in call.inputs and chosen.get("mask") is not None:
        raise SpisonetError("The mask is given twice: as --in_mask and as --mask.")
    if "in_mask" in call.inputs or "mask" in chosen:
        return call.inputs.get("in_mask")
    if source.mask is not None and not source.mask.is_file():
        raise SpisonetError(
            f"The mask of the job that made the map, {source.mask}, does not exist any more: "
            "give Input mask (--in_mask), or the parameter mask with the value none."
        )
    return source.mask


def _map(call: JobCall, meaning: str) -> Path:
    given = call.require_input("in_3dref", meaning)
    if given.is_dir():
        raise SpisonetError(f"{given} is a folder: give one of the maps in it.")
    return given


def _resolution(given: Path, source: Source, chosen: Mapping[str, Any]) -> float | None:
    found = source.resolution_angstrom or source.unmasked_resolution_angstrom
    if found is None and "high_res" not in chosen:
        raise SpisonetError(f"Nothing tells the resolution of {given}: give it as the parameter high_res.")
    return found


def _find_fsc3d(call: JobCall, chosen: Mapping[str, Any]) -> dict[str, Any]:
    given = call.require_input("in_3dref", HALF1_MEANING)
    source = find_source(given)
    half1, half2 = _halves(given, source, chosen.get("h2"))
    return {
        "h": half1,
        "h2": half2,
        "mask": _mask(call, chosen, source),
        "apix": source.pixel_size_angstrom,
        "o": call.folder / "FSC3D.mrc",
    }


def _find_diagnose(call: JobCall, chosen: Mapping[str, Any]) -> dict[str, Any]:
    found = _find_fsc3d(call, chosen)
    del found["o"]
    source = find_source(call.require_input("in_3dref", HALF1_MEANING))
    particles = call.inputs.get("in_parts", source.particles)
    if "in_parts" not in call.inputs and source.is_of_volumes and source.tomograms is None:
        particles = None  # without their tilts they do not tell what was sampled
    symmetry = None if particles is None else source.symmetry
    tomograms = None if particles is None else source.tomograms
    return found | {"star": particles, "sym": symmetry, "tomograms": tomograms, "output_dir": call.folder}


def _find_anisotropy(call: JobCall, chosen: Mapping[str, Any]) -> dict[str, Any]:
    given = call.require_input("in_3dref", HALF1_MEANING)
    source = find_source(given)
    half1, half2 = given, chosen.get("i2")
    if given.is_dir() or source.half1 is not None or not {"aniso_file", "i2"} & set(chosen):
        half1, half2 = _halves(given, source, half2)
    return {
        "i1": half1,
        "i2": half2,
        "mask": _mask(call, chosen, source),
        "apix": source.pixel_size_angstrom,
        "aniso_file": source.fsc3d,
        "limit_res": source.resolution_angstrom,
        "output_dir": call.folder,
    }


def _find_whitening(call: JobCall, chosen: Mapping[str, Any]) -> dict[str, Any]:
    given = _map(call, "the map to whiten")
    source = find_source(given)
    return {
        "h1": given,
        "mask": _mask(call, chosen, source),
        "apix": source.pixel_size_angstrom,
        "high_res": _resolution(given, source, chosen),
        "o": call.folder / "whitened.mrc",
    }


def _find_angular_whiten(call: JobCall, chosen: Mapping[str, Any]) -> dict[str, Any]:
    given = _map(call, "the map to whiten")
    source = find_source(given)
    return {
        "in_name": given,
        "out_name": call.folder / "angular_whitened.mrc",
        "low_res": WhiteningConfig.model_fields["low_res"].default,
        "high_res": _resolution(given, source, chosen),
        "apix": source.pixel_size_angstrom,
    }


def _find_combine_map(call: JobCall, chosen: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "high_map": _map(call, "the map that gives the high resolutions"),
        "out_map": call.folder / "combined.mrc",
        "mask_file": call.inputs.get("in_mask"),
    }


def _find_fsd3d(call: JobCall, chosen: Mapping[str, Any]) -> dict[str, Any]:
    given = call.inputs.get("in_3dref")
    source = Source() if given is None else find_source(given)
    shown = given if given is not None and given.is_file() else source.half1
    particles = call.inputs.get("in_parts", source.particles)
    if particles is None:
        raise SpisonetError("The job needs Input particles (--in_parts), or a Refine3D job as --in_3dref.")
    return {
        "star_file": particles,
        "tomograms": None if "tilt_min" in chosen else source.tomograms,
        "map_dim": None if shown is None else read_box(shown),
        "sym": source.symmetry,
        "apix": source.pixel_size_angstrom,
        "o": call.folder / "FSD3D.mrc",
    }


def _find_report(call: JobCall, chosen: Mapping[str, Any]) -> dict[str, Any]:
    given = call.require_input("in_3dref", "a corrected map")
    return {"folder": given if given.is_dir() else given.parent, "o": call.folder / "report.html"}


def _find_tomograms(outputs: Mapping[str, str], call: JobCall, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Take the table of tomograms as input micrographs, and write another one into the job's folder."""
    if "in_mics" in call.inputs and "star_file" in chosen:
        raise SpisonetError("The tomograms are given twice: as --in_mics and as --tomograms.")
    if "in_mics" not in call.inputs and "star_file" not in chosen:
        raise SpisonetError(
            "The job needs the parameter tomograms, or Input micrographs (--in_mics): a STAR file."
        )
    given = {"star_file": call.inputs.get("in_mics"), "output_star": call.folder / TOMOGRAMS.name}
    return given | {option: call.folder / name for option, name in outputs.items()}


def _corrected(folder: Path) -> list[Node]:
    """Corrected maps, as half maps only if an FSC between them means something."""
    outcome = read_job_record(folder)
    kind = NodeType.HALF_MAP if outcome["halves"]["independent"] else NodeType.MAP
    maps = [Node(name, kind) for name in outcome["corrected_maps"]]
    return maps if outcome["config"]["aniso_file"] else [*maps, Node("FSC3D.mrc", NodeType.MAP)]


TOMOGRAMS_MEANING = "STAR file of tomograms, of RELION 5 or of isonet.py prepare_star"
TOMOGRAM_JOBS: tuple[tuple[str, type[CommandConfig], dict[str, str], tuple[str, ...]], ...] = (
    ("deconv", DeconvConfig, {"deconv_folder": "deconv"}, ("snrfalloff", "deconvstrength", "phaseflipped")),
    (
        "mask",
        MakeMaskConfig,
        {"mask_folder": "mask"},
        ("density_percentage", "std_percentage", "z_crop", "tilt_edges", "gold_sigma"),
    ),
    (
        "refine",
        RefineConfig,
        {"output_dir": "."},
        (
            "epochs",
            "cube_size",
            "filter_base",
            "CTF_mode",
            "isCTFflipped",
            "mw_weight",
            "turns",
            "gpuID",
            "tomo_idx",
        ),
    ),
    (
        "predict",
        PredictConfig,
        {"output_dir": "."},
        ("model", "turns", "tomo_idx", "gpuID", "memory_limit"),
    ),
)
JOBS = {
    job.name: job
    for job in (
        Job(
            "fsc3d",
            Fsc3dConfig,
            {"in_3dref": HALF1_MEANING, "in_mask": MASK_MEANING},
            ("half2", "limit_res", "cone_sampling_angle", "phase_randomise", "keep_highres"),
            ("h", "o"),
            _find_fsc3d,
            lambda _: [Node("FSC3D.mrc", NodeType.MAP)],
            {"half2": "h2"},
            after_refinement=True,
        ),
        Job(
            "anisotropy",
            ReconstructConfig,
            {
                "in_3dref": f"{HALF1_MEANING}, or FSC3D.mrc of a {EXECUTABLE_PREFIX}fsc3d",
                "in_mask": MASK_MEANING,
            },
            (
                *("half2", "aniso_file", "limit_res", "independent", "epochs", "n_subvolume"),
                *("cube_size", "filter_base", "gpuID", "memory_limit"),
            ),
            ("i1", "output_dir", "resume"),
            _find_anisotropy,
            _corrected,
            {"half2": "i2", "validate": "validation"},
            trains=True,
            after_refinement=True,
        ),
        Job(
            "whitening",
            WhiteningConfig,
            {"in_3dref": "the map to whiten", "in_mask": "where its amplitudes are measured"},
            ("high_res", "low_res"),
            ("h1", "o"),
            _find_whitening,
            lambda _: [Node("whitened.mrc", NodeType.MAP)],
            automatic=("high_res",),
        ),
        Job(
            "angular-whiten",
            AngularWhitenConfig,
            {"in_3dref": "the map to whiten"},
            ("low_res", "high_res"),
            ("in_name", "out_name"),
            _find_angular_whiten,
            lambda _: [Node("angular_whitened.mrc", NodeType.MAP)],
            automatic=("low_res", "high_res"),
        ),
        Job(
            "combine-map",
            CombineMapConfig,
            {
                "in_3dref": "the map that gives the high resolutions and the scale",
                "in_mask": "where the amplitudes are matched",
            },
            ("low_map", "threshold_res"),
            ("high_map", "out_map"),
            _find_combine_map,
            lambda _: [Node("combined.mrc", NodeType.MAP)],
        ),
        Job(
            "fsd3d",
            Fsd3dConfig,
            {
                "in_parts": "particles with orientations",
                "in_3dref": "their refinement's folder or map, which tells particles, box and symmetry",
            },
            ("map_dim", "sym", "low_res", "high_res", "number_subset", "tilt_min", "tilt_max"),
            ("star_file", "o"),
            _find_fsd3d,
            lambda _: [Node("FSD3D.mrc", NodeType.MAP)],
            automatic=("map_dim", "sym"),
            after_refinement=True,
        ),
        Job(
            "diagnose",
            DiagnoseConfig,
            {
                "in_3dref": HALF1_MEANING,
                "in_parts": "particles of the refinement [default: those of the job that made the half maps]",
                "in_mask": MASK_MEANING,
            },
            ("half2", "limit_res", "sym", "number_subset"),
            ("h", "output_dir"),
            _find_diagnose,
            lambda _: [],
            {"half2": "h2"},
            automatic=("sym",),
            after_refinement=True,
        ),
        Job(
            "report",
            ReportConfig,
            {"in_3dref": f"a corrected map of a {EXECUTABLE_PREFIX}anisotropy, or that job's folder"},
            (),
            ("folder", "o"),
            _find_report,
            lambda _: [],
        ),
        *(
            Job(
                name,
                config,
                {"in_mics": TOMOGRAMS_MEANING},
                ("tomograms", *offered),
                ("output_star", *outputs, *(["resume"] if "resume" in config.model_fields else [])),
                partial(_find_tomograms, outputs),
                lambda _: [TOMOGRAMS],
                {"tomograms": "star_file"},
                trains=config is RefineConfig,
                prefix=TOMOGRAM_PREFIX,
            )
            for name, config, outputs, offered in TOMOGRAM_JOBS
        ),
    )
}
