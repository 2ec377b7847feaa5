"""Plugin for napari: maps, tomograms and finished runs as layers, labels as masks, and a panel."""
