"""What half maps and particles say before any correction (NumPy, no learning)."""
