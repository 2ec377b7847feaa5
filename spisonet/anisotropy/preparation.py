"""Prepare normalised maps and their Fourier weights as a `Measurement` for training and prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.analysis.leakage import mask_leakage_weight
from spisonet.analysis.normalisation import is_brighter_than_solvent, measure_grey_scale, particle_region
from spisonet.errors import SpisonetError
from spisonet.fourier.filters import shell_curve_to_rfft
from spisonet.fourier.grids import half_from_centred, irfft3, radius_rfft, rfft3
from spisonet.fourier.windows import soft_lowpass_weights
from spisonet.io.mrc import require_same_grid
from spisonet.learning.measurement import Measurement

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.analysis.normalisation import GreyScale
    from spisonet.anisotropy.fourier_weights import FourierWeights
    from spisonet.io.mrc import Volume

BAND_EDGE = 0.5  # shells, width of the soft edge at the resolution limit
REFERENCE_THRESHOLD = 0.5
MAX_WEIGHT = 1.01  # resampled volumes may overshoot a little
# Of a mask that is given as a 3D FSC.
MIN_FRACTION_OF_ONES = 0.3  # of the voxels above 0
MIN_ASYMMETRY = 0.1  # fraction of the values without a counterpart at the opposite frequency
SHIFTS_OF_DC = (-1, 0, 1)  # of the mirror image, for DC before, between and at the voxels of the centre


def fourier_weight_of_cube(cube: Volume, like: Volume) -> NDArray[np.float32]:
    """Check a 3D FSC (or a sampling density) and return it as the half spectrum of a Fourier weight.

    Parameters
    ----------
    cube : Volume
        Centred cube with DC at ``n // 2``.
    like : Volume
        The map it belongs to.

    Returns
    -------
    ndarray
        ``(n, n, n // 2 + 1)`` in 0..1, DC at index 0.

    Raises
    ------
    SpisonetError
        If it has another box, is not a weight in 0..1, or is a mask.
    """
    require_same_grid(like, cube)
    if cube.data.max() > MAX_WEIGHT:
        raise SpisonetError(
            f"{cube.name} has values up to {cube.data.max():g}; a Fourier weight is within 0 to 1.",
            field="aniso_file",
        )
    if cube.data.max() <= 0:
        raise SpisonetError(
            f"{cube.name} has no value above 0; give a 3D FSC or a Fourier sampling density.",
            field="aniso_file",
        )
    if _is_in_real_space(cube.data):
        raise SpisonetError(
            f"{cube.name} is given as the 3D FSC but differs between opposite frequencies, as a mask does "
            "and a 3D FSC cannot; give the 3D FSC as --aniso_file and the mask as --mask, or in this order "
            "without names.",
            field="aniso_file",
        )
    return half_from_centred(np.clip(cube.data, 0.0, 1.0))


def _is_in_real_space(centred: NDArray[np.float32]) -> bool:
    """Whether many values are exactly 1, as in a mask, and opposite frequencies differ clearly.

    Spectra of real maps are symmetric about DC, wherever a program places it. Not recognised are masks that
    are symmetric about the centre. Cubes that are filled in one half of Fourier space are weights.
    """
    if np.count_nonzero(centred == 1) < MIN_FRACTION_OF_ONES * np.count_nonzero(centred > 0):
        return False
    if not all((side > 0).any() for axis in range(3) for side in _sides(centred, axis)):
        return False
    values = np.clip(centred, 0.0, 1.0)
    total = float(values.sum(dtype=np.float64))
    differences = (
        np.abs(values - np.roll(values[::-1, ::-1, ::-1], shift, axis=(0, 1, 2))) for shift in SHIFTS_OF_DC
    )
    return all(float(d.sum(dtype=np.float64)) > 2 * MIN_ASYMMETRY * total for d in differences)


def _sides(centred: NDArray[np.float32], axis: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what lies on both sides of the plane through DC perpendicular to an axis."""
    middle, values = centred.shape[axis] // 2, np.moveaxis(centred, axis, 0)
    return values[:middle], values[middle + 1 :]


def include_reference(
    map_data: NDArray[np.float32],
    reference: NDArray[np.float32],
    low: NDArray[np.float32],
    weight_rfft: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Replace the low resolutions of a map by those of a reference, scaled to the amplitudes of the map.

    Parameters
    ----------
    map_data, reference : ndarray
        ``(n, n, n)``.
    low : ndarray
        ``(n, n, n // 2 + 1)`` weight of the reference in 0..1, see `reference_weight`.
    weight_rfft : ndarray, optional
        ``(n, n, n // 2 + 1)`` weight by which the map is filtered already, if any.
    """
    spectrum, other = rfft3(map_data), rfft3(reference)
    inside = low > REFERENCE_THRESHOLD
    inside[0, 0, 0] = False
    alike = other if weight_rfft is None else other * weight_rfft
    scale = float(np.linalg.norm(spectrum[inside]) / max(float(np.linalg.norm(alike[inside])), 1e-30))
    mixed = spectrum * (1 - low) + other * low * scale
    mixed[0, 0, 0] = spectrum[0, 0, 0]
    return irfft3(mixed.astype(np.complex64), map_data.shape)


def correction_band(weights: FourierWeights, limit_shell: float) -> NDArray[np.float32]:
    """Return the fraction in 0..1 of each Fourier coefficient that is corrected; the rest remains the input.

    It is `FourierWeights.learnable` of the shell, with a soft edge that ends at `limit_shell`: finer
    resolutions are not changed.

    Parameters
    ----------
    weights : FourierWeights
        Fourier weights of the map.
    limit_shell : float
        Resolution limit in Fourier voxels.

    Returns
    -------
    ndarray
        ``(n, n, n // 2 + 1)``; 1 at DC.
    """
    n = len(weights.fsc_weight_rfft)
    inside = soft_lowpass_weights(n, limit_shell - BAND_EDGE, BAND_EDGE)
    band = inside * shell_curve_to_rfft(weights.learnable, n)
    band[0, 0, 0] = 1.0
    return band


def prepare_measurement(
    maps: list[NDArray[np.float32]],
    weights: FourierWeights,
    band_rfft: NDArray[np.float32],
    mask: NDArray[np.float32] | None,
    device: torch.device,
    positivity: bool,
) -> tuple[Measurement, list[GreyScale]]:
    """Normalise one or two maps and put them on a device, with their Fourier weights.

    Parameters
    ----------
    maps : list of ndarray
        ``(n, n, n)`` in grey values.
    weights : FourierWeights
        Fourier weights of the maps.
    band_rfft : ndarray
        ``(n, n, n // 2 + 1)`` fraction in 0..1 that is corrected, see `correction_band`.
    mask : ndarray or None
        Soft mask.
    device : torch.device
        Device of the measurement.
    positivity : bool
        Constrain the density inside the mask to at least that of the solvent, if the maps are brighter.

    Returns
    -------
    Measurement
        The normalised maps and their weights.
    list of GreyScale
        Grey scale of each map.
    """
    scales = [measure_grey_scale(volume, mask, band_rfft) for volume in maps]
    densities = [scale.normalise(volume) for volume, scale in zip(maps, scales, strict=True)]
    weight = (
        weights.fsc_weight_rfft
        if mask is None
        else weights.fsc_weight_rfft * mask_leakage_weight(densities, mask)
    )
    measurement = build_measurement(
        densities,
        weight,
        weights.view_weight_rfft,
        band_rfft,
        mask,
        device,
        positivity and all(is_brighter_than_solvent(d, mask) for d in densities),
        weights.noise_fraction_in_mask,
    )
    return measurement, scales


def build_measurement(
    halves: list[NDArray[np.float32]],
    fsc_weight_rfft: NDArray[np.float32],
    view_weight_rfft: NDArray[np.float32] | None,
    band_rfft: NDArray[np.float32],
    mask: NDArray[np.float32] | None,
    device: torch.device,
    positivity: bool,
    noise_fraction_in_mask: float = 1.0,
) -> Measurement:
    """Put normalised maps and their Fourier weights on a device.

    Parameters
    ----------
    halves : list of ndarray
        One or two normalised maps ``(n, n, n)``.
    fsc_weight_rfft : ndarray
        ``(n, n, n // 2 + 1)`` smooth weight ``C`` in 0..1.
    view_weight_rfft : ndarray or None
        ``(n, n, n // 2 + 1)`` sharp weight ``M`` in 0..1 of the unmasked maps.
    band_rfft : ndarray
        ``(n, n, n // 2 + 1)`` fraction in 0..1 that is corrected, see `correction_band`.
    mask : ndarray or None
        Soft mask.
    device : torch.device
        Device of the measurement.
    positivity : bool
        Constrain the density inside the mask to at least that of the solvent.
    noise_fraction_in_mask : float
        Fraction in 0..1 of the noise power of the box that lies inside the mask.
    """
    n = halves[0].shape[0]

    def on_device(weight_rfft: NDArray[np.float32]) -> torch.Tensor:
        weight = np.where(band_rfft > 0, weight_rfft, 0).astype(np.float32)
        weight[0, 0, 0] = 1.0
        return torch.from_numpy(weight).to(device)

    filtered = [irfft3((rfft3(half) * band_rfft).astype(np.complex64), half.shape) for half in halves]
    last_shell = float(radius_rfft((n, n, n))[band_rfft > 0].max(initial=1.0))
    # From (z, y, x) to (x, y, z).
    centres = np.ascontiguousarray(np.argwhere(particle_region(n, mask))[:, ::-1], dtype=np.float32)
    return Measurement(
        data=torch.from_numpy(np.stack(filtered)).to(device),
        fsc_weight_rfft=on_device(fsc_weight_rfft),
        view_weight_rfft=None if view_weight_rfft is None else on_device(view_weight_rfft),
        noise_fraction_in_mask=noise_fraction_in_mask,
        band_rfft=torch.from_numpy(band_rfft).to(device),
        band_fraction=min(1.0, last_shell / (n / 2)),
        subvolume_centres=torch.from_numpy(centres).to(device),
        support=None if mask is None else torch.from_numpy(np.clip(mask, 0.0, 1.0)).to(device),
        positivity=positivity and mask is not None,
    )
