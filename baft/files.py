"""Files that are whole or absent, and one sentence where the disk is full."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from baft.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT)
# Libraries written in Rust or C++ raise errors of their own, with the system's in their text.
_SAID = re.compile(rf"os error ({'|'.join(map(str, _FULL))})\b|{'|'.join(map(os.strerror, _FULL))}", re.IGNORECASE)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary file that becomes ``path`` when the block ends well, and vanishes when it does not.

    It is written under a hidden name in the same folder, synced and renamed. Folders are made as needed, and those that
    were made go with the file. What killed writers of ``path`` left half-written is removed first. Raises
    :class:`UserError` if the disk or quota is full.
    """
    # A process id alone is not unique: containers and machines may share the folder.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        with room_for(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(path)
            with _held(temporary) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                os.replace(temporary, path)
            _sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
            for folder in made:
                folder.rmdir()
        raise


def write_text(path: Path, text: str) -> Path:
    """Write ``text`` to ``path`` as UTF-8, all or nothing, and return the path; errors as of :func:`replacing`."""
    with replacing(path) as file:
        file.write(text.encode())
    return path


@contextlib.contextmanager
def filling(folder: Path) -> Iterator[None]:
    """Around what fills ``folder``, which is removed with all that is in it if the block fails.

    Raises :class:`UserError` if the disk or quota is full.
    """
    try:
        with room_for(folder):
            yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextlib.contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Raises :class:`UserError` in place of whatever a library says of a full disk or quota while it writes ``path``."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not is_full(error):
            raise
        raise UserError(
            f"No space left for {path}: free some, or use another disk (`results` and `cache` of the config say which), "
            "and start again; what is finished is kept."
        ) from error


def is_full(error: BaseException) -> bool:
    """Whether an error says that a disk or quota is full, itself or what it comes from."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    if _SAID.search(str(error)):
        return True
    below = error.__cause__ or error.__context__
    return below is not None and is_full(below)


def _held(temporary: Path) -> BinaryIO:
    """A new file for writing, locked for as long as it is open, which tells others that its writer lives."""
    while True:
        file = temporary.open("wb")
        with contextlib.suppress(OSError):  # a file system without locks: nobody can take the file for a leftover
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between the two, another writer of the same path may have taken it for one.
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()


def _remove_leftovers(path: Path) -> None:
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(OSError), leftover.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            leftover.unlink()


def _sync_folder(folder: Path) -> None:
    # Without it a crash may lose the rename although the file's own bytes are on disk. Some network file systems
    # cannot sync a folder; the rename is then as durable as they make it.
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
