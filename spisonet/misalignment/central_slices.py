"""Central slices of a 3D Fourier transform: their values, and their sum into a volume.

Both use trilinear interpolation on a padded grid, as RELION does. A table holds the half ``x >= 0`` of a
Fourier transform up to a radius, with ``y`` and ``z`` from negative to positive, as rows of real numbers.

References
----------
Scheres (2012) J. Struct. Biol. 180, 519-530 (interpolation on padded grids in RELION).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

import torch
from torch.nn import functional

from spisonet.misalignment.trilinear import Cells, Interpolation

if TYPE_CHECKING:
    from torch import Tensor

MARGIN = 2  # table voxels beyond the outermost shell: half a shell, and a neighbour


@dataclass(frozen=True)
class SliceTable:
    """Geometry of a table.

    Attributes
    ----------
    box : int
        Edge of the map in voxels.
    radius : int
        Outermost shell of slices, less than that at Nyquist; points are less than half a voxel beyond it.
    padding : int
        Table voxels per Fourier voxel of the map.
    device : torch.device
        Device of the tables.
    """

    box: int
    radius: int
    padding: int
    device: torch.device

    @property
    def reach(self) -> int:
        """Largest index of the table along each axis."""
        return self.radius * self.padding + MARGIN

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(z, y, x)`` of the table."""
        edge = 2 * self.reach + 1
        return edge, edge, self.reach + 1

    @property
    def size(self) -> int:
        """Number of rows."""
        z, y, x = self.shape
        return z * y * x

    @property
    def padded_box(self) -> int:
        """Edge of the padded map."""
        return self.box * self.padding

    def cells(self, points: Tensor) -> tuple[Cells, Tensor]:
        """Return the voxels around points ``(3, m)`` ``(x, y, z)`` in Fourier voxels of the map.

        Where a point has ``x < 0``, they are those around its Friedel mate. The second result ``(m,)`` are
        table voxels per Fourier voxel, negative there.
        """
        scale = torch.where(points[0] < 0, -float(self.padding), float(self.padding))
        by_axis = points * scale
        lower = by_axis.floor()
        x, y, z = lower.long()
        _, n_rows, n_columns = self.shape
        rows = ((z + self.reach) * n_rows + y + self.reach) * n_columns + x
        return Cells(rows, by_axis - lower, (n_columns, n_rows * n_columns)), scale

    def interpolate(self, table: Tensor, points: Tensor) -> Tensor:
        """Interpolate a table ``(size, c)`` at points ``(3, m)``, ``(m, c)``.

        The first two columns are real and imaginary part; others are the same for Friedel mates.
        """
        found = cast("Tensor", Interpolation.apply(table, points, self.cells))  # type: ignore[no-untyped-call]
        imaginary = torch.where(points[0] < 0, -found[:, 1], found[:, 1])
        return torch.cat([found[:, :1], imaginary[:, None], found[:, 2:]], dim=1)

    def values(self, table: Tensor, points: Tensor) -> Tensor:
        """Interpolate complex values ``(m,)`` at points ``(3, m)`` from a table ``(size, 2)``."""
        return torch.view_as_complex(self.interpolate(table, points))

    def add(self, columns: tuple[Tensor, Tensor], points: Tensor, values: Tensor, weights: Tensor) -> None:
        """Add values and weights at points to the columns of a table.

        Parameters
        ----------
        columns : tuple of Tensor
            Complex values and real weights, each ``(size,)``; changed in place.
        points : Tensor
            ``(3, m)``.
        values : Tensor
            ``(m,)`` complex.
        weights : Tensor
            ``(m,)``.
        """
        cells, _ = self.cells(points)
        cells.add(columns[0], torch.where(points[0] < 0, values.conj(), values))
        cells.add(columns[1], weights)

    def inner_product(self, table: Tensor, points: Tensor, values: Tensor, weights: Tensor) -> Tensor:
        """Return the inner product of a table ``(size, 3)`` with what `add` would add."""
        found = self.interpolate(table, points)
        return (found * torch.stack([values.real, values.imag, weights], dim=1)).sum()

    @cached_property
    def points(self) -> Tensor:
        """``(3, size)`` ``(x, y, z)`` of the rows, in Fourier voxels of the map."""
        side = torch.arange(-self.reach, self.reach + 1, device=self.device, dtype=torch.float32)
        z, y, x = torch.meshgrid(side, side, side[self.reach :], indexing="ij")
        return torch.stack([x, y, z]).reshape(3, -1) / self.padding

    def with_friedel_mates(self, table: Tensor) -> Tensor:
        """Return a table ``(size, 3)`` in which the plane ``x = 0`` holds the sums of Friedel mates."""
        z, y, x = self.shape
        volume = table.reshape(z, y, x, -1)
        mates = volume[:, :, 0].flip(0, 1) * torch.tensor([1.0, -1.0, 1.0], device=table.device)
        plane = volume[:, :, :1] + mates[:, :, None]
        return torch.cat([plane, volume[:, :, 1:]], dim=2).reshape(table.shape)

    def symmetrised(self, table: Tensor, rotations: Tensor) -> Tensor:
        """Return the sum of a table ``(size, 3)`` over the rotations ``(g, 3, 3)`` of a point group."""
        if len(rotations) == 1:
            return table
        inside = self.points.norm(dim=0) <= self.radius + 1 / self.padding
        total = table.clone()
        for rotation in rotations[1:]:
            found = self.interpolate(table, rotation @ self.points[:, inside])
            total = total.index_add(0, inside.nonzero()[:, 0], found)
        return total

    def spectrum(self, table: Tensor) -> Tensor:
        """Return complex values ``(size,)`` as a padded half spectrum with DC at index 0."""
        p, reach = self.padded_box, self.reach
        volume = table.reshape(self.shape)
        side = torch.arange(-reach, reach + 1, device=self.device) % p
        full = torch.zeros((p, p, p // 2 + 1), dtype=table.dtype, device=self.device)
        return full.index_put((side[:, None, None], side[None, :, None], side[None, None, reach:]), volume)

    def table(self, spectrum: Tensor) -> Tensor:
        """Return a table ``(size, 2)`` from a padded half spectrum with DC at index 0."""
        p, reach = self.padded_box, self.reach
        side = torch.arange(-reach, reach + 1, device=self.device) % p
        volume = spectrum[side[:, None, None], side[None, :, None], side[None, None, reach:]]
        return torch.view_as_real(volume.reshape(-1)).contiguous()

    @cached_property
    def interpolation_envelope(self) -> Tensor:
        """``(box, box, box)`` Fourier transform of the trilinear kernel, to divide maps by."""
        axis = torch.arange(self.box, device=self.device, dtype=torch.float32) - self.box // 2
        square = axis**2
        distance = (square[:, None, None] + square[None, :, None] + square).sqrt()
        return torch.sinc(distance / self.padded_box) ** 2

    def map_of(self, values: Tensor) -> Tensor:
        """Return the map ``(box, box, box)`` of complex values ``(size,)``, its centre at ``box // 2``."""
        p = self.padded_box
        corner = cast("Tensor", torch.fft.irfftn(self.spectrum(values), s=(p, p, p)))
        padded = corner.roll((self.box // 2,) * 3, (0, 1, 2))
        return padded[: self.box, : self.box, : self.box] / self.interpolation_envelope

    def table_of(self, volume: Tensor) -> Tensor:
        """Return the table ``(size, 2)`` of a map ``(box, box, box)`` with its centre at ``box // 2``."""
        corrected = volume / self.interpolation_envelope
        p, n = self.padded_box, self.box
        padded = functional.pad(corrected, (0, p - n) * 3).roll((-(n // 2),) * 3, (0, 1, 2))
        return self.table(cast("Tensor", torch.fft.rfftn(padded)))


def slice_points(rotations: Tensor, plane: Tensor) -> Tensor:
    """Return the points ``(3, n, m)`` of central slices, or of rotated volumes.

    Parameters
    ----------
    rotations : Tensor
        ``(n, 3, 3)`` from the map to the image or volume.
    plane : Tensor
        ``(m, 2)`` ``(x, y)`` or ``(m, 3)`` ``(x, y, z)`` in Fourier voxels.
    """
    return rotations[:, : plane.shape[1]].permute(2, 0, 1) @ plane.T
