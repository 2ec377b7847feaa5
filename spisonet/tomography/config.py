"""Configurations of the tomogram commands: names and defaults of IsoNet and IsoNet2."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from spisonet.io.config import CommandConfig, CommandLine, Positional

# Field types are evaluated at run time by pydantic and Typer.
TOMO_IDX = "Process only these tomograms, as in 1,2,4 or 5-10,15 [default: all]."

WIDTHS = {"unet-small": 16, "unet-medium": 32, "unet-default": 64, "unet-large": 64}
OBSOLETE_IN_TRAINING = frozenset(
    {
        *("loss_func", "T_max", "learning_rate_min", "compile_model", "mixed_precision", "log_level"),
        *("normalize_percentile", "split_halves", "pretrained_model2", "prev_tomo_idx", "with_deconv"),
    }
)


class PrepareStarConfig(CommandConfig):
    """List the tomograms of a folder, or of folders of even and odd halves, in a STAR file."""

    command: ClassVar[str] = "prepare_star"
    examples: ClassVar[tuple[str, ...]] = (
        "isonet.py prepare_star tomograms --output_star tomograms.star --pixel_size 10",
        "isonet.py prepare_star --even even --odd odd --tilt_min -50 --tilt_max 66",
    )

    folder_name: Annotated[Path | None, Positional] = Field(None, description="Folder of tomograms.")
    output_star: Annotated[Path, CommandLine(aliases=("--star_name",))] = Field(
        Path("tomograms.star"), description="STAR file to write."
    )
    full: Annotated[Path | None, CommandLine(aliases=("-f",))] = Field(
        None, description="Folder of the tomograms of all tilts."
    )
    even: Annotated[Path | None, CommandLine(aliases=("-e",))] = Field(
        None, description="Folder of the tomograms of even tilts or frames."
    )
    odd: Annotated[Path | None, CommandLine(aliases=("-o",))] = Field(
        None, description="Folder of the tomograms of odd tilts or frames."
    )
    mask_folder: Path | None = Field(None, description="Folder of masks with the tomograms' names.")
    coordinate_folder: Path | None = Field(None, description="Folder of files of particle coordinates.")
    tilt_folder: Path | None = Field(
        None, description="Folder of .tlt, .rawtlt, .mdoc or tilt-series STAR files [default: beside]."
    )
    pixel_size: str = Field("auto", description="Voxel size in Å, or auto: from the headers.")
    defocus: str = Field(
        "0", description="Defocus in Å, one value or one for each tomogram as in 30000,35000; 0: no CTF."
    )
    voltage: float = Field(300.0, gt=0, description="Acceleration voltage in kV.")
    cs: float = Field(2.7, ge=0, description="Spherical aberration in mm.")
    ac: float = Field(0.1, ge=0, le=1, description="Amplitude contrast.")
    tilt_min: float | None = Field(
        None, ge=-90, le=90, description="Smallest tilt in degrees [default: from tilt files, or -60]."
    )
    tilt_max: float | None = Field(
        None, ge=-90, le=90, description="Largest tilt in degrees [default: from tilt files, or 60]."
    )
    tilt_step: float = Field(3.0, gt=0, description="Angle between tilts in degrees.")
    create_average: bool = Field(False, description="Write the sums of even and odd tomograms, too.")
    number_subtomos: str = Field("100", description="Subtomograms to take from each tomogram, or auto.")


class DeconvConfig(CommandConfig):
    """Deconvolve tomograms by their CTF; this enhances the contrast at low resolution."""

    command: ClassVar[str] = "deconv"
    examples: ClassVar[tuple[str, ...]] = (
        "isonet.py deconv tomograms.star --snrfalloff 0.7 --deconvstrength 1",
    )

    star_file: Annotated[Path, Positional] = Field(description="STAR file of tomograms.")
    output_star: Path | None = Field(
        None, description="STAR file to write [default: the results are noted in STAR_FILE]."
    )
    deconv_folder: Annotated[Path, CommandLine(aliases=("--output_dir",))] = Field(
        Path("deconv"), description="Folder for the deconvolved tomograms."
    )
    input_column: str | None = Field(
        None, description="Column of the files to deconvolve [default: the full ones]."
    )
    voltage: float | None = Field(
        None, gt=0, description="Acceleration voltage in kV [default: the table's, or 300]."
    )
    cs: float | None = Field(
        None, ge=0, description="Spherical aberration in mm [default: the table's, or 2.7]."
    )
    snrfalloff: float | None = Field(
        None, ge=0, description="How fast the signal falls with frequency [default: the table's, or 1]."
    )
    deconvstrength: float | None = Field(
        None, description="Strength of the deconvolution [default: the table's, or 1]."
    )
    highpassnyquist: float = Field(
        0.02, gt=0, le=1, description="End of the high-pass, as a fraction of Nyquist."
    )
    phaseflipped: bool = Field(False, description="The phases of the tilt images were flipped already.")
    chunk_size: int | None = Field(
        None, ge=16, description="Edge of the blocks to work in, in voxels [default: what the memory allows]."
    )
    overlap_rate: float = Field(
        0.25, ge=0, le=1, description="Overlap of blocks as a fraction of their edge."
    )
    ncpu: Annotated[int, CommandLine(aliases=("--ncpus",))] = Field(
        4, ge=1, description="Number of CPU threads."
    )
    tomo_idx: str | None = Field(None, description=TOMO_IDX)


class MakeMaskConfig(CommandConfig):
    """Mask the tomogram: leave out what is empty, so that training and prediction spend no time there."""

    command: ClassVar[str] = "make_mask"
    examples: ClassVar[tuple[str, ...]] = (
        "isonet.py make_mask tomograms.star --density_percentage 50 --std_percentage 50 --z_crop 0.1",
    )

    star_file: Annotated[Path, Positional] = Field(description="STAR file of tomograms.")
    output_star: Path | None = Field(
        None, description="STAR file to write [default: the results are noted in STAR_FILE]."
    )
    mask_folder: Annotated[Path, CommandLine(aliases=("--output_dir",))] = Field(
        Path("mask"), description="Folder for the masks."
    )
    patch_size: int = Field(
        4, ge=1, description="Size of the neighbourhoods of the filters, in binned voxels."
    )
    density_percentage: float | None = Field(
        None, gt=0, le=100, description="Share of voxels to keep by density [default: the table's, or 50]."
    )
    std_percentage: float | None = Field(
        None, gt=0, le=100, description="Share of voxels to keep by variation [default: the table's, or 50]."
    )
    use_deconv_tomo: bool = Field(True, description="Take the deconvolved tomograms where there are some.")
    input_column: str | None = Field(None, description="Column of the files to look at.")
    mask_boundary: Path | None = Field(
        None, description="IMOD model whose contours surround the tomogram [default: the table's]."
    )
    z_crop: float | None = Field(
        None, ge=0, lt=0.5, description="Share of the tomogram to leave out at the top, and at the bottom."
    )
    tilt_edges: bool = Field(
        False, description="Leave out edges that are outside the field of view of some tilts."
    )
    gold_sigma: float | None = Field(
        None, gt=0, description="Leave out surroundings of voxels darker than this many deviations (gold)."
    )
    tomo_idx: str | None = Field(None, description=TOMO_IDX)


class SubtomogramStarConfig(CommandConfig):
    """List the subtomograms of a folder in a STAR file, to be trained on."""

    command: ClassVar[str] = "prepare_subtomo_star"
    examples: ClassVar[tuple[str, ...]] = ("isonet.py prepare_subtomo_star subtomo --pixel_size 10",)

    folder_name: Annotated[Path, Positional] = Field(description="Folder of subtomograms.")
    output_star: Path = Field(Path("subtomo.star"), description="STAR file to write.")
    pixel_size: float = Field(10.0, gt=0, description="Voxel size in Å.")
    cube_size: int | None = Field(
        None,
        ge=16,
        description="Edge of training cubes in voxels [default: two thirds of the subtomograms'].",
    )


class ExtractConfig(CommandConfig):
    """Cut subtomograms out of tomograms, to be trained on; refine can also take the tomograms themselves."""

    command: ClassVar[str] = "extract"
    examples: ClassVar[tuple[str, ...]] = ("isonet.py extract tomograms.star --cube_size 64",)
    obsolete: ClassVar[frozenset[str]] = frozenset({"log_level"})

    star_file: Annotated[Path, Positional] = Field(description="STAR file of tomograms.")
    input_column: str | None = Field(
        None, description="Column of the tomograms [default: the deconvolved ones, or the full ones]."
    )
    use_deconv_tomo: bool = Field(True, description="Take the deconvolved tomograms where there are some.")
    subtomo_folder: Path = Field(Path("subtomo"), description="Folder for the subtomograms.")
    subtomo_star: Path = Field(Path("subtomo.star"), description="STAR file of them to write.")
    cube_size: int = Field(
        64, ge=16, description="Edge of training cubes in voxels; subtomograms are 1.5 times as large."
    )
    crop_size: int | None = Field(None, ge=16, description="Edge of subtomograms in voxels.")
    tomo_idx: str | None = Field(None, description=TOMO_IDX)
    seed: int = Field(0, ge=0, description="Seed of the random places.")


class TomogramNetworkConfig(CommandConfig):
    """What training and prediction of tomograms have in common."""

    gpuID: str | None = Field(  # noqa: N815 - the published name
        None, description="GPUs to use, as in 0 or 0,1 [default: the first, or the CPU if there is none]."
    )
    ncpus: Annotated[int, CommandLine(aliases=("--preprocessing_ncpus",))] = Field(
        16, ge=1, description="Number of CPU threads (at most those of the machine are used)."
    )
    device: str | None = Field(None, description="cpu, cuda, cuda:1 or mps [default: the best there is].")
    memory_limit: float | None = Field(
        None, gt=0, description="Gigabytes of the device's memory to use [default: what is free]."
    )
    input_column: str | None = Field(
        None,
        description="Column of the tomograms, where no halves are used "
        "[default: the deconvolved ones, or the full ones].",
    )
    use_deconv_tomo: bool = Field(True, description="Take the deconvolved tomograms where there are some.")
    tomo_idx: str | None = Field(None, description=TOMO_IDX)
    pad: bool = Field(
        False, description="Mirror tomograms that are thinner than the cubes, instead of refusing them."
    )
    turns: int = Field(
        0,
        ge=0,
        le=16,
        description="Turned copies to average predictions over; 6 improve them, at 7 times the time.",
    )
    resume: bool = Field(False, description="Continue the run in the output folder.")


class TomogramTrainingConfig(TomogramNetworkConfig):
    """What refine and denoise have in common."""

    free_on_resume: ClassVar[frozenset[str]] = frozenset(
        {
            "resume",
            "gpuID",
            "ncpus",
            "device",
            "memory_limit",
            "acc_batches",
            "turns",
            "with_predict",
            "preview",
        }
    )

    star_file: Annotated[Path, CommandLine(positional=True, aliases=("--subtomo_star",))] = Field(
        description="STAR file of tomograms, or of subtomograms."
    )
    output_dir: Annotated[Path | None, CommandLine(aliases=("-o", "--result_dir"))] = Field(
        None, description="Output folder [default: isonet_maps, or results for subtomograms]."
    )
    output_star: Path | None = Field(
        None, description="STAR file to write [default: the results are noted in STAR_FILE]."
    )
    arch: str = Field(
        "unet-medium", description="unet-small, unet-medium or unet-large: U-Nets of width 16, 32 and 64."
    )
    filter_base: int | None = Field(None, ge=1, description="Base width of the U-Net [default: by --arch].")
    pretrained_model: Path | None = Field(None, description="Network weights (safetensors) to start from.")
    cube_size: int | None = Field(
        None,
        ge=16,
        description="Edge of training cubes in voxels, a multiple of 8 [default: 64, or the subtomograms'].",
    )
    epochs: int | None = Field(
        None, ge=1, description="Training epochs [default: 50, or 10 in each of --iterations]."
    )
    n_subvolume: int | None = Field(
        None, ge=1, description="Crops an epoch [default: the sum of the table's rlnNumberSubtomo]."
    )
    batch_size: int | None = Field(
        None, ge=1, description="Crops an update, over all GPUs [default: 4 for each]."
    )
    acc_batches: int = Field(
        1, ge=1, description="Parts in which a batch is computed; more are used if the memory demands it."
    )
    learning_rate: float | None = Field(None, gt=0, description="Peak learning rate [default: 2e-3].")
    CTF_mode: Literal["None", "phase_only", "wiener", "network"] = Field(
        "None",
        description="phase_only: flip phases; wiener: deconvolve; network: the network undoes the CTF, too.",
    )
    isCTFflipped: bool = Field(  # noqa: N815 - the published name
        False, description="The phases of the tilt images were flipped already."
    )
    do_phaseflip_input: bool = Field(True, description="False is --isCTFflipped.")
    clip_first_peak_mode: Literal[0, 1] = Field(
        1, description="network: 1 leaves frequencies below the first maximum of the CTF as they are."
    )
    bfactor: float = Field(
        0.0, ge=0, description="network: B factor in Å² to undo, too (200 to 300 for isolated particles)."
    )
    snrfalloff: float | None = Field(None, ge=0, description="wiener: see deconv.")
    deconvstrength: float | None = Field(None, description="wiener: see deconv.")
    highpassnyquist: float = Field(0.02, gt=0, le=1, description="wiener: see deconv.")
    with_predict: bool = Field(
        True, description="Predict the tomograms of the table when training has ended."
    )
    save_interval: int = Field(10, ge=1, description="Epochs between previews.")
    preview: Annotated[bool, CommandLine(aliases=("--with_preview",))] = Field(
        True, description="Draw slices of the first tomogram every few epochs."
    )
    seed: int = Field(0, ge=0, description="Seed of every random choice.")

    @field_validator("CTF_mode", mode="before")
    @classmethod
    def _no_mode(cls, name: str | None) -> str:
        return "None" if name is None else name

    @property
    def width(self) -> int:
        """Base width of the U-Net."""
        return self.filter_base or WIDTHS[self.arch]

    @field_validator("arch")
    @classmethod
    def _known_architecture(cls, name: str) -> str:
        if name not in WIDTHS:
            raise ValueError(f"{name} is not there; choose {', '.join(WIDTHS)}")
        return name


class RefineConfig(TomogramTrainingConfig):
    """Learn from tomograms to fill their missing wedges; even and odd ones are denoised, too."""

    command: ClassVar[str] = "refine"
    examples: ClassVar[tuple[str, ...]] = (
        "isonet.py refine tomograms.star --gpuID 0,1",
        "isonet.py refine subtomo.star --iterations 30 --noise_start_iter 10,15,20,25",
    )
    obsolete: ClassVar[frozenset[str]] = OBSOLETE_IN_TRAINING | {
        "data_dir",
        "steps_per_epoch",
        "noise_dir",
        "drop_out",
        "convs_per_depth",
        "kernel",
        "pool",
        "unet_depth",
        "batch_normalization",
        "correct_between_tilts",
        "start_bt_size",
        "random_rotation",
        "random_rot_weight",
        "remove_intermediate",
        "select_subtomo_number",
        "apply_mw_x1",
    }

    method: Literal["isonet2", "isonet2-n2n"] | None = Field(
        None,
        description="isonet2-n2n: from even and odd tomograms; isonet2: from single ones "
        "[default: the first if the table has halves].",
    )
    iterations: Annotated[int | None, CommandLine(aliases=("--iter",))] = Field(
        None, ge=1, description="Iterations of IsoNet 0.2: --epochs counts for each of them, 10 by default."
    )
    mw_weight: float = Field(
        20.0, description="Weight of what is hidden by the wedge; 0 or less: all frequencies count alike."
    )
    noise_level: str | None = Field(
        None,
        description="Single tomograms: noise added to inputs, in standard deviations, as in 0.05,0.1 "
        "[default: 0.7].",
    )
    noise_start_iter: str | None = Field(
        None, description="Iterations (or epochs, without --iterations) from which these levels count."
    )
    noise_mode: str | None = Field(
        None, description="Filter of the backprojection that the noise looks like it went through."
    )
    continue_from: str | None = Field(None, description="Of IsoNet 0.2: --resume takes its place.")

    @field_validator("noise_mode", mode="before")
    @classmethod
    def _any_capitals(cls, name: str | None) -> str | None:
        known = {"nofilter": "noFilter", "ramp": "ramp", "hamming": "hamming"}
        if name is not None and name.lower() not in known:
            raise ValueError(f"{name} is not there; choose noFilter, ramp or hamming")
        return None if name is None else known[name.lower()]

    @field_validator("continue_from")
    @classmethod
    def _resumed_otherwise(cls, name: str | None) -> str | None:
        if name is not None:
            raise ValueError("repeat the command line of the run with --resume instead")
        return name


class DenoiseConfig(TomogramTrainingConfig):
    """Learn from even and odd tomograms to denoise them, leaving the missing wedge."""

    command: ClassVar[str] = "denoise"
    examples: ClassVar[tuple[str, ...]] = ("isonet.py denoise tomograms.star --output_dir denoise",)
    obsolete: ClassVar[frozenset[str]] = OBSOLETE_IN_TRAINING

    output_dir: Path | None = Field(Path("denoise"), description="Output folder.")


class PredictConfig(TomogramNetworkConfig):
    """Correct tomograms with a trained network."""

    command: ClassVar[str] = "predict"
    examples: ClassVar[tuple[str, ...]] = (
        "isonet.py predict tomograms.star isonet_maps/network.safetensors --gpuID 0,1",
    )
    free_on_resume: ClassVar[frozenset[str]] = frozenset(
        {"resume", "gpuID", "ncpus", "device", "memory_limit", "tomo_idx"}
    )
    obsolete: ClassVar[frozenset[str]] = frozenset(
        {
            "batch_size",
            "normalize_percentile",
            "log_level",
            "padding_factor",
            "model2",
            "output_prefix",
            "correct_CTF",
            "apply_mw_x1",
            "isCTFflipped",
        }
    )

    star_file: Annotated[Path, Positional] = Field(description="STAR file of tomograms.")
    model: Annotated[Path, Positional] = Field(description="network.safetensors, as refine wrote it.")
    output_star: Path | None = Field(
        None, description="STAR file to write [default: the results are noted in STAR_FILE]."
    )
    output_dir: Path = Field(Path("corrected_tomos"), description="Folder for the corrected tomograms.")
    cube_size: int | None = Field(None, ge=1, description="Stride of tiles in voxels; see --crop_size.")
    crop_size: int | None = Field(
        None, ge=1, description="Edge of tiles in voxels [default: what fits into memory]."
    )


class ResizeConfig(CommandConfig):
    """Bring tomograms to another voxel size."""

    command: ClassVar[str] = "resize"
    examples: ClassVar[tuple[str, ...]] = ("isonet.py resize tomograms.star --apix 15",)

    star_file: Annotated[Path, Positional] = Field(description="STAR file of tomograms.")
    apix: float = Field(15.0, gt=0, description="New voxel size in Å.")
    out_folder: Path = Field(
        Path("tomograms_resized"), description="Folder for the tomograms; their STAR file takes its name."
    )
