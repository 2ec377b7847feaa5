"""Options of ``refine`` and ``denoise``; names and defaults are those of IsoNet and IsoNet2."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from spisonet.io.config import LARGEST_BOX, LARGEST_WIDTH, CommandLine, ProfiledConfig, invalid_option
from spisonet.learning.epochs_config import AUTO, AUTO_DESCRIPTION, OptionalEpochs, number_of_epochs
from spisonet.learning.size_config import NETWORK_MULTIPLE
from spisonet.learning.start_config import (
    DEFAULT_PRETRAINED,
    EARLIER_NAMES,
    NOT_PRETRAINED,
    StartOption,
    width_of_start,
)
from spisonet.tomography.shared_config import OUTPUT_STAR, TableFile, TomogramNetworkConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

WIDTHS = {"unet-small": 16, "unet-medium": 32, "unet-default": 64, "unet-large": 64}
DEFAULT_ARCHITECTURE = "unet-medium"
EPOCHS, EPOCHS_PER_ITERATION = 50, 10  # of IsoNet2, and of IsoNet 0.2
DENOISE_SHARE = 0.3  # of the epochs
DENOISER_CUBE_SIZE = 32  # at most: more updates for as many voxels, and denoising needs little context
OBSOLETE_IN_TRAINING = frozenset(
    {
        *("loss_func", "T_max", "learning_rate_min", "compile_model", "mixed_precision", "log_level"),
        *("normalize_percentile", "split_halves", "pretrained_model2", "prev_tomo_idx", "with_deconv"),
    }
)


CtfMode = Literal["None", "phase_only", "wiener", "network"]  # applied by tomography/ctf_correction.py


def parse_numbers(text: str) -> list[float]:
    """Return the numbers of a list such as ``0.05,0.1``; none are negative.

    Raises
    ------
    ValueError
        If the text is not such a list.
    """
    words = [word for word in text.strip("()[] ").split(",") if word.strip()]
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = [math.nan]
    if not all(value >= 0 for value in values):
        raise ValueError(f"{text} is not a list of numbers such as 0.05,0.1")
    return values


class TomogramTrainingConfig(TomogramNetworkConfig, ProfiledConfig):
    """Options that refine and denoise share."""

    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {
            "epochs": 5,
            "n_subvolume": 400,
            "cube_size": 32,
            "arch": "unet-small",
            "half_turns": False,
        },
        "standard": {},
        "careful": {"epochs": 100, "arch": "unet-large", "turns": 6},
    }

    free_on_resume: ClassVar[frozenset[str]] = frozenset(
        {
            "resume",
            "gpuID",
            "ncpus",
            "device",
            "memory_limit",
            "acc_batches",
            "profile",
            "turns",
            "half_turns",
            "trust_table",
            "with_predict",
            "preview",
            "remove_intermediate",
        }
    )

    star_file: Annotated[TableFile, CommandLine(positional=True, aliases=("--subtomo_star",))] = Field(
        description="STAR file of tomograms, or of subtomograms."
    )
    output_dir: Annotated[Path | None, CommandLine(aliases=("-o", "--result_dir"))] = Field(
        None, description="Output folder [default: isonet_maps, or results for subtomograms]."
    )
    output_star: Path | None = Field(None, description=OUTPUT_STAR)
    arch: Literal["unet-small", "unet-medium", "unet-default", "unet-large"] | None = Field(
        None,
        description="U-Net of base width 16 (small), 32 (medium) or 64 (large, and IsoNet2's default) "
        "[default: that of --pretrained, else unet-medium].",
    )
    filter_base: int | None = Field(
        None,
        ge=1,
        le=LARGEST_WIDTH,
        description="Base width of the U-Net [default: that of --pretrained, else by --arch].",
    )
    pretrained: StartOption = Field(
        "none",
        validation_alias=EARLIER_NAMES,
        description="Network whose weights training starts from: default (trained on simulated tomograms of "
        "other structures; refine only), none, or a file.",
    )
    cube_size: int | None = Field(
        None,
        ge=16,
        le=LARGEST_BOX,
        multiple_of=NETWORK_MULTIPLE,
        description="Edge of training subvolumes in voxels, a multiple of 8 [default: 64, or from the "
        "table].",
    )
    epochs: OptionalEpochs = Field(
        None,
        description=f"Training epochs; {AUTO_DESCRIPTION}; 0: predict without training (needs --pretrained) "
        "[default: 50, or 10 in each iteration of --iterations].",
    )
    n_subvolume: int | None = Field(
        None,
        ge=1,
        description="Training subvolumes per epoch [default: the sum of rlnNumberSubtomo in the table].",
    )
    select_subtomo_number: int | None = Field(
        None,
        ge=1,
        description="With subtomograms: train on as many subvolumes in an epoch as this number of them has "
        "[default: all, at most 800 subvolumes].",
    )
    remove_intermediate: bool = Field(
        False,
        description="Remove checkpoint and previews when the run is complete; it cannot be resumed then.",
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        description="Training subvolumes per update, over all GPUs [default: 1 to 4 for each GPU, the most "
        "with which a network has 5000 updates, else 1].",
    )
    acc_batches: int = Field(
        1,
        ge=1,
        description="Split each batch into this many parts to save memory; more are used if necessary.",
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="Peak learning rate [default: 2e-3 for batches of 4, times the square root of the batch "
        "size divided by 4].",
    )
    CTF_mode: CtfMode = Field(
        "None",
        description="CTF correction: phase_only (phase flipping), wiener (deconvolution) or network "
        "(phase flipping, and the network restores the amplitudes).",
    )
    isCTFflipped: bool = Field(  # noqa: N815 - the published name
        False, description="The tilt images are already phase flipped."
    )
    do_phaseflip_input: bool = Field(True, description="False has the same effect as --isCTFflipped.")
    clip_first_peak_mode: Literal[0, 1] = Field(
        1, description="network: 1 leaves frequencies below the first maximum of the CTF unchanged."
    )
    bfactor: float = Field(
        0.0,
        ge=0,
        description="network: B factor in Å² to correct as well (200 to 300 for isolated particles).",
    )
    snrfalloff: float | None = Field(None, ge=0, description="wiener: see the option of deconv.")
    deconvstrength: float | None = Field(None, description="wiener: see the option of deconv.")
    highpassnyquist: float = Field(0.02, gt=0, le=1, description="wiener: see the option of deconv.")
    with_predict: bool = Field(True, description="Correct the tomograms of the table after training.")
    save_interval: int = Field(10, ge=1, description="Number of epochs between previews.")
    preview: Annotated[bool, CommandLine(aliases=("--with_preview",))] = Field(
        True, description="Write figures of the first tomogram every few epochs; see --save_interval."
    )
    seed: int = Field(0, ge=0, description="Random seed.")

    @field_validator("CTF_mode", mode="before")
    @classmethod
    def _none_to_text(cls, name: str | None) -> str:
        return "None" if name is None or name.lower() == "none" else name

    @property
    def total_epochs(self) -> int:
        """Number of epochs of the training."""
        return number_of_epochs(self.epochs, EPOCHS)

    @property
    def width(self) -> int:
        """Base width of the network that is trained; that of a file given by `pretrained` is not read."""
        return width_of_start(self.pretrained, self.requested_width, WIDTHS[DEFAULT_ARCHITECTURE])

    @property
    def requested_width(self) -> int | None:
        """Base width that the options give; None if they give none."""
        return self.filter_base or (None if self.arch is None else WIDTHS[self.arch])

    def check_options(self) -> None:
        """See `CommandConfig.check_options`."""
        if self.epochs == 0 and self.pretrained == NOT_PRETRAINED:
            raise invalid_option("pretrained", "--epochs 0 predicts without training and needs --pretrained.")


class RefineConfig(TomogramTrainingConfig):
    """Train a network to fill missing wedges, and also to denoise if even and odd tomograms are listed."""

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
        "apply_mw_x1",
    }

    method: Literal["isonet2", "isonet2-n2n"] | None = Field(
        None,
        description="isonet2-n2n: from even and odd tomograms; isonet2: from single tomograms "
        "[default: isonet2-n2n if the table lists even and odd tomograms].",
    )
    denoise_epochs: int | None = Field(
        None,
        ge=0,
        description="Even and odd tomograms: how many of the epochs train a network that denoises; the "
        "denoised tomograms are then the inputs of the network that fills missing wedges. 0: one network "
        "learns both, or the denoising network of --pretrained stays as it is [default: 30 % of the epochs; "
        "0 if --pretrained is one network, and with --epochs auto].",
    )
    iterations: Annotated[int | None, CommandLine(aliases=("--iter",))] = Field(
        None,
        ge=1,
        description="Iterations of IsoNet 0.2; --epochs is then the number in each iteration, by default 10.",
    )
    mw_weight: float = Field(
        20.0,
        description="Weight of frequencies in the artificial missing wedge; 0 or less: all frequencies "
        "count equally.",
    )
    noise_level: str | None = Field(
        None,
        description="Single tomograms: standard deviation of the noise added to inputs, relative to the "
        "data, such as "
        "0.05,0.1 [default: 0.7].",
    )
    noise_start_iter: str | None = Field(
        None, description="Iterations (without --iterations: epochs) at which these noise levels start."
    )
    noise_mode: Literal["noFilter", "ramp", "hamming"] | None = Field(
        None,
        description="Spectrum of the added noise, as backprojected with noFilter, ramp or hamming "
        "[default: white noise].",
    )
    continue_from: str | None = Field(None, description="Option of IsoNet 0.2; use --resume instead.")

    @property
    def total_epochs(self) -> int:
        """Number of epochs of the training, over all iterations of IsoNet 0.2."""
        if self.iterations is None:
            return super().total_epochs
        return self.iterations * number_of_epochs(self.epochs, EPOCHS_PER_ITERATION)

    def check_options(self) -> None:
        """See `CommandConfig.check_options`."""
        super().check_options()
        if self.denoise_epochs and self.epochs == AUTO:
            raise invalid_option("denoise_epochs", "--denoise_epochs excludes --epochs auto.")
        if self.denoise_epochs and self.denoise_epochs >= self.total_epochs:
            raise invalid_option(
                "denoise_epochs",
                f"--denoise_epochs {self.denoise_epochs} leaves none of {self.total_epochs} epochs for "
                "filling the missing wedge; use the command denoise to denoise only.",
            )
        levels = parse_numbers(self.noise_level or "")
        if self.epochs == AUTO and (self.iterations or self.noise_start_iter or len(levels) > 1):
            raise invalid_option(
                "epochs",
                "--epochs auto excludes --iterations, --noise_start_iter and several noise levels.",
            )

    @field_validator("noise_mode", mode="before")
    @classmethod
    def _canonical_noise_mode(cls, name: str | None) -> str | None:
        known = {"nofilter": "noFilter", "ramp": "ramp", "hamming": "hamming"}
        return None if name is None else known.get(name.lower(), name)

    @field_validator("noise_level", "noise_start_iter")
    @classmethod
    def _list_of_numbers(cls, text: str | None) -> str | None:
        parse_numbers(text or "")
        return text

    @field_validator("continue_from")
    @classmethod
    def _refuse_continue_from(cls, name: str | None) -> str | None:
        if name is not None:
            raise ValueError("repeat the command line of the run with --resume instead")
        return name


class CorrectConfig(RefineConfig):
    """Deconvolve and mask tomograms, train a network on them, and correct them with it."""

    command: ClassVar[str] = "correct"
    examples: ClassVar[tuple[str, ...]] = (
        "isonet.py correct Tomograms/job006/tomograms.star --gpuID 0,1",
        "isonet.py correct tomograms.star --deconvolve no --z_crop 0.1",
    )

    deconvolve: Literal["auto", "yes", "no"] = Field(
        "auto",
        description="Deconvolve tomograms for the masks and, without even and odd tomograms, for the "
        "training (with these see --CTF_mode); auto: if all have a defocus; no: those that the table lists "
        "are used.",
    )
    mask: bool = Field(True, description="Mask the specimen; training subvolumes are drawn inside the mask.")
    density_percentage: float | None = Field(
        None, gt=0, le=100, description="Mask: see the option of make_mask."
    )
    std_percentage: float | None = Field(None, gt=0, le=100, description="Mask: see the option of make_mask.")
    z_crop: float | None = Field(None, ge=0, lt=0.5, description="Mask: see the option of make_mask.")


class DenoiseConfig(TomogramTrainingConfig):
    """Train a network on even and odd tomograms to denoise them; missing wedges are not filled."""

    command: ClassVar[str] = "denoise"
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        **TomogramTrainingConfig.profiles,
        "careful": {"epochs": 100, "arch": "unet-large"},
    }
    examples: ClassVar[tuple[str, ...]] = ("isonet.py denoise tomograms.star --output_dir denoise",)
    obsolete: ClassVar[frozenset[str]] = OBSOLETE_IN_TRAINING

    output_dir: Path | None = Field(Path("denoise"), description="Output folder.")

    def check_options(self) -> None:
        """See `CommandConfig.check_options`."""
        super().check_options()
        if self.pretrained == DEFAULT_PRETRAINED:
            raise invalid_option(
                "pretrained",
                "The network of --pretrained default fills missing wedges; denoise starts from the network "
                "of an earlier denoise or from none.",
            )
