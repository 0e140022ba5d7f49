from pathlib import Path

from baft.results.stale import remove, stale_files


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_only_unexpected_result_files_are_stale_and_go_with_their_folders(tmp_path: Path) -> None:
    kept = touch(tmp_path / "probes/model=m/method=a/shard=0/part.parquet")
    old = touch(tmp_path / "probes/model=m/method=b/shard=0/part.parquet")
    shard = touch(tmp_path / "edits/model=m/method=a/shard=1/part.parquet")
    benchmark = touch(tmp_path / "benchmarks/b.parquet")
    table = touch(tmp_path / "tables/main.csv")
    found = stale_files(tmp_path, [kept])
    assert found == sorted([old, shard, benchmark])
    remove(tmp_path, found)
    assert kept.exists() and table.exists()
    assert not (tmp_path / "probes/model=m/method=b").exists()
    assert not (tmp_path / "edits").exists()
    assert stale_files(tmp_path, [kept]) == []
