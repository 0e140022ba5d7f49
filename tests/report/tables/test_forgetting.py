from pathlib import Path

from baft.report.tables.forgetting import tabulate_forgetting
from baft.report.writing import read_tables
from tests.report.test_sequences import SETTINGS, stream, summary


def test_the_table_says_what_was_forgotten_and_why_there_is_no_interval(tmp_path: Path) -> None:
    streams = stream("a", [1.0, 1.0, 0.5], [0.5, 1.0], [0.0, 0.5, 0.5]), stream("c", [1.0], [], [1.0])
    paths = tabulate_forgetting([summary(tmp_path, "reft", *streams)], tmp_path / "forgetting", SETTINGS)
    assert [path.name for path in paths] == ["forgetting.csv", "forgetting.md", "forgetting.tex", "forgetting.json"]
    text = paths[1].read_text()
    # Of four records one has lost a whole point and one half of one.
    assert "+37.5 [–]" in text and "4 records in 2 streams" in text
    assert "no interval, from fewer than 5 streams" in text
    (table,) = read_tables(paths[3])
    assert table.behind is not None and table.behind.methods == ["reft"] and table.behind.kinds[1] == "reliability"
