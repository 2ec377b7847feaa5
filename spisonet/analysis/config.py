"""Options of the commands that analyse half maps and particles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from spisonet.io.config import LARGEST_BOX, CommandConfig, CommandLine, Positional

# Field types are evaluated at run time by pydantic and Typer.


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
    ncpus: int = Field(16, ge=1, description="Number of CPU threads, limited to the cores of the machine.")
    limit_res: float | None = Field(
        None, gt=0, description="Resolution limit in Å [default: where the global FSC falls to 0.143]."
    )
    cone_sampling_angle: float = Field(
        10.0,
        gt=0,
        le=90,
        description="Half-angle of the cones of the 3D FSC in degrees; numbers by direction use 20°.",
    )
    keep_highres: bool = Field(False, description="Set the 3D FSC beyond the limit to 1 instead of 0.")
    phase_randomise: bool = Field(
        True,
        description="Correct the FSC for the mask by phase randomisation, and for the power that the mask "
        "leaks between directions. No effect without a mask.",
    )
    apix: float | None = Field(None, gt=0, description="Voxel size in Å [default: from the header].")
    seed: int = Field(0, ge=0, description="Seed of the randomised phases.")


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
    map_dim: Annotated[int, Positional] = Field(ge=8, le=LARGEST_BOX, description="Box of the map in voxels.")
    apix: float | None = Field(
        None, gt=0, description="Voxel size of the map in Å [default: pixel size of the particle images]."
    )
    o: Annotated[Path, CommandLine(aliases=("-o",))] = Field(Path("FSD3D.mrc"), description="Output volume.")
    low_res: float = Field(
        100.0, gt=0, description="Low-resolution limit in Å; lower frequencies count as sampled."
    )
    high_res: float = Field(
        1.0, gt=0, description="High-resolution limit in Å; higher frequencies count as not sampled."
    )
    number_subset: int = Field(
        10000, ge=1, description="Maximum number of particles to use, drawn at random."
    )
    grid_size: int = Field(
        64, ge=8, le=LARGEST_BOX, description="Box in voxels in which the density is computed."
    )
    sym: str = Field("c1", description="Point group in RELION's notation: Cn, Dn, T, O, I.")
    tomograms: Path | None = Field(
        None,
        description="Subtomograms: tomograms.star of RELION 4, RELION 5 or Warp "
        "[default: that of an optimisation set].",
    )
    tilt_min: float | None = Field(
        None, ge=-90, le=90, description="Subtomograms: minimum tilt about y in degrees, for all tomograms."
    )
    tilt_max: float | None = Field(None, ge=-90, le=90, description="Subtomograms: maximum tilt in degrees.")
    tilt_step: float = Field(3.0, gt=0, description="Subtomograms: tilt increment in degrees.")
    seed: int = Field(0, ge=0, description="Seed of the random subset.")


class DiagnoseConfig(CommandConfig):
    """Diagnose anisotropy and misalignment; recommend a processing strategy and print the commands."""

    command: ClassVar[str] = "diagnose"
    examples: ClassVar[tuple[str, ...]] = (
        "spisonet.py diagnose half1.mrc half2.mrc --mask mask.mrc",
        "spisonet.py diagnose run_half1_class001_unfil.mrc run_half2_class001_unfil.mrc --mask mask.mrc "
        "--star run_data.star --sym c3",
    )

    h: Annotated[Path, Positional] = Field(description="Half map 1.")
    h2: Annotated[Path, Positional] = Field(description="Half map 2.")
    mask: Annotated[Path | None, Positional] = Field(None, description="Soft solvent mask.")
    star: Path | None = Field(
        None,
        description="Particles of the refinement: a STAR file or optimisation set of RELION 3.0 to 5 or "
        "Warp, or a .cs file. Their angles separate misalignment from missing views.",
    )
    sym: str = Field("c1", description="Point group that the refinement imposed, in RELION's notation.")
    limit_res: float | None = Field(
        None, gt=0, description="Resolution limit in Å [default: where the global FSC falls to 0.143]."
    )
    output_dir: Path = Field(Path("diagnosis"), description="Output folder.")
    tomograms: Path | None = Field(
        None,
        description="Subtomograms: tomograms.star of RELION 4, RELION 5 or Warp "
        "[default: that of an optimisation set].",
    )
    tilt_min: float | None = Field(
        None, ge=-90, le=90, description="Subtomograms: minimum tilt about y in degrees, for all tomograms."
    )
    tilt_max: float | None = Field(None, ge=-90, le=90, description="Subtomograms: maximum tilt in degrees.")
    tilt_step: float = Field(3.0, gt=0, description="Subtomograms: tilt increment in degrees.")
    number_subset: int = Field(
        10000, ge=1, description="Maximum number of particles to use, drawn at random."
    )
    pose_drift: bool = Field(
        True,
        description="Measure the drift of the poses on the images that --star lists; about a minute on a "
        "CPU. No effect if they are not found.",
    )
    pose_drift_particles: int = Field(
        5000, ge=1, description="Maximum number of particles for this, drawn at random."
    )
    device: str | None = Field(
        None, description="For the drift: cpu, cuda, cuda:1 or mps [default: a GPU if there is one]."
    )
    ncpus: int = Field(16, ge=1, description="Number of CPU threads, limited to the cores of the machine.")
    apix: float | None = Field(None, gt=0, description="Voxel size in Å [default: from the header].")
    seed: int = Field(0, ge=0, description="Seed of the random subset.")

    @property
    def star_file(self) -> Path:
        """The particle file; only if `star` is given."""
        assert self.star is not None
        return self.star
