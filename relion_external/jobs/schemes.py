"""Example Schemes: series of RELION's and spisonet's jobs that ``relion_schemer`` of RELION 5 runs."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relion_external.job_form import EXTERNAL, FORM_FILE, form_text
from relion_external.jobs.definitions import JOBS
from relion_external.jobs.install import FOLDER, SLURM_FILE, job_options, require_project
from spisonet.io.atomic import prepare_output_folder, write_text
from spisonet.io.paths import real_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from relion_external.config import InstallSchemesConfig

log = logging.getLogger("spisonet")

SCHEMES_FOLDER, SCHEME_FILE = "Schemes", "scheme.star"
TOMOGRAM_SCHEME, REFINEMENT_SCHEME = "spisonet_tomograms", "spisonet_refine"
END, NO_VALUE = "EXIT", "undefined"
COLUMNS = {  # of the tables of scheme.star, after rlnScheme
    "floats": [f"FloatVariable{name}" for name in ("Name", "Value", "ResetValue")],
    "strings": [f"StringVariable{name}" for name in ("Name", "Value", "ResetValue")],
    "bools": [f"BooleanVariable{name}" for name in ("Name", "Value", "ResetValue")],
    "operators": [f"Operator{name}" for name in ("Name", "Type", "Output", "Input1", "Input2")],
    "jobs": [f"Job{name}" for name in ("NameOriginal", "Name", "Mode", "HasStarted")],
    "edges": [
        *("EdgeInputNodeName", "EdgeOutputNodeName", "EdgeIsFork"),
        *("EdgeOutputNodeNameIfTrue", "EdgeBooleanVariable"),
    ],
}


@dataclass(frozen=True)
class Step:
    """A job of a Scheme.

    Attributes
    ----------
    label : str
        Type of RELION's job, or ``external``.
    options : dict
        Options of its form that differ from the defaults; ``$$name`` stands for a variable of the Scheme.
    job : str or None
        Name of the External job in `JOBS`.
    """

    label: str
    options: Mapping[str, str]
    job: str | None = None

    def form(self, project: Path) -> str:
        """Return the text of its ``job.star``."""
        if self.job is None:
            return form_text(self.label, self.options)
        script = real_path(project / FOLDER / SLURM_FILE)
        return form_text(EXTERNAL, {**job_options(JOBS[self.job], script, None, None), **self.options})


@dataclass(frozen=True)
class Scheme:
    """A series of jobs, which may end after a test.

    Attributes
    ----------
    name : str
        Folder below ``Schemes``.
    variables : dict
        Texts and numbers that the user sets; relion_schemer enters only numbers into numeric options.
    steps : dict
        Jobs by name, in order.
    test_after : dict
        By the name of a job, a file without which the Scheme ends after it.
    """

    name: str
    variables: Mapping[str, str | float]
    steps: Mapping[str, Step]
    test_after: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Return the text of ``scheme.star``."""
        tested = {step: f"{_place(self.name, step)}{name}" for step, name in self.test_after.items()}
        numbers = {name: value for name, value in self.variables.items() if isinstance(value, float)}
        strings = {name: value for name, value in self.variables.items() if isinstance(value, str)}
        strings |= {f"file_of_{step}": path for step, path in tested.items()}
        exit_row = f"{END} exit {NO_VALUE} {NO_VALUE} {NO_VALUE}"
        tables = {
            "floats": [f"{name} {value:g} {value:g}" for name, value in numbers.items()],
            "strings": [f"{name} {value} {value}" for name, value in strings.items()],
            "bools": [f"has_file_of_{step} 0 0" for step in tested],
            "operators": [
                *(f"CHECK_{s} bool=file_exists has_file_of_{s} file_of_{s} {NO_VALUE}" for s in tested),
                exit_row,
            ],
            "jobs": [f"{step} {step} new 0" for step in self.steps],
            "edges": self._edges(),
        }
        text = (
            f"data_scheme_general\n\n_rlnSchemeName {SCHEMES_FOLDER}/{self.name}/\n"
            f"_rlnSchemeCurrentNodeName {next(iter(self.steps))}\n\n"
        )
        for name, rows in tables.items():
            if rows:
                labels = [
                    f"_rlnScheme{label} #{number}" for number, label in enumerate(COLUMNS[name], start=1)
                ]
                text += "\n".join([f"data_scheme_{name}", "", "loop_", *labels, *rows, "", ""])
        return text

    def _edges(self) -> list[str]:
        names = [*self.steps, END]
        edges = []
        for step, following in itertools.pairwise(names):
            if step in self.test_after:
                edges.append(f"{step} CHECK_{step} 0 {NO_VALUE} {NO_VALUE}")
                edges.append(f"CHECK_{step} {END} 1 {following} has_file_of_{step}")
            else:
                edges.append(f"{step} {following} 0 {NO_VALUE} {NO_VALUE}")
        return edges


def _place(scheme: str, step: str) -> str:
    """Return the folder of a job within its Scheme, which relion_schemer replaces by that of the job."""
    return f"{SCHEMES_FOLDER}/{scheme}/{step}/"


def _tomograms() -> Scheme:
    def of(step: str) -> str:
        return _place(TOMOGRAM_SCHEME, step)

    boxes = {"box_size": "$$box", "crop_size": "$$cropped_box", "binning": "1"}
    steps = {
        "tomograms": Step(
            "reconstructtomograms",
            {
                "in_tiltseries": "$$tilt_series",
                "generate_split_tomograms": "Yes",
                "do_fourier": "No",
                "binned_angpix": "$$tomogram_angpix",
                **{f"{axis}dim": f"$${axis}_size" for axis in "xyz"},
            },
        ),
        "correct": Step(EXTERNAL, {"in_mic": f"{of('tomograms')}tomograms.star"}, "correct"),
        "extract": Step(
            "pseudosubtomo",
            {
                "use_direct_entries": "Yes",
                "in_particles": "$$particles",
                "in_tomograms": f"{of('correct')}tomograms.star",
                **boxes,
            },
        ),
        "average": Step(
            "reconstructparticletomo",
            {"in_optimisation": f"{of('extract')}optimisation_set.star", "sym_name": "$$symmetry", **boxes},
        ),
        "fsc3d": Step(EXTERNAL, {"in_3dref": f"{of('average')}half1.mrc", "in_mask": "$$mask"}, "fsc3d"),
        "diagnose": Step(
            EXTERNAL, {"in_3dref": f"{of('average')}half1.mrc", "in_mask": "$$mask"}, "diagnose"
        ),
    }
    variables: dict[str, str | float] = {
        "tilt_series": "AlignTiltSeries/job005/aligned_tilt_series.star",
        "particles": "Picks/job008/particles.star",
        "mask": "mask.mrc",
        "symmetry": "C1",
        "tomogram_angpix": 10.0,
        **dict.fromkeys(("x_size", "y_size"), 4000.0),
        "z_size": 2000.0,
        "box": 256.0,
        "cropped_box": 128.0,
    }
    return Scheme(TOMOGRAM_SCHEME, variables, steps)


def _refinement() -> Scheme:
    def of(step: str) -> str:
        return _place(REFINEMENT_SCHEME, step)

    shared = {
        "fn_img": "$$particles",
        "fn_mask": "$$mask",
        "sym_name": "$$symmetry",
        "particle_diameter": "$$diameter",
        "do_solvent_fsc": "Yes",
        "do_blush": "No",
        "nr_mpi": "3",
    }
    halves = "run_half1_class001_unfil.mrc"

    def of_halves(step: str, job: str) -> Step:
        return Step(EXTERNAL, {"in_3dref": f"{of(step)}{halves}"}, job)

    steps = {
        "refine": Step(
            "refine3d",
            {**shared, "fn_ref": "$$reference", "ini_high": "$$low_pass", "ref_correct_greyscale": "No"},
        ),
        "diagnose": of_halves("refine", "diagnose"),
        "correct": of_halves("refine", "anisotropy"),
        "refine_again": Step(
            "refine3d",
            {
                **shared,
                "fn_ref": f"{of('correct')}corrected_full.mrc",
                "ini_high": "$$low_pass_of_corrected",
                "ref_correct_greyscale": "Yes",
                "other_args": "--external_reconstruct",
            },
        ),
        "diagnose_again": of_halves("refine_again", "diagnose"),
        "correct_again": of_halves("refine_again", "anisotropy"),
    }
    variables: dict[str, str | float] = {
        "particles": "Extract/job010/particles.star",
        "reference": "InitialModel/job011/initial_model.mrc",
        "mask": "MaskCreate/job012/mask.mrc",
        "symmetry": "C1",
        "diameter": 200.0,
        "low_pass": 40.0,
        "low_pass_of_corrected": 20.0,
    }
    recommended = "recommended.sh"
    return Scheme(
        REFINEMENT_SCHEME, variables, steps, {"diagnose": recommended, "diagnose_again": recommended}
    )


def schemes() -> list[Scheme]:
    """Return the example Schemes."""
    return [_tomograms(), _refinement()]


def run_install_schemes(config: InstallSchemesConfig) -> None:
    """Write the Schemes of a project; those that exist are kept.

    Raises
    ------
    SpisonetError
        If the folder is not a RELION project or cannot be written.
    """
    require_project(config.project)
    for scheme in schemes():
        folder = config.project / SCHEMES_FOLDER / scheme.name
        if (folder / SCHEME_FILE).exists():
            log.info("%s exists and is kept; remove the folder to install it anew.", folder)
            continue
        for name, step in scheme.steps.items():
            prepare_output_folder(folder / name)
            write_text(folder / name / FORM_FILE, step.form(config.project))
        write_text(folder / SCHEME_FILE, scheme.text())
        log.info("Written: %s; its variables: %s", folder, ", ".join(scheme.variables))
        log.info("  relion_schemer --scheme %s --set_var VARIABLE --value VALUE", scheme.name)
        log.info("  relion_schemer --scheme %s --run", scheme.name)
