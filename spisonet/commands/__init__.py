"""Commands of ``spisonet.py`` and ``isonet.py``: call a function, write its result, draw, print."""
