"""Fourier-space measurements and filters on whole volumes (NumPy, no learning)."""
