"""Rotations, point groups, directions on the sphere, and the Fourier sampling of view distributions."""
