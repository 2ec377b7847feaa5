"""Width and depth of the networks; the depth determines the sizes that they accept. Needs no PyTorch."""

DEFAULT_FILTER_BASE = 32
DEPTH = 3
NETWORK_MULTIPLE: int = 2**DEPTH  # of the edges of subvolumes and tiles in voxels
