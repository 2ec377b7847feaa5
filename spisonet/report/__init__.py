"""HTML reports: one page from the results of a run."""
