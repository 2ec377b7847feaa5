"""The External jobs: command, inputs, parameters and outputs of each."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from relion_external.config import HALF_MAP_FILE, PARTICLES_FILE, REFERENCE_FILE, RescueConfig
from relion_external.jobs.folder import Node, NodeType
from relion_external.jobs.job import EXECUTABLE_PREFIX, TOMOGRAM_PREFIX, Job
from relion_external.jobs.options import (
    HALF1_DESCRIPTION,
    RESCUE_DESCRIPTION,
    TOMOGRAMS_FILE,
    angular_whiten_options,
    anisotropy_options,
    combine_map_options,
    diagnose_options,
    fsc3d_options,
    fsd3d_options,
    report_options,
    rescue_options,
    tomograms_options,
    whitening_options,
)
from spisonet.analysis.config import DiagnoseConfig, Fsc3dConfig, Fsd3dConfig
from spisonet.anisotropy.config import ReconstructConfig
from spisonet.fourier.map_filters_config import AngularWhitenConfig, CombineMapConfig, WhiteningConfig
from spisonet.io.run_record import read_job_record
from spisonet.report.config import ReportConfig
from spisonet.tomography.as_reconstructed import as_reconstructed_path
from spisonet.tomography.filters_config import DeconvConfig, MakeMaskConfig
from spisonet.tomography.prediction_config import PredictConfig
from spisonet.tomography.training_config import CorrectConfig, RefineConfig

if TYPE_CHECKING:
    from spisonet.io.config import CommandConfig

TOMOGRAMS = Node(TOMOGRAMS_FILE, NodeType.TOMOGRAMS)
TOMOGRAMS_AS_RECONSTRUCTED = Node(as_reconstructed_path(Path(TOMOGRAMS_FILE)).name, NodeType.TOMOGRAMS)
LOGFILE = Node("logfile.pdf", NodeType.LOGFILE)
MASK_DESCRIPTION = "soft solvent mask [default: that of the refinement]"


def _corrected_maps(folder: Path) -> list[Node]:
    """Return the corrected maps, the full map first; RELION's half maps are halves that are independent."""
    record = read_job_record(folder)
    kind = NodeType.HALF_MAP if record["halves"]["independent"] else NodeType.MAP
    full_map = record["full_map"]
    maps = [] if full_map is None else [Node(full_map["corrected"], NodeType.MAP)]
    maps += [Node(name, kind) for name in record["corrected_maps"]]
    return maps if record["config"]["aniso_file"] else [*maps, Node("FSC3D.mrc", NodeType.MAP)]


def _rescued(folder: Path) -> list[Node]:
    """Return half maps, particles and reference; none if the poses had not drifted."""
    halves = [folder / HALF_MAP_FILE.format(half=half) for half in (1, 2)]
    nodes = [Node(path.name, NodeType.HALF_MAP) for path in halves]
    nodes += [Node(PARTICLES_FILE, NodeType.PARTICLES), Node(REFERENCE_FILE, NodeType.MAP)]
    return [node for node in nodes if (folder / node.name).is_file()]


TOMOGRAMS_DESCRIPTION = (
    "tomograms.star of RELION 5, as of a Reconstruct tomograms job, or of isonet.py prepare_star; type its "
    "name, which RELION's Browse does not offer"
)
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
        ("model", "half_turns", "turns", "tomo_idx", "gpuID", "memory_limit", "as_reconstructed"),
    ),
    (
        "correct",
        CorrectConfig,
        {"output_dir": "."},
        (
            *("deconvolve", "CTF_mode", "z_crop", "epochs", "cube_size", "filter_base", "turns"),
            *("gpuID", "as_reconstructed"),
        ),
    ),
)
JOBS = {
    job.name: job
    for job in (
        Job(
            "fsc3d",
            Fsc3dConfig,
            {"in_3dref": HALF1_DESCRIPTION, "in_mask": MASK_DESCRIPTION},
            ("half2", "limit_res", "cone_sampling_angle", "phase_randomise", "keep_highres"),
            ("h", "o"),
            fsc3d_options,
            lambda _: [Node("FSC3D.mrc", NodeType.MAP)],
            {"half2": "h2"},
            after_refinement=True,
        ),
        Job(
            "anisotropy",
            ReconstructConfig,
            {
                "in_3dref": f"{HALF1_DESCRIPTION}, or FSC3D.mrc of a {EXECUTABLE_PREFIX}fsc3d job",
                "in_mask": MASK_DESCRIPTION,
            },
            (
                *("half2", "aniso_file", "limit_res", "independent", "epochs", "n_subvolume"),
                *("cube_size", "filter_base", "gpuID", "memory_limit"),
            ),
            ("i1", "output_dir", "resume"),
            anisotropy_options,
            _corrected_maps,
            {"half2": "i2", "validate": "validation"},
            trains=True,
            after_refinement=True,
        ),
        Job(
            "whitening",
            WhiteningConfig,
            {"in_3dref": "map to whiten", "in_mask": "region in which its amplitudes are measured"},
            ("high_res", "low_res"),
            ("h1", "o"),
            whitening_options,
            lambda _: [Node("whitened.mrc", NodeType.MAP)],
            automatic_parameters=("high_res",),
        ),
        Job(
            "angular-whiten",
            AngularWhitenConfig,
            {"in_3dref": "map to whiten"},
            ("low_res", "high_res"),
            ("in_name", "out_name"),
            angular_whiten_options,
            lambda _: [Node("angular_whitened.mrc", NodeType.MAP)],
            automatic_parameters=("low_res", "high_res"),
        ),
        Job(
            "combine-map",
            CombineMapConfig,
            {
                "in_3dref": "map with the high resolutions and the grey scale",
                "in_mask": "region in which the amplitudes are matched",
            },
            ("low_map", "threshold_res"),
            ("high_map", "out_map"),
            combine_map_options,
            lambda _: [Node("combined.mrc", NodeType.MAP)],
        ),
        Job(
            "fsd3d",
            Fsd3dConfig,
            {
                "in_parts": "particles with orientations",
                "in_3dref": "map or folder of their refinement, for particles, box and symmetry",
            },
            ("map_dim", "sym", "low_res", "high_res", "number_subset", "tilt_min", "tilt_max"),
            ("star_file", "o"),
            fsd3d_options,
            lambda _: [Node("FSD3D.mrc", NodeType.MAP)],
            automatic_parameters=("map_dim", "sym"),
            after_refinement=True,
        ),
        Job(
            "diagnose",
            DiagnoseConfig,
            {
                "in_3dref": HALF1_DESCRIPTION,
                "in_parts": "particles of the refinement [default: of the job that wrote the half maps]",
                "in_mask": MASK_DESCRIPTION,
            },
            ("half2", "limit_res", "sym", "number_subset"),
            ("h", "output_dir"),
            diagnose_options,
            lambda _: [],
            {"half2": "h2"},
            automatic_parameters=("sym",),
            after_refinement=True,
        ),
        Job(
            "rescue",
            RescueConfig,
            {"in_3dref": RESCUE_DESCRIPTION, "in_mask": MASK_DESCRIPTION},
            ("resolution", "rounds", "sym", "device"),
            ("job", "o"),
            rescue_options,
            _rescued,
            after_refinement=True,
        ),
        Job(
            "report",
            ReportConfig,
            {"in_3dref": f"a corrected map of a {EXECUTABLE_PREFIX}anisotropy job"},
            (),
            ("folder", "o"),
            report_options,
            lambda _: [],
        ),
        *(
            Job(
                name,
                config,
                {"in_mics": TOMOGRAMS_DESCRIPTION},
                ("tomograms", *offered),
                ("output_star", *outputs, *(["resume"] if "resume" in config.model_fields else [])),
                partial(tomograms_options, outputs),
                lambda _: [TOMOGRAMS, TOMOGRAMS_AS_RECONSTRUCTED],
                {"tomograms": "star_file"},
                trains=issubclass(config, RefineConfig),
                prefix=TOMOGRAM_PREFIX,
            )
            for name, config, outputs, offered in TOMOGRAM_JOBS
        ),
    )
}
