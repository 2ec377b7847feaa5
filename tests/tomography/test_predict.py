"""Prediction of tomograms in tiles, and averaging over rotated copies."""

from __future__ import annotations

import mrcfile
import numpy as np
import torch

from spisonet.fourier.filters import RadialCurve
from spisonet.io.events import progress_to_folder, read_progress
from spisonet.io.tomograms import open_tomogram
from spisonet.learning.devices import Backend
from spisonet.learning.half_turns import ABOUT_Y, HALF_TURNS, average_over_half_turns
from spisonet.learning.spectra import WedgeWeight, frequency_points_rfft
from spisonet.learning.unet import DenoisedUNet, UNet
from spisonet.tomography.normalisation import normalise
from spisonet.tomography.predict import TilePredictor, predict_tomogram, wedge_rotations
from spisonet.tomography.tomogram import Tomogram
from tests.tomography.simulation import (
    CPU,
    correlation,
    slab_of_rods,
    wedge_rfft,
    with_missing_wedge,
    write_mrc,
)


def test_an_identity_network_returns_the_tomogram(tmp_path):
    """Tiles are blended without a difference where they meet."""
    data = np.random.default_rng(0).normal(5, 3, (40, 150, 170)).astype(np.float32)
    path = write_mrc(tmp_path / "t.mrc", data, 8.0)
    tomogram = normalise(Tomogram("t", (open_tomogram(path),), (-60, 60), None, None, 1))
    sizes = []

    def predict(tile: torch.Tensor) -> torch.Tensor:
        sizes.append(tile.shape)
        return tile.mean(dim=0)

    with progress_to_folder(tmp_path):
        predict_tomogram(tomogram, predict, CPU, 64, tmp_path / "o.mrc", "test")
    assert len(sizes) > 4
    last = read_progress(tmp_path)[-1]
    assert (last.stage, last.title, last.unit) == ("prediction", "t", "tiles")
    assert (last.done, last.total) == (len(sizes), len(sizes))
    assert all(max(size) <= 64 and all(n % 8 == 0 for n in size[1:]) for size in sizes)
    with mrcfile.open(tmp_path / "o.mrc") as mrc:
        np.testing.assert_allclose(mrc.data, data, atol=2e-5)
        assert mrc.voxel_size.x == 8
        assert int(mrc.header.nystart) == -2


def test_tiles_leave_no_seam(tmp_path):
    """A smoothing network gives the same in tiles as at once, and no peak at the period of the tiles."""
    data = np.random.default_rng(1).normal(size=(32, 160, 32)).astype(np.float32)
    path = write_mrc(tmp_path / "t.mrc", data)
    tomogram = Tomogram("t", (open_tomogram(path),), (-60, 60), None, None, 1)
    smooth = torch.nn.Conv3d(1, 1, 9, padding=4, bias=False)
    torch.nn.init.constant_(smooth.weight, 1 / 9**3)

    def predict(tile: torch.Tensor) -> torch.Tensor:
        return smooth(tile[None])[0, 0]

    predict_tomogram(tomogram, predict, CPU, 64, tmp_path / "tiles.mrc", "test")
    predict_tomogram(tomogram, predict, CPU, 160, tmp_path / "whole.mrc", "test")
    tiles, whole = (mrcfile.read(tmp_path / f"{name}.mrc") for name in ("tiles", "whole"))
    np.testing.assert_allclose(tiles[6:-6, 6:-6, 6:-6], whole[6:-6, 6:-6, 6:-6], atol=1e-5)
    # Tiles are 32 voxels apart, a fifth of 160.
    spectra = [np.abs(np.fft.rfft(v[6:-6, :, 6:-6].mean(axis=(0, 2)))) for v in (tiles, whole)]
    np.testing.assert_allclose(spectra[0][5], spectra[1][5], rtol=0.05)


def test_rotations_move_the_missing_wedge_to_measured_frequencies():
    wedge = wedge_rfft((32, 32, 32))
    assert len(wedge_rotations()) == 16
    fractions = []
    for rotation in wedge_rotations():
        points = frequency_points_rfft(32, CPU).numpy() @ rotation
        rotated = WedgeWeight(-60, 60).at(torch.from_numpy(points.astype(np.float32))).numpy()
        fractions.append(rotated[wedge == 0].mean())
    assert min(fractions) > 0.25
    assert np.mean(fractions[:6]) > 0.6


def test_rotated_copies_lose_only_what_lies_in_their_missing_wedge(tmp_path):
    truth = slab_of_rods((32, 32, 32), 12, 0)
    path = write_mrc(tmp_path / "t.mrc", with_missing_wedge(truth, 0.0, 0))
    tomogram = Tomogram("t", (open_tomogram(path),), (-60, 60), None, None, 1)

    class Identity(torch.nn.Module):
        def forward(self, volumes):
            return volumes

    class Plain:
        def apply(self, network, volumes):
            return network(volumes)

    tile = torch.from_numpy(mrcfile.read(path))[None]
    predicted = TilePredictor(Identity(), Plain(), tomogram, 3)(tile).numpy()
    measured = wedge_rfft(truth.shape) > 0
    assert correlation(predicted, truth, measured) > 0.95


def test_a_denoising_network_keeps_the_signal_in_rotated_copies(tmp_path):
    """Such a network does not fill missing wedges, so they are not removed from rotated copies."""
    data = np.random.default_rng(0).normal(size=(24, 24, 24)).astype(np.float32)
    path = write_mrc(tmp_path / "t.mrc", data)
    tomogram = Tomogram("t", (open_tomogram(path),), (-60, 60), None, None, 1)

    class Identity(torch.nn.Module):
        def forward(self, volumes):
            return volumes

    backend = Backend(CPU, bfloat16=False)
    tile = torch.from_numpy(data)[None]
    denoised, filled = (
        TilePredictor(Identity(), backend, tomogram, 6, fills_wedge)(tile) for fills_wedge in (False, True)
    )
    torch.testing.assert_close(denoised, tile[0], rtol=0, atol=1e-4)
    assert filled.std() < 0.9 * tile.std()


def test_only_data_are_denoised_and_not_rotated_copies(tmp_path):
    """The second network gets the denoised tile, and rotated copies of what it has completed."""
    path = write_mrc(tmp_path / "t.mrc", np.zeros((16, 16, 16), np.float32))
    tomogram = Tomogram("t", (open_tomogram(path),), (-60, 60), None, None, 1)
    network = DenoisedUNet(2).eval()
    calls = {"denoiser": 0, "completer": 0}
    for name, part in (("denoiser", network.denoiser), ("completer", network.completer)):
        torch.nn.init.normal_(part.last.weight)
        part.register_forward_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
    tile = torch.randn(2, 16, 16, 16)
    backend = Backend(CPU, bfloat16=False)
    with torch.no_grad():
        predicted = TilePredictor(network, backend, tomogram, 0, half_turns=False)(tile)
        denoised = average_over_half_turns(network.denoiser, tile[:, None], HALF_TURNS)
        torch.testing.assert_close(predicted, network.completer(denoised).mean(dim=0)[0])
        calls.update(denoiser=0, completer=0)
        TilePredictor(network, backend, tomogram, 3, half_turns=False)(tile)
        assert calls == {"denoiser": 8, "completer": 8}
        calls.update(denoiser=0, completer=0)
        TilePredictor(network, backend, tomogram, 3)(tile)
        assert calls == {"denoiser": 8, "completer": 14}


def test_predictions_turn_with_a_tomogram(tmp_path):
    """With half turns, the prediction of a turned tile is the turned prediction; not without them."""
    path = write_mrc(tmp_path / "t.mrc", np.zeros((16, 16, 24), np.float32))
    network = DenoisedUNet(2).eval()
    for part in (network.denoiser, network.completer):
        torch.nn.init.normal_(part.last.weight)
    backend, tile = Backend(CPU, bfloat16=False), torch.randn(2, 16, 16, 24)
    for tilt_range, half_turns in (((-60, 60), HALF_TURNS), ((-50, 66), (ABOUT_Y,))):
        tomogram = Tomogram("t", (open_tomogram(path),), tilt_range, None, None, 1)
        with torch.no_grad():
            predictors = [TilePredictor(network, backend, tomogram, 0, half_turns=on) for on in (True, False)]
            for axes in HALF_TURNS:
                turned = [predict(tile.flip(axes)) for predict in predictors]
                expected = [predict(tile).flip(axes) for predict in predictors]
                assert torch.allclose(turned[0], expected[0], atol=1e-5) == (axes in half_turns)
                assert not torch.allclose(turned[1], expected[1], atol=1e-5)


def test_gold_is_left_unchanged(tmp_path):
    data = np.zeros((16, 16, 16), np.float32)
    data[8, 8, 8] = -50
    path = write_mrc(tmp_path / "t.mrc", data)
    tomogram = Tomogram("t", (open_tomogram(path),), (-60, 60), None, None, 1)
    inputs: list[torch.Tensor] = []

    class Recorder(torch.nn.Module):
        def forward(self, volumes):
            inputs.append(volumes)
            return volumes

    predictor = TilePredictor(Recorder(), Backend(CPU, bfloat16=False), tomogram, 0)
    torch.testing.assert_close(predictor(torch.from_numpy(data)[None]), torch.from_numpy(data))
    assert inputs[0].min() == -10


def test_what_is_denoised_first_needs_no_further_correction_of_the_ctf(tmp_path):
    """The denoised tile is on the scale of the prediction that fills it, also in rotated copies."""
    path = write_mrc(tmp_path / "t.mrc", np.zeros((24, 24, 24), np.float32))
    volume, ctf = open_tomogram(path), RadialCurve(np.linspace(0.2, 1, 5))
    tile = torch.randn(2, 24, 24, 24)

    def predict(network: UNet | DenoisedUNet, amplitude: RadialCurve | None) -> torch.Tensor:
        tomogram = Tomogram("t", (volume,), (-60, 60), None, None, 1, ctf_amplitude=amplitude)
        with torch.no_grad():
            return TilePredictor(network.eval(), Backend(CPU, bfloat16=False), tomogram, 3)(tile)

    two, one = DenoisedUNet(2), UNet(2)  # untrained: they return their input
    torch.testing.assert_close(predict(two, ctf), predict(two, None))
    assert not torch.allclose(predict(one, ctf), predict(one, None), rtol=0.05)
