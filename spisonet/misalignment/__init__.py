"""One iteration of a refinement: back-projected sums in, a reference without directional bias out."""
