"""What a user may choose about the correction inside a refinement: the published names, and ours.

Each is an environment variable ``ISONET_<NAME>``, or a line of a ``spisonet.toml``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class MisalignmentSettings(BaseModel):
    """How one iteration is regularised."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    start_healpix: int | None = Field(
        None, ge=0, description="HEALPix order from which to correct [default: as the data demand]."
    )
    start_resolution: float | None = Field(
        None, gt=0, description="Resolution in Å from which to correct [default: as the data demand]."
    )
    keep_lowres: bool | None = Field(
        None,
        description="Keep the initial reference's low resolutions, up to the initial low-pass filter "
        "[default: where views are uneven].",
    )
    whitening: bool = Field(
        False, description="Flatten the amplitudes between whitening_low and the resolution."
    )
    whitening_low: float = Field(10.0, gt=0, description="Resolution in Å at which whitening begins.")
    fsc_weighting: bool = Field(
        True, description="Leave the shells weighted by what is known of them; False takes the weight off."
    )
    fsc_05: bool = Field(False, description="Correct up to where the FSC is 0.5 instead of 0.143.")
    fsd3d: bool = Field(
        False,
        alias="3dfsd",
        description="Take the weights from the particles' angles instead of RELION's weight array.",
    )
    subtomograms: bool = Field(
        False,
        description="Correct references of subtomograms, too: in simulations their poses did not gain.",
    )
    angular_whiten: bool = Field(
        False, description="Lift weakly sampled directions to the power of the well sampled, shell by shell."
    )
    lowpass: bool = Field(False, description="Cut the reference off where its FSC ends.")
    retrain_each_iter: bool = Field(
        True, description="Train from scratch in every iteration, not from the last iteration's weights."
    )
    joint: bool = Field(
        False,
        description="Train one network on both halves (noise2noise); the halves are then NOT independent.",
    )
    objective: Literal["self-training", "ei"] = Field("self-training", description="As of reconstruct.")
    alpha: float = Field(1.0, ge=0, description="Weight of the equivariance loss (objective ei).")
    beta: float = Field(0.5, ge=0, description="Weight of the noise2noise loss (objective ei, joint).")
    epochs: int = Field(5, ge=0, description="Training epochs an iteration; 0 for constraints alone.")
    n_subvolume: int = Field(1000, ge=1, description="Subvolumes (crops) an epoch.")
    cube_size: int = Field(64, ge=16, description="Edge of the training cubes in voxels.")
    filter_base: int = Field(32, ge=1, description="Base width of the U-Net.")
    batch_size: int | None = Field(None, ge=1, description="Subvolumes an update.")
    acc_batches: int = Field(1, ge=1, description="Parts in which a batch is computed.")
    learning_rate: float | None = Field(None, gt=0, description="Peak learning rate.")
    predict_crop_size: int | None = Field(None, ge=1, description="Edge of the prediction tiles.")
    device: str | None = Field(None, description="cpu, cuda, cuda:1 or mps [default: the best there is].")
    memory_limit: float | None = Field(None, gt=0, description="Gigabytes of the device's memory to use.")
    ncpus: int | None = Field(
        None, ge=1, description="CPU threads of each half [default: half of those that RELION's rank has]."
    )
    seed: int = Field(0, ge=0, description="Seed of every random choice.")
    timeout: float = Field(
        7200.0, gt=0, description="Seconds after which a training that has not ended is given up."
    )
    strict: bool = Field(
        False, description="Fail when an iteration cannot be corrected, instead of going on."
    )
    keep_files: bool = Field(False, description="Keep every iteration's intermediate files.")
