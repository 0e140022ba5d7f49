"""Every writer on a full disk: one sentence, and nothing half-written."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from baft import files
from baft.benchmarks.prepare import prepare_benchmark
from baft.config import BenchmarkConfig, ModelConfig
from baft.engine.saved import save_state
from baft.engine.state import EditState
from baft.errors import UserError
from baft.evaluation.checkpoints import Checkpoints, Reached
from baft.evaluation.covariances import write_covariance
from baft.models.prepare import prepare_model
from baft.report import style
from baft.report.page.sortable import show_table
from baft.report.rendering import Table
from baft.report.writing import write_table
from baft.results.schema import EDITS
from baft.results.store import write_rows
from tests.engine.tiny import engine

# Each is larger than the disk of the test below.
NOISE = torch.randn(1, 60_000, generator=torch.Generator().manual_seed(0))
LINES = [f"{number**9}" for number in range(20_000)]


def figure(out: Path) -> None:
    with style.drawing(3, 2) as drawn:
        drawn.subplots().imshow(NOISE.reshape(200, 300).numpy(), interpolation="none")
        style.save(drawn, pd.DataFrame({"value": NOISE[0].numpy()}), out)


def page(out: Path) -> None:
    table = Table("t", ["a", "b"], [("", [[line, "1"] for line in LINES])])
    made = write_table(out.parent.parent / "long", pd.DataFrame({"a": [1]}), [table])
    show_table(next(path for path in made if path.suffix == ".json"), out)


def checkpoints(out: Path) -> None:
    state = EditState(1, {}, {"noise": NOISE})
    edit = {"record_id": "a", "stream_id": "a", "step": 0}
    Checkpoints(out, "digest", engine("llama").model).keep("0", ["a"], Reached(1, state, {}), [], [edit])


def benchmark(out: Path) -> None:
    source = out.parent.parent / "edits.csv"
    rows = [f"The capital of {n**9} is,city {n**8}" for n in range(9_000)]
    source.write_text("\n".join(["prompt,target", *rows]))
    prepare_benchmark(BenchmarkConfig(source="file", path=str(source)), "wide", out)


def model(out: Path) -> None:
    prepare_model(ModelConfig(source="embedded"), out)


WRITERS: dict[str, Callable[[Path], object]] = {
    "rows": lambda out: write_rows(
        ({"record_id": os.urandom(16).hex(), "stream_id": "s", "step": n} for n in range(9_000)), EDITS, out, {}
    ),
    "benchmark": benchmark,
    "moment": lambda out: write_covariance(NOISE, {"tokens": "7"}, out),
    "edit": lambda out: save_state(EditState(1, {}, {"noise": NOISE}), out, {}),
    "checkpoints": checkpoints,
    "table": lambda out: write_table(
        out, pd.DataFrame({"a": range(90_000)}), [Table("t", ["a", "b"], [("", [[line, "1"] for line in LINES])])]
    ),
    "page": page,
    "figure": figure,
    "model": model,
}


@pytest.fixture(autouse=True)
def small_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded model would take a quarter of a gigabyte; a small one is written as it is."""

    class Small:
        def save_pretrained(self, folder: Path) -> None:
            save_file({"noise": NOISE}, Path(folder) / "model.safetensors")

    monkeypatch.setattr("baft.models.prepare.read_embedded", lambda name: (Small(), Small()))


def left(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_is_full_at_the_end_is_one_sentence(
    name: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(UserError, match=r"No space left for .*free some") as caught:
        WRITERS[name](tmp_path / "results/out")
    assert "\n" not in str(caught.value)
    assert left(tmp_path / "results") == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_fills_while_writing_is_one_sentence(name: str, small_disk: Path) -> None:
    with pytest.raises(UserError, match=r"No space left for .*free some"):
        WRITERS[name](small_disk / "out")
    assert [path for path in left(small_disk) if path.suffix in (".tmp", ".safetensors", ".json")] == []
    # Of what is several files the first ones may be there and whole.
    assert name in ("table", "figure", "checkpoints") or left(small_disk) == []


@pytest.mark.parametrize("name", WRITERS)
def test_each_writer_writes_where_there_is_room(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / "results/out")
    assert left(tmp_path / "results") and not [p for p in left(tmp_path) if p.suffix == ".tmp"]


def test_what_libraries_say_of_a_full_disk_is_understood() -> None:
    wrapped = RuntimeError("unexpected pos 64 vs 0")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert files.is_full(wrapped)
    assert files.is_full(RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"))
    assert files.is_full(OSError("cannot write: Disk quota exceeded"))
    assert not files.is_full(OSError(errno.EACCES, "Permission denied"))
    assert not files.is_full(RuntimeError("os error 280"))


def test_another_error_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "deep/er/out"
    with pytest.raises(ZeroDivisionError), files.replacing(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_two_processes_of_one_number_do_not_share_a_hidden_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.os, "getpid", lambda: 7)
    with files.replacing(tmp_path / "out") as one, files.replacing(tmp_path / "out") as other:
        one.write(b"one")
        other.write(b"other")
        one.flush()
    assert (tmp_path / "out").read_bytes() in (b"one", b"other")


def test_what_a_killed_writer_left_goes_with_the_next_and_a_living_one_is_left_alone(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from baft.files import replacing

with replacing(Path(sys.argv[1])) as file:
    file.write(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    (tmp_path / "a[1]").mkdir()
    path = tmp_path / "a[1]/o*t"
    died = subprocess.run([sys.executable, "-c", code, str(path)], cwd=Path(files.__file__).parents[1])
    assert died.returncode == -signal.SIGKILL
    (dead,) = path.parent.iterdir()
    with files.replacing(path.with_name("out")), files.replacing(path.with_name("o*t.json")):
        assert dead.exists()
    with files.replacing(path) as one:
        assert not dead.exists()
        one.write(b"one")
        with files.replacing(path) as other:
            other.write(b"other")
    assert path.read_bytes() == b"one"
    assert sorted(p.name for p in path.parent.iterdir()) == ["o*t", "o*t.json", "out"]


def test_no_module_writes_in_another_way() -> None:
    root = Path(files.__file__).parent
    ways = (".write_text(", ".write_bytes(", "save_file(", '.open("w', "to_parquet(", "np.save", "torch.save(")
    found = [path.name for path in root.rglob("*.py") if any(way in path.read_text() for way in ways)]
    # The lock is written in place, for it is the file itself that is locked.
    assert set(found) <= {"files.py", "locks.py"}
