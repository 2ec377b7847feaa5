"""What a trained network recovers, measured against the truth."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest

from spisonet.fourier.ctf import Microscope
from spisonet.fourier.grids import irfft3, rfft3
from spisonet.learning.spectra import frequency_points_rfft
from tests.tomography.isonet import CPU_ONLY, run
from tests.tomography.simulation import (
    CPU,
    correlation,
    slab_of_rods,
    wedge_rfft,
    with_missing_wedge,
    write_halves,
    write_mrc,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("halves", [True, False])
def test_training_recovers_the_missing_wedge(project, halves):
    """The prediction is closer to the truth than the data, in the missing wedge and outside of it."""
    truth = write_halves(project, "t", shape=(40, 72, 72), noise=1.5 if halves else 0.2, n=110)
    if halves:
        run("prepare_star --even even --odd odd --pixel_size 10")
    else:
        run("prepare_star even --pixel_size 10")
    run(
        "refine tomograms.star --filter_base 8 --cube_size 16 --epochs 3 --n_subvolume 800 "
        f"--batch_size 4 {CPU_ONLY} --turns 2"
    )
    before = mrcfile.read("even/t.mrc")
    after = mrcfile.read("isonet_maps/corrected/corrected_t.mrc")
    radius = frequency_points_rfft(truth.shape, CPU).norm(dim=-1).numpy()
    band = (radius > 0.03) & (radius < 0.25)
    wedge = wedge_rfft(truth.shape) > 0
    assert correlation(after, truth, band & ~wedge) > 0.35
    assert abs(correlation(before, truth, band & ~wedge)) < 0.1
    if halves:
        gain = correlation(after, truth, band & wedge) - correlation(before, truth, band & wedge)
        assert gain > 0.03


def test_a_network_learns_to_restore_the_ctf_amplitudes(project):
    """With --CTF_mode network the prediction is closer to the truth than without CTF correction."""
    truth = slab_of_rods((40, 72, 72), 110, 3)
    microscope = Microscope(10.0, 40000.0, amplitude_contrast=0.1)
    spectrum = rfft3(truth / truth.std())
    radius = frequency_points_rfft(truth.shape, CPU).norm(dim=-1).numpy()
    ctf = np.interp(radius, np.linspace(0, 0.5, 2048), microscope.ctf)
    imaged = irfft3((spectrum * ctf).astype(np.complex64), truth.shape)
    for kind, seed in (("even", 1), ("odd", 2)):
        write_mrc(project / kind / "t.mrc", with_missing_wedge(imaged, 0.3, seed))
    run("prepare_star --even even --odd odd --pixel_size 10 --defocus 40000 --ac 0.1")
    options = f"--filter_base 8 --cube_size 16 --epochs 2 --n_subvolume 800 --batch_size 4 {CPU_ONLY}"
    run(f"refine tomograms.star {options} --CTF_mode network --output_dir network --clip_first_peak_mode 0")
    run(f"refine tomograms.star {options} --output_dir none")
    wedge = wedge_rfft(truth.shape) > 0
    band = (radius > 0.03) & (radius < 0.35) & wedge
    without, restored = (
        correlation(mrcfile.read(f"{name}/corrected/corrected_t.mrc"), truth, band)
        for name in ("none", "network")
    )
    assert restored > without + 0.005
    assert not (project / "network" / "spisonet_ctf").exists()
