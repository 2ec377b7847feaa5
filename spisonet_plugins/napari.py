"""Commands of napari's plugin manifest; see `spisonet.integrations.napari`."""

from __future__ import annotations

from spisonet.integrations.napari.panel import SpisonetPanel
from spisonet.integrations.napari.reading import get_reader, sample_maps
from spisonet.integrations.napari.writing import write_mask

__all__ = ["SpisonetPanel", "get_reader", "sample_maps", "write_mask"]
