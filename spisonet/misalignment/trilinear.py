"""Trilinear interpolation of columns of a table at many points, its transpose, and its derivative."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


@dataclass(frozen=True)
class Cells:
    """The eight voxels of a table around each of ``m`` points.

    The voxels are visited one after the other: arrays of ``(m, 8)`` rows and weights would not fit into the
    cache of a processor.

    Attributes
    ----------
    rows : Tensor
        ``(m,)`` row of the voxel with the lowest indices.
    fractions : Tensor
        ``(3, m)`` distance ``(x, y, z)`` of the point from it, 0 to 1.
    strides : tuple of int
        Rows from one voxel to the next along ``y`` and ``z``; 1 along ``x``.
    """

    rows: Tensor
    fractions: Tensor
    strides: tuple[int, int]

    @cached_property
    def _factors(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """Weights of the lower and the upper side along ``x``, ``y`` and ``z``."""
        return tuple((1 - fraction, fraction) for fraction in self.fractions)

    @cached_property
    def _corners(self) -> list[tuple[int, Tensor]]:
        """Row offset and weight ``(m,)`` of each voxel."""
        along_x, along_y, along_z = self._factors
        corners = []
        for z in (0, 1):
            for y in (0, 1):
                weight = along_z[z] * along_y[y]
                corners += [(self._offset(x, y, z), weight * along_x[x]) for x in (0, 1)]
        return corners

    def _offset(self, x: int, y: int, z: int) -> int:
        return x + y * self.strides[0] + z * self.strides[1]

    def interpolate(self, column: Tensor) -> Tensor:
        """Return the values ``(m,)`` of a real or complex column ``(size,)``."""
        total: Tensor | None = None
        for offset, weight in self._corners:
            part = column[offset:].index_select(0, self.rows).mul_(weight)
            total = part if total is None else total.add_(part)
        return torch.as_tensor(total)

    def add(self, column: Tensor, values: Tensor) -> None:
        """Add values ``(m,)`` to a column ``(size,)`` in place: the transpose of `interpolate`."""
        for offset, weight in self._corners:
            column[offset:].scatter_add_(0, self.rows, weight * values)

    def derivative(self, product: Callable[[Tensor, int], Tensor]) -> Tensor:
        """Return the derivative ``(3, m)`` by `fractions` of a weighted sum over the voxels.

        Parameters
        ----------
        product : callable
            Summands ``(m,)``, from `rows` and a row offset.
        """
        along_x, along_y, along_z = self._factors
        result = torch.zeros_like(self.fractions)
        for z in (0, 1):
            for y in (0, 1):
                lower, upper = (product(self.rows, self._offset(x, y, z)) for x in (0, 1))
                difference = upper - lower
                between = torch.addcmul(lower, along_x[1], difference)
                result[0].addcmul_(along_z[z] * along_y[y], difference)
                result[1].addcmul_(along_z[z], between, value=2 * y - 1)
                result[2].addcmul_(along_y[y], between, value=2 * z - 1)
        return result


def table_columns(table: Tensor) -> list[Tensor]:
    """Return the columns of a table ``(size, c)``; two of them as one complex column."""
    return [torch.view_as_complex(table)] if table.shape[1] == 2 else list(table.T)


class Interpolation(torch.autograd.Function):
    """Values ``(m, c)`` of a table ``(size, c)`` at points, with derivatives by both.

    The arguments are the table, the points ``(3, m)`` and a function that returns their cells, and the
    derivative ``(m,)`` of fractions by points.
    """

    @staticmethod
    def forward(
        ctx: Any, table: Tensor, points: Tensor, cells: Callable[[Tensor], tuple[Cells, Tensor]]
    ) -> Tensor:
        """Interpolate."""
        ctx.save_for_backward(table, points)
        ctx.cells = cells
        found, _ = cells(points)
        columns = [found.interpolate(column) for column in table_columns(table)]
        if columns[0].is_complex():
            return torch.view_as_real(columns[0])
        return torch.stack(columns, dim=1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Return the derivatives by table and points."""
        table, points = ctx.saved_tensors
        cells, scale = ctx.cells(points)
        gradient = gradient.contiguous()
        factors = gradient.T.contiguous()
        by_table = by_points = None
        if ctx.needs_input_grad[0]:
            by_table = torch.zeros_like(table)
            for column, factor in zip(table_columns(by_table), table_columns(gradient), strict=True):
                cells.add(column, factor)
        if ctx.needs_input_grad[1]:
            columns = list(table.T)

            def product(rows: Tensor, offset: int) -> Tensor:
                parts = [column[offset:].index_select(0, rows) for column in columns]
                return torch.stack(parts).mul_(factors).sum(dim=0)

            by_points = cells.derivative(product) * scale
        return by_table, by_points, None
