"""Maps as they are completed during a training, for those who want to look at them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    PreviewListener = Callable[[Tensor, Tensor], None]

_listeners: list[PreviewListener] = []


@contextmanager
def previews_to(listener: PreviewListener) -> Iterator[None]:
    """Call `listener` with the arguments of `report_completed`; it has to return at once."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def report_completed(data: Tensor, completed: Tensor) -> None:
    """Report maps ``(n_halves, z, y, x)`` before and after their completion by the current network."""
    for listener in tuple(_listeners):
        listener(data, completed)
