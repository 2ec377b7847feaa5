"""Graphical interface: a local web page over the same commands. It starts programs and shows files."""
