from pathlib import Path

from baft.results.damaged import damaged_files, unfinished_files
from tests.results.synthetic import damaged_results


def test_only_what_is_not_whole_is_found(tmp_path: Path) -> None:
    whole, damaged, half = damaged_results(tmp_path)
    benchmark = tmp_path / "benchmarks/b.parquet"
    benchmark.parent.mkdir()
    benchmark.write_bytes(whole.read_bytes()[:50])
    benchmark.with_name("b.loading.csv").touch()
    assert damaged_files(tmp_path) == [benchmark, damaged]
    assert unfinished_files(tmp_path) == [half]
