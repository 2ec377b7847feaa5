"""Plugins and files for other programs: each builds a configuration and calls the functions of the commands.

Every part needs the extra of its program; nothing else in spisonet imports it.
"""
