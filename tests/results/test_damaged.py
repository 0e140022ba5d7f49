import os
import time
from pathlib import Path

import pytest

from baft.results import damaged, store
from baft.results.damaged import CHECKED, damaged_files, newly_damaged_files, unfinished_files
from tests.results.synthetic import damaged_results


def test_only_what_is_not_whole_is_found(tmp_path: Path) -> None:
    whole, broken, half = damaged_results(tmp_path)
    benchmark = tmp_path / "benchmarks/b.parquet"
    benchmark.parent.mkdir()
    benchmark.write_bytes(whole.read_bytes()[:50])
    benchmark.with_name("b.loading.csv").touch()
    assert damaged_files(tmp_path) == [benchmark, broken]
    assert unfinished_files(tmp_path) == [half]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read to their end, with a clock that is well ahead of their times."""
    read: list[Path] = []

    def is_whole(path: Path) -> bool:
        read.append(path)
        return store.is_whole(path)

    monkeypatch.setattr(damaged, "is_whole", is_whole)
    monkeypatch.setattr(damaged.time, "time", lambda: time.time_ns() / 1e9 + 60)
    return read


def test_a_file_is_read_once_and_again_when_it_changes(tmp_path: Path, reads: list[Path]) -> None:
    whole, broken, _ = damaged_results(tmp_path)
    assert newly_damaged_files(tmp_path) == [broken] and set(reads) == {whole, broken}
    reads.clear()
    assert newly_damaged_files(tmp_path) == [broken] and reads == [broken]
    reads.clear()
    content, times = whole.read_bytes(), whole.stat()
    # As long as before, and said to be as old.
    whole.write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])
    os.utime(whole, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert set(newly_damaged_files(tmp_path)) == {whole, broken}
    whole.unlink()
    broken.unlink()
    assert newly_damaged_files(tmp_path) == []


def test_a_file_that_was_just_written_is_not_taken_for_checked(
    tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(damaged.time, "time", lambda: time.time_ns() / 1e9)
    whole, broken, _ = damaged_results(tmp_path)
    newly_damaged_files(tmp_path)
    reads.clear()
    newly_damaged_files(tmp_path)
    assert set(reads) == {whole, broken}


@pytest.mark.parametrize("content", ["", "[]", '{"a": 3}', "\x00"])
def test_what_was_remembered_may_be_damaged_too(tmp_path: Path, reads: list[Path], content: str) -> None:
    whole, broken, _ = damaged_results(tmp_path)
    (tmp_path / CHECKED).write_text(content)
    assert newly_damaged_files(tmp_path) == [broken] and set(reads) == {whole, broken}


def test_the_full_check_reads_everything(tmp_path: Path, reads: list[Path]) -> None:
    whole, broken, _ = damaged_results(tmp_path)
    newly_damaged_files(tmp_path)
    reads.clear()
    assert damaged_files(tmp_path) == [broken] and set(reads) == {whole, broken}
