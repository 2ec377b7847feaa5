"""Half maps of particles in given poses, and the references made of them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from spisonet.errors import SpisonetError
from spisonet.fourier.grids import crop_or_pad_rfft, irfft3, rfft3
from spisonet.fourier.windows import soft_sphere
from spisonet.geometry.symmetry import symmetry_rotations
from spisonet.misalignment.central_slices import SliceTable, slice_points

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from spisonet.misalignment.image_band import ImageBand, Poses

PADDING = 2
WEIGHT_FLOOR = 1e-3  # of the mean weight of the shell
BOX_MARGIN = 4  # voxels of the cropped map beyond the band
MIN_FSC, MAX_FSC = 1e-3, 0.999  # in the signal-to-noise ratio
SMALLEST = 1e-30
SPHERE_EDGE_VOXELS = 3.0


class HalfMapModel:
    """Reconstructs half maps, cropped in Fourier space to the band of the images.

    Parameters
    ----------
    band : ImageBand
        The images.
    mask : ndarray or None
        ``(box, box, box)`` values of 0 to 1; otherwise a soft sphere that fits into the box.
    sym : str
        Point group.
    padding : int
        Of the interpolation in Fourier space.

    Raises
    ------
    SpisonetError
        If the mask has another box than the images, or the point group is unknown.
    """

    def __init__(
        self, band: ImageBand, mask: NDArray[np.float32] | None, sym: str, padding: int = PADDING
    ) -> None:
        particles = band.particles
        self.band = band
        self.box = min(particles.box, 2 * (band.last + BOX_MARGIN))
        self.voxel_size_angstrom = band.length_angstrom / self.box
        self.grid = SliceTable(self.box, band.last, padding, band.device)
        self.symmetry = band.tensor(symmetry_rotations(sym))
        self.mask = band.tensor(soft_sphere(self.box, self.box / 2 - SPHERE_EDGE_VOXELS, SPHERE_EDGE_VOXELS))
        if mask is not None:
            if mask.shape != (particles.box,) * 3:
                raise SpisonetError(
                    f"The mask has {mask.shape[-1]} voxels along an edge, but the images of {particles.star} "
                    f"have {particles.box} pixels."
                )
            self.mask = band.tensor(_cropped_in_fourier_space(mask, self.box))
        self._shell = self.grid.points.norm(dim=0).round().long()
        self._inside = self._shell <= band.last
        k = torch.fft.fftfreq(self.box, 1 / self.box, device=band.device)
        square = k[:, None, None] ** 2 + k[None, :, None] ** 2 + k[: self.box // 2 + 1] ** 2
        self._map_shell = square.sqrt().round().long()

    def insert(self, poses: Poses) -> Tensor:
        """Sum the images of each half set into a table ``(2, size, 3)``: CTF times image, and CTF squared."""
        size, device = self.grid.size, self.band.device
        sums = torch.zeros((2, size), dtype=torch.complex64, device=device)
        weights = torch.zeros((2, size), device=device)
        for batch in self.band.batches():
            points = slice_points(self.band.tensor(poses.rotations[batch]), self.band.plane)
            data, weight = self.inserted(batch, poses)
            for half in (0, 1):
                mine = self.band.in_half_set(batch, half + 1)
                values = data[mine].reshape(-1), weight[mine].reshape(-1)
                self.grid.add((sums[half], weights[half]), points[:, mine].reshape(3, -1), *values)
        return torch.cat([torch.view_as_real(sums), weights[..., None]], dim=2)

    def inserted(self, batch: NDArray[np.intp], poses: Poses) -> tuple[Tensor, Tensor]:
        """Return CTF times image and CTF squared, each ``(n, m)``."""
        ctf = self.band.ctf(batch)
        return self.band.coefficients(batch, poses) * ctf, ctf**2

    def half_maps(self, tables: Tensor) -> Tensor:
        """Reconstruct the unfiltered half maps ``(2, box, box, box)`` from the tables of `insert`."""
        maps = []
        for table in self._symmetrised(tables):
            weight = table[:, 2]
            floor = WEIGHT_FLOOR * self._shell_mean(weight.detach())
            values = torch.complex(table[:, 0], table[:, 1]) / torch.maximum(
                weight, floor.clamp(min=SMALLEST)
            )
            maps.append(self.grid.map_of(values * self._inside))
        return torch.stack(maps)

    def fsc(self, maps: Tensor) -> Tensor:
        """FSC ``(last + 1,)`` of the masked half maps."""
        first, second = self._spectra(maps.detach())
        cross, *powers = (
            shell_sums(values, self._map_shell)
            for values in ((first * second.conj()).real, squared_modulus(first), squared_modulus(second))
        )
        fsc = cross / (powers[0] * powers[1]).sqrt().clamp(min=SMALLEST)
        return fsc[: self.band.last + 1]

    def filtered_tables(self, maps: Tensor, fsc: Tensor) -> list[Tensor]:
        """Return tables ``(size, 2)`` of the masked half maps, multiplied by their FSC in each shell."""
        weight = torch.zeros(int(self._map_shell.max()) + 1, device=maps.device)
        weight[: len(fsc)] = fsc.clamp(0, 1)
        filtered = torch.fft.irfftn(
            self._spectra(maps) * weight[self._map_shell], s=(self.box,) * 3, dim=(1, 2, 3)
        )
        return [self.grid.table_of(volume) for volume in torch.fft.fftshift(filtered, dim=(1, 2, 3))]

    def references(self, poses: Poses) -> Tensor:
        """Return tables ``(2, size, 3)`` of maximum a posteriori half maps: values, and their variance.

        The prior of a shell has the power that the FSC of the half maps gives.

        References
        ----------
        Scheres (2012) J. Mol. Biol. 415, 406-418 (the map); the variance is that of the same posterior.
        """
        raw = self.insert(poses)
        fsc = self.fsc(self.half_maps(raw)).clamp(MIN_FSC, MAX_FSC)
        results = []
        for table in self._symmetrised(raw):
            weight = table[:, 2]
            prior = self._shell_mean(weight) * ((1 - fsc) / fsc)[self._shell.clamp(max=len(fsc) - 1)]
            total = (weight + prior).clamp(min=SMALLEST)
            volume = self.grid.map_of(torch.complex(table[:, 0], table[:, 1]) / total * self._inside)
            reference = self.grid.table_of(volume * self.mask)
            # The power of the posterior mean is tau2 W / (W + 1 / tau2); tau2 is in units of the noise here.
            power = self._shell_mean((reference**2).sum(dim=1))
            expected = self._shell_mean(weight / total / prior.clamp(min=SMALLEST))
            variance = power / expected.clamp(min=SMALLEST) / total * self._inside
            results.append(torch.cat([reference, variance[:, None]], dim=1))
        return torch.stack(results)

    def _symmetrised(self, tables: Tensor) -> list[Tensor]:
        return [self.grid.symmetrised(self.grid.with_friedel_mates(table), self.symmetry) for table in tables]

    @cached_property
    def _table_shell_counts(self) -> Tensor:
        return shell_sums(self._inside.float(), self._shell).clamp(min=1)

    def _shell_mean(self, values: Tensor) -> Tensor:
        """Mean of a table's column over shells within the band, at each of its rows."""
        return (shell_sums(values * self._inside, self._shell) / self._table_shell_counts)[self._shell]

    def _spectra(self, maps: Tensor) -> Tensor:
        axes = (1, 2, 3)
        return cast("Tensor", torch.fft.rfftn(torch.fft.ifftshift(maps * self.mask, dim=axes), dim=axes))


def squared_modulus(values: Tensor) -> Tensor:
    """Return the squared modulus of complex values, without the square root of `abs`."""
    return values.real.square().addcmul(values.imag, values.imag)


def shell_sums(values: Tensor, shell: Tensor) -> Tensor:
    """Return sums of real values over shells, ``(n_shells,)``."""
    sums = torch.zeros(int(shell.max()) + 1, device=values.device, dtype=values.dtype)
    return sums.index_add(0, shell.reshape(-1), values.reshape(-1))


def scale_and_noise(
    cross: Tensor, power: Tensor, observed: Tensor, n_coefficients: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the scale of projections and the noise power that are most likely.

    Parameters
    ----------
    cross, power, observed : Tensor
        Sums of ``Re<x, p>``, ``|p|^2`` and ``|x|^2`` of images x and projections p.
    n_coefficients : Tensor
        Number of terms of each sum.
    """
    # A map that predicts the opposite of a shell does not predict it.
    scale = (cross / power.clamp(min=SMALLEST)).clamp(min=0)
    residual = observed - scale * cross
    return scale, (residual / n_coefficients.clamp(min=1)).clamp(min=SMALLEST)


def _cropped_in_fourier_space(mask: NDArray[np.float32], box: int) -> NDArray[np.float32]:
    """Resample a mask ``(n, n, n)`` to a smaller box over the same extent."""
    n = len(mask)
    if box == n:
        return mask
    spectrum = crop_or_pad_rfft(rfft3(np.fft.ifftshift(mask)), box)
    cropped = np.fft.fftshift(irfft3(spectrum, (box,) * 3)) * (box / n) ** 3
    return np.asarray(cropped.clip(0, 1), dtype=np.float32)
