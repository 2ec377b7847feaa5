"""Poses of simulated refinements with known truth, corrected by several methods."""
