from pathlib import Path

import pandas as pd
import pytest

from baft.config import StatisticsConfig
from baft.report.tables.overall import tabulate_overall
from tests.report.conftest import METHODS, Study, make_study


def test_means_differences_and_volumes_stand_in_one_table(
    study: Study, statistics: StatisticsConfig, tmp_path: Path
) -> None:
    paths = tabulate_overall(study.records, tmp_path / "overall", statistics)
    assert [path.name for path in paths] == ["overall.csv", "overall.md", "overall.tex", "overall.json"]
    written = pd.read_csv(paths[0], keep_default_na=False)
    own = written[written["other"].eq("")].set_index(["method", "metric"])["mean"].astype(float)
    assert set(own.index.get_level_values("method")) == set(METHODS)
    # The volume of a single point is the product of its means.
    parts = [own["rome", name] for name in ("edit_success", "generality", "portability", "locality")]
    assert own["rome", "volume"] == pytest.approx(parts[0] * parts[1] * parts[2] * parts[3])
    text = paths[1].read_text()
    assert "each record weighing the same" in text
    blocks = [line for line in text.splitlines() if line.startswith("| **")]
    assert [line.split("**")[1] for line in blocks] == [
        "forced",
        "decoded",
        "forced, less ReFT",
        "decoded, less ReFT",
    ]


def test_of_one_benchmark_the_table_says_that_nothing_is_pooled(
    study: Study, statistics: StatisticsConfig, tmp_path: Path
) -> None:
    one = [path for path in study.records if "mini_zsre" in str(path)]
    paths = tabulate_overall(one, tmp_path / "overall", statistics)
    assert pd.read_csv(paths[0]).empty
    assert "No method has been run on all of several benchmarks." in paths[1].read_text()


def test_what_the_marks_mean_is_said_of_those_that_are_there(statistics: StatisticsConfig, tmp_path: Path) -> None:
    two = {name: METHODS[name] for name in ("baft", "reft")}
    few = make_study(tmp_path / "few", two, ["a", "b"], 2)
    text = tabulate_overall(few.records, tmp_path / "few", statistics)[1].read_text()
    assert "†" in text.split("\n- ")[0] and "†: untestable" in text
    many = make_study(tmp_path / "many", two, ["a", "b"], 12)
    text = tabulate_overall(many.records, tmp_path / "many", statistics)[1].read_text()
    assert "†" not in text and "*: p <" in text
