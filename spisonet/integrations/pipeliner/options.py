"""Options of a Pipeliner job, from the configuration of its command."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pipeliner import job_options as pipeliner_options
from pipeliner.job_options import FileDescription, InputNodeJobOption, JobOption, JobOptionCondition

from relion_external.jobs.arguments import INPUTS
from spisonet.integrations.pipeliner.nodes import INPUT_NODES, InputNode, input_node
from spisonet.io.config import option_bounds, option_kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

    from relion_external.jobs.job import Job

MAIN, FURTHER, COMPUTING = "Main", "Further options", "Running options"
COMPUTING_OPTIONS = {"gpuID", "device", "memory_limit", "ncpu"}
# Options that a node or the number of threads of the job sets; the report has a job of its own.
SET_BY_INPUTS = {"in_mask": {"mask", "mask_file"}, "in_parts": {"star"}, "in_mics": {"star_file"}}
SET_BY_JOB = {"ncpus"}
# Inputs that a job does not run without.
REQUIRED_INPUTS = ("in_3dref", "in_mics")
OPTIONAL_INPUTS = {"fsd3d": ("in_3dref",)}
# Options that have an effect only with a value of another: (option, its values), for all jobs that have both.
EFFECTIVE_IF: dict[str, tuple[str, tuple[str, ...]]] = {
    "alpha": ("objective", ("ei",)),
    "beta": ("objective", ("ei",)),
    "validation_cones": ("validate", ("True",)),
    "b_factor": ("sharpen", ("True",)),
    "prior": ("method", ("learn", "prior")),
    "noise_start_iter": ("method", ("isonet2-n2n", "isonet2")),
    "pose_drift_particles": ("pose_drift", ("True",)),
}
# Required options that the job usually finds with its inputs.
FOUND_BY_JOB = {"half2"}
# Labels of inputs whose description is long.
LONGEST_LABEL = 50
LABELS = {
    "in_3dref": "Half map 1, or a map of the refinement",
    "in_parts": "Particles",
    "in_mask": "Mask",
    "in_mics": "Tomograms",
}
REQUIRED_WITH = {"tilt_max": "tilt_min", "tilt_min": "tilt_max"}


def pipeliner_joboptions(job: Job) -> dict[str, JobOption[Any]]:
    """Return the options of a job by name: its input nodes, then its parameters.

    Parameters
    ----------
    job : Job
        External job.

    Returns
    -------
    dict
        Options by the names of the External job's arguments.
    """
    found: dict[str, JobOption[Any]] = {
        name: _node_option(
            f"{_input_label(name, meaning)} ({name})",
            _sentence(meaning),
            INPUT_NODES[name],
            is_required=name in REQUIRED_INPUTS and name not in OPTIONAL_INPUTS.get(job.name, ()),
        )
        for name, meaning in job.inputs.items()
    }
    for name in pipeliner_parameters(job):
        found[name] = _parameter_option(job, name)
    return found


def _input_label(name: str, meaning: str) -> str:
    is_short = len(meaning) <= LONGEST_LABEL
    return f"{meaning[:1].upper()}{meaning[1:]}" if is_short else LABELS.get(name, INPUTS[name])


def pipeliner_parameters(job: Job) -> list[str]:
    """Return the parameters that are options in the Pipeliner, those of RELION's form first."""
    hidden = SET_BY_JOB.union(*(SET_BY_INPUTS.get(name, set()) for name in job.inputs))
    names = [name for name in job.parameters if job.aliases.get(name, name) not in hidden]
    shown = [name for name in job.shown_parameters if name in names]
    return shown + [name for name in names if name not in shown]


def field_of(job: Job, name: str) -> FieldInfo:
    """Return the field of the configuration that a parameter sets."""
    return job.config.model_fields[job.aliases.get(name, name)]


def _parameter_option(job: Job, name: str) -> JobOption[Any]:
    info = field_of(job, name)
    option = job.aliases.get(name, name)
    kind, choices = option_kind(info)
    is_automatic = name in job.automatic_parameters
    default = None if info.is_required() or is_automatic else info.default
    common: dict[str, Any] = {
        "label": _label(name, info.description or name, is_choice=kind == "choice"),
        "help_text": _help_text(info, is_automatic),
        "jobop_group": _group(job, name, option),
        "in_continue": option in job.config.free_on_resume,
    }
    effective_if = EFFECTIVE_IF.get(name)
    if effective_if is not None and effective_if[0] in job.parameters:
        switch, values = effective_if
        others = [value for value in _values(job, switch) if value not in values]
        if others:
            is_switch = others in (["True"], ["False"])
            conditions = [(switch, "=", value == "True" if is_switch else value) for value in others]
            common["deactivate_if"] = JobOptionCondition(conditions)
    if kind == "switch":
        return pipeliner_options.BooleanJobOption(default_value=bool(default), **common)
    # What a finished refinement, or another input, gives is not asked for.
    common["is_required"] = info.is_required() and not is_automatic and name not in FOUND_BY_JOB
    if REQUIRED_WITH.get(name) in job.parameters:
        common["required_if"] = JobOptionCondition([(REQUIRED_WITH[name], "!=", None)])
    node = input_node(job, option)
    if node is not None:
        return _node_option(common.pop("label"), common.pop("help_text"), node, **common)
    if kind == "choice":
        common["is_required"] = False
        shown = "" if default is None else str(default)
        return pipeliner_options.MultipleChoiceJobOption(choices=choices, default_value=shown, **common)
    if kind in ("integer", "number"):
        bounds = option_bounds(info)
        limits = {
            "hard_min": bounds.get("ge", bounds.get("gt")),
            "hard_max": bounds.get("le", bounds.get("lt")),
        }
        is_whole = kind == "integer"
        number = pipeliner_options.IntJobOption if is_whole else pipeliner_options.FloatJobOption
        return number(default_value=default, **limits, **common)
    return pipeliner_options.StringJobOption(default_value="" if default is None else str(default), **common)


def _node_option(label: str, help_text: str, node: InputNode, **common: Any) -> JobOption[Any]:
    return InputNodeJobOption(
        label=label,
        help_text=help_text,
        node_type=node.type,
        node_kwds=list(node.keywords),
        pattern=FileDescription(node.meaning, list(node.extensions)),
        **common,
    )


def _values(job: Job, name: str) -> list[str]:
    kind, choices = option_kind(field_of(job, name))
    return ["True", "False"] if kind == "switch" else choices


def _group(job: Job, name: str, option: str) -> str:
    if option in COMPUTING_OPTIONS:
        return COMPUTING
    return MAIN if name in job.shown_parameters else FURTHER


def _label(name: str, description: str, *, is_choice: bool) -> str:
    """Return the beginning of the description and the name, which is the same in all programs."""
    meaning = re.split(r"[;,.\[(]|: ", description, maxsplit=1)[0].strip()
    is_prefix = description.startswith(f"{meaning}: ")  # such as "Subtomograms: lowest tilt"
    if is_choice or (is_prefix and meaning[:1].islower()):
        return f"{name.replace('_', ' ').capitalize()} ({name})"
    if is_prefix:
        meaning = re.split(r"[;,.\[(]", description, maxsplit=1)[0].strip()
    return f"{meaning} ({name})"


def _help_text(info: FieldInfo, is_automatic: bool) -> str:
    text = info.description or ""
    return f"{text} [empty: from the inputs, or the default]" if is_automatic else text


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def given_parameters(job: Job, options: Mapping[str, JobOption[Any]]) -> dict[str, str]:
    """Return the parameters whose value is not the default, as texts by name."""
    given = {}
    for name in pipeliner_parameters(job):
        option = options[name]
        if option.value not in (None, "") and option.value_string != option.default_value_string:
            given[name] = str(option.value)
    return given
