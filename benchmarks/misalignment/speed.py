"""Time and memory of six cross-half likelihoods of many particles, images read from disk included.

    python -m benchmarks.misalignment.speed [--particles 100000] [--box 256] [--finest 20] [--threads 2]

The STAR file lists the same 1,000 images again and again, so that no large stack is written.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # the checkout
import mrcfile
import numpy as np
import pandas as pd
import starfile
import torch

from spisonet.misalignment.cross_half_likelihood import cross_half_likelihood
from spisonet.misalignment.half_map_model import HalfMapModel
from spisonet.misalignment.image_band import ImageBand, Poses
from spisonet.misalignment.particle_images import read_particle_images

N_IMAGES = 1000
LENGTH_ANGSTROM = 640.0  # of the box: 20 Å is shell 32
N_CANDIDATES = 6


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--particles", type=int, default=100_000)
    parser.add_argument("--box", type=int, default=256)
    parser.add_argument("--finest", type=float, default=20.0, help="end of the band in Å")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        star = _write_particles(Path(folder), args.particles, args.box)
        begin = time.perf_counter()
        particles = read_particle_images(star)
        read = time.perf_counter()
        band = ImageBand(particles, args.finest, torch.device(args.device))
        cropped = time.perf_counter()
        model = HalfMapModel(band, None, "C1")
        for _ in range(N_CANDIDATES):
            cross_half_likelihood(model, Poses.of(particles))
        end = time.perf_counter()
    print(
        f"{args.particles} particles of {args.box} pixels to {args.finest:g} Å (shell {band.last}), "
        f"{args.threads} threads, {args.device}: STAR {read - begin:.0f} s, images {cropped - read:.0f} s, "
        f"{N_CANDIDATES} likelihoods {end - cropped:.0f} s, {time.process_time():.0f} s of CPU time in all, "
        f"memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"
    )
    return 0


def _write_particles(folder: Path, n: int, box: int) -> Path:
    rng = np.random.default_rng(0)
    with mrcfile.new(folder / "particles.mrcs") as stack:
        stack.set_data(rng.standard_normal((N_IMAGES, box, box), dtype=np.float32))
        stack.set_image_stack()
    optics = {
        "rlnOpticsGroup": [1],
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
        "rlnImagePixelSize": [LENGTH_ANGSTROM / box],
        "rlnImageSize": [box],
    }
    particles = {
        "rlnImageName": [f"{i % N_IMAGES + 1:06d}@particles.mrcs" for i in range(n)],
        "rlnAngleRot": rng.uniform(-180, 180, n),
        "rlnAngleTilt": rng.uniform(0, 180, n),
        "rlnAnglePsi": rng.uniform(-180, 180, n),
        "rlnOriginXAngst": rng.normal(0, 2, n),
        "rlnOriginYAngst": rng.normal(0, 2, n),
        "rlnDefocusU": rng.uniform(8000, 20000, n),
        "rlnDefocusV": rng.uniform(8000, 20000, n),
        "rlnDefocusAngle": rng.uniform(0, 180, n),
        "rlnOpticsGroup": np.ones(n, dtype=int),
        "rlnRandomSubset": np.arange(n) % 2 + 1,
    }
    tables = {"optics": pd.DataFrame(optics), "particles": pd.DataFrame(particles)}
    starfile.write(tables, folder / "particles.star")
    return folder / "particles.star"


if __name__ == "__main__":
    sys.exit(main())
