"""Paths of a config, in the one form in which the rules' patterns and the files that are looked for agree."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

# What Snakemake reads as a wildcard, a shell as a variable, and a glob as a pattern; and line breaks and their like.
_SPECIAL = re.compile(r"[{}$*?\[\]\\\x00-\x1f\x7f]")


def own_folder(path: str) -> str:
    """A folder that the study writes, without ``~``, ``.``, doubled or closing slashes, or ``..`` after a name.

    Raises ValueError for a path that is no folder of the study's own.
    """
    if not path.strip():
        raise ValueError("it is empty, but must be a folder")
    if "://" in path:
        raise ValueError(f"it is {path!r}, but must be a folder of a file system, not an address")
    if special := _SPECIAL.search(path):
        raise ValueError(f"it is {path!r}, but must be a path without the character {special.group()!r}")
    expanded = os.path.expanduser(path)
    if any(part != part.strip() or part.startswith("-") for part in Path(expanded).parts):
        raise ValueError(f"it is {path!r}, but no name in it may begin or end with a space, or begin with '-'")
    folder = re.sub("^//+", "/", os.path.normpath(expanded))
    if os.path.realpath(folder) != os.path.realpath(expanded):
        raise ValueError(f"it is {path!r}, which goes back through a symbolic link; write it without '..'")
    if Path.cwd().is_relative_to(os.path.realpath(folder)):
        raise ValueError(f"it is {path!r}, but must be a folder of its own, not one that holds this folder")
    return folder


def given_path(path: str) -> str:
    """A path of something that is there: ``~`` is the home folder. Raises ValueError for an empty one."""
    if not path.strip():
        raise ValueError("it is empty, but must be a path")
    return os.path.expanduser(path)


Folder = Annotated[str, AfterValidator(own_folder)]
Given = Annotated[str, AfterValidator(given_path)]
