"""Simulated subtomograms with known poses, refined by RELION with several kinds of references."""
