"""Where the files that ship with the project lie."""

from __future__ import annotations

from pathlib import Path

from baft.errors import UserError

# Of an editable installation this is the clone's `resources/`.
RESOURCES = Path(__file__).resolve().parents[2] / "resources"


def resource(name: str) -> Path:
    """Path of the shipped file ``name``, relative to ``resources/``.

    Raises:
        UserError: the file is not there, as in an installation that is not an editable one of a clone.
    """
    path = RESOURCES / name
    if not path.is_file():
        raise UserError(
            f"{path} is missing: the project's own files are read from a clone, so install it with "
            "`pip install --editable .` from the folder that holds resources/."
        )
    return path
