"""One iteration of a refinement: `BackProjector` accumulators in, regularised references out."""
