"""Settings of the correction inside a RELION refinement, with the names that spIsoNet published.

Each is an environment variable ``ISONET_<NAME>`` or a line of ``spisonet.toml``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from spisonet.io.config import (
    LARGEST_BOX,
    LARGEST_WIDTH,
    PROFILE_DESCRIPTION,
    STANDARD,
    Profile,
    filled_by_profile,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

# Lengths of the training of one iteration.
PROFILES: Mapping[str, Mapping[str, Any]] = {
    "quick": {"epochs": 2, "filter_base": 16},
    "standard": {},
    "careful": {"epochs": 10},
}
KeepLowres = Literal["auto", "yes", "no"]


def _as_choice(value: object) -> object:
    """Accept the published values, True and False."""
    try:
        return "yes" if TypeAdapter(bool).validate_python(value) else "no"
    except ValidationError:
        return value.lower() if isinstance(value, str) else value


class MisalignmentSettings(BaseModel):
    """Settings of the regularisation of one iteration."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    profile: Profile = Field(STANDARD, description=PROFILE_DESCRIPTION)
    start_healpix: int | None = Field(
        None,
        ge=0,
        description="First HEALPix order that is corrected [default: decided by the view distribution].",
    )
    start_resolution: float | None = Field(
        None,
        gt=0,
        description="Correct from this resolution in Å on [default: decided by the view distribution].",
    )
    keep_lowres: Annotated[KeepLowres, BeforeValidator(_as_choice)] = Field(
        "auto",
        description="Keep the initial reference at resolutions below its low-pass filter (--ini_high): "
        "yes (True), no (False), or auto: where the views are uneven and the reference is not anisotropic "
        "itself (class trusted).",
    )
    pose_drift: bool = Field(
        True,
        description="Measure in each iteration, on 1,000 particles, whether the poses drift; takes a few "
        "seconds of two CPU threads beside the correction.",
    )
    whitening: bool = Field(
        False, description="Whiten the amplitudes between WHITENING_LOW and the resolution."
    )
    whitening_low: float = Field(
        10.0, gt=0, description="Resolution in Å from which amplitudes are whitened."
    )
    fsc_weighting: bool = Field(
        True,
        description="Keep the shells weighted by their signal, as RELION does; False removes this weight.",
    )
    fsc_05: bool = Field(False, description="Correct up to the resolution at FSC 0.5 instead of 0.143.")
    fsd3d: bool = Field(
        False,
        alias="3dfsd",
        description="Compute the Fourier weight from the particles' angles instead of RELION's weight array.",
    )
    subtomograms: bool = Field(
        False,
        description="Also correct references of subtomograms. In simulations this changed the pose error by "
        "-10 to +6 %.",
    )
    angular_whiten: bool = Field(
        False,
        description="Equalise the amplitudes over directions in each shell (directional amplitude "
        "equalisation).",
    )
    lowpass: bool = Field(False, description="Low-pass filter the reference at the resolution of its FSC.")
    retrain_each_iter: bool = Field(
        True, description="Train from scratch in every iteration; False starts from the previous network."
    )
    joint: bool = Field(
        False,
        description="Train one network on both halves (noise2noise). The halves are then NOT independent.",
    )
    objective: Literal["self-training", "ei"] = Field(
        "self-training", description="Training objective, as in reconstruct."
    )
    alpha: float = Field(1.0, ge=0, description="Weight of the equivariance loss (objective ei).")
    beta: float = Field(0.5, ge=0, description="Weight of the noise2noise loss (objective ei, joint).")
    epochs: int = Field(
        5, ge=0, description="Training epochs per iteration; 0 applies the constraints without a network."
    )
    n_subvolume: int = Field(1000, ge=1, description="Training subvolumes per epoch.")
    cube_size: int = Field(
        64, ge=16, le=LARGEST_BOX, description="Edge of the training subvolumes in voxels."
    )
    filter_base: int = Field(
        32, ge=1, le=LARGEST_WIDTH, description="Number of features in the first level of the U-Net."
    )
    batch_size: int | None = Field(None, ge=1, description="Subvolumes per update.")
    acc_batches: int = Field(
        1, ge=1, description="Number of parts in which a batch is computed, to save memory."
    )
    learning_rate: float | None = Field(None, gt=0, description="Peak learning rate.")
    predict_crop_size: int | None = Field(None, ge=1, description="Edge of the prediction tiles.")
    device: str | None = Field(None, description="cpu, cuda, cuda:1 or mps [default: a GPU if there is one].")
    memory_limit: float | None = Field(None, gt=0, description="Maximum device memory in gigabytes.")
    ncpus: int | None = Field(
        None, ge=1, description="CPU threads per half [default: half of the cores of RELION's rank]."
    )
    seed: int = Field(0, ge=0, description="Seed of the random number generators.")
    timeout: float = Field(7200.0, gt=0, description="Maximum training time in seconds.")
    strict: bool = Field(
        False,
        description="Stop the refinement if an iteration cannot be corrected; by default it continues "
        "with the uncorrected map.",
    )
    keep_files: bool = Field(False, description="Keep the intermediate files of every iteration.")

    @model_validator(mode="before")
    @classmethod
    def _fill_profile(cls, values: Any) -> Any:
        return filled_by_profile(values, lambda profile, _: PROFILES.get(profile, {}))
