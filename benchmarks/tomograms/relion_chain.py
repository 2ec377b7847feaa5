"""RELION 5's tomogram jobs with ours between them, run by its pipeliner on simulated tilt series.

    tilt_series.py PROJECT TRUTH.mrc --noise 0.7 --edge 288 --tomograms 5
    relion_chain.py PROJECT --edge 288 --epochs 3 --n_subvolume 80 --filter_base 8 --cube_size 32

runs *Reconstruct tomograms*, ``isonet-job-correct``, *Extract subtomos*, *Reconstruct particle*, ``fsc3d``,
``diagnose``, and *Extract subtomos* from the corrected tomograms (``--real_subtomo``). RELION 5 must be on
the PATH. Prints the folder, the state and the seconds of each job.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from spisonet.io.star import StarFile

BIN = Path(sys.executable).parent
PIPELINE = "\ndata_pipeline_general\n\n_rlnPipeLineJobCounter 1\n \n"
BOX = {"box_size": 64, "crop_size": 48, "binning": 1}
BINNED_BOX = {"box_size": 32, "crop_size": 24, "binning": 2}
ONE = {"nr_mpi": 1, "nr_threads": 1}
TOMOGRAM_BINNING = 2


def run_job(project: Path, label: str, **options: object) -> str:
    """Add a job to the pipeline and run it; return its folder with a slash at the end."""
    number = int(StarFile(project / "default_pipeline.star").value("rlnPipeLineJobCounter"))
    text = ";".join(f"{name} == {value}" for name, value in options.items())
    started = time.monotonic()

    def pipeliner(*words: str) -> None:
        subprocess.run(["relion_pipeliner", *words], cwd=project, check=True, capture_output=True)

    pipeliner("--addJob", f"relion.{label}", "--addJobOptions", text)
    (folder,) = project.glob(f"*/job{number:03d}")
    job = f"{folder.relative_to(project)}/"
    pipeliner("--RunJobs", job, "--sec_wait_after", "1")
    state = ", ".join(path.name for path in folder.glob("RELION_JOB_EXIT_*"))
    print(f"{label:26} {job} {state} {time.monotonic() - started:.0f} s", flush=True)
    return job


def run_external(project: Path, executable: str, inputs: dict[str, str], **parameters: object) -> str:
    """Run an External job of this installation."""
    options: dict[str, object] = {"fn_exe": BIN / executable, **inputs, "nr_threads": 1}
    for number, (name, value) in enumerate(parameters.items(), start=1):
        options |= {f"param{number}_label": name, f"param{number}_value": value}
    return run_job(project, "external", **options)


def run_chain(project: Path, edge: int, pixel_size: float, **training: object) -> None:
    """Run the chain in a project of `tilt_series`."""
    (project / "default_pipeline.star").write_text(PIPELINE, encoding="utf-8")
    (project / ".gui_projectdir").touch()
    tomograms = run_job(
        project,
        "reconstructtomograms",
        in_tiltseries="tilt_series.star",
        generate_split_tomograms="Yes",
        binned_angpix=TOMOGRAM_BINNING * pixel_size,
        **{"xdim": edge, "ydim": edge, "zdim": 64, "do_fourier": "No", "do_proj": "No", **ONE},
    )
    corrected = run_external(
        project,
        "isonet-job-correct",
        {"in_mic": f"{tomograms}tomograms.star"},
        as_reconstructed="Yes",
        **training,
    )
    particles = {"use_direct_entries": "Yes", "in_particles": "particles.star", "do_float16": "No", **ONE}
    extracted = run_job(
        project, "pseudosubtomo", in_tomograms=f"{corrected}tomograms.star", **particles, **BOX
    )
    optimisation_set = {"use_direct_entries": "No", "in_optimisation": f"{extracted}optimisation_set.star"}
    average = run_job(project, "reconstructparticletomo", **optimisation_set, **BOX, **ONE, sym_name="C1")
    half1 = {"in_3dref": f"{average}half1.mrc", "in_mask": "mask.mrc"}
    for executable in ("spisonet-job-fsc3d", "spisonet-job-diagnose"):
        print((project / run_external(project, executable, half1) / "run.out").read_text(encoding="utf-8"))
    run_job(
        project,
        "pseudosubtomo",
        in_tomograms=f"{corrected}tomograms_as_reconstructed.star",
        **particles,
        **BINNED_BOX,
        other_args="--real_subtomo",
    )


def main() -> None:
    """Run the chain from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--edge", type=int, default=256)
    for name in ("epochs", "n_subvolume", "filter_base", "cube_size"):
        parser.add_argument(f"--{name}", type=int, default=None)
    args = vars(parser.parse_args())
    project, edge = args.pop("project").resolve(), args.pop("edge")
    overview = StarFile(project / "tilt_series.star").tables["global"]
    pixel_size = float(overview["rlnTomoTiltSeriesPixelSize"].iloc[0])
    run_chain(project, edge, pixel_size, **{name: value for name, value in args.items() if value is not None})


if __name__ == "__main__":
    main()
