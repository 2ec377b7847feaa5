"""Edits of another version of a file than the one that a page shows are refused."""

CHANGED = "changed_elsewhere"  # code of the error
