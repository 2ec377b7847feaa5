"""HTML pages made from the results of a run."""
