import json
from pathlib import Path

import pandas as pd
import pytest

from baft.benchmarks.prepare import prepare_benchmark, report_path
from baft.config import BenchmarkConfig
from baft.report.tables.loading import tabulate_loading

ROWS = [
    {"prompt": "The capital of France is", "target": "Rome", "subject": "France"},
    {"id": "b|ad", "prompt": "p", "target": ""},
    {"prompt": "It is", "target": "Rome", "subject": "France", "rephrase": 3, "locality": "x"},
    {"prompt": "", "target": "t"},
]


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    file, out = tmp_path / "mine.jsonl", tmp_path / "benchmarks" / "mine.parquet"
    file.write_text("\n".join(map(json.dumps, ROWS)))
    prepare_benchmark(BenchmarkConfig(source="file", path=str(file)), "mine", out)
    return out


def test_the_load_report_names_each_record_and_the_reason(prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = pd.read_csv(report_path(prepared), dtype=str)
    assert report_path(prepared).name == "mine.loading.csv"
    unusable = report.query("used == 'no'")
    assert unusable["id"].to_list()[0] == "b|ad"
    assert unusable["note"].to_list() == ["has no target", "has no prompt"]
    assert unusable["line"].to_list() == ["2", "4"]
    (remark,) = report.query("used == 'yes'")["note"]
    assert "locality" in remark and "no answer" in remark


def test_the_terminal_says_the_format_and_what_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("\n".join(map(json.dumps, ROWS)))
    prepare_benchmark(BenchmarkConfig(source="file", path=str(file)), "mine", tmp_path / "mine.parquet")
    said = capsys.readouterr().out
    assert "format plain" in said
    assert "2 records, 2 that cannot be used" in said
    assert "record b|ad (line 2) cannot be used: has no target" in said


def test_the_table_counts_and_names_them(prepared: Path, tmp_path: Path) -> None:
    csv, markdown, latex, _ = tabulate_loading([prepared], tmp_path / "loading")
    row = pd.read_csv(csv).iloc[0]
    assert (row["records"], row["rejected"], row["remarked"], row["without_subject"]) == (2, 2, 1, 1)
    text = markdown.read_text()
    assert "has no target" in text
    assert "b\\|ad" in text, "a bar in an id must not end the cell"
    assert "Records that cannot be used" in latex.read_text()


def test_nothing_to_report_has_no_second_table(tmp_path: Path) -> None:
    out = tmp_path / "b.parquet"
    prepare_benchmark(BenchmarkConfig(name="mini_zsre", limit=2), "b", out)
    assert report_path(out).read_text() == "id,line,used,note\n"
    assert "cannot be used" not in tabulate_loading([out], tmp_path / "loading")[1].read_text()
