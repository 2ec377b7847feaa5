"""Every figure: a result in, a matplotlib figure out."""
