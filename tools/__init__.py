"""Tools for development: the documentation site, a build of RELION 5."""
