"""The errors that this package tells apart; any other exception is a fault of the program and shows as a traceback."""

STOPPED = "told to stop; the next attempt goes on from what is done."
"""The last words of a job that was told to stop."""


class UserError(ValueError):
    """A bad input: one sentence that names the key, file or record, and says what to do. Printed without traceback."""


class EditError(Exception):
    """One edit cannot be made, though nothing is wrong with the settings or the program: its row says why."""


def first_line(error: Exception) -> str:
    """What a library says in the first line of its error, or the error's kind if it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
