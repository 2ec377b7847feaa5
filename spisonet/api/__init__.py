"""What ``import spisonet`` offers: paths or arrays in, results out, nothing written unless asked.

`spisonet` imports the functions from the modules of this package when they are first used.
"""
