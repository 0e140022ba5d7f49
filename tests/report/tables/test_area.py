from pathlib import Path

import pandas as pd

from baft.config import StatisticsConfig
from baft.report.tables.area import tabulate_area
from tests.report.conftest import METHODS, SWEPT, Study


def test_the_table_is_written_in_every_form(swept_study: Study, statistics: StatisticsConfig, tmp_path: Path) -> None:
    paths = tabulate_area(swept_study.records, tmp_path / "area", statistics)
    assert [path.name for path in paths] == ["area.csv", "area.md", "area.tex", "area.json"]
    assert len(pd.read_csv(paths[0])) == 2 * 2 * (len(METHODS) - 1)
    text = paths[1].read_text()
    assert "clamp: 1, 4, 8" in text
    assert "@" not in text
    assert len(SWEPT) > len(METHODS)
