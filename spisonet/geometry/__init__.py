"""Rotations, point groups and the Fourier sampling of view distributions."""
