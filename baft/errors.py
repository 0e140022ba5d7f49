"""The one error that is the user's to mend, and what is no error."""

STOPPED = "told to stop; the next attempt goes on from what is done."
"""The last words of a job that was told to stop."""


class UserError(ValueError):
    """A bad input: one sentence that names the key, file or record, and says what to do. Printed without traceback."""
