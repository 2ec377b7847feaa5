"""Tomograms: prepare, deconvolve, mask (cryoET IsoNet)."""
