"""Depth of the networks, which determines the sizes that they accept; needs no PyTorch."""

DEPTH = 3
NETWORK_MULTIPLE: int = 2**DEPTH  # of the edges of subvolumes and tiles in voxels
