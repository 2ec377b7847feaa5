"""Options of ``reconstruct``, with the published names and defaults."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from spisonet.io.config import (
    LARGEST_BOX,
    LARGEST_WIDTH,
    CommandLine,
    NamedPositional,
    Positional,
    ProfiledConfig,
    invalid_option,
)
from spisonet.learning.epochs_config import AUTO, AUTO_DESCRIPTION, Epochs, number_of_epochs
from spisonet.learning.size_config import DEFAULT_FILTER_BASE, NETWORK_MULTIPLE
from spisonet.learning.start_config import (
    EARLIER_NAMES,
    NOT_PRETRAINED,
    StartOption,
    width_of_start,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


EPOCHS = 30


class ReconstructConfig(ProfiledConfig):
    """Correct the anisotropy of half maps by a network trained on these maps, and one trained on others."""

    command: ClassVar[str] = "reconstruct"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py reconstruct half1.mrc half2.mrc --aniso_file FSC3D.mrc --mask mask.mrc --limit_res 3.5",
        "spisonet.py reconstruct half1.mrc half2.mrc --mask mask.mrc --independent --output_dir corrected",
        "spisonet.py reconstruct half1.mrc half2.mrc --mask mask.mrc --output_dir corrected --resume",
        "spisonet.py reconstruct half1.mrc half2.mrc --mask mask.mrc --method deconvolve",
    )
    free_on_resume: ClassVar[frozenset[str]] = frozenset(
        {
            *("resume", "ncpus", "device", "gpuID", "memory_limit", "profile"),
            *("report", "model", "validation", "validation_cones", "sharpen", "b_factor"),
        }
    )

    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"epochs": 4, "n_subvolume": 400, "cube_size": 32, "filter_base": 16},
        "standard": {},
        # Not independent halves: with a given 3D FSC they have no view weight, and less is recovered.
        "careful": {"epochs": 60, "validation": True},
    }

    i1: Annotated[Path, Positional] = Field(description="Half map 1.")
    i2: Annotated[Path | None, Positional] = Field(None, description="Half map 2.")
    aniso_file: Annotated[Path | None, NamedPositional] = Field(
        None,
        description="3D FSC or Fourier sampling density [default: the 3D FSC of the half maps].",
    )
    mask: Annotated[Path | None, NamedPositional] = Field(
        None,
        description="Soft solvent mask: selects the training subvolumes, is applied before the FSC, is the "
        "real-space support of the prediction.",
    )
    method: Literal["learn", "prior", "deconvolve"] = Field(
        "learn",
        description="learn: train a network; prior: use only the network trained on other structures, "
        "without training; deconvolve: deconvolution with mask and positivity constraints, without a "
        "network, in seconds (the classical baseline).",
    )
    independent: bool = Field(
        False,
        description="Train one network on each half map, so that the corrected half maps remain independent.",
    )
    gpuID: str | None = Field(  # noqa: N815 - the published name
        None,
        description="GPUs to use, such as 0 or 0,1; several train together "
        "[default: the first, or the CPU if there is none].",
    )
    alpha: float = Field(1.0, ge=0, description="Weight of the equivariance loss (objective ei).")
    beta: float = Field(0.5, ge=0, description="Weight of the noise2noise loss (objective ei).")
    limit_res: float | None = Field(
        None,
        gt=0,
        description="Resolution limit in Å; finer resolutions are not changed "
        "[default: where the global FSC falls to 0.143].",
    )
    ncpus: int = Field(16, ge=1, description="Number of CPU threads, at most those of the machine.")
    output_dir: Path = Field(Path("isonet_maps"), description="Output folder.")
    pretrained: StartOption = Field(
        "none",
        validation_alias=EARLIER_NAMES,
        description="Network whose weights training starts from: default (trained on other structures; needs "
        "--mask), none, or a file.",
    )
    reference: Path | None = Field(
        None, description="Map whose low resolutions replace those of the half maps."
    )
    ref_resolution: float = Field(
        10.0, gt=0, description="Resolution in Å to which the reference replaces the half maps."
    )
    epochs: Epochs = Field(
        EPOCHS,
        description=f"Training epochs; {AUTO_DESCRIPTION}; 0: predict without training (needs --pretrained).",
    )
    n_subvolume: int = Field(1000, ge=1, description="Number of subvolumes per epoch.")
    cube_size: int = Field(
        64,
        ge=16,
        le=LARGEST_BOX,
        multiple_of=NETWORK_MULTIPLE,
        description="Edge of the training subvolumes in voxels, a multiple of 8.",
    )
    predict_crop_size: int | None = Field(
        None,
        ge=1,
        le=LARGEST_BOX,
        description="Edge of the prediction tiles in voxels [default: the largest that fits into memory].",
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        description="Subvolumes per update, over all GPUs [default: 2 for each GPU; 4 for objective ei].",
    )
    acc_batches: int = Field(
        1, ge=1, description="Number of parts in which a batch is computed; more are used if memory is short."
    )
    memory_limit: float | None = Field(
        None, gt=0, description="Device memory to use, in gigabytes [default: all free memory]."
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="Peak learning rate "
        "[default: 2e-3; 5e-4 with --pretrained default; 3e-4 for objective ei].",
    )
    filter_base: int | None = Field(
        None,
        ge=1,
        le=LARGEST_WIDTH,
        description="Base width of the U-Net [default: that of --pretrained, else 32].",
    )
    objective: Literal["self-training", "ei"] = Field(
        "self-training",
        description="self-training: filled-map self-training; ei: the three published losses of spIsoNet.",
    )
    prior: str = Field(
        "default",
        description="Network trained on other structures, from whose prediction training begins; its share "
        "in the corrected map is measured in a held-out cone (needs --mask). default, none, or a file.",
    )
    positivity: bool = Field(
        True,
        description="Constrain the density inside the mask to at least that of the solvent (needs --mask).",
    )
    validation: Annotated[bool, CommandLine(aliases=("--validate",))] = Field(
        False,
        description="Held-out validation: train again without measured cones, and compare in the cones.",
    )
    validation_cones: int = Field(3, ge=1, description="Number of held-out cones of --validate.")
    sharpen: bool = Field(
        False,
        description="Also write the full map sharpened by a B-factor (corrected_full_sharpened.mrc).",
    )
    b_factor: float | None = Field(
        None,
        description="B-factor of --sharpen in Å², negative to sharpen, such as -80 "
        "[default: Guinier fit from 10 Å to the resolution limit].",
    )
    model: Path | None = Field(
        None,
        description="Atomic model (PDB, mmCIF) in the frame of the maps, to compare with in the report.",
    )
    report: bool = Field(True, description="Write report.html and report.json.")
    device: str | None = Field(None, description="cpu, cuda, cuda:1 or mps [default: a GPU if there is one].")
    seed: int = Field(0, ge=0, description="Random seed.")
    resume: bool = Field(False, description="Continue the run in --output_dir from its last checkpoint.")
    apix: float | None = Field(None, gt=0, description="Voxel size in Å [default: from the header].")

    @classmethod
    def profile_values(cls, profile: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """See `ProfiledConfig.profile_values`; only a network that two half maps train can be validated."""
        values = super().profile_values(profile, given)
        if given.get("i2") is None or given.get("method", "learn") != "learn":
            values.pop("validation", None)
        return values

    @property
    def total_epochs(self) -> int:
        """Number of epochs of the training; 0 if nothing is trained."""
        return self.max_epochs if self.method == "learn" else 0

    @property
    def max_epochs(self) -> int:
        """Number of epochs; the largest possible one of a training of variable length."""
        return number_of_epochs(self.epochs, EPOCHS)

    @property
    def width(self) -> int:
        """Base width of the network that is trained; that of a file given by `pretrained` is not read."""
        return width_of_start(self.pretrained, self.filter_base, DEFAULT_FILTER_BASE)

    def check_options(self) -> None:
        """See `CommandConfig.check_options`."""
        single = self.i2 is None
        if self.epochs == AUTO and self.objective == "ei":
            raise invalid_option("epochs", "--epochs auto needs --objective self-training; give a number.")
        if self.method == "learn" and self.epochs == 0 and self.pretrained == NOT_PRETRAINED:
            raise invalid_option("pretrained", "--epochs 0 predicts without training and needs --pretrained.")
        if single and self.aniso_file is None:
            raise invalid_option(
                "i2",
                "The anisotropy of a single map is unknown: give half map 2, or a 3D FSC by --aniso_file.",
            )
        if single and self.sharpen:
            raise invalid_option(
                "sharpen", "--sharpen applies to the full map of two half maps, but a single map is given."
            )
        if self.b_factor is not None and not self.sharpen:
            raise invalid_option("b_factor", "--b_factor is the B-factor of --sharpen, which is not given.")
        if self.validation and self.method == "deconvolve":
            raise invalid_option(
                "validation", "--validate tests a network, but --method deconvolve trains none."
            )
        if self.validation and single:
            raise invalid_option(
                "validation", "--validate compares with half map 2, but a single map is given."
            )
