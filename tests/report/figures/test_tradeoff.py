from pathlib import Path

import pandas as pd
import pytest

from baft.config import StatisticsConfig
from baft.report.figures import plot_tradeoff
from baft.report.figures.tradeoff import tradeoff_frame
from tests.report.conftest import METHODS, Study, make_study


def test_three_files_that_depend_on_the_data_alone(study: Study, statistics: StatisticsConfig, tmp_path: Path) -> None:
    paths = plot_tradeoff(study.records, tmp_path / "a" / "tradeoff.pdf", statistics)
    assert [path.name for path in paths] == ["tradeoff.pdf", "tradeoff.png", "tradeoff.csv"]
    again = plot_tradeoff(study.records[::-1], tmp_path / "b" / "tradeoff", statistics)
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]


def test_the_frame_has_both_variants_and_the_front_of_the_edited(study: Study, statistics: StatisticsConfig) -> None:
    frame = tradeoff_frame(study.records, statistics)
    assert len(frame) == 2 * 2 * len(METHODS)
    assert set(frame["variant"]) == {"forced", "decoded"}
    assert not frame.loc[frame["method"] == "none", "on_front"].any(), "the unedited model is a reference"
    for _, panel in frame[frame["method"] != "none"].groupby(["variant", "benchmark"]):
        on = panel[panel["on_front"]]
        assert panel["success_mean"].max() == on["success_mean"].max()
        assert panel["locality_mean"].max() == on["locality_mean"].max()
        ordered = on.sort_values("locality_mean")["success_mean"]
        assert ordered.is_monotonic_decreasing


@pytest.mark.parametrize(
    ("methods", "benchmarks", "models"),
    [(["none"], ["b"], ("m",)), (["reft"], ["b"], ("m", "n")), (["none", "reft", "x"], list("abcdefg"), ("m",))],
)
def test_any_shape_of_study_can_be_drawn(
    methods: list[str], benchmarks: list[str], models: tuple[str, ...], tmp_path: Path, statistics: StatisticsConfig
) -> None:
    chosen = {name: METHODS.get(name, METHODS["reft"]) for name in methods}
    study = make_study(tmp_path, chosen, benchmarks, 3, models)
    paths = plot_tradeoff(study.records, tmp_path / "figure", statistics)
    assert all(path.stat().st_size for path in paths)
    assert set(pd.read_csv(paths[2], keep_default_na=False)["method"]) == set(methods)
