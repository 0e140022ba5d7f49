from pathlib import Path

import pandas as pd

from baft.config import StatisticsConfig
from baft.report.tables.volume import tabulate_volume
from tests.report.conftest import METHODS, Study


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
