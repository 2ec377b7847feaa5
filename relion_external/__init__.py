"""RELION's two contracts: the per-iteration reconstruct hook and External jobs."""
