from pathlib import Path

import pandas as pd

from baft.config import StatisticsConfig
from baft.report.figures.pooled import plot_pooled
from baft.report.pooling import POOLED
from tests.report.conftest import METHODS, Study


def test_one_panel_shows_the_records_of_all_benchmarks(
    study: Study, statistics: StatisticsConfig, tmp_path: Path
) -> None:
    paths = plot_pooled(study.records, tmp_path / "pooled", statistics)
    assert [path.suffix for path in paths] == [".pdf", ".png", ".csv"]
    assert all(path.stat().st_size > 0 for path in paths)
    frame = pd.read_csv(paths[2])
    assert set(frame["benchmark"]) == {POOLED}
    assert set(frame["method"]) == set(METHODS)


def test_where_nothing_is_pooled_the_figure_says_so(study: Study, statistics: StatisticsConfig, tmp_path: Path) -> None:
    one = [path for path in study.records if "mini_zsre" in str(path)]
    assert all(path.is_file() for path in plot_pooled(one, tmp_path / "pooled", statistics))
