"""Restore the Fourier regions that a cryo-EM reconstruction did not measure."""

__version__ = "2.0.0a1"
