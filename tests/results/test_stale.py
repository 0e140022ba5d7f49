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


def test_kept_edits_are_stale_with_their_index(tmp_path: Path) -> None:
    shard = tmp_path / "kept_edits/model=m/method=a/shard=0"
    mine = [touch(shard / "all" / name) for name in ("index.json", "0-0-0/edit.json", "0-0-0/edit.safetensors")]
    old = [touch(shard / "0a1b" / name) for name in ("index.json", "0-0-0/edit.json")]
    assert stale_files(tmp_path, [mine[0]]) == sorted(old)
    assert stale_files(tmp_path, []) == sorted([*mine, *old])
    remove(tmp_path, old)
    assert all(path.exists() for path in mine) and not (shard / "0a1b").exists()
