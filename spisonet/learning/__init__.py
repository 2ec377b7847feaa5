"""Training engine: measurements, objectives, networks, trainer, prediction and devices."""
