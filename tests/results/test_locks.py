"""Locks: held by one run at a time, and broken only where the holder is known to be dead."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from baft.errors import UserError
from baft.results import locks
from baft.results.locks import LOCK, Process, has_stale_lock, holding, refuse_if_locked, sign

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="needs /proc, which this system lacks")

HOLD = """
import subprocess, sys, pathlib
from baft.results.locks import holding
with holding(pathlib.Path(sys.argv[1])) as held:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=sys.stdin, pass_fds=[held])
    print(child.pid, flush=True)
    child.wait()
"""


def dead() -> Process:
    """A process of this machine that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return replace(Process.this(), pid=ended.pid, started="1")


ELSEWHERE: dict[str, Callable[[Process], Process]] = {
    "another machine, or this one before it was started again": lambda one: replace(one, boot="other", host="node7"),
    "another container": lambda one: replace(one, namespace="pid:[1]"),
    "a machine without a name for its boot": lambda one: replace(one, boot=""),
}


def test_a_process_lives_until_it_ends_and_no_other_of_its_number_is_it() -> None:
    me = Process.this()
    assert me.lives() is True
    assert replace(me, started="1").lives() is False
    assert dead().lives() is False
    for change in ELSEWHERE.values():
        assert change(me).lives() is None
        assert change(dead()).lives() is None
    assert Process.read(me.written()) == me
    for text in ("", "[]", "{}", "null", '{"pid": 3}', "\x00"):
        assert Process.read(text) is None


def test_a_folder_is_held_as_long_as_one_of_the_processes_lives(tmp_path: Path) -> None:
    lock = tmp_path / "results" / LOCK
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and int(holder.stdout.readline())
    try:
        with pytest.raises(UserError, match=f"another run is at work in {lock.parent}: process {holder.pid} of"):
            holding(lock).__enter__()
        holder.kill()
        holder.wait()
        with pytest.raises(UserError, match=f"a Snakemake of process {holder.pid} of .*, which has ended"):
            holding(lock).__enter__()
    finally:
        assert holder.stdin is not None
        holder.stdin.close()
        # The child ends with its standard input, and its end of the pipe tells.
        holder.stdout.read()
        holder.wait()
    with holding(lock):
        pass
    assert lock.read_text() == ""


def test_a_dead_holder_of_this_machine_is_no_hindrance_in_whatever_container_it_was(tmp_path: Path) -> None:
    lock = tmp_path / LOCK
    for process in (dead(), replace(dead(), namespace="pid:[1]")):
        lock.write_text(process.written())
        with holding(lock):
            assert Process.read(lock.read_text()) == replace(Process.this(), since=Process.read(lock.read_text()).since)


@pytest.mark.parametrize("kind", [kind for kind in ELSEWHERE if "container" not in kind])
def test_a_holder_elsewhere_is_named_with_the_way_to_break_its_lock(kind: str, tmp_path: Path) -> None:
    lock = tmp_path / LOCK
    process = ELSEWHERE[kind](dead())
    lock.write_text(process.written())
    with pytest.raises(UserError) as caught:
        holding(lock).__enter__()
    for part in (f"process {process.pid} of {process.user} on {process.host}", "cannot be told", f"delete {lock}"):
        assert part in str(caught.value)
    assert lock.read_text() == process.written()
    lock.unlink()
    with holding(lock):
        pass


@pytest.mark.parametrize(("kind", "held"), [("dead", False), ("alive", True), ("another container", True)])
def test_where_a_file_system_has_no_locks_the_note_decides(
    kind: str, held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", unsupported)
    processes = {"dead": dead(), "alive": Process.this(), "another container": replace(dead(), namespace="pid:[1]")}
    (tmp_path / LOCK).write_text(processes[kind].written())
    if held:
        with pytest.raises(UserError, match=r"another run (is|may be) at work"):
            holding(tmp_path / LOCK).__enter__()
    else:
        with holding(tmp_path / LOCK):
            pass


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        holding(tmp_path / "file" / LOCK).__enter__()


def snakemakes_lock(folder: Path) -> None:
    (folder / ".snakemake/locks").mkdir(parents=True)
    (folder / ".snakemake/locks/0.output.lock").touch()


def signed_by(folder: Path, *processes: Process) -> None:
    for process in processes:
        path = folder / f".snakemake/starters/{process.boot}-{process.pid}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(process.written())


def test_snakemakes_lock_is_stale_if_all_that_can_have_taken_it_are_dead(tmp_path: Path) -> None:
    signed_by(tmp_path, dead())
    assert not has_stale_lock(tmp_path)
    refuse_if_locked(tmp_path)
    snakemakes_lock(tmp_path)
    assert has_stale_lock(tmp_path)
    sign(tmp_path)
    assert not has_stale_lock(tmp_path)
    with pytest.raises(UserError, match=rf"Snakemake is at work in this folder \(process {os.getpid()} of"):
        refuse_if_locked(tmp_path)


@pytest.mark.parametrize("kind", [*ELSEWHERE, "nobody"])
def test_snakemakes_lock_of_elsewhere_or_of_nobody_known_stays(kind: str, tmp_path: Path) -> None:
    snakemakes_lock(tmp_path)
    if kind != "nobody":
        signed_by(tmp_path, dead(), ELSEWHERE[kind](dead()))
    assert not has_stale_lock(tmp_path)
    with pytest.raises(UserError, match="unlock the folder with `snakemake --unlock`"):
        refuse_if_locked(tmp_path)


def test_a_snakemake_that_can_be_seen_keeps_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snakemakes_lock(tmp_path)
    signed_by(tmp_path, dead())
    monkeypatch.chdir(tmp_path)
    other = subprocess.Popen(
        ["bash", "-c", "exec -a snakemake sleep 60"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        while b"snakemake" not in Path(f"/proc/{other.pid}/cmdline").read_bytes().split(b"\0"):
            pass
        assert not has_stale_lock(tmp_path)
    finally:
        other.kill()
        other.wait()
    assert has_stale_lock(tmp_path)


def test_signing_forgets_the_dead_where_nothing_is_locked(tmp_path: Path) -> None:
    other = replace(dead(), boot="other")
    signed_by(tmp_path, dead(), other, replace(other, boot="older", since=0.0))
    (tmp_path / ".snakemake/starters/broken.json").write_text("{")
    sign(tmp_path)
    left = {Process.read(path.read_text()).boot for path in (tmp_path / ".snakemake/starters").glob("*")}
    assert left == {"other", Process.this().boot}
    snakemakes_lock(tmp_path)
    signed_by(tmp_path, dead())
    sign(tmp_path)
    assert len(list((tmp_path / ".snakemake/starters").glob("*"))) == 3
