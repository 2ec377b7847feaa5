"""The one exception that a user is meant to read."""


class SpisonetError(Exception):
    """A fault in an input or an option: one sentence that names it and says what to do.

    Command lines print the sentence and exit with status 1; anything else that
    escapes is a defect of this program and keeps its traceback.
    """
