"""Files: MRC volumes, particle metadata and run configurations."""
