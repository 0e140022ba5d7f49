"""A digest of files that a user keeps, so that a change of what is in them reruns the jobs that read them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from baft.errors import UserError


def contents_digest(files: Iterable[str]) -> str:
    """SHA-256, first 16 hex digits, over the content of each of ``files`` in their order; empty without any.

    Neither names nor times count: a copy that keeps an older file's date is a change, and a touched file is none. Raises
    UserError if one cannot be read.
    """
    told = "".join(map(_hash, files))
    return hashlib.sha256(told.encode()).hexdigest()[:16] if told else ""


def _hash(file: str) -> str:
    try:
        with Path(file).open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error
