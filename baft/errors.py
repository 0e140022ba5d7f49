"""The errors that this package tells apart; any other exception is a fault of the program and shows as a traceback."""

STOPPED = "told to stop; the next attempt goes on from what is done."
"""The last words of a job that was told to stop."""


class UserError(ValueError):
    """A bad input: one sentence that names the key, file or record, and says what to do. Printed without traceback."""


class EditError(Exception):
    """One edit cannot be made, though nothing is wrong with the settings or the program: its row says why."""


def first_line(error: Exception) -> str:
    """A library's error in one line: its kind, and the first line of what it says, or more where that ends in a colon."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    said = lines[0] if lines else ""
    for line in lines[1:]:
        if not said.endswith(":"):
            break
        said = f"{said} {line}"
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
