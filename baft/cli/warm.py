"""A run's jobs without their start: each is handed to a parent that has imported what jobs need, and forks for it.

A job stays a process of its own, with its own files, log, exit code and threads. What Snakemake started waits for it, passes
signals on, and takes it along if it is killed. Where there is no such parent, or it isn't the right one, a job just runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ADDRESS = "BAFT_WARM"
"""Environment variable of a run's jobs: the socket on which the parent is asked."""

STATUS = struct.Struct("!i")
YES, NO = b"y", b"n"
_LENGTH = struct.Struct("!I")
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_GPU = ("/dev/nvidiactl", "/proc/driver/nvidia/version", "/dev/kfd", "/dev/dxg")


def handed_over(arguments: list[str]) -> int | None:
    """The exit status of the command with these ``arguments``, run by the parent; None if it must be run here."""
    address = os.environ.get(ADDRESS)
    if not address:
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as parent:
        try:
            parent.connect(address)
        except OSError:
            return None
        # From here on, for a signal that ends this process at once would leave the job no time to clean up.
        before = {number: signal.signal(number, _passing_on(parent)) for number in _PASSED_ON}
        try:
            _ask(parent, arguments)
            if _received(parent, len(YES)) == YES:
                return _awaited(parent)
        except OSError:
            pass
        for number, handler in before.items():
            signal.signal(number, handler)
    return None


@contextlib.contextmanager
def warm_parent(kept_open: list[int]) -> Iterator[None]:
    """Within the block, what is started with ``kept_open`` passed on has a parent for its jobs to be handed to.

    It imports what jobs need once the first of them comes, and ends with the last process that holds what is added to
    ``kept_open``. There is none on a machine with a GPU, whose driver does not survive a fork.
    """
    if not can_fork():
        yield
        return
    import shutil
    import subprocess
    import tempfile

    folder = tempfile.mkdtemp(prefix="baft-")
    address = os.path.join(folder, "jobs")
    with contextlib.ExitStack() as held:
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        listener = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind(address)
        listener.listen(128)
        until, alive = os.pipe()
        numbers = (listener.fileno(), until)
        process = subprocess.Popen(
            [sys.executable, "-m", "baft.cli.warm_parent", *map(str, numbers)],
            pass_fds=numbers,
            # A terminal's Ctrl-C reaches jobs through what Snakemake started.
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            # What a job does not say is on its threads, it may not use others'.
            env={**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")},
        )
        # Open here too, it would take the jobs of a parent that has failed, and leave them waiting.
        listener.close()
        os.close(until)
        kept_open.append(alive)
        os.environ[ADDRESS] = address
        try:
            yield
        finally:
            os.environ.pop(ADDRESS, None)
            kept_open.remove(alive)
            os.close(alive)
            # Snakemake may have been killed, and its last jobs go on.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)


def can_fork() -> bool:
    """Whether processes that have imported torch can be forked here, and their ends waited for."""
    if any(os.path.exists(path) for path in _GPU) or not hasattr(os, "pidfd_open"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


def place() -> list[str]:
    """Where and what a process is: a job is forked only from a parent that is in the same place and of the same code.

    A container has another file system, a cluster's job its own limits, and code may be changed while a study runs.
    """
    package = Path(__file__).parents[1]
    newest = max(file.stat().st_mtime_ns for file in package.rglob("*.py"))
    try:
        around = [os.readlink("/proc/self/ns/mnt"), Path("/proc/self/cgroup").read_text(encoding="utf-8")]
    except OSError:
        around = []
    return [sys.executable, str(package), str(newest), *around]


def received_request(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """What a job asks for, and its standard streams; None if it went away."""
    # A descriptor comes with the first byte of what it was sent with.
    head, streams, _, _ = socket.recv_fds(connection, _LENGTH.size, 3)
    body = _received(connection, _LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else b""
    if len(streams) < 3 or not body:
        for number in streams:
            os.close(number)
        return None
    return json.loads(body), list(streams)


def _ask(parent: socket.socket, arguments: list[str]) -> None:
    request = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ), "place": place()}
    body = json.dumps(request).encode()
    socket.send_fds(parent, [_LENGTH.pack(len(body))], [0, 1, 2])
    parent.sendall(body)


def _awaited(parent: socket.socket) -> int:
    status = _received(parent, STATUS.size)
    if len(status) < STATUS.size:
        print("baft: the process from which this job was forked has ended: start the run again.", file=sys.stderr)
        return 1
    (code,) = STATUS.unpack(status)
    # As a shell tells that a signal ended a process.
    return int(code) if code >= 0 else 128 - int(code)


def _passing_on(parent: socket.socket) -> Any:
    def pass_on(number: int, frame: object) -> None:
        with contextlib.suppress(OSError):
            parent.send(bytes([number]))

    return pass_on


def _received(connection: socket.socket, count: int) -> bytes:
    """``count`` bytes, or fewer if the other side has gone."""
    found = b""
    while len(found) < count and (more := connection.recv(count - len(found))):
        found += more
    return found
