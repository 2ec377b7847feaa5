"""Even and odd tomograms of a phantom: tilt series with noise, CTF and alignment errors, backprojected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from spisonet.fourier.ctf import Microscope

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from benchmarks.pretraining.phantoms import Phantom

AMPLITUDE_CONTRAST = 0.07
MEAN_FREE_PATH_ANGSTROM = 3000.0  # of electrons in ice; thick and tilted phantoms leave fewer of them
LARGEST_ATTENUATION = 3.0  # of the electrons, natural logarithm


@dataclass(frozen=True)
class TiltSeries:
    """How a phantom is imaged and reconstructed.

    Attributes
    ----------
    tilt_range_degrees : tuple of float
        First and last tilt.
    tilt_step_degrees : float
        Tilt increment.
    snr : float
        Signal-to-noise ratio of the projections of a half: mean variance of the projections over the variance
        of the noise of the untilted one.
    noise_slope : float
        Relative decrease of the noise amplitude from frequency 0 to Nyquist.
    defocus_micrometre : float
        0 for no CTF.
    phase_flipped : bool
        Whether phases are flipped before the reconstruction.
    shift_error_voxels : float
        Standard deviation of the errors of the alignment.
    filter_slope : float
        Relative decrease of the ramp filter from frequency 0 to Nyquist.
    """

    tilt_range_degrees: tuple[float, float]
    tilt_step_degrees: float
    snr: float
    noise_slope: float = 0.0
    defocus_micrometre: float = 0.0
    phase_flipped: bool = False
    shift_error_voxels: float = 0.0
    filter_slope: float = 0.0

    @property
    def tilts_degrees(self) -> NDArray[np.float64]:
        """All tilts."""
        first, last = self.tilt_range_degrees
        return np.arange(first, last + 1e-3, self.tilt_step_degrees)


def draw_tilt_series(rng: np.random.Generator) -> TiltSeries:
    """Draw the parameters of a tilt series."""
    step = float(rng.choice([2.0, 3.0, 3.0, 4.0, 5.0]))
    first = -float(rng.uniform(42, 68))
    last = -first if rng.random() < 0.5 else float(rng.uniform(42, 68))
    last = first + step * round((last - first) / step)
    has_ctf = rng.random() < 0.5
    return TiltSeries(
        (first, last),
        step,
        snr=float(0.08 * 25 ** rng.random()),
        noise_slope=float(rng.choice([0.0, rng.uniform(0, 0.6)])),
        defocus_micrometre=float(rng.uniform(1.5, 6)) if has_ctf else 0.0,
        phase_flipped=bool(rng.random() < 0.5),
        shift_error_voxels=float(rng.choice([0.0, rng.uniform(0, 0.5)])),
        filter_slope=float(rng.choice([0.0, rng.uniform(0, 0.8)])),
    )


def simulate_halves(
    phantom: Phantom, series: TiltSeries, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Project a phantom at all tilts, add independent noise for both halves, and reconstruct them.

    Every half has all tilts, as halves from movie frames do. Density is dark.

    Parameters
    ----------
    phantom : Phantom
        Phantom, which repeats itself in y and x.
    series : TiltSeries
        Imaging and reconstruction.
    rng : numpy.random.Generator
        Random number generator.

    Returns
    -------
    tuple of ndarray
        Even and odd tomograms ``(z, y, x)``.
    """
    density = torch.from_numpy(phantom.density).permute(1, 0, 2)[None]
    projections = torch.stack([_projection(density, tilt) for tilt in np.radians(series.tilts_degrees)])
    transfer, noise_filter, ramp = _filters(series, phantom.voxel_size_angstrom, tuple(projections.shape[1:]))
    signal = torch.fft.rfft2(projections)
    deviation = projections.std(dim=(1, 2)).square().mean().sqrt() / series.snr**0.5
    thickness = phantom.inside[:, 0, 0].sum() * phantom.voxel_size_angstrom
    halves = torch.zeros(2, *density.shape[1:])
    white = torch.from_numpy(
        rng.normal(size=(len(projections), 2, *projections.shape[1:])).astype(np.float32)
    )
    errors = rng.normal(0, series.shift_error_voxels, (len(projections), 2))
    phases = [torch.fft.fftfreq(projections.shape[1])[:, None], torch.fft.rfftfreq(projections.shape[2])]
    for number, tilt in enumerate(np.radians(series.tilts_degrees)):
        attenuation = min(thickness / MEAN_FREE_PATH_ANGSTROM * (1 / np.cos(tilt) - 1), LARGEST_ATTENUATION)
        shift = -2 * np.pi * (errors[number, 0] * phases[0] + errors[number, 1] * phases[1])
        shifted = signal[number] * transfer * torch.polar(torch.ones_like(shift), shift)
        for half in (0, 1):
            noise = torch.fft.rfft2(white[number, half]) * noise_filter * deviation * np.exp(attenuation / 2)
            image = torch.fft.irfft2(shifted + noise, s=tuple(projections.shape[1:]))
            _backproject(halves[half], image, ramp, tilt)
    even, odd = (-half.permute(1, 0, 2).contiguous().numpy() for half in halves)
    return even, odd


def _projection(density: Tensor, tilt: float) -> Tensor:
    """Sum along the beam ``(y, u)`` of a density ``(1, y, z, x)`` that repeats itself in x."""
    _, _, nz, nx = density.shape
    depth = torch.arange(int(np.ceil(nz / np.cos(tilt))) + 2, dtype=torch.float32)
    depth = (depth - (len(depth) - 1) / 2)[:, None]
    across = torch.arange(nx, dtype=torch.float32) - (nx - 1) / 2
    # The detector coordinate of a point is x cos t + z sin t, as in `spisonet.fourier.wedges`.
    z = depth * float(np.cos(tilt)) + across * float(np.sin(tilt))
    x = across * float(np.cos(tilt)) - depth * float(np.sin(tilt)) + (nx - 1) / 2
    # One more column, so that the interpolation has a neighbour where the density begins again.
    repeated = torch.cat([density, density[..., :1]], dim=-1)
    grid = torch.stack([2 * (x % nx) / nx - 1, z / ((nz - 1) / 2)], dim=-1)[None]
    return functional.grid_sample(repeated, grid, align_corners=True)[0].sum(dim=1)


def _backproject(volume: Tensor, image: Tensor, ramp: Tensor, tilt: float) -> None:
    """Add a filtered image ``(y, u)`` to a volume ``(y, z, x)``."""
    _, nz, nx = volume.shape
    filtered = torch.fft.irfft(torch.fft.rfft(image, 2 * nx) * ramp, 2 * nx)[:, :nx]
    z = torch.arange(nz, dtype=torch.float32)[:, None] - (nz - 1) / 2
    x = torch.arange(nx, dtype=torch.float32) - (nx - 1) / 2
    u = x * float(np.cos(tilt)) + z * float(np.sin(tilt)) + (nx - 1) / 2
    inside = ((u >= 0) & (u <= nx - 1)).float()
    first = u.floor().clamp(0, nx - 2).long()
    share = (u - first).clamp(0, 1)
    before, after = filtered[:, first], filtered[:, first + 1]
    volume += (before + share * (after - before)) * inside


def _filters(
    series: TiltSeries, voxel_size_angstrom: float, shape: tuple[int, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """CTF and amplitude of the noise ``(y, u // 2 + 1)``, and the filter of the backprojection."""
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
    transfer = np.ones_like(frequency)
    if series.defocus_micrometre:
        microscope = Microscope(
            voxel_size_angstrom, 1e4 * series.defocus_micrometre, amplitude_contrast=AMPLITUDE_CONTRAST
        )
        ctf = np.abs(microscope.ctf) if series.phase_flipped else microscope.ctf
        transfer = np.interp(frequency, np.linspace(0, 0.5, len(ctf)), ctf)
    noise = 1 - series.noise_slope * np.minimum(2 * frequency, 1)
    wide = np.fft.rfftfreq(2 * shape[1])
    ramp = wide * (1 - series.filter_slope * 2 * wide)
    tensors = [torch.from_numpy(values.astype(np.float32)) for values in (transfer, noise, ramp)]
    return tensors[0], tensors[1], tensors[2]
