"""Layout of the forms: labels and groups of fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.io.option_groups import OptionGroup, option_group

if TYPE_CHECKING:
    from spisonet.io.config import CommandConfig

INPUT, USUAL, ADVANCED, COMPATIBILITY = "input", "usual", "advanced", "compatibility"
LABELS = {
    **dict.fromkeys(("h", "h1", "i1"), "Half map 1"),
    **dict.fromkeys(("h2", "i2"), "Half map 2"),
    **dict.fromkeys(("aniso_file",), "3D FSC"),
    **dict.fromkeys(("mask", "mask_file"), "Mask"),
    "folder": "Job to examine",
    "star_file": "Table of tomograms",
    "model": "Atomic model",
    "input_column": "Column of input tomograms",
    "tomo_idx": "Tomograms to process",
    "limit_res": "Resolution limit, Å",
    "independent": "Keep the half maps independent",
    "epochs": "Epochs",
    "n_subvolume": "Subvolumes per epoch",
    "cube_size": "Subvolume edge, voxels",
    "filter_base": "Width of the network",
    "arch": "Size of the network",
    "batch_size": "Subvolumes per update",
    "acc_batches": "Parts of a batch",
    "learning_rate": "Learning rate",
    "pretrained": "Start from",
    "prior": "Network trained on other structures",
    "method": "Method",
    "objective": "Training objective",
    "validation": "Validate in held-out cones",
    "validation_cones": "Held-out cones",
    "sharpen": "Also sharpen",
    "b_factor": "B-factor, Å²",
    "positivity": "Constrain to positive density",
    "report": "Write a report",
    "seed": "Random seed",
    "apix": "Voxel size, Å",
    "ncpus": "CPU threads",
    "memory_limit": "Device memory, GB",
    "predict_crop_size": "Prediction tile, voxels",
    "crop_size": "Tile edge, voxels",
    "padding_factor": "Overlap of tiles",
    "turns": "Rotated copies to average",
    "half_turns": "Average over half turns",
    "output_dir": "Output folder",
    "output_star": "Table to write",
    "output_prefix": "Prefix of output names",
    **dict.fromkeys(("o", "output", "out_map", "out_name"), "Output file"),
    "CTF_mode": "CTF correction",
    "isCTFflipped": "Tilt images are phase flipped",
    "do_phaseflip_input": "Flip phases of the input",
    "clip_first_peak_mode": "Low frequencies of the CTF",
    "bfactor": "B-factor to correct, Å²",
    "snrfalloff": "Fall-off of the signal-to-noise ratio",
    "deconvstrength": "Strength of the deconvolution",
    "highpassnyquist": "High-pass, of Nyquist",
    "with_predict": "Correct the tomograms afterwards",
    "preview": "Write previews during training",
    "save_interval": "Epochs between previews",
    "remove_intermediate": "Remove checkpoints at the end",
    "mw_weight": "Weight of the missing wedge",
    "denoise_epochs": "Epochs of denoising first",
    "noise_level": "Levels of added noise",
    "noise_start_iter": "Starts of these levels",
    "noise_mode": "Spectrum of added noise",
    "iterations": "Iterations of IsoNet 0.2",
    "continue_from": "Continue from (IsoNet 0.2)",
    "select_subtomo_number": "Subtomograms per epoch",
    "trust_table": "Trust the tilt ranges of the table",
    "as_reconstructed": "Also list as reconstructed tomograms",
    "use_deconv_tomo": "Use deconvolved tomograms",
    "pad": "Pad thin tomograms",
    "density_percentage": "Densest voxels to keep, %",
    "std_percentage": "Most varied voxels to keep, %",
    "z_crop": "Crop in z, fraction",
    "reference": "Low-resolution reference",
    "ref_resolution": "Resolution of the reference, Å",
    "alpha": "Weight of the equivariance loss",
    "beta": "Weight of the noise2noise loss",
    "cone_sampling_angle": "Half angle of cones, °",
    "high_res": "High-resolution limit, Å",
    "low_res": "Low-resolution limit, Å",
}
# Among what usually matters, besides the common options.
USUAL_FIELDS = {"n_subvolume", "cube_size", "arch", "pretrained", "validation", "turns"}
# Options of IsoNet, IsoNet2 and spIsoNet that have better counterparts here.
COMPATIBILITY_FIELDS = {
    *("iterations", "continue_from", "noise_level", "noise_start_iter", "noise_mode", "do_phaseflip_input"),
    *("select_subtomo_number", "alpha", "beta", "objective", "predict_crop_size"),
}


def label_of(command: str, name: str) -> str:
    """Return the plain label of an option of a command."""
    if (command, name) == ("predict", "model"):
        return "Trained network"
    text = name.replace("_", " ")
    return LABELS.get(name, f"{text[0].upper()}{text[1:]}")


def group_of(model: type[CommandConfig], name: str) -> str:
    """Return the group of a field of a form, which has fewer groups than ``--help``."""
    if name in COMPATIBILITY_FIELDS:
        return COMPATIBILITY
    group = option_group(model, name)
    if group is OptionGroup.INPUT:
        return INPUT
    return USUAL if group is OptionGroup.COMMON or name in USUAL_FIELDS else ADVANCED
