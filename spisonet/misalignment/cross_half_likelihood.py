"""Log-likelihood of each half set's particles, given the map of the *other* half set.

Half maps agree well if the poses of both halves have drifted alike: map and poses fit each other.
Particles that had no part in a map are predicted best by the true map in their true poses.

Each half map is reconstructed from its particles, masked, and multiplied by the FSC of the half maps. In
every shell, half set and optics group the projection is scaled by ``a``, and the noise has the power
``s2`` of the residual. The log-likelihood is relative to the model "noise only".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from spisonet.misalignment.central_slices import slice_points
from spisonet.misalignment.half_map_model import SMALLEST, scale_and_noise, squared_modulus
from spisonet.misalignment.pose_motion import sum_by_particle

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from spisonet.misalignment.half_map_model import HalfMapModel
    from spisonet.misalignment.image_band import Poses


@dataclass(frozen=True)
class CrossHalfLikelihood:
    """How well the half maps predict the particles of the other half set.

    Attributes
    ----------
    by_particle : ndarray
        ``(n,)`` log-likelihood of each particle over "noise only", in nats; with tilt images, the sum over
        those of a subtomogram.
    gain_by_shell : ndarray
        ``(last + 1,)`` ``sum (2 a Re<x, p> - a^2 |p|^2) / s2`` over particles; 0 before the band.
    fsc : ndarray
        ``(last + 1,)`` FSC of the masked half maps.
    half_maps : ndarray
        ``(2, box, box, box)`` unfiltered half maps, cropped in Fourier space to the band.
    gradient : ndarray or None
        ``(n, 3)`` derivative of the sum of `by_particle` by a rotation vector of the view of each image, in
        radians (map frame).
    """

    by_particle: NDArray[np.float64]
    gain_by_shell: NDArray[np.float64]
    fsc: NDArray[np.float64]
    half_maps: NDArray[np.float32]
    gradient: NDArray[np.float64] | None = None

    @property
    def total(self) -> float:
        """Log-likelihood of all particles in nats."""
        return float(self.by_particle.sum())

    @property
    def mean(self) -> float:
        """Log-likelihood per particle in nats."""
        return float(self.by_particle.mean())


@dataclass(frozen=True)
class _ShellModel:
    """Scale and noise power by group and shell, each ``(g, last + 1)``.

    ``log_ratio`` and ``inverse_difference`` compare the noise power with that of the model "noise only",
    ``log(s0 / s2)`` and ``1 / s0 - 1 / s2``; these small numbers are calculated in double precision.
    """

    scale: Tensor
    noise: Tensor
    log_ratio: Tensor
    inverse_difference: Tensor
    groups: Tensor  # (n,)
    counts: Tensor  # (last + 1,) coefficients of an image by shell, Friedel mates included
    first: int

    def gains(self, cross: Tensor, power: Tensor, groups: Tensor) -> Tensor:
        """Return ``(2 a Re<x, p> - a^2 |p|^2) / s2`` of particles by shell, ``(n, last + 1)``."""
        a, s2 = self.scale[groups], self.noise[groups]
        gains = (2 * a * cross - a**2 * power) / s2
        return gains * (torch.arange(gains.shape[1], device=gains.device) >= self.first)

    def log_likelihoods(self, products: Tensor) -> Tensor:
        """Log-likelihood of particles over "noise only", ``(n,)``, from ``(3, n, last + 1)`` products."""
        cross, power, observed = products
        in_band = torch.arange(len(self.counts), device=cross.device) >= self.first
        constants = (
            self.counts * self.log_ratio[self.groups] + observed * self.inverse_difference[self.groups]
        )
        # Both Friedel mates are counted, which hold the same information.
        gains = self.gains(cross, power, self.groups) + constants * in_band
        return torch.as_tensor(gains / 2).sum(dim=1)


def cross_half_likelihood(
    model: HalfMapModel, poses: Poses, with_gradient: bool = False
) -> CrossHalfLikelihood:
    """Return the log-likelihood of particles in given poses.

    Parameters
    ----------
    model : HalfMapModel
        Images, mask and symmetry.
    poses : Poses
        Both the half maps and the projections are made with these.
    with_gradient : bool
        Whether to calculate `CrossHalfLikelihood.gradient`, at about four times the cost.
    """
    inserted = model.insert(poses).requires_grad_(with_gradient)
    with torch.set_grad_enabled(with_gradient):
        maps = model.half_maps(inserted)
        fsc = model.fsc(maps)
        filtered = model.filtered_tables(maps, fsc)
    tables = [table.detach().requires_grad_(with_gradient) for table in filtered]
    with torch.no_grad():
        products = torch.cat(
            [
                _products(model, batch, poses, _points(model, batch, poses), tables)
                for batch in model.band.batches()
            ],
            dim=1,
        )
        shell_model = _fit_shells(model, products)
        gains = shell_model.gains(products[0], products[1], shell_model.groups)
        by_image = shell_model.log_likelihoods(products)
    gradient = None
    if with_gradient:
        derivative = _through_projections(model, poses, tables, shell_model)
        torch.autograd.backward(filtered, [_gradient_of(table) for table in tables])
        derivative += _through_maps(model, poses, inserted)
        gradient = _by_rotation_vectors(poses, derivative)
    return CrossHalfLikelihood(
        by_particle=sum_by_particle(by_image.cpu().double().numpy(), model.band.particles.particle_numbers),
        gain_by_shell=gains.cpu().double().sum(dim=0).numpy(),
        fsc=fsc.cpu().double().numpy(),
        half_maps=maps.detach().cpu().numpy(),
        gradient=gradient,
    )


def _points(model: HalfMapModel, batch: NDArray[np.intp], poses: Poses) -> Tensor:
    return slice_points(model.band.tensor(poses.rotations[batch]), model.band.plane)


def _products(
    model: HalfMapModel, batch: NDArray[np.intp], poses: Poses, points: Tensor, tables: list[Tensor]
) -> Tensor:
    """Return ``Re<x, p>``, ``|p|^2`` and ``|x|^2`` by particle and shell, ``(3, n, last + 1)``."""
    band = model.band
    ctf, images = band.ctf(batch), band.coefficients(batch, poses)
    projections = torch.zeros_like(images)
    for half in (0, 1):
        mine = band.in_half_set(batch, half + 1)
        values = model.grid.values(tables[1 - half], points[:, mine].reshape(3, -1))
        projections = projections.index_put((mine,), values.reshape(len(mine), images.shape[1]))
    projections = projections * ctf
    terms = torch.stack(
        [(images.conj() * projections).real, squared_modulus(projections), squared_modulus(images)]
    )
    sums = torch.zeros((*terms.shape[:2], band.last + 1), device=band.device)
    return sums.index_add(2, band.shells, 2 * terms)


def _fit_shells(model: HalfMapModel, products: Tensor) -> _ShellModel:
    band = model.band
    groups = band.noise_groups.cpu()  # not every device has double precision
    n_groups = int(groups.max()) + 1
    counts = 2 * torch.bincount(band.shells.cpu(), minlength=band.last + 1)
    zeros = torch.zeros((3, n_groups, band.last + 1), dtype=torch.float64)
    cross, power, observed = zeros.index_add(1, groups, products.cpu().double())
    n_coefficients = (torch.bincount(groups, minlength=n_groups)[:, None] * counts).clamp(min=1)
    scale, noise = scale_and_noise(cross, power, observed, n_coefficients)
    null = (observed / n_coefficients).clamp(min=SMALLEST)
    tables = {"scale": scale, "noise": noise, "counts": counts}
    tables |= {"log_ratio": (null / noise).log(), "inverse_difference": 1 / null - 1 / noise}
    on_device = {name: table.float().to(band.device) for name, table in tables.items()}
    return _ShellModel(**on_device, groups=band.noise_groups, first=band.first)


def _through_projections(
    model: HalfMapModel, poses: Poses, tables: list[Tensor], shells: _ShellModel
) -> Tensor:
    """Return the derivative ``(n, 3, 3)`` by the rotations of projections; accumulate those of tables.

    Scale and noise are at their optimum, where the likelihood does not change with them.
    """
    derivative = torch.zeros((len(model.band), 3, 3), device=model.band.device)
    for batch in model.band.batches():
        rotations = model.band.tensor(poses.rotations[batch]).requires_grad_()
        products = _products(model, batch, poses, slice_points(rotations, model.band.plane), tables)
        (shells.gains(products[0], products[1], shells.groups[batch[0] : batch[-1] + 1]).sum() / 2).backward()  # type: ignore[no-untyped-call]
        derivative[batch[0] : batch[-1] + 1] = _gradient_of(rotations)
    return derivative


def _through_maps(model: HalfMapModel, poses: Poses, inserted: Tensor) -> Tensor:
    """Return the derivative ``(n, 3, 3)`` by the rotations of the images in the half maps."""
    band = model.band
    derivative, by_table = torch.zeros((len(band), 3, 3), device=band.device), _gradient_of(inserted)
    for batch in band.batches():
        rotations = band.tensor(poses.rotations[batch]).requires_grad_()
        points, (data, weight) = slice_points(rotations, band.plane), model.inserted(batch, poses)
        total = torch.zeros((), device=band.device)
        for half in (0, 1):
            mine = band.in_half_set(batch, half + 1)
            values = data[mine].reshape(-1), weight[mine].reshape(-1)
            total = total + model.grid.inner_product(by_table[half], points[:, mine].reshape(3, -1), *values)
        total.backward()  # type: ignore[no-untyped-call]
        derivative[batch[0] : batch[-1] + 1] = _gradient_of(rotations)
    return derivative


def _gradient_of(tensor: Tensor) -> Tensor:
    """Return the gradient that a backward pass has left."""
    if tensor.grad is None:
        raise RuntimeError("No gradient was calculated.")
    return tensor.grad


def _by_rotation_vectors(poses: Poses, derivative: Tensor) -> NDArray[np.float64]:
    """Convert derivatives by matrices A to those by rotation vectors w of the views: A changes by -A [w]."""
    product = poses.rotations.transpose(0, 2, 1) @ derivative.cpu().double().numpy()
    return np.stack([product[:, i, j] - product[:, j, i] for i, j in ((1, 2), (2, 0), (0, 1))], axis=1)
