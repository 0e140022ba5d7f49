"""Who works in a folder: told from another process's note, and broken only if that process is known to be dead.

A process is known by its machine's boot, its PID namespace, its number and the time it started. Of a process that was
started elsewhere (another machine, another container) nobody here can tell whether it lives.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import getpass
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Self

from baft.errors import UserError
from baft.files import replacing, room_for

LOCK = ".baft.lock"
"""In a results folder: held by whoever writes it."""

HELD = "BAFT_HOLDS"
"""Environment variable: the lock that a process holds for what it starts."""

_STARTERS = Path(".snakemake/starters")
_DAY = 86_400.0
_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process, as others can know it."""

    host: str
    boot: str
    namespace: str
    pid: int
    started: str
    user: str
    folder: str
    since: float

    @classmethod
    def this(cls) -> Self:
        """The process that asks."""
        pid = os.getpid()
        return cls(
            host=socket.gethostname(),
            boot=_boot(),
            namespace=_namespace(),
            pid=pid,
            started=_started(pid) or "",
            user=_user(),
            folder=str(Path.cwd()),
            since=time.time(),
        )

    @classmethod
    def read(cls, text: str) -> Self | None:
        """The inverse of :meth:`written`; None for what is no note of a process."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return None

    def written(self) -> str:
        """A note of it."""
        return json.dumps(asdict(self))

    def is_of_this_kernel(self) -> bool:
        """Whether it ran since this machine was last started, in whatever container."""
        return bool(self.boot) and self.boot == _boot()

    def lives(self) -> bool | None:
        """Whether it still runs; None where that cannot be told from here."""
        if not self.is_of_this_kernel() or not self.namespace or self.namespace != _namespace():
            return None
        return _started(self.pid) == self.started

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.since))
        return f"process {self.pid} of {self.user} on {self.host}, started in {self.folder} at {since}"


@contextlib.contextmanager
def holding(lock: Path) -> Iterator[int]:
    """Hold what ``lock`` stands for, for this process and those that get the file descriptor which is yielded.

    The kernel lets go of it when the last of them ends, however that is. Raises :class:`~baft.errors.UserError`, with one
    sentence on who holds it and how to break the lock by hand, unless that process is known to be dead.
    """
    with _opened(lock) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        except BlockingIOError:
            raise UserError(_held(lock, _noted(file), sure=True)) from None
        except OSError:
            # A file system without locks: the note is all there is.
            locked = False
        before = _noted(file)
        # The kernel keeps the lock of a living process of its own, whatever container that is in.
        dead = before is None or (locked and before.is_of_this_kernel()) or before.lives() is False
        if not dead:
            raise UserError(_held(lock, before, sure=before is not None and before.lives() is True))
        _note(file, Process.this().written())
        try:
            yield file.fileno()
        finally:
            _note(file, "")


def hold_until_exit(results: Path) -> None:
    """Hold a results folder for the rest of this process, unless what started it does so already.

    Raises as :func:`holding`.
    """
    lock = results / LOCK
    if os.environ.get(HELD) != held_name(lock):
        held = contextlib.ExitStack()
        held.enter_context(holding(lock))
        atexit.register(held.close)


def held_name(lock: Path) -> str:
    """What :data:`HELD` is for a lock."""
    return os.path.realpath(lock)


def is_locked(folder: Path) -> bool:
    """Whether a Snakemake has locked the folder, be it alive or not."""
    return any((folder / ".snakemake" / "locks").glob("*"))


def sign(folder: Path) -> None:
    """Note that this process, a Snakemake, may lock ``folder``, for Snakemake's own lock does not say whose it is."""
    with contextlib.suppress(OSError, UserError):
        if not is_locked(folder):
            for path, process in _starters(folder):
                forgotten = process is None or (process.lives() is None and time.time() - process.since > _DAY)
                if forgotten or (process is not None and process.lives() is False):
                    path.unlink(missing_ok=True)
        me = Process.this()
        with replacing(folder / _STARTERS / f"{me.boot[:8]}-{me.pid}-{me.started}.json") as file:
            file.write(me.written().encode())


def has_stale_lock(folder: Path) -> bool:
    """Whether Snakemake's lock is on the folder, and each process that can have taken it is known to be dead."""
    starters = [process for _, process in _starters(folder)]
    known = starters and all(process is not None and process.lives() is False for process in starters)
    return is_locked(folder) and bool(known) and not _snakemake_works_in(folder)


def break_lock(folder: Path) -> None:
    """Take Snakemake's lock off the folder, as ``snakemake --unlock`` does."""
    shutil.rmtree(folder / ".snakemake/locks", ignore_errors=True)


def refuse_if_locked(folder: Path) -> None:
    """Raise :class:`~baft.errors.UserError` if Snakemake's lock is on the folder, with what is known of its holder."""
    if not is_locked(folder):
        return
    unlock = "if it was killed, unlock the folder with `snakemake --unlock`"
    there = [process for _, process in _starters(folder) if process is not None and process.lives() is not False]
    if there and there[0].lives():
        raise UserError(f"Snakemake is at work in this folder ({there[0]}); wait for it, or stop it first.")
    who = f"perhaps {there[0]}" if there else "by whom is not known"
    raise UserError(
        f"Snakemake has locked this folder ({who}), and it cannot be told from here whether it is still at work; wait "
        f"for it, or {unlock}."
    )


def _starters(folder: Path) -> list[tuple[Path, Process | None]]:
    found: list[tuple[Path, Process | None]] = []
    for path in sorted((folder / _STARTERS).glob("*.json")):
        with contextlib.suppress(OSError):
            found.append((path, Process.read(path.read_text(encoding="utf-8", errors="replace"))))
    return found


def _snakemake_works_in(folder: Path) -> bool:
    """Whether a process that can be seen here is a Snakemake in ``folder``; also one whose folder cannot be seen."""
    return any(_is_snakemake(process, folder) for process in _PROC.glob("[0-9]*"))


def _is_snakemake(process: Path, folder: Path) -> bool:
    try:
        command = (process / "cmdline").read_bytes().split(b"\0")
        if not any(word.rpartition(b"/")[2] == b"snakemake" for word in command[:3]):
            return False
        return Path(os.readlink(process / "cwd")) == folder.resolve()
    except PermissionError:
        return True
    except OSError:
        return False


@contextlib.contextmanager
def _opened(lock: Path) -> Iterator[IO[str]]:
    try:
        with room_for(lock):
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = lock.open("a+", encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{lock} cannot be written: {error.strerror or error}.") from None
    with file:
        yield file


def _noted(file: IO[str]) -> Process | None:
    file.seek(0)
    return Process.read(file.read())


def _note(file: IO[str], text: str) -> None:
    with room_for(Path(file.name)):
        file.seek(0)
        file.truncate()
        file.write(text)
        file.flush()


def _held(lock: Path, process: Process | None, *, sure: bool) -> str:
    who = str(process) if process else "another process"
    folder = lock.absolute().parent
    if sure and process is not None and process.lives() is False:
        who = f"a Snakemake of {who}, which has ended"
    if sure:
        return f"another run is at work in {folder}: {who}; wait for it, or stop it before starting again."
    return (
        f"another run may be at work in {folder}: {who}, of which it cannot be told from here whether it still "
        f"runs; wait for it, or if it is dead, delete {lock}."
    )


def _boot() -> str:
    return _content(_PROC / "sys/kernel/random/boot_id")


def _namespace() -> str:
    try:
        return os.readlink(_PROC / "self/ns/pid")
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a process started, in ticks since the boot; None if there is none of that number, or only its remains."""
    # The name of the program, in parentheses, may hold anything.
    fields = _content(_PROC / str(pid) / "stat").rpartition(")")[2].split()
    return None if len(fields) < 20 or fields[0] in "ZX" else fields[19]


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
