"""Groups of options for ``--help``, the forms of the graphical interface and the documentation."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from spisonet.io.config import command_line_shape, is_output

if TYPE_CHECKING:
    from spisonet.io.config import CommandConfig


class OptionGroup(StrEnum):
    """Groups in the order in which they are shown; the values are their headings."""

    INPUT = "Input"
    OUTPUT = "Output"
    COMMON = "Common options"
    TRAINING = "Training"
    VALIDATION = "Validation"
    ADVANCED = "Advanced options"


# Options with the same name belong to the same group in all commands. Positional and required options and
# files are inputs, folders and files with a default are outputs, and options that are not named are advanced.
NAMED: dict[str, OptionGroup] = {
    name: group
    for group, names in {
        OptionGroup.INPUT: (
            *("apix", "pixel_size", "input_column", "tomo_idx", "use_deconv_tomo", "sym"),
            *("tilt_min", "tilt_max", "tilt_step", "voltage", "cs", "ac", "defocus"),
            *("isCTFflipped", "phaseflipped"),
        ),
        OptionGroup.OUTPUT: (
            *("output_prefix", "save_slices", "report", "sharpen", "b_factor", "as_reconstructed"),
            *("remove_intermediate", "preview", "dry_run", "create_average", "as_json", "keep_highres"),
        ),
        OptionGroup.COMMON: (
            *("profile", "method", "independent", "limit_res", "low_res", "high_res", "resolution", "epochs"),
            *("CTF_mode", "deconvolve", "with_predict", "resume", "gpuID", "device", "ncpus", "ncpu"),
            *("snrfalloff", "deconvstrength", "density_percentage", "std_percentage", "z_crop", "size"),
            *("rounds", "port"),
        ),
        OptionGroup.TRAINING: (
            *("n_subvolume", "cube_size", "filter_base", "arch", "batch_size", "acc_batches"),
            *("learning_rate", "objective", "alpha", "beta", "pretrained", "prior", "iterations"),
            *(
                "mw_weight",
                "denoise_epochs",
                "noise_level",
                "noise_start_iter",
                "noise_mode",
                "select_subtomo_number",
            ),
            *("save_interval", "seed"),
        ),
        OptionGroup.VALIDATION: ("validation", "validation_cones", "cones", "cone_angle", "phase_res"),
        OptionGroup.ADVANCED: ("slurm_template",),
    }.items()
    for name in names
}


def option_group(model: type[CommandConfig], name: str) -> OptionGroup:
    """Return the group of an option of a command.

    Parameters
    ----------
    model : type
        Configuration model of the command.
    name : str
        Name of the field.
    """
    info = model.model_fields[name]
    if is_output(name, info):
        return OptionGroup.OUTPUT
    if info.is_required() or command_line_shape(info).positional:
        return OptionGroup.INPUT
    is_path = Path in (info.annotation, *get_args(info.annotation))
    group = NAMED.get(name, OptionGroup.INPUT if is_path else OptionGroup.ADVANCED)
    trains = "epochs" in model.model_fields
    return OptionGroup.ADVANCED if group is OptionGroup.TRAINING and not trains else group


def grouped_options(model: type[CommandConfig]) -> dict[OptionGroup, list[str]]:
    """Return the names of a command's options by group, positional ones first."""
    fields = model.model_fields
    ordered = sorted(fields, key=lambda name: not command_line_shape(fields[name]).positional)
    groups = {name: option_group(model, name) for name in ordered}
    return {
        group: names for group in OptionGroup if (names := [name for name in groups if groups[name] is group])
    }
