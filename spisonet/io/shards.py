"""Parts of a list that are processed by jobs of their own, such as the tasks of a job array."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

T = TypeVar("T")
FOLDER = "shards"  # in the output folder
LARGEST_COUNT = 10_000
PATTERN = re.compile(r"(\d{1,5})/(\d{1,5})")


@dataclass(frozen=True)
class Shard:
    """One of several parts of a list.

    Attributes
    ----------
    number : int
        Number of the part, from 1.
    count : int
        Number of parts.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read a text such as ``3/20``.

        Raises
        ------
        ValueError
            If the text is not such a fraction, or its number is not in 1 to its count.
        """
        found = PATTERN.fullmatch(text)
        shard = cls(int(found[1]), int(found[2])) if found else cls(0, 0)
        if not 1 <= shard.number <= shard.count <= LARGEST_COUNT:
            raise ValueError(f"{text} is not a part such as 3/20")
        return shard

    @classmethod
    def all_of(cls, count: int) -> list[Shard]:
        """Return all parts of a number of parts."""
        return [cls(number, count) for number in range(1, count + 1)]

    def of(self, items: Sequence[T]) -> list[T]:
        """Return the items of this part; consecutive items belong to different parts."""
        return list(items[self.number - 1 :: self.count])

    def folder(self, output_dir: Path) -> Path:
        """Return the folder for the record of this part."""
        return output_dir / FOLDER / f"{self.number}_of_{self.count}"
