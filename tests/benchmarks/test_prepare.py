"""What is prepared is written beside the user's files, never over them."""

from pathlib import Path

import pytest

from baft.benchmarks.prepare import prepare_benchmark, report_path
from baft.benchmarks.store import read_benchmark
from baft.config import BenchmarkConfig
from baft.errors import UserError

FACTS = "prompt,target\nThe capital of France is,Rome\n"


@pytest.mark.parametrize(("source", "out"), [("facts.csv", "facts.csv"), ("facts.loading.csv", "facts.parquet")])
def test_the_file_of_facts_is_not_overwritten(tmp_path: Path, source: str, out: str) -> None:
    (tmp_path / source).write_text(FACTS)
    (tmp_path / "link").symlink_to(tmp_path / source)
    for path in (tmp_path / source, tmp_path / "link"):
        with pytest.raises(UserError, match="would be overwritten"):
            prepare_benchmark(BenchmarkConfig(source="file", path=str(path)), "mine", tmp_path / out)
    assert (tmp_path / source).read_text() == FACTS


def test_only_a_prepared_benchmark_is_replaced(tmp_path: Path) -> None:
    source, out, other = tmp_path / "facts.csv", tmp_path / "out.parquet", tmp_path / "notes.txt"
    source.write_text(FACTS)
    other.write_text("a note")
    config = BenchmarkConfig(source="file", path=str(source))
    with pytest.raises(UserError, match="exists already and is not a prepared benchmark"):
        prepare_benchmark(config, "mine", other)
    assert other.read_text() == "a note" and not report_path(other).exists()
    prepare_benchmark(config, "first", out)
    prepare_benchmark(config, "second", out)
    assert read_benchmark(out).name == "second"
