"""Jobs forked from one parent: each is a process of its own, and ends as it would have by itself."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from baft.cli import warm, warm_parent

# A parent that has next to nothing to import, and whose jobs do what a file of Python says.
PARENT = """
import sys, types
import baft.cli.warm_parent as parent

def app():
    exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"), {"__name__": "job"})

main = types.ModuleType("baft.cli.main")
main.app = app
sys.modules["baft.cli.main"] = main
sys.modules["torch"] = types.SimpleNamespace(set_num_threads=lambda n: print("threads", n, flush=True))
parent._NEEDED, parent._PACKAGES = (), ()
parent.main()
"""
JOB = [sys.executable, "-c", "import sys; from baft.cli import app; app()"]

pytestmark = pytest.mark.skipif(
    not warm.can_fork(), reason="this machine has a GPU or a kernel without pidfd_open, where jobs are not forked"
)


@pytest.fixture
def starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[int]], AbstractContextManager[None]]:
    """``warm_parent`` with the small parent."""
    program = tmp_path / "python"
    (tmp_path / "parent.py").write_text(PARENT)
    program.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} {tmp_path}/parent.py "$@"\n')
    program.chmod(0o755)

    @contextmanager
    def begin(kept: list[int]) -> Iterator[None]:
        block = warm.warm_parent(kept)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(program))
            block.__enter__()
        try:
            yield
        finally:
            block.__exit__(None, None, None)
        assert not kept and warm.ADDRESS not in os.environ

    return begin


@pytest.fixture
def parent(starting: Callable[[list[int]], AbstractContextManager[None]]) -> Iterator[None]:
    with starting([]):
        yield


def start(job: Path, text: str, **options: object) -> subprocess.Popen:
    job.write_text(text)
    return subprocess.Popen([*JOB, str(job)], stdout=-1, stderr=-1, text=True, **options)


def number_of(job: subprocess.Popen) -> int:
    """What it prints, but for its threads."""
    assert job.stdout is not None
    return next(int(line) for line in job.stdout if line.strip().isdecimal())


def is_there(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_job_has_its_own_streams_folder_environment_threads_and_exit_code(parent: None, tmp_path: Path) -> None:
    text = "import os, sys; print(os.getcwd(), os.environ['SAID'], os.getppid()); sys.stderr.write('log'); sys.exit(7)"
    found = []
    for said in ("one", "two"):
        folder = tmp_path / said
        folder.mkdir()
        environment = {**os.environ, "SAID": said, "OMP_NUM_THREADS": "3"}
        job = start(tmp_path / "job.py", text, cwd=folder, env=environment | {"PYTHONPATH": os.getcwd()})
        out, log = job.communicate(timeout=60)
        threads, line = out.splitlines()
        assert (threads, log, job.returncode) == ("threads 3", "log", 7)
        assert line.split()[:2] == [str(folder), said]
        found.append(int(line.split()[2]))
    # Of one parent, which is not what was started.
    assert found[0] == found[1] != os.getpid()


def test_a_fault_shows_its_traceback_and_a_killed_job_its_signal(parent: None, tmp_path: Path) -> None:
    job = start(tmp_path / "job.py", "raise LookupError('lost')")
    _, log = job.communicate(timeout=60)
    assert job.returncode == 1 and log.splitlines()[-1] == "LookupError: lost"
    job = start(tmp_path / "job.py", "import os; os.kill(os.getpid(), 9)")
    job.communicate(timeout=60)
    assert job.returncode == 128 + signal.SIGKILL


def test_signals_reach_the_job_and_it_goes_with_what_waits_for_it(parent: None, tmp_path: Path) -> None:
    text = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "print(os.getpid(), flush=True)\ntime.sleep(60)\n"
    )
    told, killed = start(tmp_path / "a.py", text), start(tmp_path / "b.py", text)
    numbers = [number_of(job) for job in (told, killed)]
    told.send_signal(signal.SIGTERM)
    assert told.wait(60) == 143
    killed.kill()
    deadline = time.monotonic() + 60
    while any(map(is_there, numbers)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_parent_ends_with_the_last_that_holds_it(starting: Callable, tmp_path: Path) -> None:
    kept: list[int] = []
    with starting(kept):
        job = start(tmp_path / "job.py", "import os; print(os.getppid())")
        number = number_of(job)
        job.wait(60)
        other = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=-1, pass_fds=kept)
        # As if this process had been killed: the other holds the parent.
        os.environ.pop(warm.ADDRESS)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, kept[0])
        os.close(nothing)
        time.sleep(0.2)
        assert is_there(number)
        other.communicate()
    assert not is_there(number)


@pytest.mark.parametrize("what", ["no parent", "another place"])
def test_a_job_without_a_fitting_parent_runs_by_itself(
    what: str, parent: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "no parent":
        monkeypatch.setenv(warm.ADDRESS, str(tmp_path / "nothing"))
    else:
        monkeypatch.setattr(warm, "place", lambda: ["elsewhere"])

    def handle(number: int, frame: object) -> None: ...

    before = signal.signal(signal.SIGTERM, handle)
    try:
        assert warm.handed_over(["job"]) is None
        assert signal.getsignal(signal.SIGTERM) is handle
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_job_runs_by_itself_where_the_parent_fails(starting: Callable, tmp_path: Path) -> None:
    code = tmp_path / "parent.py"
    code.write_text(code.read_text().replace("parent._PACKAGES = (), ()", "parent._PACKAGES = ('no.such.module',), ()"))
    with starting([]):
        # By itself it is no command, which the program says.
        assert start(tmp_path / "job.py", "").wait(120) == 2


def test_code_that_changed_makes_another_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "baft"
    (package / "cli").mkdir(parents=True)
    (package / "errors.py").touch()
    monkeypatch.setattr(warm, "__file__", str(package / "cli/warm.py"))
    before = warm.place()
    assert warm.place() == before
    os.utime(package / "errors.py", (2e9, 2e9))
    assert warm.place() != before


def test_all_that_it_imports_is_there() -> None:
    for name in (*warm_parent._NEEDED, *warm_parent._PACKAGES):
        assert importlib.util.find_spec(name) is not None, name
