"""Half maps and their 3D FSC to corrected half maps."""
