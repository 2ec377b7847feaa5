"""Configurations of the map commands (published names and defaults)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from spisonet.io.config import CommandConfig, CommandLine

# Field types are evaluated at run time by pydantic and Typer.
Positional = CommandLine(positional=True)


class Fsc3dConfig(CommandConfig):
    """Compute the conical 3D FSC of two half maps, with figures and summary numbers."""

    command: ClassVar[str] = "fsc3d"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py fsc3d half1.mrc half2.mrc mask.mrc --limit_res 3.5",
        "spisonet.py fsc3d half1.mrc half2.mrc --mask mask.mrc -o FSC3D.mrc --cone_sampling_angle 20",
    )

    h: Annotated[Path, Positional] = Field(description="Half map 1.")
    h2: Annotated[Path, Positional] = Field(description="Half map 2.")
    mask: Annotated[Path | None, Positional] = Field(None, description="Soft solvent mask.")
    o: Annotated[Path, CommandLine(aliases=("-o",))] = Field(
        Path("FSC3D.mrc"),
        description="Output volume; the JSON, the figure and the thresholded volume take its name.",
    )
    ncpus: int = Field(16, ge=1, description="Number of CPU threads (at most those of the machine are used).")
    limit_res: float | None = Field(
        None, gt=0, description="Resolution limit in Å [default: where the global FSC falls to 0.143]."
    )
    cone_sampling_angle: float = Field(10.0, gt=0, le=90, description="Half-angle of the cones in degrees.")
    keep_highres: bool = Field(False, description="Set the 3D FSC beyond the limit to 1 instead of 0.")
    phase_randomise: bool = Field(
        False, description="Correct the effect of the mask by phase randomisation (needs --mask)."
    )
    apix: float | None = Field(None, gt=0, description="Voxel size in Å [default: from the header].")
    seed: int = Field(0, ge=0, description="Seed of the randomised phases.")


class ReconstructConfig(CommandConfig):
    """Correct the anisotropy of half maps by a network that learns from them and nothing else."""

    command: ClassVar[str] = "reconstruct"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py reconstruct half1.mrc half2.mrc --aniso_file FSC3D.mrc --mask mask.mrc --limit_res 3.5",
        "spisonet.py reconstruct half1.mrc half2.mrc --mask mask.mrc --independent --output_dir corrected",
        "spisonet.py reconstruct half1.mrc half2.mrc --mask mask.mrc --output_dir corrected --resume",
        "spisonet.py reconstruct half1.mrc half2.mrc --mask mask.mrc --method deconvolve",
    )
    free_on_resume: ClassVar[frozenset[str]] = frozenset(
        {
            *("resume", "ncpus", "device", "gpuID", "memory_limit"),
            *("report", "model", "validation", "validation_cones"),
        }
    )

    i1: Annotated[Path, Positional] = Field(description="Half map 1.")
    i2: Annotated[Path | None, Positional] = Field(None, description="Half map 2.")
    aniso_file: Path | None = Field(
        None, description="3D FSC (or sampling density) of the half maps [default: computed from them]."
    )
    mask: Path | None = Field(
        None, description="Soft solvent mask: where the network learns, and the support."
    )
    method: Literal["learn", "deconvolve"] = Field(
        "learn",
        description="learn: train a network; deconvolve: a directional Wiener filter, deconvolved under mask "
        "and positivity, in seconds, as a classical baseline.",
    )
    independent: bool = Field(
        False, description="Train on each half alone, so that the corrected halves stay independent."
    )
    gpuID: str | None = Field(  # noqa: N815 - the published name
        None,
        description="GPUs to use, as in 0 or 0,1; several train together "
        "[default: the first, or the CPU if there is none].",
    )
    alpha: float = Field(1.0, ge=0, description="Weight of the equivariance loss (objective ei).")
    beta: float = Field(0.5, ge=0, description="Weight of the noise2noise loss (objective ei).")
    limit_res: float | None = Field(
        None,
        gt=0,
        description="Resolution limit in Å; finer information stays as it is "
        "[default: where the global FSC falls to 0.143].",
    )
    ncpus: int = Field(16, ge=1, description="Number of CPU threads (at most those of the machine are used).")
    output_dir: Path = Field(Path("isonet_maps"), description="Output folder.")
    pretrained_model: Path | None = Field(None, description="Network weights (safetensors) to start from.")
    reference: Path | None = Field(
        None, description="Map whose low resolutions replace those of the half maps."
    )
    ref_resolution: float = Field(
        10.0, gt=0, description="Resolution in Å down to which the reference is used."
    )
    epochs: int = Field(30, ge=0, description="Training epochs; 0 only predicts (needs --pretrained_model).")
    n_subvolume: int = Field(1000, ge=1, description="Subvolumes (crops) an epoch.")
    cube_size: int = Field(64, ge=16, description="Edge of the training cubes in voxels, a multiple of 8.")
    predict_crop_size: int | None = Field(
        None, ge=1, description="Edge of the prediction tiles in voxels [default: what fits into memory]."
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        description="Subvolumes an update, over all GPUs [default: 2 for each; 4 for objective ei].",
    )
    acc_batches: int = Field(
        1, ge=1, description="Parts in which a batch is computed; more are used if the memory demands it."
    )
    memory_limit: float | None = Field(
        None, gt=0, description="Gigabytes of the device's memory to use [default: what is free]."
    )
    learning_rate: float | None = Field(
        None, gt=0, description="Peak learning rate [default: 2e-3; 3e-4 for objective ei]."
    )
    filter_base: int = Field(32, ge=1, description="Base width of the U-Net.")
    objective: Literal["replay", "ei"] = Field(
        "replay",
        description="replay: filled-map replay with random rotations; ei: the published three losses.",
    )
    positivity: bool = Field(
        True, description="Let no prediction inside the mask be below the solvent (needs --mask)."
    )
    validation: Annotated[bool, CommandLine(aliases=("--validate",))] = Field(
        False, description="Hide measured cones, learn again, and tell how well they are recovered."
    )
    validation_cones: int = Field(3, ge=1, description="Number of these cones, for --validate.")
    model: Path | None = Field(
        None,
        description="Atomic model (PDB, mmCIF) in the frame of the maps, for the report to compare with.",
    )
    report: bool = Field(True, description="Sum up the run in report.html and report.json.")
    device: str | None = Field(None, description="cpu, cuda, cuda:1 or mps [default: the best there is].")
    seed: int = Field(0, ge=0, description="Seed of every random choice.")
    resume: bool = Field(False, description="Continue the run in --output_dir from its last checkpoint.")
    apix: float | None = Field(None, gt=0, description="Voxel size in Å [default: from the header].")


class WhiteningConfig(CommandConfig):
    """Flatten the Fourier amplitudes between two resolutions; this sharpens the map."""

    command: ClassVar[str] = "whitening"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py whitening map.mrc -o whitened.mrc --mask mask.mrc --high_res 3 --low_res 10",
    )

    h1: Annotated[Path, Positional] = Field(description="Map to whiten.")
    o: Annotated[Path, CommandLine(aliases=("-o",))] = Field(Path("whitening.mrc"), description="Output map.")
    mask: Path | None = Field(None, description="Mask within which the amplitudes are measured.")
    high_res: float = Field(
        3.0, gt=0, description="High-resolution limit in Å, usually where the FSC is 0.143."
    )
    low_res: float = Field(10.0, gt=0, description="Low-resolution limit in Å.")
    apix: float | None = Field(None, gt=0, description="Voxel size in Å [default: from the header].")


class AngularWhitenConfig(CommandConfig):
    """Make the Fourier power of a map equal over directions, shell by shell."""

    command: ClassVar[str] = "angular_whiten"
    examples: ClassVar[tuple[str, ...]] = ("spisonet.py angular_whiten in.mrc out.mrc 10 3.5",)

    in_name: Annotated[Path, Positional] = Field(description="Map to whiten.")
    out_name: Annotated[Path, Positional] = Field(description="Output map.")
    low_res: Annotated[float, Positional] = Field(gt=0, description="Low-resolution limit in Å.")
    high_res: Annotated[float, Positional] = Field(gt=0, description="High-resolution limit in Å.")
    apix: float | None = Field(None, gt=0, description="Voxel size in Å [default: from the header].")


class CombineMapConfig(CommandConfig):
    """Combine the low resolutions of one map with the high resolutions of another."""

    command: ClassVar[str] = "combine_map"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py combine_map low.mrc high.mrc combined.mrc 10 --mask_file mask.mrc",
    )

    low_map: Annotated[Path, Positional] = Field(description="Map that gives the low resolutions.")
    high_map: Annotated[Path, Positional] = Field(
        description="Map that gives the high resolutions and the scale."
    )
    out_map: Annotated[Path, Positional] = Field(description="Output map.")
    threshold_res: Annotated[float, Positional] = Field(
        gt=0, description="Resolution in Å at which they meet."
    )
    mask_file: Path | None = Field(None, description="Mask within which the amplitudes are matched.")
    apix: float | None = Field(None, gt=0, description="Voxel size in Å [default: from the header].")


class Fsd3dConfig(CommandConfig):
    """Compute the Fourier sampling density of a particle set from its orientations."""

    command: ClassVar[str] = "fsd3d"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py fsd3d particles.star 256 --sym c3 --low_res 10 --high_res 3 --apix 1.31",
        "spisonet.py fsd3d cryosparc_P10_J42_particles.cs 256 --sym d2",
        "spisonet.py fsd3d optimisation_set.star 128 --sym c6",
        "spisonet.py fsd3d subtomograms.star 128 --tilt_min -60 --tilt_max 60",
    )

    star_file: Annotated[Path, Positional] = Field(
        description="Particle STAR file or optimisation set of RELION 3.0 to 5 or Warp, or a .cs file."
    )
    map_dim: Annotated[int, Positional] = Field(ge=8, description="Box of the map in voxels.")
    apix: float | None = Field(
        None, gt=0, description="Voxel size of the map in Å [default: that of the particles' images]."
    )
    o: Annotated[Path, CommandLine(aliases=("-o",))] = Field(Path("FSD3D.mrc"), description="Output volume.")
    low_res: float = Field(
        100.0, gt=0, description="Resolution in Å up to which everything counts as sampled."
    )
    high_res: float = Field(1.0, gt=0, description="Resolution in Å beyond which nothing counts as sampled.")
    number_subset: int = Field(
        10000, ge=1, description="Largest number of particles to use, drawn at random."
    )
    grid_size: int = Field(64, ge=8, description="Box in which the density is computed, in voxels.")
    sym: str = Field("c1", description="Point group in RELION's notation: Cn, Dn, T, O, I.")
    tomograms: Path | None = Field(
        None,
        description="Subtomograms: tomograms.star of RELION 4, RELION 5 or Warp "
        "[default: that of an optimisation set].",
    )
    tilt_min: float | None = Field(
        None, ge=-90, le=90, description="Subtomograms: smallest tilt about y in degrees, for all tomograms."
    )
    tilt_max: float | None = Field(None, ge=-90, le=90, description="Subtomograms: largest tilt.")
    tilt_step: float = Field(3.0, gt=0, description="Subtomograms: angle between these tilts.")
    seed: int = Field(0, ge=0, description="Seed of the random subset.")


class CheckConfig(CommandConfig):
    """Report devices, versions and memory, and run a tiny training step on each device."""

    command: ClassVar[str] = "check"


COMMANDS: dict[type[CommandConfig], str] = {
    Fsc3dConfig: "spisonet.anisotropy.fsc3d:run_fsc3d",
    WhiteningConfig: "spisonet.anisotropy.amplitudes:run_whitening",
    AngularWhitenConfig: "spisonet.anisotropy.amplitudes:run_angular_whiten",
    CombineMapConfig: "spisonet.anisotropy.amplitudes:run_combine_map",
    Fsd3dConfig: "spisonet.anisotropy.fsd3d:run_fsd3d",
    CheckConfig: "spisonet.learning.check:run_check",
}
