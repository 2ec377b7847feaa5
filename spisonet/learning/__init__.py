"""The engine: learn from measurements what their Fourier weights say is missing."""
