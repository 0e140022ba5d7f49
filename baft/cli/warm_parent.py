"""The parent of a run's jobs: ``python -m baft.cli.warm_parent LISTENER UNTIL``, two numbers of open files.

It imports nothing until the first job comes, and ends once the other end of the pipe ``UNTIL`` is closed and no job is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import pkgutil
import selectors
import signal
import socket
import sys
from dataclasses import dataclass
from typing import Any

from baft.cli import warm

_NEEDED = (
    "baft.cli.main",
    "baft.benchmarks.prepare",
    "baft.models.prepare",
    "baft.evaluation.inputs",
    "baft.evaluation.jobs",
    "baft.analysis.subspaces",
    "baft.results.summaries",
    "baft.report.inputs",
)
_PACKAGES = ("baft.methods", "baft.report.tables", "baft.report.figures", "baft.report.page")


@dataclass(frozen=True)
class _Job:
    """A forked process, its end as a file that can be waited for, and what waits for it outside."""

    number: int
    end: int
    waiting: socket.socket


@dataclass(frozen=True)
class _Asked:
    request: dict[str, Any]
    streams: list[int]


def main() -> None:
    """Serve; a forked process comes back from it as the job that it was asked for."""
    listener, until = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    asked = _Parent(listener, until).serve()
    if asked is not None:
        _become(asked)
        from baft.cli.main import app

        app()


class _Parent:
    def __init__(self, listener: socket.socket, until: int):
        self.listener, self.until = listener, until
        self.jobs: dict[int, _Job] = {}
        self.number = os.getpid()

    def serve(self) -> _Asked | None:
        """Forks a process for each job that comes; gives what it was in the process, and None at the end."""
        with selectors.DefaultSelector() as ready:
            ready.register(self.listener, selectors.EVENT_READ)
            ready.register(self.until, selectors.EVENT_READ)
            first = True
            open_ = True
            while open_ or self.jobs:
                # A job whose waiting process was killed is gone before another takes its place.
                for key, _ in sorted(ready.select(), key=lambda event: event[0].fd == self.listener.fileno()):
                    if key.fd == self.until:
                        open_ = False
                        ready.unregister(self.until)
                        ready.unregister(self.listener)
                        self.listener.close()
                    elif key.fileobj is not self.listener:
                        self._tell(ready, key.fd)
                    elif open_:
                        if first:
                            _import_all()
                            first = False
                        asked = self._start(ready)
                        if asked is not None:
                            return asked
        return None

    def _start(self, ready: selectors.BaseSelector) -> _Asked | None:
        """In a new process what it is to do; None in this one."""
        connection, _ = self.listener.accept()
        connection.settimeout(10)
        try:
            found = warm.received_request(connection)
        except OSError:
            found = None
        if found is None:
            connection.close()
            return None
        asked = _Asked(*found)
        connection.settimeout(None)
        if asked.request["place"] != warm.place():
            connection.sendall(warm.NO)
            connection.close()
            for stream in asked.streams:
                os.close(stream)
            return None
        connection.sendall(warm.YES)
        number = os.fork()
        if not number:
            self._leave(connection)
            return asked
        for stream in asked.streams:
            os.close(stream)
        job = _Job(number, os.pidfd_open(number), connection)
        self.jobs[job.end] = self.jobs[connection.fileno()] = job
        for file in (job.end, connection.fileno()):
            ready.register(file, selectors.EVENT_READ)
        return None

    def _tell(self, ready: selectors.BaseSelector, file: int) -> None:
        """Tells a job of a signal, or what waits for it of its end."""
        job = self.jobs.get(file)
        if job is None:
            return
        if file != job.end:
            try:
                number = job.waiting.recv(1)
            except OSError:
                number = b""
            os.kill(job.number, number[0] if number else signal.SIGKILL)
            if number:
                return
        _, status = os.waitpid(job.number, 0)
        with contextlib.suppress(OSError):
            job.waiting.sendall(warm.STATUS.pack(os.waitstatus_to_exitcode(status)))
        for one in (job.end, job.waiting.fileno()):
            ready.unregister(one)
            del self.jobs[one]
        os.close(job.end)
        job.waiting.close()

    def _leave(self, connection: socket.socket) -> None:
        """In a forked process: close what is the parent's, and end if the parent does."""
        connection.close()
        for job in {job.number: job for job in self.jobs.values()}.values():
            job.waiting.close()
            os.close(job.end)
        self.listener.close()
        os.close(self.until)
        _end_with_parent()
        if os.getppid() != self.number:
            os._exit(1)


def _become(asked: _Asked) -> None:
    """Makes this process the job: its streams, folder, environment, arguments and threads."""
    request = asked.request
    for number, stream in enumerate(asked.streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update({name: text for name, text in request["environment"].items() if name != warm.ADDRESS})
    sys.argv = ["baft", *request["arguments"]]
    import torch

    # The number of threads was read from the environment when torch was loaded.
    if (threads := os.environ.get("OMP_NUM_THREADS", "")).isdecimal():
        torch.set_num_threads(int(threads))


def _import_all() -> None:
    for name in _NEEDED:
        importlib.import_module(name)
    for package in _PACKAGES:
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            if not module.ispkg:
                importlib.import_module(module.name)
    # What is here will live as long as each job: no collection need look at it, which would copy its memory.
    gc.collect()
    gc.freeze()


def _end_with_parent() -> None:
    """Asks Linux to kill this process when its parent ends."""
    set_signal_at_parents_death = 1
    ctypes.CDLL(None).prctl(set_signal_at_parents_death, signal.SIGKILL)


if __name__ == "__main__":
    main()
