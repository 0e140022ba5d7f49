"""The one error that is the user's to mend."""


class UserError(ValueError):
    """A bad input: one sentence that names the key, file or record, and says what to do. Printed without traceback."""
