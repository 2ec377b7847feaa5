"""A project with a small valid input of every kind, and the command lines that read each of them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from spisonet.anisotropy.config import ReconstructConfig
from spisonet.io.events import progress_to_folder, report_progress
from spisonet.io.mrc import Volume, write_volume
from spisonet.io.run_record import FINISHED, write_job_record
from spisonet.learning.checkpoint import save_network, save_tensors
from spisonet.learning.unet import UNet
from spisonet.misalignment.prior import spherical_mask
from tests.anisotropy.small_case import make_case
from tests.hostile.parsers import small_trainer
from tests.io.imod_models import imod_model
from tests.misalignment.accumulators import body_map
from tests.misalignment.particle_sets import simulate_particles
from tests.relion_external.conftest import BOX, COMMAND, PIXEL, Job
from tests.tomography.simulation import write_halves

TINY = "--device cpu --ncpus 1 --filter_base 2 --cube_size 16 --epochs 1 --n_subvolume 2"
NETWORK = {
    "method": "isonet2",
    "ctf": {"mode": "None"},
    "cube_size": 16,
    "voxel_sizes_angstrom": [10.0, 10.0],
}
PDB = "ATOM  {n:5d}  CA  ALA A{n:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C\n"


@dataclass(frozen=True)
class Reader:
    """A command line that reads an input.

    Attributes
    ----------
    program, line : str
        Program, and its words.
    files : tuple of str
        Files and folders of the project that it needs.
    """

    program: str
    line: str
    files: tuple[str, ...]


MAPS = ("half1.mrc", "half2.mrc", "mask.mrc", "FSC3D.mrc")
TOMOGRAMS = ("even", "odd", "tomograms.star")


def _spisonet(line: str, *files: str) -> Reader:
    return Reader("spisonet.py", line, files)


def _isonet(line: str, *files: str) -> Reader:
    return Reader("isonet.py", line, files)


FSC3D = _spisonet("fsc3d half1.mrc half2.mrc mask.mrc --o out/fsc.mrc --ncpus 1", *MAPS)
RECONSTRUCT = _spisonet(
    f"reconstruct half1.mrc half2.mrc --mask mask.mrc --aniso_file FSC3D.mrc --output_dir out "
    f"--no-report --prior none --pretrained none {TINY}",
    *MAPS,
)
DECONVOLVE = _spisonet(
    "reconstruct half1.mrc half2.mrc --aniso_file FSC3D.mrc --output_dir out --method deconvolve "
    "--device cpu --ncpus 1 --no-report",
    *MAPS,
)
WHITENING = _spisonet("whitening half1.mrc --mask mask.mrc --o out/w.mrc --high_res 6 --low_res 20", *MAPS)
ANGULAR = _spisonet("angular_whiten half1.mrc out/a.mrc 20 6", *MAPS)
COMBINE = _spisonet("combine_map half1.mrc half2.mrc out/c.mrc 10 --mask_file mask.mrc", *MAPS)
DIAGNOSE = _spisonet("diagnose half1.mrc half2.mrc mask.mrc --output_dir out --ncpus 1 --device cpu", *MAPS)
REFERENCE = _spisonet(
    "reference model.pdb --like half1.mrc --o out/ref.mrc --resolution 5", "model.pdb", "half1.mrc"
)
FSD3D = _spisonet(
    "fsd3d particles.star 32 --o out/fsd.mrc --grid_size 16", "particles.star", "particles.mrcs"
)
FSD3D_CS = _spisonet("fsd3d particles.cs 32 --o out/fsd.mrc --grid_size 16", "particles.cs")
FSD3D_TOMOGRAMS = _spisonet(
    "fsd3d subtomograms.star 32 --apix 5 --tomograms tilts.star --o out/fsd.mrc --grid_size 16",
    "subtomograms.star",
    "tilts.star",
)
DIAGNOSE_PARTICLES = _spisonet(
    "diagnose half1.mrc half2.mrc --star particles.star --output_dir out --ncpus 1 --device cpu "
    "--pose_drift_particles 20",
    *MAPS,
    "particles.star",
    "particles.mrcs",
)
REPORT = _spisonet("report run --ncpus 1", "run", *MAPS)
VALIDATE = _spisonet("validate run --ncpus 1 --device cpu --epochs 1 --cones 1", "run", *MAPS)
NULL_TEST = _spisonet("nulltest run --ncpus 1 --device cpu --epochs 1", "run", *MAPS)
PREPARE = _isonet(
    "prepare_star --even even --odd odd --tilt_folder tilts --coordinate_folder coords "
    "--mask_folder masks --output_star out.star",
    "even",
    "odd",
    "tilts",
    "coords",
    "masks",
)
PREPARE_MODELS = _isonet(
    "prepare_star --even even --odd odd --coordinate_folder models --output_star out.star --tilt_min -60 "
    "--tilt_max 60",
    "even",
    "odd",
    "models",
)
DECONV = _isonet("deconv tomograms.star --output_star out.star --ncpus 1", *TOMOGRAMS)
MAKE_MASK = _isonet("make_mask tomograms.star --output_star out.star --patch_size 2", *TOMOGRAMS)
MAKE_MASK_MODEL = _isonet(
    "make_mask tomograms.star --output_star out.star --patch_size 2 --mask_boundary models/a.mod",
    *TOMOGRAMS,
    "models",
)
EXTRACT = _isonet(
    "extract tomograms.star --cube_size 16 --crop_size 16 --subtomo_star sub.star --trust_table", *TOMOGRAMS
)
REFINE = _isonet(
    f"refine tomograms.star --output_dir out --output_star out.star --no-with_predict --trust_table {TINY}",
    *TOMOGRAMS,
)
PREDICT = _isonet(
    "predict tomograms.star network.safetensors --output_dir out --output_star out.star --device cpu "
    "--ncpus 1 --turns 0 --trust_table",
    *TOMOGRAMS,
    "network.safetensors",
)
RESIZE = _isonet("resize tomograms.star --apix 20 --out_folder resized", *TOMOGRAMS)
CHECK_TABLE = _isonet("check tomograms.star", *TOMOGRAMS)
PSF = _isonet("psf 16 --tilt_file tilts/a.tlt -o out.mrc", "tilts")
START = _spisonet(
    f"reconstruct half1.mrc half2.mrc --aniso_file FSC3D.mrc --output_dir out --no-report --prior none "
    f"--pretrained network.safetensors {TINY}",
    *MAPS,
    "network.safetensors",
)
HOOK = Reader(
    "spisonet-relion-reconstruct",
    "Refine3D/job007/run_it002_half1_class001_external_reconstruct.star",
    ("Refine3D", "job_mask.mrc", "ref.mrc"),
)
HOOK_CHECK = Reader(
    "spisonet-relion-reconstruct", "--check Refine3D/job007", ("Refine3D", "job_mask.mrc", "ref.mrc")
)
RELION_CHECK = _spisonet("relion check Refine3D/job007", "Refine3D", "job_mask.mrc", "ref.mrc")
RESCUE = _spisonet(
    "relion rescue Refine3D/job007 --o out --device cpu --ncpus 1", "Refine3D", "job_mask.mrc", "ref.mrc"
)

# Command lines by the file that is replaced by hostile ones, and the kind of that file.
READERS: dict[str, tuple[str, tuple[Reader, ...]]] = {
    "half1.mrc": (
        "map",
        (FSC3D, WHITENING, ANGULAR, COMBINE, REFERENCE),
    ),
    "mask.mrc": ("map", (FSC3D, WHITENING, COMBINE)),
    "FSC3D.mrc": ("map", (DECONVOLVE,)),
    "particles.mrcs": ("map", (DIAGNOSE_PARTICLES,)),
    "even/a.mrc": ("map", (PREPARE, DECONV, MAKE_MASK, EXTRACT, REFINE, PREDICT, RESIZE, CHECK_TABLE)),
    "masks/a.mrc": ("map", (PREPARE,)),
    "Refine3D/job007/run_it002_half1_class001_external_reconstruct_weight.mrc": ("map", (HOOK,)),
    "Refine3D/job007/run_it002_half1_class001_external_reconstruct.star": ("star", (HOOK,)),
    "Refine3D/job007/run_it001_optimiser.star": ("star", (HOOK, HOOK_CHECK, RELION_CHECK, RESCUE)),
    "Refine3D/job007/run_it001_data.star": ("star", (HOOK, RESCUE)),
    "Refine3D/job007/run_it001_half1_model.star": ("star", (HOOK, HOOK_CHECK)),
    "Refine3D/job007/spisonet.toml": ("text", (HOOK, HOOK_CHECK)),
    "particles.star": ("star", (FSD3D,)),
    "subtomograms.star": ("star", (FSD3D_TOMOGRAMS,)),
    "tilts.star": ("star", (FSD3D_TOMOGRAMS,)),
    "particles.cs": ("cs", (FSD3D_CS,)),
    "tomograms.star": (
        "star",
        (DECONV, MAKE_MASK, EXTRACT, REFINE, PREDICT, RESIZE, CHECK_TABLE),
    ),
    "tilts/a.tlt": ("text", (PREPARE, PSF)),
    "tilts/a.mdoc": ("text", (PREPARE,)),
    "tilts/a.aln": ("text", (PREPARE,)),
    "coords/a.txt": ("text", (PREPARE,)),
    "models/a.mod": ("model", (PREPARE_MODELS, MAKE_MASK_MODEL)),
    "model.pdb": ("text", (REFERENCE,)),
    "run/job.json": ("json", (REPORT, VALIDATE, NULL_TEST)),
    "network.safetensors": ("weights", (PREDICT, START)),
}


def write_inputs(folder: Path) -> None:
    """Write a valid input of every kind into an existing folder."""
    make_case(folder, 24)
    _write_tomograms(folder)
    simulated = simulate_particles(folder, n=40)
    simulated.star.rename(folder / "particles.star")
    _write_subtomograms(folder)
    _write_cryosparc(folder / "particles.cs")
    _write_network(folder / "network.safetensors")
    _write_checkpoint(folder / "checkpoint.safetensors")
    rng = np.random.default_rng(1)
    atoms = 24 + 8 * rng.normal(size=(60, 3)).clip(-2, 2)
    (folder / "model.pdb").write_text(
        "".join(PDB.format(n=n, x=x, y=y, z=z) for n, (x, y, z) in enumerate(atoms, start=1)) + "END\n"
    )
    _write_refinement(folder)
    _write_run(folder)


def copy_inputs(project: Path, folder: Path, reader: Reader) -> None:
    """Copy what a command line needs into a new folder."""
    folder.mkdir(parents=True)
    for name in reader.files:
        source, target = project / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)


def _write_tomograms(folder: Path) -> None:
    write_halves(folder, "a", shape=(16, 32, 32), n=8)
    for name in ("tilts", "coords", "masks", "models", "lists"):
        (folder / name).mkdir()
    (folder / "tilts/a.tlt").write_text("\n".join(str(angle) for angle in range(-60, 61, 3)) + "\n")
    mdoc = "PixelSpacing = 10\n\n" + "".join(
        f"[ZValue = {number}]\nTiltAngle = {angle}\n\n" for number, angle in enumerate(range(-60, 61, 3))
    )
    (folder / "tilts/a.mdoc").write_text(mdoc)
    aln = "# AreTomo Alignment / Priims bprmMn\n# SEC ROT GMAG TX TY SMEAN SFIT SCALE BASE TILT\n" + "".join(
        f"{n} 85.0 1.0 0.1 0.2 1 1 1 0 {angle}.0\n" for n, angle in enumerate(range(-60, 61, 3))
    )
    (folder / "tilts/a.aln").write_text(aln)
    (folder / "coords/a.txt").write_text("16 16 8\n12 14 8\n20 18 8\n")
    row = [0.0] * 12 + [1, -60, 60] + [0] * 4 + [1] + [0] * 3 + [16, 16, 8] + [0] * 9
    (folder / "lists/a.tbl").write_text(" ".join(f"{value:g}" for value in row) + "\n")
    (folder / "lists/a.vll").write_text("even/a.mrc\n* label = a\n* apix = 10\n")
    contour = np.array([[4, 4, 2], [28, 4, 2], [28, 28, 2], [4, 28, 2]], float)
    (folder / "models/a.mod").write_bytes(imod_model([contour, contour + np.array([0, 0, 11])]))
    mask = np.ones((16, 32, 32), np.float32)
    mask[:3] = 0
    write_volume(folder / "masks/a.mrc", Volume(mask, 10.0))
    columns = {
        "rlnIndex": "1",
        "rlnTomoReconstructedTomogramHalf1": "even/a.mrc",
        "rlnTomoReconstructedTomogramHalf2": "odd/a.mrc",
        "rlnTomoName": "even/a.mrc",
        "rlnPixelSize": "10",
        "rlnDefocus": "20000",
        "rlnVoltage": "300",
        "rlnSphericalAberration": "2.7",
        "rlnAmplitudeContrast": "0.1",
        "rlnMaskBoundary": "None",
        "rlnMaskName": "None",
        "rlnTiltMin": "-60",
        "rlnTiltMax": "60",
        "rlnTiltStep": "3",
        "rlnNumberSubtomo": "4",
    }
    (folder / "tomograms.star").write_text(_star("", columns, [list(columns.values())]))


def _star(name: str, labels: object, rows: list[list[str]]) -> str:
    head = "\n".join(f"_{label} #{n}" for n, label in enumerate(labels, start=1))  # type: ignore[call-overload]
    return f"data_{name}\n\nloop_\n{head}\n" + "\n".join("\t".join(row) for row in rows) + "\n\n"


def _write_subtomograms(folder: Path) -> None:
    labels = ("rlnTomoName", "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnTomoVisibleFrames")
    rows = [["a", str(30 * n), str(20 * n), str(10 * n), "[1,1,1,0,1]"] for n in range(8)]
    (folder / "subtomograms.star").write_text(_star("particles", labels, rows))
    matrix = [
        ["[1,0,0,0]", "[0,1,0,0]", f"[{np.sin(t):.6f},0,{np.cos(t):.6f},0]", "[0,0,0,1]"]
        for t in np.radians([-60, -30, 0, 30, 60])
    ]
    projections = ("rlnTomoProjX", "rlnTomoProjY", "rlnTomoProjZ", "rlnTomoProjW")
    (folder / "tilts.star").write_text(_star("a", projections, matrix))


def _write_cryosparc(path: Path) -> None:
    rng = np.random.default_rng(0)
    fields = [
        ("uid", "<u8"),
        ("blob/psize_A", "<f4"),
        ("blob/shape", "<u4", (2,)),
        ("alignments3D/pose", "<f4", (3,)),
        ("alignments3D/split", "<u4"),
    ]
    table = np.zeros(20, dtype=fields)
    table["blob/psize_A"], table["blob/shape"] = 2.0, 64
    table["alignments3D/pose"] = rng.normal(size=(20, 3))
    with path.open("wb") as file:
        np.save(file, table)


def _write_checkpoint(path: Path) -> None:
    """Write the state of a training after an epoch, with an optimiser that has made no step."""
    trainer = small_trainer()
    tensors, metadata = trainer.state()
    for index, parameter in enumerate(trainer.network.parameters()):
        tensors[f"optimiser.{index}.step"] = torch.tensor(1.0)
        for name in ("exp_avg", "exp_avg_sq"):
            tensors[f"optimiser.{index}.{name}"] = torch.zeros_like(parameter)
    save_tensors(path, tensors, {**metadata, "n_updates": 1, "epoch_losses": [1.0]})


def _write_network(path: Path) -> None:
    save_network(path, UNet(2), NETWORK)


def _write_refinement(folder: Path) -> None:
    job = Job(folder, "4.0")
    job.folder.mkdir(parents=True)
    write_volume(folder / "ref.mrc", Volume(body_map(BOX), PIXEL))
    write_volume(folder / "job_mask.mrc", Volume(spherical_mask(BOX, 24.0), PIXEL))
    command = COMMAND.replace("mask.mrc", "job_mask.mrc")
    for iteration in range(2):
        job.write_iteration(iteration, command, rlnSolventMaskName="job_mask.mrc")
    job.write_call(2)
    (job.folder / "spisonet.toml").write_text(
        "epochs = 1\nn_subvolume = 2\nfilter_base = 2\ncube_size = 16\ndevice = 'cpu'\n"
    )


def _write_run(folder: Path) -> None:
    """Write what a finished run of ``reconstruct`` leaves, as far as it is read again."""
    run = folder / "run"
    run.mkdir()
    config = ReconstructConfig(
        i1=folder / "half1.mrc",
        i2=folder / "half2.mrc",
        aniso_file=folder / "FSC3D.mrc",
        output_dir=run,
        method="deconvolve",
    )
    names = ["corrected_half1.mrc", "corrected_half2.mrc"]
    for name, half in zip(names, ("half1.mrc", "half2.mrc"), strict=True):
        shutil.copy2(folder / half, run / name)
    values = {
        "halves": {"independent": True, "shared": ["fourier_weights"]},
        "label": "spisonet: deconvolved",
        "limit_resolution_angstrom": 4.0,
        "unmeasured_fraction": 0.3,
        "corrected_by_shell": [],
        "epoch_losses": {},
        "prediction_shares": {},
        "loss_reductions": {},
        "corrected_maps": names,
        "classical_maps": [],
        "full_map": None,
        "figures": [],
        "device": "cpu",
        "processes": 1,
        "seconds": 1.0,
    }
    write_job_record(run, config, status=FINISHED, **values)
    with progress_to_folder(run):
        report_progress("training", "both halves", 1, 2, "epochs", 0.5, 3.0)
