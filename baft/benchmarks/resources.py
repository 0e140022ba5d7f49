"""Where the files that ship with the project lie."""

from __future__ import annotations

from pathlib import Path

from baft.errors import UserError
from baft.shipped import shipped

RESOURCES = shipped("resources")


def resource(name: str) -> Path:
    """Path of the shipped file ``name``, relative to ``resources/``.

    Raises:
        UserError: the file is not there.
    """
    path = RESOURCES / name
    if not path.is_file():
        raise UserError(f"{path}, which ships with the project, is missing: install it again.")
    return path
