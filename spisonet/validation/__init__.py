"""Validation of a correction: held-out cones, null tests, uncertainty, comparison with a model."""
