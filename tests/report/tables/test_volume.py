from pathlib import Path

import pandas as pd

from baft.config import StatisticsConfig
from baft.report.rendering import HOLE
from baft.report.tables.area import tabulate_area
from baft.report.tables.volume import tabulate_volume
from tests.report.conftest import METHODS, Study
from tests.report.test_tradeoff import ALL, kinds_of


def test_the_table_is_written_in_every_form(swept_study: Study, statistics: StatisticsConfig, tmp_path: Path) -> None:
    paths = tabulate_volume(swept_study.records, tmp_path / "volume", statistics)
    assert [path.name for path in paths][:3] == ["volume.csv", "volume.md", "volume.tex"]
    written = pd.read_csv(paths[0], keep_default_na=False)
    assert set(written.loc[written["other"].eq(""), "line"]) == set(METHODS) - {"none"}
    text = paths[1].read_text()
    assert "edit success, generality, portability, locality" in text
    row = next(line for line in text.splitlines() if line.startswith("| ROME"))
    # Method, then editing, locality, volume and two counts, forced and decoded.
    assert len(row.split("|")) - 2 == 11
    assert "@" not in text


def row_of(text: str, method: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {method}"))
    return [part.strip() for part in line.split("|")[2:-1]]


def test_editing_is_shown_where_there_is_no_locality(statistics: StatisticsConfig, tmp_path: Path) -> None:
    records = kinds_of(tmp_path, {"reft": {"reliability": 1.0}})
    text = tabulate_volume(records, tmp_path / "volume", statistics)[1].read_text()
    editing, locality, volume, *_ = row_of(text, "ReFT")
    assert editing.startswith("100.0") and locality == HOLE and volume.startswith("100.0")


def test_a_method_whose_edits_all_failed_is_named_and_scores_0(statistics: StatisticsConfig, tmp_path: Path) -> None:
    records = kinds_of(tmp_path, {"reft": ALL, "rome": ALL}, "rome")
    text = tabulate_volume(records, tmp_path / "volume", statistics)[1].read_text()
    editing, locality, volume, *_ = row_of(text, "ROME")
    assert editing.startswith("0.0") and (locality, volume) == (HOLE, HOLE)
    assert "b, forced: no volume, for a measure is missing (failed edits have no locality): ROME." in text
    area = tabulate_area(records, tmp_path / "area", statistics)[1].read_text()
    assert row_of(area, "ROME")[:3] == [HOLE, HOLE, "0"] and "b, forced: no area" in area
