"""What a correction is worth: validation of its results, and the report."""
